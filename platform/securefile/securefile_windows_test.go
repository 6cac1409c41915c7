package securefile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// What is created private has a protected list of three accounts, from the
// first instant, whatever the directory above hands down.
func TestCreatedListIsPrivate(t *testing.T) {
	d := private(t)
	if err := d.WriteFile("f", []byte("x"), PrivateFile); err != nil {
		t.Fatal(err)
	}
	self, err := accountSID()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []bool{true, false} {
		sa, err := attributes(false, dir)
		if err != nil {
			t.Fatal(err)
		}
		text := sa.SecurityDescriptor.String()
		if !strings.HasPrefix(text, "D:P(") || strings.Count(text, "(") != 3 {
			t.Errorf("list %s", text)
		}
		if !strings.Contains(text, self) && !strings.Contains(text, ";SY)") {
			t.Errorf("list %s lacks %s", text, self)
		}
		if strings.Contains(text, "OICI") != dir {
			t.Errorf("inheritance: %s", text)
		}
	}
	sa, err := attributes(true, false)
	if err != nil {
		t.Fatal(err)
	}
	if text := sa.SecurityDescriptor.String(); !strings.Contains(text, "0x1200a9;;;BU)") {
		t.Errorf("public list %s", text)
	}
}

// A directory made by a program that did not think of permissions is refused as
// private.
func TestOrdinaryDirectoryIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plain")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	everyone := "D:P(A;OICI;FA;;;WD)"
	sd, err := windows.SecurityDescriptorFromString(everyone)
	if err != nil {
		t.Fatal(err)
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		t.Fatal(err)
	}
	if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, dacl, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "S-1-1-0") {
		t.Errorf("Open = %v", err)
	}
	if _, err := OpenPublic(path); !errors.Is(err, ErrMode) {
		t.Errorf("OpenPublic = %v", err)
	}
}

func TestHardLinkIsRefused(t *testing.T) {
	d := private(t)
	if err := d.WriteFile("f", nil, PrivateFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(d.Path(), "f"), filepath.Join(d.Path(), "g")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadFile("f", 10); !errors.Is(err, ErrHardLink) {
		t.Errorf("%v", err)
	}
}

// A virus scanner holds a file for a while: the operation is repeated, for two
// seconds and not longer, and other errors are reported at once.
func TestRetry(t *testing.T) {
	for _, test := range []struct {
		name      string
		err       error
		busyCalls int
		calls     int
		want      error
	}{
		{"free", nil, 0, 1, nil},
		{"held for three attempts", windows.ERROR_SHARING_VIOLATION, 3, 4, nil},
		{"waiting to be deleted", windows.ERROR_ACCESS_DENIED, 2, 3, nil},
		{"mapped", windows.ERROR_USER_MAPPED_FILE, 1, 2, nil},
		{"locked", windows.ERROR_LOCK_VIOLATION, 1, 2, nil},
		{"held for ever", windows.ERROR_SHARING_VIOLATION, 1000, 101, windows.ERROR_SHARING_VIOLATION},
		{"another error", windows.ERROR_DISK_FULL, 1000, 1, windows.ERROR_DISK_FULL},
	} {
		calls, slept := 0, time.Duration(0)
		err := retryFor(patience, patience/100, func(d time.Duration) { slept += d }, func() error {
			if calls++; calls <= test.busyCalls {
				return &os.PathError{Op: "open", Path: "x", Err: test.err}
			}
			return nil
		})
		if !errors.Is(err, test.want) || calls != test.calls || slept > patience {
			t.Errorf("%s: %v after %d calls and %v", test.name, err, calls, slept)
		}
	}
}

// The same with a real file that another handle keeps from being opened.
func TestHeldFileIsOpenedWhenReleased(t *testing.T) {
	d := private(t)
	if err := d.WriteFile("f", []byte("x"), PrivateFile); err != nil {
		t.Fatal(err)
	}
	name, err := windows.UTF16PtrFromString(filepath.Join(d.Path(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	attempts := 0
	f, err := os.OpenFile(filepath.Join(d.Path(), "f"), os.O_RDONLY, 0)
	if !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		t.Fatalf("held: %v, %v", f, err)
	}
	err = retryFor(patience, patience/100, func(time.Duration) {
		if attempts++; attempts == 2 {
			windows.CloseHandle(h)
		}
	}, func() error {
		_, err := d.ReadFile("f", 10)
		return err
	})
	if err != nil {
		t.Errorf("after the release: %v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	d := private(t)
	first, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "--instance") {
		t.Errorf("second: %v", err)
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	third, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	third.Unlock()
}
