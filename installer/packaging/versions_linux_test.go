package packaging

import (
	"os/exec"
	"strings"
	"testing"
)

// fromPackages runs lines of bash that have one function of .ci/packages.
func fromPackages(name, lines string, args ...string) (string, error) {
	cmd := exec.Command("bash", append([]string{"-euo", "pipefail", "-c", `. <(sed -n "/^` + name + `() {/,/^}/p" ../../.ci/packages); ` + lines, "test"}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// What comes before a release sorts before it: apt and rpm would else take the
// release for older than its candidate. What Alpine has no word for is refused.
func TestVersionsOfPackages(t *testing.T) {
	for version, want := range map[string]string{
		"1.2.3":                      "1.2.3 1.2.3",
		"1.2.3-rc.1":                 "1.2.3~rc.1 1.2.3_rc1",
		"1.2.3~rc1":                  "1.2.3~rc1 1.2.3_rc1",
		"1.2.3-beta":                 "1.2.3~beta 1.2.3_beta",
		"0.0.0~git20261127.cf6d4b50": "0.0.0~git20261127.cf6d4b50 0.0.0_git20261127", // .ci/release without a tag
		"1.2.3-hotfix":               "", "1.2.3+acme": "", "1.2.3_1": "", "latest": "",
	} {
		got, err := fromPackages("versions", `versions "$1"`, version)
		if want == "" {
			if err == nil || !strings.Contains(got, version) || !strings.Contains(got, "1.2.3-rc.1") {
				t.Errorf("%s: %v %s", version, err, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %v %s, want %s", version, err, got, want)
		}
		deb, _, _ := strings.Cut(got, " ")
		older := exec.Command("dpkg", "--compare-versions", deb+"-1", "lt", "1.2.3-1").Run() == nil
		if older != (version != "1.2.3") {
			t.Errorf("%s: older than 1.2.3: %v", deb, older)
		}
	}
	if exec.Command("dpkg", "--compare-versions", "1.2.3-rc.1-1", "lt", "1.2.3-1").Run() == nil {
		t.Error("the control: a candidate's version as it stands sorts before the release")
	}
}

// A maintainer's name is what was given, whatever sed makes of its letters.
func TestMaintainer(t *testing.T) {
	const name = `Smith & Co | A\B <a@b.example>`
	if got, err := fromPackages("plain", `sed "s|X|$(plain "$1")|" <<<"(X)"`, name); err != nil || got != "("+name+")" {
		t.Errorf("%v %s", err, got)
	}
}
