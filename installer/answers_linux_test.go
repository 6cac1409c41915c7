package installer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/platform/ipc"
)

// script is what an init script does: what runs is a copy of the program, and a
// start is reported whatever becomes of it.
func (w *world) script(verb string) error {
	active := w.at("run/active")
	switch verb {
	case "restart":
		b, err := os.ReadFile(w.at("usr/local/bin/license-agent"))
		return errors.Join(err, os.WriteFile(active, b, 0o644))
	case "stop":
		if err := os.Remove(active); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	_, err := os.Stat(active)
	return err
}

// serves is true of a program that is the one on the disk and not broken.
func (w *world) serves(context.Context) error {
	runs, err := os.ReadFile(w.at("run/active"))
	disk, errDisk := os.ReadFile(w.at("usr/local/bin/license-agent"))
	if err = errors.Join(err, errDisk); err != nil {
		return err
	}
	if !bytes.Equal(runs, disk) {
		return errOther
	}
	if string(runs) == "broken" {
		return ipc.ErrNotRunning
	}
	return nil
}

// Under init scripts, too, a second installation does nothing, a new program is
// started, and one that does not answer is taken back.
func TestScriptsAreNotBelieved(t *testing.T) {
	for _, manager := range []string{"linux-openrc", "unix-systemv"} {
		w := &world{root: image(t)}
		target := w.target(true)
		target.Manager = manager
		const restart = "/etc/init.d/license-agent restart"
		must(t, install(t, target, "one"))
		w.calls = nil
		must(t, install(t, target, "one"))
		if slices.Contains(w.calls, restart) {
			t.Errorf("%s: a whole installation was restarted", manager)
		}
		must(t, install(t, target, "two"))
		if !slices.Contains(w.calls, restart) {
			t.Errorf("%s: the new program was not started", manager)
		}
		before := tree(t, w.root)
		p, err := target.Upgrade([]byte("broken"))
		must(t, err)
		err = p.Apply(t.Context(), nobody)
		if !errors.Is(err, ErrSilent) || !errors.Is(err, ErrUndone) || !strings.Contains(err.Error(), "/var/log/license-agent.log") {
			t.Errorf("%s: %v", manager, err)
		}
		if diff := cmp.Diff(before, tree(t, w.root)); diff != "" {
			t.Errorf("%s: %s", manager, diff)
		}
	}
}

// An answer counts when it comes from a process of the very program.
func TestAnswers(t *testing.T) {
	dir := t.TempDir()
	socket, other := filepath.Join(dir, "agent.sock"), filepath.Join(dir, "other")
	self, err := os.Executable()
	must(t, err)
	must(t, os.WriteFile(other, nil, 0o755))
	if err := answers(t.Context(), socket, self); !errors.Is(err, ipc.ErrNotRunning) {
		t.Errorf("nobody: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ; first = false {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 512)) //nolint:errcheck // the caller may have gone
			if !first {               // to which it says nothing
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n") //nolint:errcheck // as above
			}
			c.Close() //nolint:errcheck // as above
		}
	}()
	if err := answers(t.Context(), socket, self); err == nil {
		t.Error("a connection counts as an answer")
	}
	if err := answers(t.Context(), socket, self); err != nil {
		t.Error(err)
	}
	if err := answers(t.Context(), socket, other); !errors.Is(err, errOther) {
		t.Errorf("another program: %v", err)
	}
	must(t, l.Close())
	<-ended
	if err := answers(t.Context(), socket, self); !errors.Is(err, ipc.ErrNotRunning) {
		t.Errorf("a socket that was left: %v", err)
	}
}
