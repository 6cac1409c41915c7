//go:build e2e

package systemd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"licenseagent.example/docs/promise"
)

// tracer follows every process that a machine's systemd starts.
type tracer struct {
	cmd *exec.Cmd
	log string
}

// traced begins before the agent is installed, so that its first start is seen too.
// The commands of the test are no children of systemd and are not followed.
func (m *machine) traced() *tracer {
	m.t.Helper()
	tr := &tracer{log: filepath.Join(m.t.TempDir(), "trace")}
	leader := strconv.Itoa(m.hull.(*nspawn).leader)
	tr.cmd = exec.Command("strace", "-f", "-y", "-Y", "-qq", "-s", "256", "-e", "trace=%file,socket,listen", "-e", "signal=none", "-o", tr.log, "-p", leader)
	tr.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(m.t, tr.cmd.Start())
	m.t.Cleanup(func() { tr.cmd.Process.Kill() }) //nolint:errcheck // it has ended, if all went well
	m.wait("strace", func() bool {
		b, err := os.ReadFile("/proc/" + leader + "/status")
		return err == nil && !strings.Contains(string(b), "TracerPid:\t0\n")
	})
	return tr
}

// findings are what a confined agent does not do.
type findings struct {
	calls              int
	temporary, working []string // files below /tmp and /var/tmp, and by names relative to the working directory
	programs, listens  []string
}

// the prefix that strace -Y writes: a number and the name of the process, which
// is that of the file that it executes.
var tracedCall = regexp.MustCompile(`^\d+<license-agent> (\w+)\((.*)`)

var tracedPath = regexp.MustCompile(`^(?:(AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"`)

// ends lets strace go and reads what the agent did.
func (tr *tracer) ends(t *testing.T) findings {
	t.Helper()
	must(t, tr.cmd.Process.Signal(syscall.SIGTERM))
	tr.cmd.Wait() //nolint:errcheck // it ends by the signal
	b, err := os.ReadFile(tr.log)
	must(t, err)
	var f findings
	for _, line := range strings.Split(string(b), "\n") {
		call := tracedCall.FindStringSubmatch(line)
		if call == nil {
			continue
		}
		f.calls++
		if call[1] == "listen" {
			f.listens = append(f.listens, line)
			continue
		}
		p := tracedPath.FindStringSubmatch(call[2])
		if p == nil {
			continue
		}
		name := p[3]
		if !path.IsAbs(name) {
			if p[1] == "" || p[1] == "AT_FDCWD" {
				f.working = append(f.working, line)
				continue
			}
			name = path.Join(p[2], name)
		}
		name = path.Clean(name)
		if strings.HasPrefix(name+"/", "/tmp/") || strings.HasPrefix(name+"/", "/var/tmp/") {
			f.temporary = append(f.temporary, line)
		}
		if strings.HasPrefix(call[1], "execve") && name != "/usr/bin/license-agent" && name != "/proc/self/exe" {
			f.programs = append(f.programs, line)
		}
	}
	return f
}

// misbehave does once each what a confined agent must not do, for the control.
func misbehave() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	for _, file := range []string{"/tmp/misbehaviour", "/var/tmp/misbehaviour", "misbehaviour"} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return exec.Command("/bin/true").Run()
}

// exposure is systemd's own judgement of a unit file, and whether it is within 1.6.
func (m *machine) exposure(unit string) (value float64, within bool) {
	m.t.Helper()
	out, err := m.try("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=16", unit)
	found := regexp.MustCompile(`Overall exposure level for [^:]*: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		m.t.Fatalf("%v %s", err, out)
	}
	value, errNumber := strconv.ParseFloat(found[1], 64)
	must(m.t, errNumber)
	return value, err == nil
}

// capabilities are the sets of a process that are not empty.
func (m *machine) capabilities(pid string) (out []string) {
	m.t.Helper()
	for _, line := range strings.Split(m.run("cat", "/proc/"+pid+"/status"), "\n") {
		if strings.HasPrefix(line, "Cap") && !strings.HasSuffix(line, "\t0000000000000000") {
			out = append(out, line)
		}
	}
	return out
}

// The service is confined and not root, in a whole run: start, activation,
// questions, renewal, kill, upgrade, an instance, release, stop.
func TestP36(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 21)
	l := &life{machine: m, outer: t, vendor: startMerchant(t, m.host)}
	tr := m.traced()
	m.dpkg("OLD")
	m.active()
	m.put("/etc/license-agent/anchors/acme.json", read(t, l.vendor.anchor), 0o644)
	m.serials("SN-7Q4W-0042", "BN-9K2M-0077")
	l.code = l.vendor.code(t)
	if out, err := l.activate(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if caps := m.capabilities(m.show(service, "MainPID")); len(caps) != 0 {
		t.Errorf("capabilities: %v", caps)
	}
	if user := m.run("stat", "-c", "%u", "/proc/"+m.show(service, "MainPID")); user == "0" {
		t.Error("it runs as root")
	}
	stop := l.traffic(10)
	for _, c := range [][]string{{"status"}, {"why"}, {"fingerprint"}, {"renew"}, {"diagnose"}, {"seats", "list"}} {
		m.run(append([]string{"license-agent"}, c...)...)
	}
	m.run("systemctl", "kill", "-s", "KILL", service)
	m.active()
	m.dpkg("NEW")
	m.active()
	if sum := stop(); sum.Asked == 0 {
		t.Error("nobody asked")
	}
	m.run("systemctl", "enable", "--now", "license-agent@cad.socket", "license-agent@cad.service")
	m.wait("the instance", func() bool { return m.show("license-agent@cad.service", "ActiveState") == "active" })
	if out, err := m.try("license-agent", "release"); err != nil {
		t.Errorf("%v %s", err, out)
	}
	m.run("systemctl", "stop", "license-agent.socket", service, "license-agent@cad.socket", "license-agent@cad.service")
	f := tr.ends(t)
	if f.calls < 100 {
		t.Errorf("only %d calls were seen", f.calls)
	}
	for what, found := range map[string][]string{"files below /tmp": f.temporary, "files by the working directory": f.working, "other programs": f.programs, "listening": f.listens} {
		if len(found) > 0 {
			t.Errorf("%s: %d\n%s", what, len(found), strings.Join(found[:min(5, len(found))], "\n"))
		}
	}
	var worst float64
	for _, unit := range []string{"license-agent.service", "license-agent@.service"} {
		v, ok := m.exposure("/usr/lib/systemd/system/" + unit)
		if !ok {
			t.Errorf("%s: exposure %.1f", unit, v)
		}
		worst = max(worst, v)
	}

	// The controls: a program that does each of it once, a unit with nothing in it,
	// and a process that has its capabilities.
	tr = m.traced()
	m.run("mkdir", "-p", "/root/control")
	m.self("/root/control/license-agent")
	m.run("systemd-run", "-q", "--wait", "/root/control/license-agent", "misbehave")
	c := tr.ends(t)
	if len(c.temporary) < 4 || len(c.working) < 2 || len(c.programs) != 1 || len(c.listens) != 1 {
		t.Errorf("the control is seen to: %d files below /tmp, %d by the working directory, %d programs, %d listening", len(c.temporary), len(c.working), len(c.programs), len(c.listens))
	}
	m.put("/root/bare.service", []byte("[Service]\nExecStart=/usr/bin/license-agent run\n"), 0o644)
	bare, ok := m.exposure("/root/bare.service")
	if ok {
		t.Errorf("the control: a bare unit is within the limit at %.1f", bare)
	}
	if caps := m.capabilities("1"); len(caps) == 0 {
		t.Error("the control: systemd has no capabilities")
	}
	promise.Reached(t, "P36",
		fmt.Sprintf("exposure %.1f; 0 capabilities; a whole run under strace, %d calls on files and sockets: 0 below /tmp or /var/tmp, 0 by the working directory, 0 programs but itself, 0 listening sockets of its own", worst, f.calls),
		fmt.Sprintf("a bare unit: exposure %.1f; a program that does each of it once: %d, %d, %d and %d seen", bare, len(c.temporary), len(c.working), len(c.programs), len(c.listens)))
}
