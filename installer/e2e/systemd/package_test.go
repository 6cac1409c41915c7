//go:build e2e

package systemd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// every is what each package must bring.
func every() []string {
	return []string{
		"/usr/bin/license-agent", "/etc/license-agent/agent.toml", "/etc/license-agent/anchors", "/usr/share/man/man1/license-agent.1",
		"/usr/share/man/man1/license-agent-run.1", "/usr/share/bash-completion/completions/license-agent",
	}
}

func units() []string {
	return []string{
		"/usr/lib/systemd/system/license-agent.service", "/usr/lib/systemd/system/license-agent.socket",
		"/usr/lib/systemd/system/license-agent@.service", "/usr/lib/systemd/system/license-agent@.socket",
		"/usr/lib/systemd/system/license-agent-user@.service", "/usr/lib/systemd/system-generators/license-agent", "/usr/lib/sysusers.d/license-agent.conf",
	}
}

func contains(t *testing.T, have, want []string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(have, w) {
			t.Errorf("%s is missing in %v", w, have)
		}
	}
	for _, h := range have { // nothing outside of where packages may put files
		ok := slices.ContainsFunc([]string{"/usr/bin/license-agent", "/usr/share", "/usr/lib/systemd", "/usr/lib/sysusers.d", "/etc/license-agent", "/etc/init.d/license-agent", "/etc/apparmor.d/license-agent"},
			func(p string) bool { return strings.HasPrefix(h, p) || strings.HasPrefix(p, h) })
		if !ok {
			t.Errorf("%s does not belong into a package", h)
		}
	}
}

func tool(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v %s", argv, err, out)
	}
	return string(out)
}

func TestRPM(t *testing.T) {
	file, _ := packageFile(t, "NEW", ".x86_64.rpm")
	if out := tool(t, "rpm", "-K", "--nosignature", file); !strings.Contains(out, "digests OK") {
		t.Error(out)
	}
	contains(t, strings.Fields(tool(t, "rpm", "-qlp", file)), append(every(), units()...))
	if out := strings.TrimSpace(tool(t, "rpm", "-qp", "--configfiles", file)); out != "/etc/apparmor.d/license-agent\n/etc/license-agent/agent.toml" {
		t.Errorf("configuration files: %q", out)
	}
	// Its own tool installs, upgrades and removes it in a root of its own.
	root := t.TempDir()
	old, _ := packageFile(t, "OLD", ".x86_64.rpm")
	tool(t, "rpm", "--root", root, "--initdb")
	tool(t, "rpm", "--root", root, "-ivh", "--nodeps", "--noscripts", "--ignorearch", old)
	config := filepath.Join(root, "etc/license-agent/agent.toml")
	must(t, os.WriteFile(config, []byte("warn_days = 3\n"), 0o644))
	tool(t, "rpm", "--root", root, "-Uvh", "--nodeps", "--noscripts", "--ignorearch", file)
	if b, err := os.ReadFile(config); err != nil || string(b) != "warn_days = 3\n" {
		t.Errorf("the upgrade replaced the configuration: %q %v", b, err)
	}
	tool(t, "rpm", "--root", root, "-e", "--nodeps", "--noscripts", "license-agent")
	must(t, filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		if strings.Contains(filepath.Base(name), "license-agent") && filepath.Dir(name) != filepath.Join(root, "etc") { // the configuration, see above
			t.Errorf("%s is left", name)
		}
		return err
	}))
}

// segments splits an apk, which is several gzip streams one after the other,
// each a piece of one tar archive (Alpine wiki, "Apk spec").
func segments(t *testing.T, b []byte) (raw [][]byte, entries []map[string]*tar.Header, content map[string]string) {
	t.Helper()
	content = map[string]string{}
	rest := bytes.NewReader(b)
	for rest.Len() > 0 {
		start := len(b) - rest.Len()
		z, err := gzip.NewReader(rest) // *bytes.Reader is an io.ByteReader: it is read to the byte
		must(t, err)
		z.Multistream(false)
		plain, err := io.ReadAll(z)
		must(t, err)
		raw = append(raw, b[start:len(b)-rest.Len()])
		heads := map[string]*tar.Header{}
		for r := tar.NewReader(bytes.NewReader(plain)); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			must(t, err)
			heads["/"+strings.TrimSuffix(h.Name, "/")] = h
			if h.Size < 64<<10 {
				c, err := io.ReadAll(r)
				must(t, err)
				content[h.Name] = string(c)
			}
		}
		entries = append(entries, heads)
	}
	return raw, entries, content
}

// signed verifies an apk as apk-tools does: the first stream holds a file whose
// name says by which key, and in it the RSA signature over the SHA-1 digest of the
// whole second stream, the control part (Alpine wiki, "Apk spec"; SHA-1 is the
// format's choice).
func signed(key *rsa.PublicKey, name string, content map[string]string, control []byte) error {
	signature, ok := content[".SIGN.RSA."+name]
	if !ok {
		return fmt.Errorf("no signature by %s", name)
	}
	sum := sha1.Sum(control)
	return rsa.VerifyPKCS1v15(key, crypto.SHA1, sum[:], []byte(signature))
}

func TestAPK(t *testing.T) {
	_, b := packageFile(t, "NEW", "_x86_64.apk")
	raw, entries, content := segments(t, b)
	if len(entries) != 3 {
		t.Fatalf("%d streams, want signature, control and data", len(entries))
	}
	var files []string
	for name := range entries[2] {
		files = append(files, name)
	}
	contains(t, files, append(every(), "/etc/init.d/license-agent"))
	if h := entries[2]["/etc/init.d/license-agent"]; h == nil || h.Mode&0o111 == 0 {
		t.Error("the init script cannot be executed")
	}
	for _, script := range []string{".pre-install", ".post-install", ".pre-upgrade", ".post-upgrade", ".pre-deinstall", ".post-deinstall"} {
		if !strings.Contains(content[script], "\nmain apk ") || entries[1]["/"+script] == nil {
			t.Errorf("%s: %q", script, content[script])
		}
	}
	// The signature covers the control part, and that holds the digest of the data
	// part. The controls: a changed byte of either, and a key that did not sign.
	file := need(t, "E2E_APK_KEY")
	block, _ := pem.Decode(read(t, file))
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	key, name := &private.(*rsa.PrivateKey).PublicKey, strings.TrimSuffix(filepath.Base(file), ".pem")+".rsa.pub"
	if err := signed(key, name, content, raw[1]); err != nil {
		t.Error(err)
	}
	sum := sha256.Sum256(raw[2])
	if info := content[".PKGINFO"]; !strings.Contains(info, "datahash = "+hex.EncodeToString(sum[:])) || !strings.Contains(info, "pkgname = license-agent\n") {
		t.Errorf("%x is not in\n%s", sum, info)
	}
	for i := range raw[1] {
		bad := slices.Clone(raw[1])
		bad[i] ^= 1
		if signed(key, name, content, bad) == nil {
			t.Fatalf("the signature does not see that byte %d of the control part is changed", i)
		}
	}
	bad := slices.Clone(raw[2])
	bad[len(bad)/2] ^= 1
	if sha256.Sum256(bad) == sum {
		t.Error("the digest does not see a changed byte")
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	if signed(&other.PublicKey, name, content, raw[1]) == nil {
		t.Error("another key verifies it")
	}
	_, b = packageFile(t, "OLD", "_x86_64.apk") // built without a key
	if raw, _, content := segments(t, b); len(raw) != 2 || signed(key, name, content, raw[0]) == nil {
		t.Error("a package without a signature passes")
	}
}

// scriptlets are the scripts of a package by stage.
func scriptlets(t *testing.T, kind string) map[string]string {
	t.Helper()
	out := map[string]string{}
	switch kind {
	case "rpm":
		file, _ := packageFile(t, "NEW", ".x86_64.rpm")
		for stage, tag := range map[string]string{"preinstall": "PREIN", "postinstall": "POSTIN", "preremove": "PREUN", "postremove": "POSTUN"} {
			out[stage] = tool(t, "rpm", "-qp", "--qf", "%{"+tag+"}", file)
		}
	case "apk":
		_, b := packageFile(t, "NEW", "_x86_64.apk")
		_, _, content := segments(t, b)
		for stage, name := range map[string]string{
			"preinstall": ".pre-install", "postinstall": ".post-install", "preupgrade": ".pre-upgrade", "postupgrade": ".post-upgrade",
			"preremove": ".pre-deinstall", "postremove": ".post-deinstall",
		} {
			out[stage] = content[name]
		}
	case "deb":
		file, _ := packageFile(t, "NEW", "_amd64.deb")
		dir := t.TempDir()
		tool(t, "dpkg-deb", "-e", file, dir)
		for stage, name := range map[string]string{"preinstall": "preinst", "postinstall": "postinst", "preremove": "prerm", "postremove": "postrm"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			must(t, err)
			out[stage] = string(b)
		}
	}
	return out
}

// rehearse runs a script on a file tree with tools that only write down how
// they were called.
func rehearse(t *testing.T, root, script string, args ...string) (calls []string, said string, err error) {
	t.Helper()
	return rehearseWith(t, root, []string{"systemctl", "systemd-sysusers", "rc-update", "rc-service", "update-rc.d", "userdel", "groupdel", "useradd"}, script, args...)
}

// rehearseWith is rehearse on a system that has these tools. One prints what the
// tree has under /said by its name and first argument.
func rehearseWith(t *testing.T, root string, has []string, script string, args ...string) (calls []string, said string, err error) {
	t.Helper()
	tools := t.TempDir()
	log := filepath.Join(tools, "log")
	for _, name := range has {
		must(t, os.WriteFile(filepath.Join(tools, name), []byte(`#!/bin/sh
echo "$(basename "$0") $*" >>`+log+`
said=$LICENSE_AGENT_ROOT/said/$(basename "$0")-$1
[ ! -e "$said" ] || while read -r line; do echo "$line"; done <"$said"
`), 0o755))
	}
	if program := filepath.Join(root, "usr/bin/license-agent"); !exists(program) {
		must(t, os.MkdirAll(filepath.Dir(program), 0o755))
		must(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	}
	// The tools of this machine must not be reached: the script sees only ours
	// and those that read and remove files.
	for _, name := range []string{"sh", "grep", "cut", "sort", "tail", "rm", "sed", "echo", "basename", "mkdir", "install", "mv", "env"} {
		path, err := exec.LookPath(name)
		must(t, err)
		must(t, os.Symlink(path, filepath.Join(tools, name)))
	}
	script = strings.Replace(script, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PATH="+tools, 1)
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "scriptlet"}, args...)...)
	cmd.Env = []string{"LICENSE_AGENT_ROOT=" + root}
	out, err := cmd.CombinedOutput()
	b, _ := os.ReadFile(log) // no call, no log
	if len(b) > 0 {
		calls = strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	return calls, string(out), err
}

// Every script with every argument that its package manager gives it.
func TestScriptlets(t *testing.T) {
	start := []string{"systemd-sysusers license-agent.conf", "systemctl daemon-reload", "systemctl enable license-agent.socket license-agent.service", "systemctl start license-agent.socket license-agent.service"}
	upgrade := []string{"systemd-sysusers license-agent.conf", "systemctl daemon-reload", "systemctl list-units --plain --no-legend --full license-agent@*.service", "systemctl try-restart license-agent.service"}
	stop := []string{
		"systemctl stop license-agent.socket license-agent.service license-agent@*.socket license-agent@*.service license-agent-user@*.service",
		"systemctl disable license-agent.socket license-agent.service",
	}
	forget := []string{"systemctl daemon-reload", "systemctl reset-failed license-agent.service license-agent.socket license-agent@* license-agent-user@*"}
	for _, c := range []struct {
		kind, stage string
		args        []string
		want        []string
	}{
		{"deb", "preinstall", []string{"install"}, nil},
		{"deb", "preinstall", []string{"install", "1.0.0-1", "1.1.0-1"}, nil},
		{"deb", "preinstall", []string{"upgrade", "1.0.0-1", "1.1.0-1"}, nil},
		{"deb", "preinstall", []string{"abort-upgrade", "1.1.0-1"}, nil},
		{"deb", "postinstall", []string{"configure", ""}, start},
		{"deb", "postinstall", []string{"configure", "1.0.0-1"}, upgrade},
		{"deb", "postinstall", []string{"abort-upgrade", "1.1.0-1"}, nil},
		{"deb", "postinstall", []string{"abort-remove"}, start},
		{"deb", "postinstall", []string{"abort-remove", "in-favour", "x", "1"}, start},
		{"deb", "postinstall", []string{"abort-deconfigure", "in-favour", "x", "1"}, nil},
		{"deb", "postinstall", []string{"triggered", "x"}, nil},
		{"deb", "preremove", []string{"upgrade", "1.1.0-1"}, nil},
		{"deb", "preremove", []string{"failed-upgrade", "1.0.0-1"}, nil},
		{"deb", "preremove", []string{"deconfigure", "in-favour", "x"}, nil},
		{"deb", "preremove", []string{"remove"}, stop},
		{"deb", "preremove", []string{"remove", "in-favour", "x", "1"}, stop},
		{"deb", "postremove", []string{"remove"}, forget},
		{"deb", "postremove", []string{"upgrade", "1.1.0-1"}, nil},
		{"deb", "postremove", []string{"failed-upgrade", "1.0.0-1"}, nil},
		{"deb", "postremove", []string{"abort-install"}, nil},
		{"deb", "postremove", []string{"abort-install", "1.0.0-1", "1.1.0-1"}, nil},
		{"deb", "postremove", []string{"abort-upgrade", "1.0.0-1", "1.1.0-1"}, nil},
		{"deb", "postremove", []string{"disappear", "x", "1"}, nil},
		{"rpm", "preinstall", []string{"1"}, nil},
		{"rpm", "preinstall", []string{"2"}, nil},
		{"rpm", "postinstall", []string{"1"}, start},
		{"rpm", "postinstall", []string{"2"}, upgrade},
		{"rpm", "preremove", []string{"1"}, nil},
		{"rpm", "preremove", []string{"0"}, stop},
		{"rpm", "postremove", []string{"1"}, nil},
		{"rpm", "postremove", []string{"0"}, forget},
		{"apk", "preinstall", []string{"1.1.0-r1"}, nil},
		{"apk", "postinstall", []string{"1.1.0-r1"}, start},
		{"apk", "preupgrade", []string{"1.1.0-r1", "1.0.0-r1"}, nil},
		{"apk", "postupgrade", []string{"1.1.0-r1", "1.0.0-r1"}, upgrade},
		{"apk", "preremove", []string{"1.1.0-r1"}, stop},
		{"apk", "postremove", []string{"1.1.0-r1"}, forget},
	} {
		root := t.TempDir()
		for _, dir := range []string{"run/systemd/system", "run/license-agent", "etc", "var/lib/license-agent", "etc/license-agent"} {
			must(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		}
		must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/:/bin/sh\n"), 0o644))
		calls, said, err := rehearse(t, root, scriptlets(t, c.kind)[c.stage], c.args...)
		if err != nil {
			t.Errorf("%s %s %v: %v %s", c.kind, c.stage, c.args, err, said)
		}
		if diff := cmp.Diff(c.want, calls); diff != "" {
			t.Errorf("%s %s %v: %s", c.kind, c.stage, c.args, diff)
		}
		if _, err := os.Stat(filepath.Join(root, "var/lib/license-agent")); err != nil {
			t.Errorf("%s %s %v removed the licenses", c.kind, c.stage, c.args)
		}
	}
}

// An installation that dpkg gives up, as on a full disk, leaves no mark by which
// a later one would be taken for the first.
func TestAbortedInstallation(t *testing.T) {
	root := t.TempDir()
	lib := filepath.Join(root, "var/lib")
	must(t, os.MkdirAll(lib, 0o755))
	for _, c := range []struct {
		stage, arg string
		left       int
	}{{"preinstall", "install", 1}, {"postremove", "abort-install", 0}} {
		_, said, err := rehearse(t, root, scriptlets(t, "deb")[c.stage], c.arg)
		left, errRead := os.ReadDir(lib)
		must(t, errRead)
		if err != nil || len(left) != c.left {
			t.Errorf("%s %s: %v %s, left %v", c.stage, c.arg, err, said, left)
		}
	}
}

// In an image that is being built nothing runs: the service is enabled only.
func TestScriptletsInAnImage(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "run"), 0o755))
	for _, c := range []struct{ kind, arg string }{{"deb", "configure"}, {"rpm", "1"}} {
		calls, said, err := rehearse(t, root, scriptlets(t, c.kind)["postinstall"], c.arg)
		if err != nil {
			t.Errorf("%v %s", err, said)
		}
		want := []string{"systemd-sysusers license-agent.conf", "systemctl enable license-agent.socket license-agent.service"}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("%s: %s", c.kind, diff)
		}
	}
}

// instancesOfTwo is a machine with the package's own instances and somebody else's.
const instancesOfTwo = "license-agent:x:1:1:License agent:/:/x\nlicense-agent-ours:x:2:2:License agent ours (package):/:/x\nlicense-agent-Ours_2:x:4:4:License agent Ours_2 (package):/:/x\nlicense-agent-theirs:x:3:3:License agent:/:/x\n"

func TestScriptletsRefuseANewerState(t *testing.T) {
	for _, c := range []struct {
		kind, stage string
		args        []string
	}{
		{"deb", "preinstall", []string{"install"}},
		{"deb", "preinstall", []string{"upgrade", "9"}},
		{"rpm", "preinstall", []string{"1"}},
		{"rpm", "preinstall", []string{"2"}},
		{"apk", "preinstall", []string{"1"}},
		{"apk", "preupgrade", []string{"1", "9"}},
		{"apk", "postupgrade", []string{"1", "9"}}, // apk goes on whatever the script before has said
	} {
		// Another vendor's instance has a program of its own, which may be newer.
		for instance, refuses := range map[string]bool{"license-agent": true, "license-agent-ours": true, "license-agent-theirs": false} {
			root := t.TempDir()
			state := filepath.Join(root, "var/lib", instance)
			for _, dir := range []string{state, filepath.Join(root, "run"), filepath.Join(root, "etc")} {
				must(t, os.MkdirAll(dir, 0o755))
			}
			must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(instancesOfTwo), 0o644))
			for schema, newer := range map[string]bool{"1": false, "2": true, "99": true} {
				must(t, os.WriteFile(filepath.Join(state, "state.db"), []byte("\xed\x00license-agent-store "+schema+" 00112233 aabbccdd\x00"), 0o600))
				_, said, err := rehearse(t, root, scriptlets(t, c.kind)[c.stage], c.args...)
				refused := newer && refuses
				if (err != nil) != refused || refused && !strings.Contains(said, "Install the newer version again") {
					t.Errorf("%s %s %v with a state of format %s of %s: %v %s", c.kind, c.stage, c.args, schema, instance, err, said)
				}
			}
		}
	}
}

// Purge removes what belongs to the package and to its instances, with what an
// administrator has added to the units and the profile, and nothing of an instance
// that another vendor's package has made. What is in /run goes before.
func TestPurgeLeavesOtherVendorsAlone(t *testing.T) {
	root := t.TempDir()
	kept := []string{
		"run/license-agent-theirs", "var/lib/license-agent-theirs", "etc/license-agent-theirs", "etc/systemd/system/license-agent-theirs.service.d",
		"etc/systemd/system/license-agent-theirs.socket.d", "etc/apparmor.d/local/other",
	}
	volatile := []string{"run/license-agent", "run/license-agent-ours", "run/license-agent-Ours_2"}
	forgotten := []string{
		"var/lib/license-agent", "var/lib/license-agent-ours", "etc/license-agent", "etc/license-agent-ours", "var/lib/license-agent-Ours_2", "etc/license-agent-Ours_2", "etc/apparmor.d/local/license-agent",
		"etc/apparmor.d/disable/license-agent", "etc/systemd/system/license-agent.service.d", "etc/systemd/system/license-agent.socket.d",
		"etc/systemd/system/license-agent@.service.d", "etc/systemd/system/license-agent@ours.service.d", "etc/systemd/system/license-agent-user@.service.d",
	}
	all := slices.Concat(kept, volatile, forgotten)
	for _, path := range all {
		must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755))
		must(t, os.Mkdir(filepath.Join(root, path), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"), []byte(instancesOfTwo), 0o644))
	for _, c := range []struct {
		arg  string
		left []string
	}{{"remove", slices.Concat(kept, forgotten)}, {"purge", kept}} {
		if _, said, err := rehearse(t, root, scriptlets(t, "deb")["postremove"], c.arg); err != nil {
			t.Fatalf("%s: %v %s", c.arg, err, said)
		}
		for _, path := range all {
			if stays, want := exists(filepath.Join(root, path)), slices.Contains(c.left, path); stays != want {
				t.Errorf("after %s: %s stays %v, want %v", c.arg, path, stays, want)
			}
		}
	}
	// Tools that know no purge say what it would remove, of the same instances.
	for _, kind := range []string{"rpm", "apk"} {
		_, said, err := rehearse(t, root, scriptlets(t, kind)["postremove"], "0")
		if want := " rm -r /var/lib/license-agent /etc/license-agent /var/lib/license-agent-ours /etc/license-agent-ours /var/lib/license-agent-Ours_2 /etc/license-agent-Ours_2\n"; err != nil || !strings.HasSuffix(said, want) {
			t.Errorf("%s: %v %s, want %s", kind, err, said, want)
		}
	}
}
