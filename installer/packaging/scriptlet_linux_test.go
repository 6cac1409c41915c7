package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scriptlet runs lines of shell that have the functions of the packages' script, on
// the file tree at root, in a mount table of its own.
func scriptlet(t *testing.T, root, lines string) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test mounts: run it as root")
	}
	b, err := os.ReadFile("nfpm/scriptlet.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-m", "/bin/sh", "-c", strings.Replace(string(b), "@SCHEMA@", "1", 1)+"\n"+lines, "scriptlet")
	cmd.Env = []string{"LICENSE_AGENT_ROOT=" + root}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tree writes files below a new root; a name that ends with a slash is a folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// What "license-agent install" has made wins over a package's files, so that a first
// installation refuses beside it and says the way out. The controls: an upgrade, a
// unit that an administrator has edited, another vendor's instance, and nothing.
func TestPackageBesideAnInstallation(t *testing.T) {
	own := Names{Program: "/usr/local/bin/license-agent"}
	other := Names{Service: "license-agent-cad", Instance: "cad", Program: "/usr/local/bin/license-agent-cad"}
	const program, unit, script = "usr/local/bin/license-agent", "etc/systemd/system/license-agent.service", "etc/init.d/license-agent"
	for name, c := range map[string]struct {
		files   map[string]string
		refuses bool
	}{
		"systemd":          {map[string]string{program: "", unit: text(t, Service, own)}, true},
		"System V":         {map[string]string{program: "", script: text(t, SysV, own)}, true},
		"OpenRC":           {map[string]string{program: "", script: text(t, OpenRC, own)}, true},
		"edited":           {map[string]string{unit: text(t, Service, Names{})}, false},
		"another vendor's": {map[string]string{program + "-cad": "", "etc/systemd/system/license-agent-cad.service": text(t, Service, other)}, false},
		"uninstalled":      {map[string]string{"etc/sysusers.d/license-agent.conf": ""}, false},
		"only the program": {map[string]string{program: ""}, false},
	} {
		c.files["var/lib/"] = ""
		for _, call := range []string{"deb preinstall install", "deb preinstall install 1.0.0-1 1.1.0-1", "rpm preinstall 1", "apk preinstall 1.1.0-r1", "deb preinstall upgrade 1.0.0-1", "rpm preinstall 2", "apk preupgrade 1.1.0-r1 1.0.0-r1"} {
			first := !strings.Contains(call, "upgrade") && call != "rpm preinstall 2"
			out, err := scriptlet(t, tree(t, c.files), "main "+call)
			if refused := err != nil; refused != (c.refuses && first) {
				t.Errorf("%s, %s: %v %s", name, call, err, out)
			}
			if err != nil && !strings.Contains(out, "/usr/local/bin/license-agent uninstall\n") {
				t.Errorf("%s, %s: no way out in %s", name, call, out)
			}
		}
	}
}

// A state directory that is a mount of its own is emptied, and the purge goes on. The
// control: licenses that cannot be removed are no success.
func TestPurgeOfAMount(t *testing.T) {
	for options, fails := range map[string]bool{"rw": false, "ro": true} {
		root := tree(t, map[string]string{"var/lib/license-agent/": "", "etc/license-agent/agent.toml": "", "etc/passwd": "", "etc/sysusers.d/license-agent.conf": ""})
		out, err := scriptlet(t, root, `at=$root/var/lib/$name
mount -t tmpfs tmpfs "$at" && echo x >"$at/device.key" && mount -o remount,`+options+` "$at"
trap 'echo "left: $(ls -A "$at")."' EXIT
main deb postremove purge`)
		if (err != nil) != fails || strings.Contains(out, "left: .\n") == fails {
			t.Errorf("%s: %v %s", options, err, out)
		}
		if fails {
			continue
		}
		for _, gone := range []string{"etc/license-agent", "etc/sysusers.d/license-agent.conf"} {
			if _, err := os.Lstat(filepath.Join(root, gone)); err == nil {
				t.Errorf("%s is left: %s", gone, out)
			}
		}
	}
}
