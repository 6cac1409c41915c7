package probe

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe/probetest"
)

// TestLive reads this machine, whatever it is, and holds the result against
// what other interfaces of the system say.
func TestLive(t *testing.T) {
	first, second := Host{}.Read(), Host{}.Read()
	if a, b := fingerprint.Format(first).String, fingerprint.Format(second).String; a != b || strings.Count(a, "|") != 3 {
		t.Fatalf("two reads gave %q and %q", a, b)
	}
	for _, c := range first.Components() {
		ok := c.State == fingerprint.OK
		if ok != (len(c.Values) > 0) || ok == (c.Reason != "") {
			t.Errorf("%s: state %s with %d values and reason %q", c.Kind, c.State, len(c.Values), c.Reason)
		}
		for _, v := range c.Values {
			if v.Text == "" || v.Source == "" || v.Text != trim(v.Text) {
				t.Errorf("%s: value %+v", c.Kind, v)
			}
		}
	}
	if first.Env.Kind == "" || first.Env.Reason == "" {
		t.Errorf("environment %+v", first.Env)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, i := range interfaces {
		names[i.Name] = true
	}
	for _, v := range first.MAC.Values {
		if name := v.Source[strings.LastIndexByte(v.Source, ' ')+1:]; !names[name] {
			t.Errorf("address of %q, which the net package does not know", name)
		}
	}
}

// TestLinksByNetlink compares the dump with the net package.
func TestLinksByNetlink(t *testing.T) {
	links, err := dumpLinks()
	if err != nil {
		t.Fatal(err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(links) != len(interfaces) {
		t.Fatalf("%d links, %d interfaces", len(links), len(interfaces))
	}
	for _, i := range interfaces {
		found := false
		for _, l := range links {
			found = found || l.name == i.Name && (l.hardware == unix.ARPHRD_LOOPBACK) == (i.Flags&net.FlagLoopback != 0)
		}
		if !found {
			t.Errorf("interface %s is not in the dump", i.Name)
		}
	}
}

// TestEthtool asks the driver for the loopback interface's address, which has
// none, and for an interface that does not exist.
func TestEthtool(t *testing.T) {
	if a, err := ethtoolPermAddr("lo"); err == nil && spellMAC(a) != "" && spellMAC(a) != "00:00:00:00:00:00" {
		t.Errorf("loopback has the permanent address %s", a)
	}
	for _, name := range []string{"no-such-if", strings.Repeat("x", 40), ""} {
		if a, err := ethtoolPermAddr(name); err == nil {
			t.Errorf("%q has the permanent address %s", name, a)
		}
	}
}

// TestUnprivileged reads the machine as another user in a process of its own:
// the same disks and addresses, and no panic without root.
func TestUnprivileged(t *testing.T) {
	const variable = "PROBE_TEST_PRINT"
	if os.Getenv(variable) != "" {
		fmt.Println("FINGERPRINT " + fingerprint.Format(Host{}.Read()).String)
		return
	}
	program, err := os.ReadFile("/proc/self/exe") // the test program lies where others may not look
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "probe")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, "probe.test")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied, "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{variable + "=1"}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, line, ok := strings.Cut(string(out), "FINGERPRINT ")
	if !ok {
		t.Fatalf("no fingerprint in\n%s", out)
	}
	line, _, _ = strings.Cut(line, "\n")
	mine := strings.Split(fingerprint.Format(Host{}.Read()).String, "|")
	theirs := strings.Split(line, "|")
	if len(theirs) != 4 || theirs[0] != mine[0] || theirs[1] != mine[1] {
		t.Errorf("without root %v, with the rights of the test %v", theirs, mine)
	}
}

// TestHandedTable gives the SMBIOS table as a file, as the service manager does.
func TestHandedTable(t *testing.T) {
	table, err := probetest.Encode("SMBIOS 3.1 present.\nHandle 0x1, DMI type 1, 27 bytes\n\tManufacturer: Maker\n\tSerial Number: SYS-77A\n"+
		"Handle 0x2, DMI type 2, 15 bytes\n\tSerial Number: MB-77A\n", false)
	if err != nil {
		t.Fatal(err)
	}
	root := probetest.Unpack(t, []byte("-- sys/firmware/dmi/tables/DMI.unreadable --\n-- sys/class/dmi/id/sys_vendor --\nMaker\n"+
		"-- sys/class/dmi/id/board_serial.unreadable --\n-- sys/class/dmi/id/product_serial.unreadable --\n"))
	for _, c := range []struct {
		name    string
		content []byte
		state   fingerprint.State
		text    string
		notes   int
	}{
		{"bare", table.Bytes, fingerprint.OK, "MB-77A", 0},
		{"with entry point", table.WithEntryPoint(false), fingerprint.OK, "MB-77A", 0},
		{"dump", table.WithEntryPoint(true), fingerprint.OK, "MB-77A", 0},
		{"Windows form", table.RSMB(), fingerprint.OK, "MB-77A", 0},
		{"empty: the manager had none", nil, fingerprint.Unreadable, "", 0},
		{"garbage", []byte("cat: Permission denied\n"), fingerprint.Unreadable, "", 1},
	} {
		file := filepath.Join(t.TempDir(), "dmi")
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		f := Host{Root: root, SMBIOSFile: file}.Firmware()
		var text string
		if len(f.Board.Values) > 0 {
			text = f.Board.Values[0].Text
		}
		if f.Board.State != c.state || text != c.text || len(f.Notes) != c.notes {
			t.Errorf("%s: board %+v, notes %q", c.name, f.Board, f.Notes)
		}
	}
	f := Host{Root: root, SMBIOSFile: filepath.Join(t.TempDir(), "missing")}.Firmware()
	if f.Board.State != fingerprint.Unreadable || len(f.Notes) != 1 {
		t.Errorf("missing file: %+v, notes %q", f.Board, f.Notes)
	}
}

// TestTreeBounds: nothing in a recorded tree can hold the reader or lead it
// out of the tree.
func TestTreeBounds(t *testing.T) {
	root := probetest.Unpack(t, []byte("-- sys/block/absolute -> /etc --\n-- sys/escape -> /etc/hostname --\n-- sys/up -> ../../../../../../../../etc/hostname --\n"+
		"-- sys/loop -> loop --\n-- sys/dir/x --\n"))
	for name, content := range map[string][]byte{
		"sys/huge":   []byte(strings.Repeat("A", 10<<20)),
		"sys/serial": []byte(strings.Repeat("S", maxFile)),
	} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "sys/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := openTree(root)
	defer tr.close()
	if b, err := tr.readAll("sys/huge"); err != nil || len(b) != maxFile {
		t.Errorf("huge file: %d bytes, %v", len(b), err)
	}
	if c := (&sorter{kind: fingerprint.Disk}); c.usable(tr.candidate("sys/serial", "serial")) || c.unreadable == "" {
		t.Errorf("a serial of 64 KiB: %+v", c)
	}
	for _, name := range []string{"sys/escape", "sys/up", "sys/loop", "sys/dir"} {
		if b, err := tr.read(name); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
	if b, err := tr.read("sys/fifo"); len(b) != 0 {
		t.Errorf("fifo: %q, %v", b, err)
	}
	if _, err := tr.list("sys/huge"); err == nil {
		t.Error("a file was listed")
	}
	if got := tr.disk("absolute"); got.text != "" || got.drop == "" && got.err == nil {
		t.Errorf("link to /etc: %+v", got)
	}
}

// TestMissingRoot is a recorded host that is not there.
func TestMissingRoot(t *testing.T) {
	d := Host{Root: filepath.Join(t.TempDir(), "none")}.Read()
	for _, c := range d.Components() {
		if c.State != fingerprint.Unreadable || strings.Contains(c.Reason, "/") {
			t.Errorf("%s is %s: %q", c.Kind, c.State, c.Reason)
		}
	}
}

// TestVanishing removes a recorded host's files one by one: never a panic,
// never another disk's serial.
func TestVanishing(t *testing.T) {
	archive, err := os.ReadFile("../collect/testdata/hosts/server.txtar")
	if err != nil {
		t.Fatal(err)
	}
	root := probetest.Unpack(t, archive)
	known := map[string]bool{}
	for _, v := range (Host{Root: root}).Disks().Values {
		known[v.Text] = true
	}
	var files []string
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, p)
		}
		return err
	})
	if err != nil || len(files) < 50 || len(known) != 3 {
		t.Fatalf("%d files, %d serials, %v", len(files), len(known), err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
		for _, v := range (Host{Root: root}).Read().Disk.Values {
			if !known[v.Text] {
				t.Fatalf("without %s: serial %q", f, v.Text)
			}
		}
	}
	if d := (Host{Root: root}).Read(); d.Disk.State == fingerprint.OK || d.MAC.State == fingerprint.OK || d.Board.State == fingerprint.OK {
		t.Errorf("an empty tree gave %+v", d)
	}
}

// TestParseLinks reads composed datagrams, whole and broken.
func TestParseLinks(t *testing.T) {
	one := message(unix.RTM_NEWLINK, 0, link(unix.ARPHRD_ETHER, "eth0", []byte{2, 0, 0, 0, 0, 1}))
	two := message(unix.RTM_NEWLINK, 0, link(unix.ARPHRD_LOOPBACK, "lo", nil))
	done := message(unix.NLMSG_DONE, 0, make([]byte, 4))
	links, last, err := parseLinks(append(append(append([]byte{}, one...), two...), done...))
	if err != nil || !last || len(links) != 2 || links[0].name != "eth0" || spellMAC(links[0].perm) != "02:00:00:00:00:01" || links[1].perm != nil {
		t.Fatalf("%+v, %v, %v", links, last, err)
	}
	refused := make([]byte, 4)
	var code int32 = -int32(unix.EPERM)
	binary.NativeEndian.PutUint32(refused, uint32(code))
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"refused":     {message(unix.NLMSG_ERROR, 0, refused), unix.EPERM},
		"empty error": {message(unix.NLMSG_ERROR, 0, nil), errNetlink},
		"interrupted": {message(unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, link(1, "x", nil)), unix.EINTR},
		"cut":         {one[:len(one)-4], errNetlink},
	} {
		if _, _, err := parseLinks(c.in); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func message(kind, flags uint16, body []byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	return append(b, body...)
}

func link(hardware uint16, name string, perm []byte) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint16(b[2:], hardware)
	attr := func(kind uint16, payload []byte) {
		a := make([]byte, align4(unix.SizeofRtAttr+len(payload)))
		binary.NativeEndian.PutUint16(a, uint16(unix.SizeofRtAttr+len(payload)))
		binary.NativeEndian.PutUint16(a[2:], kind)
		copy(a[unix.SizeofRtAttr:], payload)
		b = append(b, a...)
	}
	attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	if perm != nil {
		attr(unix.IFLA_PERM_ADDRESS, perm)
	}
	return b
}

// FuzzLinks feeds anything to the reader of netlink datagrams.
func FuzzLinks(f *testing.F) {
	f.Add(message(unix.RTM_NEWLINK, 0, link(1, "eth0", []byte{2, 0, 0, 0, 0, 1})))
	f.Add(message(unix.NLMSG_DONE, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		links, _, _ := parseLinks(b)
		if len(links)*unix.SizeofNlMsghdr > len(b) {
			t.Fatalf("%d links out of %d bytes", len(links), len(b))
		}
	})
}

// TestManyInterfaces generates a container host: 300 interfaces, ten with a device.
func TestManyInterfaces(t *testing.T) {
	var archive strings.Builder
	want := []string{}
	for i := range 290 {
		fmt.Fprintf(&archive, "-- nic veth%d --\naddress 02:42:00:00:%02x:%02x\naddr_assign_type 1\n", i, i>>8, i&0xff)
	}
	for i := range 10 {
		fmt.Fprintf(&archive, "-- nic eno%d --\nat pci0000:00/0000:00:%02x.0\naddress b0:26:28:00:00:%02x\n", i, i, 9-i)
		want = append(want, "B0:26:28:00:00:0"+strconv.Itoa(i))
	}
	host := Host{Root: probetest.Unpack(t, []byte(archive.String()))}
	got := host.Network()
	d := fingerprint.Device{MAC: got}
	if s := fingerprint.Format(d).String; s != strings.Join(want, ",")+"|||" {
		t.Errorf("got %s", s)
	}
	if len(got.Rejected) != maxRejected+1 {
		t.Errorf("%d rejected", len(got.Rejected))
	}
}
