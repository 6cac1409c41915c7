//go:build e2e

package systemd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// merchant is the vendor's service on the host.
type merchant struct{ dir, anchor string }

func startMerchant(t *testing.T, address string) merchant {
	t.Helper()
	return startVendor(t, "acme", address)
}

// startVendor is the service of any vendor.
func startVendor(t *testing.T, issuer, address string) merchant {
	t.Helper()
	program := need(t, "E2E_MERCHANT")
	dir := filepath.Join(t.TempDir(), "merchant")
	if out, err := exec.Command(program, "--dir", dir, "init", "--issuer", issuer, "--threshold", "1-of-1", "--tls", "loopback", "--host", address).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	ready := filepath.Join(t.TempDir(), "address")
	serve := exec.Command(program, "--dir", dir, "serve", "--listen", address+":0", "--address-file", ready)
	var log bytes.Buffer
	serve.Stdout, serve.Stderr = &log, &log
	must(t, serve.Start())
	t.Cleanup(func() {
		serve.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
		serve.Wait()                          //nolint:errcheck // nothing depends on it
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for range 400 {
		if _, err := os.Stat(ready); err == nil {
			return merchant{dir, filepath.Join(dir, "anchor.json")}
		}
		time.Sleep(25 * time.Millisecond) // polls
	}
	t.Fatalf("the merchant service did not start: %s", log.String())
	return merchant{}
}

func (v merchant) code(t *testing.T, extra ...string) string {
	t.Helper()
	out, err := exec.Command(need(t, "E2E_MERCHANT"), append([]string{"--dir", v.dir, "codes", "add", "--product", "studio", "--valid-days", "365"}, extra...)...).Output()
	must(t, err)
	found := regexp.MustCompile(`[0-9A-Z]{4,}(-[0-9A-Z]{4,})+`).Find(out)
	if found == nil {
		t.Fatalf("no code in %q", out)
	}
	return string(found)
}

// release frees the seats of all devices, as the vendor does for a customer whose
// device is no more.
func (v merchant) release(t *testing.T) {
	t.Helper()
	out, err := exec.Command(need(t, "E2E_MERCHANT"), "--dir", v.dir, "devices", "list", "--output", "json").Output()
	must(t, err)
	ids := regexp.MustCompile(`lic-[0-9a-zA-Z]+`).FindAllString(string(out), -1)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if out, err := exec.Command(need(t, "E2E_MERCHANT"), "--dir", v.dir, "devices", "release", id, "--reason", "TPM cleared").CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", id, err, out)
		}
	}
	if len(ids) == 0 {
		t.Errorf("no device in %s", out)
	}
}

func (m *machine) packageFile(version, kind string) (string, []byte) {
	m.t.Helper()
	return packageFile(m.t, version, kind)
}

func packageFile(t *testing.T, version, kind string) (string, []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(need(t, "E2E_"+version), "license-agent*"+kind))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("want one package %s of the %s version, there are %v", kind, version, files)
	}
	b, err := os.ReadFile(files[0])
	must(t, err)
	return files[0], b
}

// dpkg puts a package onto the machine and times its installation.
func (m *machine) dpkg(version string) time.Duration {
	m.t.Helper()
	_, b := m.packageFile(version, "_amd64.deb")
	m.put("/root/agent.deb", b, 0o644)
	began := time.Now()
	m.run("dpkg", "-i", "/root/agent.deb")
	return time.Since(began)
}

// dmi is a table with serials, as the firmware of an ordinary machine has.
func dmi(system, board string) []byte {
	record := func(kind, handle byte, body []byte, text ...string) []byte {
		b := append([]byte{kind, byte(4 + len(body)), handle, 0}, body...)
		for _, s := range text {
			b = append(append(b, s...), 0)
		}
		if len(text) == 0 {
			b = append(b, 0)
		}
		return append(b, 0)
	}
	uuid := make([]byte, 16)
	for i := range uuid {
		uuid[i] = byte(i*7+1) ^ board[len(board)-1]
	}
	b := record(1, 1, append(append([]byte{1, 2, 3, 4}, uuid...), 6, 0, 0), "Example", "Server", "1", system)
	b = append(b, record(2, 2, []byte{1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0}, "Example", "Board", "1", board)...)
	return append(b, record(127, 3, nil)...)
}

const service = "license-agent.service"

// active waits until the service runs and answers.
func (m *machine) active() {
	m.t.Helper()
	m.wait("an agent that answers", func() bool {
		if m.show(service, "ActiveState") != "active" {
			return false
		}
		_, err := m.try("license-agent", "diagnose", "--output", "json")
		return err == nil
	})
}

// ready is how long systemd waited for READY=1 at the last start.
func (m *machine) ready() time.Duration {
	m.t.Helper()
	begin, err := strconv.ParseInt(m.show(service, "ExecMainStartTimestampMonotonic"), 10, 64)
	must(m.t, err)
	end, err := strconv.ParseInt(m.show(service, "ActiveEnterTimestampMonotonic"), 10, 64)
	must(m.t, err)
	return time.Duration(end-begin) * time.Microsecond
}

// life is one installation on one machine, told in steps.
type life struct {
	*machine
	outer  *testing.T
	vendor merchant
	code   string
	before map[string]bool
	real   bool // firmware with serials, a TPM, a clock of its own; and ten times slower
}

// step is a part of the life. One that fails ends it: what follows would only
// repeat it.
func (l *life) step(name string, f func(t *testing.T)) {
	l.outer.Helper()
	began := time.Now()
	ok := l.outer.Run(name, func(t *testing.T) { l.t = t; f(t) })
	l.t = l.outer
	if !ok {
		journal, _ := l.try("journalctl", "--no-pager", "-n", "60", "-o", "short-monotonic", "-u", "license-agent*", "-u", "e2e-traffic")
		l.outer.Fatalf("the step %q failed; the journal:\n%s", name, journal)
	}
	if l.real {
		l.outer.Logf("%s: %v", name, time.Since(began).Round(100*time.Millisecond))
	}
}

// within tells a figure. How busy the machine is decides no test; ten times as
// long is something else.
func (l *life) within(what string, took, limit time.Duration) {
	l.t.Helper()
	if l.real {
		l.t.Logf("%s: %v, emulated", what, took.Round(time.Millisecond))
		return
	}
	l.t.Logf("%s: %v (promised: %v)", what, took.Round(time.Millisecond), limit)
	if took > 10*limit {
		l.t.Errorf("%s took %v, the promise is %v", what, took, limit)
	}
}

// TestLife is the life of an installation in a container with a real systemd.
func TestLife(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 1)
	l := &life{machine: m, outer: t, vendor: startMerchant(t, m.host), before: m.snapshot()}
	l.untilActive()
	l.killed()
	l.watchdog()
	l.upgrade(50)
	l.badDays()
	l.afterUpgrade()
	l.without()
}

// TestLifeInQEMU is the same life on a machine with firmware, a TPM, AppArmor in
// enforce mode and a clock that is moved, and with it what hangs on hardware: the
// serials of the firmware, the key in the TPM and what can happen to it, and a
// container, which sees what it may of the host.
func TestLifeInQEMU(t *testing.T) {
	m := inQEMU(t, disk(t, base(t)))
	l := &life{machine: m, outer: t, vendor: startMerchant(t, m.host), real: true}
	l.before = m.snapshot()
	l.untilActive()
	l.confined()
	l.clock()
	l.killed()
	l.hardware()
	l.chip()
	l.container()
	l.upgrade(4) // emulated it answers some 28 a second, and half of its time is the callers'
	l.badDays()
	l.afterUpgrade()
	l.sealed()
	l.denied()
}
