//go:build e2e

package systemd

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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

// TestLife is the life of one installation, in order. A step that fails ends it:
// what follows would only repeat it.
func TestLife(t *testing.T) {
	root := disk(t, filepath.Join(need(t, "E2E_CACHE"), "base"))
	m := boot(t, root, 1)
	vendor := startMerchant(t, m.host)
	step := func(name string, f func(t *testing.T)) {
		t.Helper()
		outer := m.t
		ok := t.Run(name, func(t *testing.T) { m.t = t; f(t) })
		m.t = outer
		if !ok {
			journal, _ := m.try("journalctl", "--no-pager", "-n", "60", "-o", "short-monotonic", "-u", "license-agent*")
			t.Fatalf("the step %q failed; the journal:\n%s", name, journal)
		}
	}
	before := m.snapshot()
	var strong string

	step("install", func(t *testing.T) {
		took := m.dpkg("OLD")
		m.active()
		t.Logf("installed in %v", took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("installing took %v, the promise is 5 s", took)
		}
		pid := m.show(service, "MainPID")
		status := m.run("cat", "/proc/"+pid+"/status")
		for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(status, want) {
				t.Errorf("the process lacks %q", want)
			}
		}
		if user := m.run("stat", "-c", "%U", "/proc/"+pid); user != "license-agent" {
			t.Errorf("it runs as %s", user)
		}
		for path, want := range map[string]string{
			"/run/license-agent/agent.sock": "666 license-agent", "/var/lib/license-agent": "700 license-agent", "/etc/license-agent": "755 root",
		} {
			got := m.run("stat", "-c", "%a %U", path)
			if got != want && !(strings.HasPrefix(path, "/run") && got == "666 root") {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		for _, l := range left(before, m.snapshot()) {
			if strings.HasPrefix(l, "new: listener") {
				t.Errorf("a network listener: %s", l)
			}
		}
		if got := m.run("systemd-analyze", "security", "--no-pager", "--threshold=16", service); !strings.Contains(got, "Overall exposure") {
			t.Error(got)
		}
		if p := m.phase(); p != "" {
			t.Errorf("a new installation has phase %q", p)
		}
	})

	step("ready within 300 ms", func(t *testing.T) {
		best := time.Hour
		for range 5 { // the machine is shared with other work: the best of five
			m.run("systemctl", "restart", service)
			best = min(best, m.ready())
		}
		t.Logf("ready after %v", best)
		if best > 300*time.Millisecond {
			t.Errorf("ready after %v", best)
		}
	})

	step("vendor's anchor", func(t *testing.T) {
		b, err := os.ReadFile(vendor.anchor)
		must(t, err)
		m.put("/etc/license-agent/anchors/acme.json", b, 0o644)
		m.run("systemctl", "restart", service)
		m.active()
	})

	step("a machine without serials is told so, with them it activates", func(t *testing.T) {
		strong = vendor.code(t)
		if out, err := m.feed(strong+"\n", "license-agent", "activate", "--yes", "--code-file", "-"); err == nil {
			t.Errorf("a machine without any serial was activated: %s", out)
		}
		m.put("/etc/e2e.dmi", dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o400)
		m.put("/etc/systemd/system/license-agent.service.d/dmi.conf", []byte("[Service]\nLoadCredential=dmi:/etc/e2e.dmi\n"), 0o644)
		m.run("systemctl", "daemon-reload")
		m.run("systemctl", "restart", service)
		m.active()
		out, err := m.feed(strong+"\n", "license-agent", "activate", "--yes", "--code-file", "-")
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		if !strings.Contains(out, "BN-9K2M-0077") {
			t.Errorf("the handed-over board serial is not in what was sent: %s", out)
		}
		if p := m.phase(); p != "active" {
			t.Errorf("phase %q", p)
		}
	})

	step("kill -9", func(t *testing.T) {
		was := m.show(service, "MainPID")
		m.run("systemctl", "kill", "-s", "KILL", service)
		m.wait("another process", func() bool {
			pid := m.show(service, "MainPID")
			return pid != was && pid != "0" && m.show(service, "ActiveState") == "active"
		})
		if n := m.show(service, "NRestarts"); n != "1" {
			t.Errorf("NRestarts=%s", n)
		}
		if p := m.phase(); p != "active" {
			t.Errorf("phase %q", p)
		}
	})

	step("a hanging agent is restarted", func(t *testing.T) {
		m.put("/run/systemd/system/license-agent.service.d/fast.conf", []byte("[Service]\nWatchdogSec=2\n"), 0o644)
		m.run("systemctl", "daemon-reload")
		m.run("systemctl", "restart", service)
		was := m.show(service, "MainPID")
		m.run("kill", "-STOP", was)
		m.wait("the watchdog", func() bool {
			pid := m.show(service, "MainPID")
			return pid != was && pid != "0" && m.show(service, "ActiveState") == "active"
		})
		if log := m.run("journalctl", "--no-pager", "-o", "cat", "-u", service); !strings.Contains(log, "Watchdog timeout") {
			t.Error("the journal does not speak of the watchdog")
		}
		m.run("rm", "-r", "/run/systemd/system/license-agent.service.d")
		m.run("systemctl", "daemon-reload")
		m.run("systemctl", "restart", service)
	})

	step("upgrade under 50 requests a second", func(t *testing.T) {
		self, err := os.ReadFile("/proc/self/exe")
		must(t, err)
		m.put("/root/program", self, 0o755)
		b, err := os.ReadFile(vendor.anchor)
		must(t, err)
		m.put("/root/anchor.json", b, 0o644)
		load := exec.Command("nsenter", "-t", strconv.Itoa(m.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--",
			"/root/program", "traffic", "/root/anchor.json", "studio", "50")
		load.Env = []string{"PATH=/usr/bin:/bin", "LICENSE_AGENT_SMBIOS_FILE=/etc/e2e.dmi"}
		var out, errs bytes.Buffer
		load.Stdout, load.Stderr = &out, &errs
		must(t, load.Start())
		was := m.run("license-agent", "version")
		time.Sleep(2 * time.Second) // polls nothing: traffic before
		m.dpkg("NEW")
		m.active()
		for range 3 {
			m.run("systemctl", "restart", service)
		}
		time.Sleep(2 * time.Second) // polls nothing: traffic after
		// The signal must reach the program and not nsenter, which waits for it.
		m.run("pkill", "-TERM", "-x", "program")
		must(t, load.Wait())
		var sum tally
		if err := json.Unmarshal(out.Bytes(), &sum); err != nil {
			t.Fatalf("%v: %s %s", err, out.String(), errs.String())
		}
		t.Logf("%d checks, %d failed, the slowest took %s", sum.Asked, sum.Failed, sum.Slowest)
		if sum.Failed != 0 || sum.Asked < 100 {
			t.Errorf("%+v", sum)
		}
		if now := m.run("license-agent", "version"); now == was || !strings.Contains(now, "1.1.0") {
			t.Errorf("before %s, now %s", was, now)
		}
		if p := m.phase(); p != "active" {
			t.Errorf("phase %q", p)
		}
	})
	lifeAfterUpgrade(t, m, vendor, before, step)
}
