//go:build e2e

package systemd

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// afterUpgrade is the rest of a life with a package.
func (l *life) afterUpgrade() {
	l.step("an instance of the template", func(t *testing.T) {
		l.run("systemctl", "enable", "--now", "license-agent@cad.socket", "license-agent@cad.service")
		l.wait("the instance", func() bool {
			_, err := l.try("license-agent", "--instance", "cad", "diagnose", "--output", "json")
			return err == nil
		})
		if out, err := l.try("license-agent", "--instance", "cad", "install"); err == nil || !said(out, "license-agent@cad.service") {
			t.Errorf("an installation of the same name beside it: %v %s", err, out)
		}
		if user := l.run("stat", "-c", "%U", "/proc/"+l.show("license-agent@cad.service", "MainPID")); user != "license-agent-cad" {
			t.Errorf("it runs as %s", user)
		}
		// Whom it trusts is root's to say, as for the unnamed instance.
		if got := l.run("stat", "-c", "%U %a", "/etc/license-agent-cad", "/etc/license-agent-cad/anchors"); got != "root 755\nroot 755" {
			t.Errorf("its configuration: %s", got)
		}
		// The other instance's licenses are not this one's, and neither is its state.
		if out, err := l.try("license-agent", "--instance", "cad", "status"); err == nil {
			t.Errorf("the instance has a license: %s", out)
		}
		if out, err := l.try("setpriv", "--reuid", "license-agent-cad", "--clear-groups", "ls", "/var/lib/license-agent"); err == nil {
			t.Errorf("one instance reads the other's state: %s", out)
		}
	})

	l.step("reboot", func(t *testing.T) {
		l.off()
		l.on()
		l.active()
		if p := l.phase(); p != "active" {
			t.Errorf("phase %q", p)
		}
	})

	l.step("an older package refuses a newer state", func(t *testing.T) {
		// One has a user of the template's, the other a program of its own.
		l.run("systemctl", "start", "license-agent-user@later.service")
		for _, instance := range []string{"later", "theirs"} {
			l.put("/var/lib/license-agent-"+instance+"/state.db", []byte("\x00\x00license-agent-store 999 0011223344556677 deadbeef\x00"), 0o600)
		}
		_, b := l.packageFile("OLD", "_amd64.deb")
		l.put("/root/agent.deb", b, 0o644)
		out, err := l.try("dpkg", "-i", "/root/agent.deb")
		if err == nil || !strings.Contains(out, "too old") || !strings.Contains(out, "format 999") || !strings.Contains(out, "license-agent-later") || strings.Contains(out, "license-agent-theirs") {
			t.Errorf("%v %s", err, out)
		}
		if v := l.run("license-agent", "version"); !strings.Contains(v, "1.1.0") {
			t.Errorf("the refusal changed the program: %s", v)
		}
		l.active()
		l.run("rm", "-r", "/var/lib/license-agent-later", "/var/lib/license-agent-theirs")
		if audit := l.run("dpkg", "--audit"); audit != "" {
			t.Errorf("dpkg is left in between: %s", audit)
		}
	})

	l.step("remove keeps the licenses", func(t *testing.T) {
		began := time.Now()
		l.run("dpkg", "-r", "license-agent")
		l.within("removing the package", time.Since(began), 5*time.Second)
		for _, path := range []string{"/usr/bin/license-agent", "/run/license-agent", "/run/license-agent-cad/agent.sock", "/usr/lib/systemd/system/license-agent.service"} {
			if l.exists(path) {
				t.Errorf("%s is left", path)
			}
		}
		if out := l.run("sh", "-c", "systemctl list-units --all --no-legend --no-pager 'license-agent*' | grep -v '"+remembered+"' || :"); out != "" {
			t.Errorf("units are left: %s", out)
		}
		if out, err := l.try("pgrep", "-x", "license-agent"); err == nil {
			t.Errorf("processes are left: %s", out)
		}
		if !l.exists("/var/lib/license-agent/state.db") || !l.exists("/etc/license-agent/anchors/acme.json") {
			t.Error("licenses or anchors are gone")
		}
		l.dpkg("NEW")
		l.active()
		if p := l.phase(); p != "active" {
			t.Errorf("after installing again the phase is %q", p)
		}
	})

	l.step("purge leaves nothing", func(t *testing.T) {
		l.run("dpkg", "-P", "license-agent")
		l.clean(t)
	})
}

// clean says what is left of an installation.
func (l *life) clean(t *testing.T) {
	t.Helper()
	l.run("sh", "-c", "rm -rf /etc/e2e.dmi /root/agent.deb /root/license-agent-*-linux-amd64")
	l.run("systemctl", "daemon-reload")
	// Addresses and sockets of the system's own do not belong to the comparison.
	rest := slices.DeleteFunc(left(l.before, l.snapshot()), func(l string) bool { return strings.Contains(l, "/sys/fs/") })
	if len(rest) > 0 {
		t.Errorf("not as before:\n%s", strings.Join(rest, "\n"))
	}
}

// archive unpacks an archive and returns the program in it.
func (l *life) archive(version string) string {
	l.t.Helper()
	file, b := l.packageFile(version, "linux-amd64.tar.gz")
	l.put("/root/agent.tar.gz", b, 0o644)
	l.run("tar", "-xzf", "/root/agent.tar.gz", "-C", "/root")
	return "/root/" + strings.TrimSuffix(filepath.Base(file), ".tar.gz") + "/license-agent"
}

// upgradeByItself is an installation that no package manager knows: the new program
// puts itself into the place of the old one while a licensed program asks, and one
// that does not start is taken back.
func (l *life) upgradeByItself(t *testing.T) {
	l.run(l.archive("OLD"), "install")
	l.put("/etc/license-agent/anchors/acme.json", read(t, l.vendor.anchor), 0o644)
	l.serials("SN-7Q4W-0042", "BN-9K2M-0077")
	l.code = l.vendor.code(t)
	if out, err := l.activate(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	// is says which version is installed and runs.
	is := func(version string) {
		t.Helper()
		if v := l.run("/usr/local/bin/license-agent", "version"); !strings.Contains(v, version) {
			t.Errorf("installed is %s, want %s", v, version)
		}
		if out := l.run("/usr/local/bin/license-agent", "diagnose", "--output", "json"); !strings.Contains(out, `"version": "`+version+`"`) {
			t.Errorf("%s does not run: %s", version, out)
		}
		if p := l.phase(); p != "active" {
			t.Errorf("phase %q", p)
		}
	}
	is("1.0.0")
	state := l.kept()
	fresh := l.archive("NEW")
	stop := l.traffic(50)
	time.Sleep(time.Second) // polls nothing: traffic before
	if out := l.run(fresh, "plan", "upgrade"); !regexp.MustCompile(`write /usr/local/bin/license-agent \([^)]*\)\n`).MatchString(out) || !strings.HasSuffix(strings.TrimSpace(out), "start license-agent now, or restart it if it runs an older program") || !said(out, "create user license-agent (already so)") {
		t.Errorf("the plan: %s", out)
	}
	is("1.0.0") // a plan changes nothing
	l.run(fresh, "upgrade")
	l.active()
	is("1.1.0")
	if diff := cmp.Diff(state, l.kept()); diff != "" {
		t.Error(diff)
	}
	time.Sleep(time.Second) // polls nothing: traffic after
	if sum := stop(); sum.Failed != 0 {
		t.Errorf("%+v", sum)
	} else {
		t.Logf("%d checks of %d, %d failed, the slowest took %s", sum.Asked, sum.Wanted, sum.Failed, sum.Slowest)
	}
	if out := l.run(fresh, "upgrade"); !strings.Contains(out, "nothing to do") {
		t.Errorf("a second time: %s", out)
	}

	// A configuration with which the new program would not start: what runs goes on.
	l.run("sh", "-c", "cp /etc/license-agent/agent.toml /root/agent.toml; echo 'log_levle = \"info\"' >>/etc/license-agent/agent.toml")
	pid := l.show(service, "MainPID")
	for _, verb := range []string{"upgrade", "install"} {
		if out, err := l.try(fresh, verb); err == nil || !said(out, "config-invalid") || !said(out, `did you mean "log_level"`) || !said(out, "nothing was changed") {
			t.Errorf("%s with a wrong configuration: %v %s", verb, err, out)
		}
	}
	if now := l.show(service, "MainPID"); now != pid {
		t.Errorf("the process %s became %s", pid, now)
	}
	l.run("mv", "/root/agent.toml", "/etc/license-agent/agent.toml")

	// A program that does not start. The agent installs the file that it was started
	// from; here another one lies over it by then.
	l.put("/root/broken", []byte("#!/bin/sh\nexit 1\n"), 0o755)
	before := l.snapshot()
	out, err := l.try("unshare", "-m", "sh", "-ec", `exec 9<"$1"; mount --bind /root/broken "$1"; exec /proc/self/fd/9 upgrade`, "sh", fresh)
	for _, words := range []string{"restart", "nothing was changed: what had been done was taken back", "next:"} {
		if err == nil || !said(out, words) {
			t.Errorf("%q is not said: %v %s", words, err, out)
		}
	}
	l.active()
	is("1.1.0")
	// What each start of the service makes anew: its private folders, its socket.
	diff := slices.DeleteFunc(left(before, l.snapshot()), func(line string) bool {
		return strings.Contains(line, "/systemd-private-") || strings.Contains(line, "/run/license-agent/")
	})
	if len(diff) > 0 {
		t.Errorf("not as before: %v", diff)
	}
	l.run("rm", "/root/broken")
}

// without is a life without a package, and without systemd.
func (l *life) without() {
	l.step("without a package", func(t *testing.T) {
		program := l.archive("NEW")
		began := time.Now()
		l.run(program, "install")
		l.within("installing without a package", time.Since(began), 5*time.Second)
		l.active()
		if out := l.run(program, "install"); !strings.Contains(out, "nothing to do") {
			t.Errorf("a second time: %s", out)
		}
		if exe := l.run("readlink", "/proc/"+l.show(service, "MainPID")+"/exe"); exe != "/usr/local/bin/license-agent" {
			t.Errorf("the service runs %s", exe)
		}
		l.run(program, "uninstall")
		if !l.exists("/var/lib/license-agent/device.key") {
			t.Error("uninstall took the device key away")
		}
		l.run(program, "install")
		l.active()
		began = time.Now()
		l.run(program, "uninstall", "--purge")
		l.within("uninstalling without a package", time.Since(began), 5*time.Second)
		l.clean(t)
	})

	l.step("upgrade without a package, under 50 requests a second", func(t *testing.T) {
		l.upgradeByItself(t)
		l.run(l.archive("NEW"), "uninstall", "--purge")
		l.clean(t)
	})

	l.step("under System V init", func(t *testing.T) {
		program := l.archive("NEW")
		l.run(program, "install", "--manager", "unix-systemv")
		l.run("/etc/init.d/license-agent", "status")
		if out, err := l.try("license-agent", "diagnose", "--output", "json"); err != nil {
			t.Errorf("%v %s", err, out)
		}
		l.run("env", "LICENSE_AGENT_INSTANCE=cad", "LICENSE_AGENT_DIR=/x", "/etc/init.d/license-agent", "restart")
		l.run("/etc/init.d/license-agent", "stop")
		if out, err := l.try("/etc/init.d/license-agent", "status"); err == nil {
			t.Errorf("stopped and yet %s", out)
		}
		l.run(program, "uninstall", "--manager", "unix-systemv", "--purge")
		l.clean(t)
	})
}
