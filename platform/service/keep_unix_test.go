//go:build !windows

package service

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// store is the manager's side: it receives messages with descriptors.
func store(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "svc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Minute)) // only so that a failure ends
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// What a manager is told, and that the descriptors it gets are the same files.
func TestKeep(t *testing.T) {
	m := store(t)
	k := NewKeeper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := k.Keep("h-1f-2", r, w); err != nil {
		t.Fatal(err)
	}
	text, oob := make([]byte, 256), make([]byte, 256)
	n, on, _, _, err := m.ReadMsgUnix(text, oob)
	if err != nil || string(text[:n]) != "FDSTORE=1\nFDNAME=kept-h-1f-2" {
		t.Fatalf("%q %v", text[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:on])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%v %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 2 {
		t.Fatalf("%v %v", fds, err)
	}
	kept := os.NewFile(uintptr(fds[1]), "kept")
	if _, err := kept.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	kept.Close()
	unix.Close(fds[0])
	b := make([]byte, 2)
	if n, err := r.Read(b); n != 1 || err != nil || b[0] != 'x' {
		t.Errorf("read %d %v", n, err)
	}
	if err := k.Forget("h-1f-2"); err != nil {
		t.Fatal(err)
	}
	if n, _, _, _, err = m.ReadMsgUnix(text, oob); err != nil || string(text[:n]) != "FDSTOREREMOVE=1\nFDNAME=kept-h-1f-2" {
		t.Errorf("%q %v", text[:n], err)
	}
	for _, bad := range []string{"a:b", "a\nFDSTORE=1", "a b", "é"} {
		if err := k.Keep(bad, r); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// A manager that reads nothing holds the agent up for a moment, not for ever.
func TestKeepDoesNotHang(t *testing.T) {
	store(t)
	k := NewKeeper()
	defer k.Close()
	for range 100_000 {
		if err := k.Forget("h-1"); err != nil {
			if !strings.Contains(err.Error(), "keeps nothing") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("the queue of the test never fills, so that nothing was tried")
}

// Where there is no manager, nothing is kept and nothing fails.
func TestNoKeeper(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "none")} {
		t.Setenv("NOTIFY_SOCKET", path)
		k := NewKeeper()
		if k != nil || k.Keep("x", os.Stdin) != nil || k.Forget("x") != nil || k.Close() != nil {
			t.Errorf("%q: %v", path, k)
		}
	}
}
