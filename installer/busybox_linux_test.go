package installer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// applet is what busybox 1.35 does with these, as TestBusybox sees it do.
func (w *world) applet(argv []string) error {
	if !w.shell {
		return fmt.Errorf("%v: Debian's adduser is another program", argv)
	}
	name := argv[len(argv)-1]
	has := func(file string) bool {
		b, err := os.ReadFile(w.at(file))
		return err == nil && strings.Contains("\n"+string(b), "\n"+name+":")
	}
	switch line := strings.Join(argv[:len(argv)-1], " "); {
	case line == "addgroup -S" && !has("etc/group"):
		return w.line("etc/group", name, true)
	case line == "adduser -S -D -H -h / -s /sbin/nologin -g License agent -G "+name && has("etc/group") && !has("etc/passwd"):
		return w.line("etc/passwd", name, true)
	case line == "deluser" && has("etc/passwd"): // and the group of this name
		return errors.Join(w.line("etc/passwd", name, false), w.line("etc/group", name, false))
	case line == "delgroup" && has("etc/group"):
		return w.line("etc/group", name, false)
	}
	return fmt.Errorf("%v: in use, unknown, or not an option of busybox", argv)
}

// On a system that has busybox's tools for accounts only, such as a plain Alpine,
// the user and the administrators' group are made, taken back and removed by those;
// in an image inside it.
func TestBusyboxAccounts(t *testing.T) {
	for _, live := range []bool{true, false} {
		w := &world{root: image(t), shell: true}
		before := tree(t, w.root)
		target := w.target(live)
		target.Manager = "linux-openrc"

		// Its last command but one fails: everything is taken back.
		w.fail = "chroot " + w.root + " rc-update add"
		if live {
			w.fail = "rc-update add"
		}
		if err := install(t, target, "one"); !errors.Is(err, ErrUndone) {
			t.Errorf("live %v: %v", live, err)
		}
		if diff := cmp.Diff(before, tree(t, w.root)); diff != "" {
			t.Errorf("live %v: %s", live, diff)
		}

		w.fail = ""
		must(t, w.line("etc/group", "license-agent", true)) // of a run that was cut off
		must(t, install(t, target, "one"))
		for file, names := range map[string][]string{"etc/passwd": {"license-agent"}, "etc/group": {"license-agent", admins}} {
			for _, name := range names {
				if there, err := target.account("/"+file, name); !there || err != nil {
					t.Errorf("live %v: no %s in %s: %v", live, name, file, err)
				}
			}
		}
		w.calls = nil
		must(t, install(t, target, "one"))
		if i := slices.IndexFunc(w.calls, func(c string) bool { return strings.Contains(c, "add") && !strings.Contains(c, "rc-update") }); i >= 0 {
			t.Errorf("live %v: again: %s", live, w.calls[i])
		}
		must(t, uninstall(t, target, true))
		for p, text := range tree(t, w.root) {
			if strings.Contains(p, "license") || strings.Contains(text, "license-a") {
				t.Errorf("live %v: %s is left: %s", live, p, text)
			}
		}
	}
}

// Whatever is done for an image is done inside it: the machine on which it is built
// gets no user and no service.
func TestNothingOutsideTheImage(t *testing.T) {
	for _, manager := range []string{"linux-systemd", "linux-openrc", "unix-systemv"} {
		w := &world{root: image(t)}
		target := w.target(false)
		target.Manager = manager
		must(t, install(t, target, "one"))
		must(t, uninstall(t, target, true))
		for _, c := range w.calls {
			if !strings.Contains(c, w.root) {
				t.Errorf("%s: %s", manager, c)
			}
		}
		if len(w.calls) < 4 {
			t.Errorf("%s: %v", manager, w.calls)
		}
	}
}
