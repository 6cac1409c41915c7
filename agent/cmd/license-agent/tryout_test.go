//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the page for vendors says under "Trying it out" is a script that works as
// it stands there, with the real programs.
func TestTryingItOut(t *testing.T) {
	const page, heading = "../../../activation/koogallery/README.md", "\n## Trying it out\n"
	_, text, ok := strings.Cut(string(value(os.ReadFile(page))(t)), heading)
	if !ok {
		t.Fatalf("%s has no %q", page, heading)
	}
	var script strings.Builder
	for line := range strings.Lines(text) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(code)
		}
	}
	dir, bin := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "license-merchant"), "../../../activation/cmd/license-merchant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("license-merchant cannot be built: %v\n%s", err, out)
	}
	table := filepath.Join(dir, "smbios.bin")
	check0(t, os.WriteFile(table, smbios("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The jobs of a script are in the group of its shell, and outlive it.
	run := func(script string) (out string) {
		t.Helper()
		log := value(os.Create(filepath.Join(dir, "log")))(t)
		defer log.Close() //nolint:errcheck // it was read
		sh := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
		sh.Dir, sh.Stdout, sh.Stderr = dir, log, log
		sh.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		sh.Env = []string{
			"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C", "LICENSE_AGENT_SMBIOS_FILE=" + table,
			"LICENSE_MERCHANT_LISTEN=127.0.0.1:0", // 8443 may be taken here
		}
		check0(t, sh.Start())
		t.Cleanup(func() {
			for range 200 { // they are nobody's children: no Wait says that they write no more
				if syscall.Kill(-sh.Process.Pid, syscall.SIGKILL) != nil {
					return
				}
				pause()
			}
		})
		err := sh.Wait()
		out = string(value(os.ReadFile(log.Name()))(t))
		if err != nil {
			t.Fatalf("%v\n%s\nsays\n%s", err, script, out)
		}
		return out
	}
	out := run(script.String())
	if !strings.Contains(out, "suspended") {
		t.Errorf("the frozen code is not said to be suspended:\n%s", out)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "license-merchant", "*.sock")); err != nil || len(left) != 1 {
		t.Fatalf("the service is gone: %v %v", left, err)
	}
	out = run(`for do in unfreeze renew release show; do license-merchant koogallery simulated $do --code-file code.txt; done`)
	if !strings.Contains(out, "released") {
		t.Errorf("the rest of the list:\n%s", out)
	}
}
