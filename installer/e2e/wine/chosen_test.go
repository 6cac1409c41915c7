//go:build e2e && linux

package wine

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
)

// chosen is a Windows machine whose hardware we choose. Wine makes the firmware's
// table from what Linux knows of the machine, takes addresses from its network
// interfaces and the disk's serial from UDisks.
type chosen struct{ mac, disk, board, system, guid string }

// first is the machine on which the license is activated.
func first() chosen {
	return chosen{"00:1b:21:aa:00:01", "WIN-DISK-SER-5", "BOARD-SERIAL-42", "SYS-SERIAL-77", "aaaabbbb-cccc-dddd-eeee-ffff00001111"}
}

// text is the fingerprint that the machine must have. The CPU is the real one.
func (c chosen) text(cpu string) string {
	board := c.board
	if board == "" {
		board = c.system
	}
	return strings.Join([]string{strings.ToUpper(c.mac), strings.ToUpper(c.disk), board, cpu}, "|")
}

// bed is the Linux side of one run, in a network of its own.
type bed struct {
	program, tests, exec, udisks, dir string
	offset                            string // of the clocks that count from the start of Linux, in seconds
	starts                            int
}

func env(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set: run .ci/wine", name)
	}
	return v
}

// run starts Windows anew on the machine c and lets the Windows side report.
// With shift, its clock is so far ahead.
func (b *bed) run(t *testing.T, c chosen, dir, code string, shift time.Duration) report {
	t.Helper()
	b.starts++
	work := filepath.Join(b.dir, fmt.Sprintf("start%d", b.starts))
	check(t, os.Mkdir(work, 0o755))
	sys := filepath.Join(work, "sys")
	check(t, os.MkdirAll(filepath.Join(sys, "class/dmi/id"), 0o755))
	for name, text := range map[string]string{
		"sys_vendor": "Testmaker", "product_name": "Rack 1", "product_version": "1", "product_serial": c.system, "product_sku": "SKU", "product_family": "Rack",
		"board_vendor": "Testmaker", "board_name": "BB-100", "board_version": "1", "board_serial": c.board, "board_asset_tag": "",
		"bios_vendor": "Testmaker", "bios_version": "1.2", "bios_date": "02/03/2024",
		"chassis_vendor": "Testmaker", "chassis_version": "1", "chassis_serial": "", "chassis_asset_tag": "", "chassis_type": "17",
	} {
		check(t, os.WriteFile(filepath.Join(sys, "class/dmi/id", name), []byte(text+"\n"), 0o444))
	}
	linux(t, "ip", "link", "set", "lan0", "down")
	linux(t, "ip", "link", "set", "lan0", "address", c.mac)
	linux(t, "ip", "link", "set", "lan0", "up")
	bus := b.bus(t, work, c.disk)
	o, err := json.Marshal(order{
		Dir: windowsPath(dir), Anchor: windowsPath(env(t, "CHOSEN_ANCHOR")), Code: windowsPath(code), GUID: c.guid, Disk: c.disk != "", Program: windowsPath(b.program),
	})
	check(t, err)
	result := filepath.Join(work, "report")
	more := []string{"WINE_SYS=" + sys, "DBUS_SYSTEM_BUS_ADDRESS=" + bus, "E2E_ORDER=" + string(o), "E2E_REPORT=" + windowsPath(result)}
	if shift != 0 {
		more = append(more, "LD_PRELOAD="+env(t, "CHOSEN_FAKETIME"), fmt.Sprintf("FAKETIME=+%ds", int(shift.Seconds())), "DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_RESET=1")
	}
	defer func() { // the next start is another machine
		b.wine(t, nil, "wineserver", "-k")
		b.wine(t, nil, "wineserver", "-w")
	}()
	out, err := b.wine(t, more, b.tests, "-test.v", "-test.timeout", "3m", "-test.run", "^TestThisMachine$")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(result)
	check(t, err)
	var r report
	check(t, json.Unmarshal(raw, &r))
	if r.GUID != c.guid {
		t.Errorf("MachineGuid %q, want %q", r.GUID, c.guid)
	}
	return r
}

func (b *bed) wine(t *testing.T, more []string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // only so that a failure ends
	defer cancel()
	// Each start of Wine is a start of Windows, but what it gives as the time since
	// then is that of Linux. The agent takes an unknown start for what it is: at
	// least that much time has passed. So Linux has started just now.
	argv := []string{"--fork", "--time", "--boottime", b.offset, "--monotonic", b.offset, b.exec}
	cmd := exec.CommandContext(ctx, "unshare", append(argv, args...)...)
	cmd.Env = append(os.Environ(), more...)
	cmd.Dir = b.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// bus starts a message bus with the drive on it, and waits for both: Wine asks
// once, when it starts.
func (b *bed) bus(t *testing.T, work, serial string) (address string) {
	t.Helper()
	config := filepath.Join(work, "bus.conf")
	address = "unix:path=" + filepath.Join(work, "bus")
	check(t, os.WriteFile(config, []byte(`<busconfig><type>system</type><listen>`+address+`</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o644))
	if serial == "" {
		return address
	}
	daemon := child(t, nil, "dbus-daemon", "--config-file="+config, "--nofork", "--print-address")
	awaitLine(t, daemon, "unix:")
	node := filepath.Join(work, "node")
	var st syscall.Stat_t
	check(t, syscall.Stat(env(t, "WINE_PREFIX"), &st))
	check(t, syscall.Mknod(node, syscall.S_IFBLK|0o600, int(st.Dev)))
	awaitLine(t, child(t, []string{"DBUS_SYSTEM_BUS_ADDRESS=" + address}, b.udisks, serial, node), "ready")
	return address
}

// child starts a program that ends with the test, and returns what it prints.
func child(t *testing.T, more []string, name string, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), more...)
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // killed
	})
	return bufio.NewScanner(out)
}

func awaitLine(t *testing.T, s *bufio.Scanner, prefix string) {
	t.Helper()
	if !s.Scan() || !strings.HasPrefix(s.Text(), prefix) {
		t.Fatalf("printed %q, %v; want %s…", s.Text(), s.Err(), prefix)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func linux(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func windowsPath(p string) string {
	if p == "" {
		return ""
	}
	return "Z:" + strings.ReplaceAll(p, "/", `\`)
}

// TestChosenMachines gives Wine a machine of chosen board, system serial, MAC,
// disk serial and MachineGuid, holds its fingerprint against the expected text,
// activates there, and changes each part in turn. What a change means follows
// from the policy "balanced" (docs/fingerprint-policy.md): half of the points,
// and while one strong part still matches a refusal needs three reads over a
// day. So the verdict is asked twice: as it is now, and once it has settled.
func TestChosenMachines(t *testing.T) {
	b := &bed{
		program: env(t, "CHOSEN_EXE"), tests: env(t, "CHOSEN_TESTS"), exec: env(t, "CHOSEN_WINE"), udisks: env(t, "CHOSEN_UDISKS"), dir: env(t, "CHOSEN_DIR"),
	}
	var up syscall.Sysinfo_t
	check(t, syscall.Sysinfo(&up))
	b.offset = fmt.Sprint(min(0, 60-up.Uptime))
	linux(t, "ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
	linux(t, "ip", "link", "set", "lan1", "up")
	var here struct {
		Components []struct {
			Kind   string
			Values []struct{ Text string }
		}
	}
	check(t, json.Unmarshal([]byte(linux(t, env(t, "CHOSEN_LINUX"), "fingerprint", "--output", "json")), &here))
	if len(here.Components) != 4 || len(here.Components[3].Values) == 0 {
		t.Fatalf("the Linux program reads no CPU: %+v", here)
	}
	cpu := here.Components[3].Values[0].Text
	license := filepath.Join(b.dir, "license")
	check(t, os.Mkdir(license, 0o755))

	start := b.run(t, first(), license, env(t, "CHOSEN_CODE"), 0)
	if start.Fingerprint != first().text(cpu) || start.Phase != "active" || start.Settled != "active" {
		t.Fatalf("the first machine: %+v, want %s, active", start, first().text(cpu))
	}
	best := slices.Min(start.Collected)
	t.Logf("collection: %v; class %s", start.Collected, start.Class)
	if best > 3*time.Second { // ten times what is promised: this machine has other work
		t.Errorf("collection took %v at best", best)
	}
	other := func(change func(*chosen)) chosen { c := first(); change(&c); return c }
	const active, wrong = "active", "wrong-device"
	cases := []struct {
		what             string
		c                chosen
		phase            string // now
		virtual, settled string // once settled, on a virtual and on a physical machine
	}{
		{"nothing", first(), active, active, active},
		{"MachineGuid", other(func(c *chosen) { c.guid = "11112222-3333-4444-5555-666677778888" }), active, active, active},
		{"system serial", other(func(c *chosen) { c.system = "SYS-OTHER-1" }), active, active, active},
		{"address", other(func(c *chosen) { c.mac = "00:1b:21:bb:00:09" }), active, active, active},
		{"disk", other(func(c *chosen) { c.disk = "WIN-DISK-NEW-9" }), active, active, active},
		// The board holds a virtual machine, see the policy; a physical one keeps 6 of 9 points.
		{"board", other(func(c *chosen) { c.board = "BOARD-NEW-9" }), active, wrong, active},
		{"board and address", other(func(c *chosen) { c.board, c.mac = "BOARD-NEW-9", "00:1b:21:bb:00:09" }), active, wrong, wrong},
		{"everything", chosen{"00:1b:21:bb:00:09", "WIN-DISK-NEW-9", "BOARD-NEW-9", "SYS-OTHER-1", "11112222-3333-4444-5555-666677778888"}, wrong, wrong, wrong},
		// Without a board serial the system's takes its place, and is then not the enrolled value.
		{"board lost", other(func(c *chosen) { c.board = "" }), active, wrong, active},
	}
	right := 0
	judge := func(t *testing.T, what string, got report, c chosen, phase, virtual, settled string) {
		if got.Class == "vm" {
			settled = virtual
		}
		if got.Fingerprint != c.text(cpu) || got.Phase != phase || got.Settled != settled {
			t.Errorf("%s changed: %+v, want %s, %s, then %s", what, got, c.text(cpu), phase, settled)
			return
		}
		right++
		t.Logf("%s changed: %s, %s, then %s", what, got.Fingerprint, got.Phase, got.Settled)
	}
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			judge(t, c.what, b.run(t, c.c, b.copy(t, license, c.what), "", 0), c.c, c.phase, c.virtual, c.settled)
		})
	}
	t.Run("system serial without a board serial", func(t *testing.T) {
		// A machine whose maker left the board's serial empty is known by the system's.
		bare := other(func(c *chosen) { c.board, c.disk = "", "WIN-DISK-SER-6" })
		plain := filepath.Join(b.dir, "plain")
		check(t, os.Mkdir(plain, 0o755))
		if got := b.run(t, bare, plain, env(t, "CHOSEN_CODE"), 0); got.Fingerprint != bare.text(cpu) || got.Phase != active {
			t.Fatalf("the machine without a board serial: %+v, want %s, active", got, bare.text(cpu))
		}
		bare.system = "SYS-OTHER-1"
		judge(t, "system serial", b.run(t, bare, b.copy(t, plain, "plain system"), "", 0), bare, active, wrong, active)
	})
	days := ""
	t.Run("three reads", func(t *testing.T) {
		days = b.threeReads(t, license, other(func(c *chosen) { c.board, c.mac = "BOARD-NEW-9", "00:1b:21:bb:00:09" }))
	})
	promise.Reached(t, "P19", fmt.Sprintf("a chosen Windows machine: exact fingerprint; collection %v at first, %v at best of %d; %d of %d changes give the expected verdict, three starts over 26 h %s", start.Collected[0], best, len(start.Collected), right, len(cases)+1, days),
		"the same state on the machine itself stays active")
}

// copy is the state of the activated machine once more, so that no case sees
// what an earlier one has written.
func (b *bed) copy(t *testing.T, state, name string) string {
	t.Helper()
	dir := filepath.Join(b.dir, "copy-"+strings.ReplaceAll(name, " ", "-"))
	linux(t, "cp", "-a", state, dir)
	return dir
}

// threeReads starts the agent on the changed machine three times over 26 hours
// and wants it to stop at the third. The network is down meanwhile: a contact
// would say what time it is.
func (b *bed) threeReads(t *testing.T, license string, c chosen) string {
	t.Helper()
	dir := b.copy(t, license, "days")
	linux(t, "ip", "link", "set", "lo", "down")
	defer linux(t, "ip", "link", "set", "lo", "up")
	var phases []string
	for _, hours := range []time.Duration{0, 13, 26} {
		phases = append(phases, b.run(t, c, dir, "", hours*time.Hour).Phase)
	}
	if !slices.Equal(phases, []string{"active", "active", "wrong-device"}) {
		t.Errorf("board and address changed, read three times over 26 hours: %v", phases)
	}
	return strings.Join(phases, ", ")
}
