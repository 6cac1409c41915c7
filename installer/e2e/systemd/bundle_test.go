//go:build e2e

package systemd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// agentProgram is the agent of a version, taken out of its archive.
func agentProgram(t *testing.T, version string) string {
	t.Helper()
	_, b := packageFile(t, version, "linux-amd64.tar.gz")
	z, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			t.Fatal("no agent in the archive")
		}
		must(t, err)
		if filepath.Base(h.Name) == "license-agent" && h.Typeflag == tar.TypeReg {
			program, err := io.ReadAll(r)
			must(t, err)
			to := filepath.Join(t.TempDir(), "license-agent")
			must(t, os.WriteFile(to, program, 0o755))
			return to
		}
	}
}

// bundle makes a vendor's package of a small product.
func (v merchant) bundle(t *testing.T, version string, more ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	product := filepath.Join(dir, "product")
	must(t, os.WriteFile(product, []byte("#!/bin/sh\necho started "+version+"\ntrap 'exit 0' TERM\nwhile :; do sleep 0.2; done\n"), 0o755))
	out, err := exec.Command(need(t, "E2E_MERCHANT"), append([]string{
		"--dir", v.dir, "bundle", "--name", "CAD", "--version", version, "--app", product,
		"--agent", agentProgram(t, map[string]string{"1.0": "OLD", "2.0": "NEW"}[version]), "--out", dir, "--format", "tar.gz",
	}, more...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "CAD.tar.gz"))
	must(t, err)
	return b
}

// takeBack revokes the key that has signed bundles until now.
func (v merchant) takeBack(t *testing.T) {
	t.Helper()
	keys := func(args ...string) string {
		out, err := exec.Command(need(t, "E2E_MERCHANT"), append(append([]string{"--dir", v.dir, "keys"}, args...), "--yes")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v %s", err, out)
		}
		return string(out)
	}
	found := regexp.MustCompile(`(sha256:[0-9a-f]+), which signs every bundle`).FindStringSubmatch(keys("publish"))
	if found == nil {
		t.Fatal("no key for bundles")
	}
	keys("rotate", "--lead", "now")
	keys("revoke", found[1])
}

// unpacked puts a bundle onto the machine as the marketplace does.
func (m *machine) unpacked(b []byte, dir string) {
	m.t.Helper()
	m.put("/root/bundle.tar.gz", b, 0o644)
	m.run("mkdir", "-p", dir)
	m.run("tar", "-C", dir, "-xzf", "/root/bundle.tar.gz")
}

// stage runs a script of a bundle. What it starts inherits its output, so that
// goes to a file.
func (m *machine) stage(dir, stage string, args ...string) (string, error) {
	script := fmt.Sprintf("sh %s/scripts/%s.sh %s >/root/said 2>&1 </dev/null; code=$?; cat /root/said; exit $code", dir, stage, strings.Join(args, " "))
	return m.try("sh", "-c", script)
}

// cut runs a command and kills its whole group after a while: a script, the
// installer in it, a copy half done. It says whether there was something to kill.
func (m *machine) cut(after time.Duration, argv ...string) bool {
	m.t.Helper()
	out := m.run(append([]string{"sh", "-c", `after=$1; shift
		setsid "$@" >/dev/null 2>&1 </dev/null & p=$!
		sleep "$after"; kill -s KILL -- -$p 2>/dev/null; wait $p; echo $?`, "sh", fmt.Sprintf("%.3f", after.Seconds())}, argv...)...)
	return strings.HasSuffix(out, "137")
}

func (m *machine) staged(dir, stage string, args ...string) string {
	m.t.Helper()
	var out string
	var err error
	// What a stage that was cut off had started may end a moment later, with the lock.
	m.wait(stage+" of "+dir, func() bool {
		out, err = m.stage(dir, stage, args...)
		return !strings.Contains(out, "another stage of CAD is running")
	})
	if err != nil {
		log, _ := m.try("sh", "-c", "journalctl --no-pager -n 30 -o cat; cat /var/log/license-agent-*-bundle/*")
		m.t.Fatalf("%s of %s: %v\n%s\n%s", stage, dir, err, out, log)
	}
	return out
}

// sweep removes what a stage that was killed could not, and what the tools for
// accounts that were killed with it have left, see onDisk: groupdel locks by a file
// that is named after its process.
func (m *machine) sweep() {
	m.t.Helper()
	m.run("find", "/tmp", "-name", ".license-agent-acme-cad.*", "-prune", "-exec", "rm", "-r", "{}", "+")
	m.run("find", "/etc", "-name", ".#*", "-delete")
	m.run("find", "/etc", "-maxdepth", "1", "-regextype", "egrep", "-regex", "/etc/g?(passwd|group|shadow)\\.[0-9]+", "-delete")
}

// Two vendors with products of the same name, really installed: services, users,
// sockets, states and anchors of their own, and neither is hurt when the other
// is updated, cut off or removed.
func TestBundles(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 9)
	m.put("/etc/e2e.dmi", dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o400)
	vendors := map[string]merchant{"acme": startVendor(t, "acme", m.host), "other": startVendor(t, "other", m.host)}
	for name := range vendors {
		m.put("/run/systemd/system/license-agent-"+name+"-cad.service.d/dmi.conf", []byte("[Service]\nLoadCredential=dmi:/etc/e2e.dmi\n"), 0o644)
	}
	files := map[string][]byte{}
	for name, v := range vendors {
		files[name] = v.bundle(t, "1.0")
		m.unpacked(files[name], "/opt/"+name)
	}
	before := m.snapshot()

	t.Run("install and uninstall cut off at any time", func(t *testing.T) {
		installs, removals := 0, 0
		for i := range 4 {
			if m.cut(time.Duration(50+120*i)*time.Millisecond, "sh", "/opt/acme/scripts/install.sh") {
				installs++
			}
			if i%2 == 0 { // else what was cut off is removed
				m.staged("/opt/acme", "install")
				m.staged("/opt/acme", "start")
				m.staged("/opt/acme", "poststart")
			}
			if m.cut(time.Duration(30+80*i)*time.Millisecond, "sh", "/opt/acme/scripts/uninstall.sh", "--purge") {
				removals++
			}
			m.staged("/opt/acme", "uninstall", "--purge")
			m.sweep()
			if diff := left(before, m.snapshot()); len(diff) != 0 {
				t.Fatalf("left behind after cut %d: %s", i, strings.Join(diff, "\n"))
			}
		}
		if installs == 0 || removals == 0 {
			t.Errorf("%d installs and %d removals were cut off: this shows nothing", installs, removals)
		}
		t.Logf("%d of 4 installs and %d of 4 removals cut off", installs, removals)
	})

	began := time.Now()
	m.staged("/opt/acme", "install")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("installing took %v", took)
	}
	m.staged("/opt/other", "install")
	for name, v := range vendors {
		m.staged("/opt/"+name, "start")
		if out := m.staged("/opt/"+name, "poststart"); !strings.Contains(out, "no valid license yet") {
			t.Errorf("%s: %s", name, out)
		}
		instance := name + "-cad"
		if out, err := m.feed(v.code(t)+"\n", "license-agent-"+instance, "activate", "--instance", instance, "--yes", "--code-file", "-"); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	licensed := func(name string) {
		t.Helper()
		if out := m.staged("/opt/"+name, "poststart"); !strings.Contains(out, "runs and is licensed") {
			t.Errorf("%s: %s", name, out)
		}
	}
	for name, other := range map[string]string{"acme": "other", "other": "acme"} {
		licensed(name)
		instance := name + "-cad"
		if out := m.run("license-agent-"+instance, "status", "--instance", instance, "--output", "json"); strings.Contains(out, other) || !strings.Contains(out, `"`+name+`"`) {
			t.Errorf("%s sees %s", name, out)
		}
		if out := m.run("ls", "/etc/license-agent-"+instance+"/anchors"); out != name+".json" {
			t.Errorf("%s trusts %s", name, out)
		}
		unit := "license-agent-" + instance + ".service"
		if user := m.run("stat", "-c", "%U", "/proc/"+m.show(unit, "MainPID")); user != "license-agent-"+instance {
			t.Errorf("%s runs as %s", unit, user)
		}
		// The user of one cannot read the state of the other.
		if out, err := m.try("setpriv", "--reuid=license-agent-"+instance, "--regid=license-agent-"+instance, "--clear-groups", "ls", "/var/lib/license-agent-"+other+"-cad"); err == nil {
			t.Errorf("%s reads the state of %s: %s", name, other, out)
		}
	}

	t.Run("a changed byte", func(t *testing.T) {
		m.unpacked(files["acme"], "/opt/bad")
		m.run("sh", "-c", "printf x >>/opt/bad/bin/product")
		was := m.snapshot()
		pid := m.show("license-agent-acme-cad.service", "MainPID")
		for _, stage := range []string{"install", "update"} {
			if out, err := m.stage("/opt/bad", stage); err == nil || !strings.Contains(out, "bin/product has other content") || !strings.Contains(out, "nothing was changed") || !strings.Contains(out, "next") {
				t.Errorf("%s: %v %s", stage, err, out)
			}
		}
		if diff := left(was, m.snapshot()); len(diff) != 0 || pid != m.show("license-agent-acme-cad.service", "MainPID") {
			t.Errorf("it changed %v", diff)
		}
		m.run("rm", "-r", "/opt/bad")
	})

	t.Run("an update cut off at any time", func(t *testing.T) {
		pid := m.show("license-agent-other-cad.service", "MainPID")
		m.unpacked(vendors["acme"].bundle(t, "2.0"), "/opt/acme2")
		cut := 0
		for i := range 8 {
			if m.cut(time.Duration(30+120*i)*time.Millisecond, "sh", "/opt/acme2/scripts/update.sh") {
				cut++
			}
		}
		m.sweep()
		m.staged("/opt/acme2", "update")
		licensedAt := m.staged("/opt/acme2", "poststart")
		if !strings.Contains(licensedAt, "runs and is licensed") || cut == 0 {
			t.Errorf("after %d cuts: %s", cut, licensedAt)
		}
		if out := m.run("license-agent-acme-cad", "version"); !strings.Contains(out, "1.1.0") {
			t.Errorf("%s", out)
		}
		// One per vendor; the fewest of some looks, because a shell that is just
		// starting its next sleep is there twice.
		if out := m.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do pgrep -fc '^/bin/sh ./product'; done | sort -n | head -n 1"); out != "2" {
			t.Errorf("%s products run", out)
		}
		if pid != m.show("license-agent-other-cad.service", "MainPID") {
			t.Error("the other vendor's agent was restarted")
		}
		t.Logf("%d of 8 updates cut off", cut)
	})

	t.Run("a key of an older configuration", func(t *testing.T) {
		const config = "/etc/license-agent-acme-cad/agent.toml"
		good := m.run("cat", config)
		m.put(config, []byte("log_levle = \"debug\"\n"), 0o644)
		pid := m.show("license-agent-acme-cad.service", "MainPID")
		out, err := m.stage("/opt/acme2", "update")
		for _, words := range []string{"log_levle", `did you mean "log_level"`, "next"} {
			if err == nil || !strings.Contains(out, words) {
				t.Errorf("%q is not said: %v %s", words, err, out)
			}
		}
		if now := m.show("license-agent-acme-cad.service", "MainPID"); now != pid {
			t.Errorf("the agent was restarted into a configuration that it cannot read: %s, %s", pid, now)
		}
		m.put(config, []byte(good+"\n"), 0o644)
		m.staged("/opt/acme2", "update")
		licensed("acme")
	})

	t.Run("where no program may be run from /tmp", func(t *testing.T) {
		const own = "/usr/local/bin"
		m.run("sh", "-ec", `for dir; do mount --bind "$dir" "$dir"; mount -o remount,bind,noexec "$dir"; done`, "sh", "/tmp", "/var/tmp", own)
		was, pid := m.snapshot(), m.show("license-agent-acme-cad.service", "MainPID")
		for _, stage := range []string{"install", "update", "uninstall"} {
			out, err := m.stage("/opt/acme2", stage)
			if err == nil || !strings.Contains(out, "no program may run below /tmp, /var/tmp and "+own+"; nothing was changed") || !strings.Contains(out, "next: name a folder") {
				t.Errorf("%s: %v %s", stage, err, out)
			}
		}
		if diff := left(was, m.snapshot()); len(diff) != 0 || pid != m.show("license-agent-acme-cad.service", "MainPID") {
			t.Errorf("it changed %v", diff)
		}
		m.run("umount", own)
		licensed("acme") // the product was not ended
		m.staged("/opt/acme2", "update")
		m.staged("/opt/acme2", "uninstall")
		m.staged("/opt/acme2", "install")
		m.staged("/opt/acme2", "start")
		licensed("acme")
		if out := m.run("sh", "-c", "ls -A /tmp /var/tmp; ls -d "+own+"/.[!.]* || true"); strings.Contains(out, ".license-agent") {
			t.Errorf("left: %s", out)
		}
		m.run("umount", "/tmp", "/var/tmp")
	})

	t.Run("the key of the package is taken back", func(t *testing.T) {
		v := vendors["acme"]
		m.staged("/opt/acme2", "update")
		v.takeBack(t)
		m.run("license-agent-acme-cad", "renew", "--instance", "acme-cad")
		was, pid := m.snapshot(), m.show("license-agent-acme-cad.service", "MainPID")
		for _, stage := range []string{"install", "update"} {
			if out, err := m.stage("/opt/acme2", stage); err == nil || !strings.Contains(out, "signing key revoked") || !strings.Contains(out, "nothing was changed") {
				t.Errorf("%s: %v %s", stage, err, out)
			}
		}
		if diff := left(was, m.snapshot()); len(diff) != 0 || pid != m.show("license-agent-acme-cad.service", "MainPID") {
			t.Errorf("it changed %v", diff)
		}
		m.staged("/opt/acme2", "restart") // what is installed goes on
		licensed("acme")
		m.run("rm", "-r", "/opt/acme2")
		m.unpacked(v.bundle(t, "2.0"), "/opt/acme2") // signed with the key that follows
		m.staged("/opt/acme2", "update")
		licensed("acme")
	})

	// An agent that a power cut has emptied cannot remove itself.
	m.run("sh", "-ec", "cd /usr/local/bin; : >empty; chmod 755 empty; mv empty license-agent-acme-cad")
	m.staged("/opt/acme2", "uninstall", "--purge")
	licensed("other")
	m.staged("/opt/other", "restart")
	licensed("other")
	m.staged("/opt/other", "uninstall", "--purge")
	m.run("rm", "-r", "/opt/acme2")
	after := m.snapshot()
	if diff := left(before, after); len(diff) != 0 {
		t.Errorf("left behind: %s", strings.Join(diff, "\n"))
	}
}
