//go:build wine && linux

package store

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// P07 on the Windows program: FlushFileBuffers fails because the fsync that Wine
// makes of it does. STORE_WINDOWS is these tests as a Windows program, STORE_WINE
// the command that runs one; .ci/wine sets both.
func TestFailedSyncOnWindows(t *testing.T) {
	program, wine := os.Getenv("STORE_WINDOWS"), os.Getenv("STORE_WINE")
	if program == "" || wine == "" {
		t.Fatal("STORE_WINDOWS and STORE_WINE are not set: run .ci/wine")
	}
	failedSyncs(t, func(t *testing.T, c spec, strace []string, fault string) ([]byte, error) {
		t.Helper()
		linux := c.Dir
		c.Dir = "Z:" + strings.ReplaceAll(c.Dir, "/", `\`)
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		argv := append(strace, "-e", "trace=fsync", "-e", "inject=fsync:"+fault, wine, program, "store-child", string(b))
		out, err := exec.Command(argv[0], argv[1:]...).Output()
		private(t, linux)
		return out, err
	})
}

// private gives a folder the modes that the agent asks for on Linux: Wine makes
// them of an access list as well as it can.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return os.Chmod(p, 0o600)
	})
	if err != nil {
		t.Error(err)
	}
}
