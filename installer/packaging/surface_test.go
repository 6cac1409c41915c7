package packaging

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"licenseagent.example/docs/surface"
)

// shipped lists what the description of the packages installs, of all kinds of
// package together.
func shipped(t *testing.T, description string) (list []surface.Entry) {
	t.Helper()
	for _, kind := range []string{"@SYSTEMD@", "@SYSV@", "@OPENRC@", "@SIGN@"} {
		description = strings.ReplaceAll(description, "\n"+kind, "\n")
	}
	var d struct {
		Contents []struct {
			Src, Dst, Type string
			Info           struct{ Mode uint32 } `yaml:"file_info"`
		}
	}
	if err := yaml.Unmarshal([]byte(description), &d); err != nil {
		t.Fatal(err)
	}
	for _, c := range d.Contents {
		kind, name := "", strings.ReplaceAll(c.Dst, "${UNITS}", "/usr/lib/systemd/system")
		switch {
		case c.Type == "dir":
			kind = "d"
		case strings.HasSuffix(c.Src, "/"): // all that lies there
			name = path.Join(name, "*")
		}
		mode := fmt.Sprintf("%s%04o", kind, c.Info.Mode)
		if zsh, ok := strings.CutPrefix(name, "${ZSH}/"); ok { // .ci/packages: the deb, and the others
			list = append(list, surface.Entry{Name: "/usr/share/zsh/vendor-completions/" + zsh, Mode: mode})
			name = "/usr/share/zsh/site-functions/" + zsh
		}
		list = append(list, surface.Entry{Name: name, Mode: mode})
	}
	return list
}

// Everything that the packages install is listed in ATTACK_SURFACE.md with its
// exact permission, and nothing else is. The control is a file that others may
// write and one that is not listed.
func TestPackagesInstallWhatIsListed(t *testing.T) {
	b, err := os.ReadFile("nfpm/nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compare := func(description string) []string {
		wrong, err := surface.Compare("../../platform/ATTACK_SURFACE.md", "### What lies where: the packages", shipped(t, description))
		if err != nil {
			t.Fatal(err)
		}
		return wrong
	}
	if wrong := compare(string(b)); len(wrong) > 0 {
		t.Errorf("against ATTACK_SURFACE.md: %q", wrong)
	}
	bad := strings.Replace(string(b), "license-agent.conf, file_info: {mode: 0644}", "license-agent.conf, file_info: {mode: 0666}", 1)
	bad = strings.Replace(bad, "contents:\n", "contents:\n  - {dst: /etc/cron.d/license-agent, file_info: {mode: 0644}}\n", 1)
	want := []string{"listed, and nothing has it: /usr/lib/sysusers.d/license-agent.conf", "not listed like this: /etc/cron.d/license-agent 0644", "not listed like this: /usr/lib/sysusers.d/license-agent.conf 0666"}
	if wrong := compare(bad); !slices.Equal(wrong, want) {
		t.Errorf("control: %q", wrong)
	}
}
