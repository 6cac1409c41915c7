//go:build e2e

package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// upgrades are the calls by which the package managers tell that the new files are
// there.
func upgrades() map[string]struct {
	stage string
	args  []string
} {
	return map[string]struct {
		stage string
		args  []string
	}{
		"deb": {"postinstall", []string{"configure", "1.0.0-1"}},
		"rpm": {"postinstall", []string{"2"}},
		"apk": {"postupgrade", []string{"1.1.0-r1", "1.0.0-r1"}},
	}
}

// A new program that cannot read the configuration is not started: the old one goes
// on, each instance by itself, and what is wrong is said.
func TestUpgradeKeepsWhatRuns(t *testing.T) {
	const program = `#!/bin/sh
case "$*" in
"run --check-config") at=license-agent ;;
"run --check-config --instance cad") at=license-agent-cad ;;
"run --check-config --instance cam") at=license-agent-cam ;;
*) echo "called by $*"; exit 9 ;;
esac
[ -z "${LICENSE_AGENT_ROOT:-}" ] || echo "called by the caller's environment"
[ ! -e "${0%/usr/bin/license-agent}/etc/$at/old" ] || { echo "config-invalid: unknown key old in $at"; exit 2; }
`
	all := []string{"license-agent.service", "license-agent@cad.service", "license-agent@cam.service"}
	for kind, c := range upgrades() {
		script := scriptlets(t, kind)[c.stage]
		for name, old := range map[string][]string{
			"all in order": nil, "the unnamed": {"license-agent"}, "one instance": {"license-agent-cad"},
			"all but one": {"license-agent", "license-agent-cam"}, "all": {"license-agent", "license-agent-cad", "license-agent-cam"},
		} {
			root := t.TempDir()
			for _, dir := range []string{"run/systemd/system", "etc/license-agent", "etc/license-agent-cad", "etc/license-agent-cam", "usr/bin", "said"} {
				must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
			}
			must(t, os.WriteFile(filepath.Join(root, "usr/bin/license-agent"), []byte(program), 0o755))
			must(t, os.WriteFile(filepath.Join(root, "said/systemctl-list-units"), []byte(strings.Join(all[1:], " loaded active running x\n")+" loaded active running x\n"), 0o644))
			want := slices.Clone(all)
			for _, at := range old {
				must(t, os.WriteFile(filepath.Join(root, "etc", at, "old"), nil, 0o644))
				unit := strings.Replace(at, "agent-", "agent@", 1) + ".service"
				want = slices.DeleteFunc(want, func(u string) bool { return u == unit })
			}
			calls, said, err := rehearse(t, root, script, c.args...)
			if err != nil {
				t.Errorf("%s, %s: %v %s", kind, name, err, said)
			}
			var restarted []string
			for _, call := range calls {
				if units, ok := strings.CutPrefix(call, "systemctl try-restart "); ok {
					restarted = append(restarted, strings.Fields(units)...)
				}
			}
			if diff := cmp.Diff(want, restarted, cmp.Transformer("empty", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("%s, %s: %s", kind, name, diff)
			}
			for _, at := range old {
				for _, words := range []string{"unknown key old in " + at, "the configuration in /etc/" + at + ", so what runs stays"} {
					if !strings.Contains(said, words) {
						t.Errorf("%s, %s: not said: %s in %s", kind, name, words, said)
					}
				}
			}
			if len(old) == 0 && strings.Contains(said, "configuration") {
				t.Errorf("%s, %s: %s", kind, name, said)
			}
			if strings.Contains(said, "called by") {
				t.Errorf("%s, %s: %s", kind, name, said)
			}
			// The same where OpenRC is the service manager.
			must(t, os.RemoveAll(filepath.Join(root, "run/systemd")))
			calls, said, err = rehearseWith(t, root, []string{"useradd", "groupadd", "getent", "rc-update", "rc-service"}, script, c.args...)
			restart := slices.Contains(calls, "rc-service --ifstarted license-agent restart")
			if bad := slices.Contains(old, "license-agent"); err != nil || restart == bad || bad != strings.Contains(said, "unknown key old in license-agent") {
				t.Errorf("%s, %s, by OpenRC: %v, restarted %v, %s", kind, name, err, restart, said)
			}
		}
	}
}

// The same by dpkg and systemd: the process that answered before answers after, and
// when the file is in order again the restart that was asked for brings the new one.
func TestUpgradeWithAnUnreadableConfiguration(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 38)
	m.dpkg("OLD")
	m.active()
	was := m.show(service, "MainPID")
	m.run("sed", "-i", "$ a log_levle = \"info\"", "/etc/license-agent/agent.toml")
	_, b := m.packageFile("NEW", "_amd64.deb")
	m.put("/root/new.deb", b, 0o644)
	out := m.run("dpkg", "--force-confold", "-i", "/root/new.deb")
	for _, words := range []string{"log_levle", "what runs stays as it is"} {
		if !strings.Contains(out, words) {
			t.Errorf("dpkg does not say %q: %s", words, out)
		}
	}
	if is := m.show(service, "MainPID"); is != was || m.show(service, "ActiveState") != "active" {
		t.Errorf("process %s became %s, %s", was, is, m.show(service, "ActiveState"))
	}
	if v := m.status().Version; !strings.HasPrefix(v, "1.0.0") {
		t.Errorf("version %q answers", v)
	}
	m.run("sed", "-i", "/log_levle/d", "/etc/license-agent/agent.toml")
	m.run("systemctl", "restart", service)
	m.active()
	if v := m.status().Version; !strings.HasPrefix(v, "1.1.0") {
		t.Errorf("version %q answers after the restart", v)
	}
}

// Where policy-rc.d forbids it, as builders of images and administrators do, nothing
// is started, and what runs is left alone; the service is enabled all the same. The
// control: nothing else that policy-rc.d says keeps it from its start.
func TestScriptletsKeepToThePolicy(t *testing.T) {
	script := scriptlets(t, "deb")["postinstall"]
	for _, code := range []string{"101", "0", "104", "none"} {
		for _, c := range []struct{ manager, arg, call string }{
			{"systemd", "", "systemctl start license-agent.socket license-agent.service"},
			{"systemd", "1.0.0-1", "systemctl try-restart license-agent.service"},
			{"sysv", "", "license-agent start"},
			{"sysv", "1.0.0-1", "license-agent restart"},
		} {
			root := t.TempDir()
			write := func(name, text string) {
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
				must(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o755))
			}
			if code != "none" {
				write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit "+code+"\n")
			}
			must(t, os.MkdirAll(filepath.Join(root, "run"), 0o755))
			must(t, os.MkdirAll(filepath.Join(root, "etc/init.d"), 0o755))
			write("usr/share/license-agent/license-agent.sysv", "#!/bin/sh\necho license-agent $1 >>"+filepath.Join(root, "calls")+"\n")
			tools := []string{"useradd", "groupadd", "getent", "update-rc.d"}
			enabled := "update-rc.d license-agent defaults"
			if c.manager == "systemd" {
				tools, enabled = append(tools, "systemctl", "systemd-sysusers"), "systemctl enable license-agent.socket license-agent.service"
				must(t, os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755))
			}
			calls, said, err := rehearseWith(t, root, tools, script, "configure", c.arg)
			if err != nil {
				t.Fatalf("%v %s", err, said)
			}
			b, _ := os.ReadFile(filepath.Join(root, "calls")) // no call, no file
			calls = append(calls, strings.Split(string(b), "\n")...)
			if started := slices.Contains(calls, c.call); started == (code == "101") {
				t.Errorf("policy-rc.d ends with %s, %s: %v, want %q: %v", code, c.manager, calls, c.call, code != "101")
			}
			if c.arg == "" && !slices.Contains(calls, enabled) {
				t.Errorf("policy-rc.d ends with %s, %s: not enabled: %v", code, c.manager, calls)
			}
			if (code == "101") != strings.Contains(said, "policy-rc.d") {
				t.Errorf("policy-rc.d ends with %s, %s: %s", code, c.manager, said)
			}
		}
	}
}

// Installed again after a removal, and the power fails before dpkg configures it:
// nothing of /run is left, and it is enabled and started all the same.
func TestInstallationOverAReboot(t *testing.T) {
	for _, first := range []bool{true, false} {
		root := t.TempDir()
		for _, dir := range []string{"run/systemd/system", "etc", "var/lib"} {
			must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		}
		if first {
			if _, said, err := rehearse(t, root, scriptlets(t, "deb")["preinstall"], "install", "1.0.0-1", "1.1.0-1"); err != nil {
				t.Fatalf("%v %s", err, said)
			}
		}
		must(t, os.RemoveAll(filepath.Join(root, "run")))
		must(t, os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755))
		calls, said, err := rehearse(t, root, scriptlets(t, "deb")["postinstall"], "configure", "1.0.0-1")
		if enabled := slices.Contains(calls, "systemctl enable license-agent.socket license-agent.service"); err != nil || enabled != first {
			t.Errorf("after a removal %v: %v, enabled %v: %s", first, err, enabled, said)
		}
		left, err := os.ReadDir(filepath.Join(root, "var/lib"))
		if err != nil || len(left) != 0 {
			t.Errorf("left: %v %v", left, err)
		}
	}
}

// On a plain Alpine, which has busybox's tools for accounts only.
func TestScriptletsByBusybox(t *testing.T) {
	has := []string{"adduser", "addgroup", "rc-update", "rc-service"}
	for _, c := range []struct {
		stage, passwd, group string
		want                 []string
	}{
		{"postinstall", "", "", []string{
			"addgroup -S license-admin", "addgroup -S license-agent",
			"adduser -S -D -H -h / -s /sbin/nologin -g License agent -G license-agent license-agent", "rc-update add license-agent default",
		}},
		{"postinstall", "", "license-admin:x:100:\nlicense-agent:x:101:\n", []string{ // cut off in between
			"adduser -S -D -H -h / -s /sbin/nologin -g License agent -G license-agent license-agent", "rc-update add license-agent default",
		}},
		{"postupgrade", "license-agent:x:100:101:License agent:/:/sbin/nologin\n", "license-admin:x:100:\nlicense-agent:x:101:\n", []string{
			"rc-service --ifstarted license-agent restart",
		}},
	} {
		root := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"+c.passwd), 0o644))
		must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\n"+c.group), 0o644))
		calls, said, err := rehearseWith(t, root, has, scriptlets(t, "apk")[c.stage], "1.1.0-r1", "1.0.0-r1")
		if err != nil {
			t.Errorf("%s: %v %s", c.stage, err, said)
		}
		if diff := cmp.Diff(c.want, calls); diff != "" {
			t.Errorf("%s: %s", c.stage, diff)
		}
		// Packages of Alpine start nothing, and who follows the manual activates next.
		if told := strings.Contains(said, "rc-service license-agent start"); told != (c.stage == "postinstall") {
			t.Errorf("%s: said %q", c.stage, said)
		}
	}
}

// Busybox's own tools, built from Debian's source because Debian leaves them out:
// the apk's script, what installer/README.md says about removing everything, and
// the installation without a package.
func TestBusybox(t *testing.T) {
	root := disk(t, need(t, "E2E_OPENRC"))
	must(t, os.WriteFile(filepath.Join(root, "root/post-install"), []byte(scriptlets(t, "apk")["postinstall"]), 0o755))
	program, err := os.ReadFile(agentProgram(t, "NEW"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "root/license-agent"), program, 0o755))
	applets, err := os.ReadFile(need(t, "E2E_BUSYBOX"))
	must(t, err)
	for _, name := range []string{"useradd", "groupadd", "userdel", "groupdel", "update-rc.d"} {
		must(t, os.Remove(filepath.Join(root, "usr/sbin", name)))
	}
	for _, name := range []string{"adduser", "addgroup", "deluser", "delgroup"} {
		must(t, os.WriteFile(filepath.Join(root, "usr/sbin", name), applets, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "etc/init.d/localmount"), []byte("#!/sbin/openrc-run\nstart() { return 0; }\n"), 0o755))
	said := aloneIn(t, root, serviceShell+`
rm -f /etc/runlevels/sysinit/* # of a Debian that has kernel file systems to mount
accounts() { grep -hoE '^license-[a-z]+' /etc/passwd /etc/group | sort | tr '\n' ' '; }
before=$(cat /etc/passwd /etc/group)
printf '#!/sbin/openrc-run\n' >/etc/init.d/license-agent; chmod 755 /etc/init.d/license-agent
sh /root/post-install 1.1.0-r1
at package: $(accounts)
sh /root/post-install 1.1.0-r1
at twice: $(accounts)
rc-update del license-agent default; rm /etc/init.d/license-agent
deluser license-agent; delgroup license-admin
[ "$before" = "$(cat /etc/passwd /etc/group)" ] && at removed by hand
for level in sysinit boot default; do openrc $level; done # the machine boots
/root/license-agent install --manager linux-openrc
answers
at installed: $(accounts) as $(who)
/root/license-agent install --manager linux-openrc | grep -c 'create user' || at nothing to create
/root/license-agent uninstall --purge --manager linux-openrc
at gone: $(accounts) $(gone) $(ls -d /etc/license-agent /var/lib/license-agent /var/log/license-agent.log /usr/local/bin/license-agent /etc/init.d/license-agent 2>/dev/null)
`)
	want := []string{
		"package: license-admin license-agent license-agent", "twice: license-admin license-agent license-agent", "removed by hand",
		"installed: license-admin license-agent license-agent as license-agent", "nothing to create", "gone: gone",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

// A configuration that was changed is read again after a removal and an
// installation, although rpm itself puts it aside; an anchor stays anyway.
func TestRpmKeepsTheConfiguration(t *testing.T) {
	root := t.TempDir()
	file, _ := packageFile(t, "NEW", ".x86_64.rpm")
	rpm := func(args ...string) {
		tool(t, append([]string{"rpm", "--root", root, "--nodeps", "--noscripts"}, args...)...)
	}
	config := filepath.Join(root, "etc/license-agent/agent.toml")
	tool(t, "rpm", "--root", root, "--initdb")
	for range 2 {
		rpm("-i", "--ignorearch", file)
		must(t, os.WriteFile(config, []byte("log_level = \"debug\"\n"), 0o644))
		rpm("-e", "license-agent")
		if _, said, err := rehearse(t, root, scriptlets(t, "rpm")["postremove"], "0"); err != nil {
			t.Fatalf("%v %s", err, said)
		}
		must(t, os.RemoveAll(filepath.Join(root, "usr/bin"))) // of the rehearsal
	}
	rpm("-i", "--ignorearch", file)
	if got, err := os.ReadFile(config); err != nil || string(got) != "log_level = \"debug\"\n" {
		t.Errorf("after the next installation: %v %s", err, got)
	}
}

// What the rpm's scripts call is there before them: rpm installs in the order of what
// packages need, so that in a system that is made in one go they had no shell.
func TestRpmNamesWhatItsScriptsNeed(t *testing.T) {
	file, _ := packageFile(t, "NEW", ".x86_64.rpm")
	needs := strings.Fields(tool(t, "rpm", "-qp", "--requires", file))
	for _, name := range []string{"/bin/sh", "coreutils", "grep", "sed", "systemd"} {
		if !slices.Contains(needs, name) {
			t.Errorf("%s is not among %q", name, needs)
		}
	}
}
