package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"licenseagent.example/installer/bundle/manifest"
)

// The scripts, and what the builder writes for names that want to be more than
// names, as a shell reads them.
func TestShellcheck(t *testing.T) {
	path, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Fatal("this test needs shellcheck")
	}
	name := `it's "$(touch /tmp/x)" a\b`
	settings := filepath.Join(t.TempDir(), "settings.sh")
	m := manifest.Manifest{Name: name, Software: manifest.Software(name), Version: "1", Instance: "acme-x", Issuer: "acme"}
	check(t, os.WriteFile(settings, []byte(shell(m, []string{"a b'c", "$HOME", "--x=`id`"})), 0o644))
	out, err := exec.Command(path, "-s", "sh", settings, "files/stage.sh", "files/lifecycle.sh").CombinedOutput()
	if err != nil {
		t.Errorf("%s", out)
	}
	said, err := exec.Command("/bin/sh", "-c", `. "$1"; printf '%s\n' "$name" "$software"; start_command printf '<%s>\n'`, "sh", settings).CombinedOutput()
	want := name + "\n" + m.Software + "\n<./a b'c>\n<$HOME>\n<--x=`id`>\n"
	if err != nil || string(said) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, said, want)
	}
}
