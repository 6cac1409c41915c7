//go:build vm

package vm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// answer is what `license-agent fingerprint --output json` prints.
type answer struct {
	Fingerprint string                  `json:"fingerprint"`
	Components  []fingerprint.Component `json:"components"`
	Environment fingerprint.Environment `json:"environment"`

	took int // milliseconds of the whole command
}

func (a answer) device() fingerprint.Device {
	d := fingerprint.Device{Env: a.Environment}
	for _, c := range a.Components {
		switch c.Kind {
		case fingerprint.MAC:
			d.MAC = c
		case fingerprint.Disk:
			d.Disk = c
		case fingerprint.Board:
			d.Board = c
		case fingerprint.CPU:
			d.CPU = c
		}
	}
	return d
}

// TestMachines boots every machine of MACHINES (default: machines/) and holds
// the agent's answer against the file. VM_CACHE names the folder that
// .ci/vm prepared: kernel.ARCH, initramfs.ARCH.
func TestMachines(t *testing.T) {
	dir := os.Getenv("MACHINES")
	if dir == "" {
		dir = "machines"
	}
	cache := os.Getenv("VM_CACHE")
	if cache == "" {
		t.Fatal("VM_CACHE is not set: run these tests by `make vm`")
	}
	machines := loadMachines(t, dir)
	slowest := answer{}
	timed := func(a answer) answer {
		if a.took > slowest.took {
			slowest = a
		}
		return a
	}
	for _, name := range slices.Sorted(mapsKeys(machines)) {
		m := machines[name]
		t.Run(name, func(t *testing.T) {
			first := timed(boot(t, cache, m.Arch, m.hardware))
			compare(t, "first boot", m.Expect, first)
			if m.Second == nil {
				return
			}
			h, err := m.changed()
			if err != nil {
				t.Fatal(err)
			}
			after := timed(boot(t, cache, m.Arch, h))
			compare(t, "second boot", m.Second.Expect, after)
			judge(t, m, first.device(), after.device())
		})
	}
	// Wanted is at most a second on the slowest machine. A busy host must not
	// fail the test, so this is a figure to read.
	t.Logf("%d machines; the slowest needed %d ms for the whole command: %s", len(machines), slowest.took, slowest.Fingerprint)
}

func mapsKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func compare(t *testing.T, when string, want expectation, got answer) {
	t.Helper()
	if got.Fingerprint != want.String {
		t.Errorf("%s: fingerprint\n got %s\nwant %s", when, got.Fingerprint, want.String)
	}
	for _, c := range got.Components {
		if w, ok := want.States[string(c.Kind)]; ok && string(c.State) != w {
			t.Errorf("%s: %s is %s (%s), want %s", when, c.Kind, c.State, c.Reason, w)
		}
	}
}

// judge enrols the first boot under the default policy and lets Decide speak
// about the second, on a license that is otherwise in the best of health.
func judge(t *testing.T, m machine, enrolled, now fingerprint.Device) {
	t.Helper()
	policy, err := fingerprint.Preset("balanced")
	if err != nil {
		t.Fatal(err)
	}
	cmp := fingerprint.Compare(policy, fingerprint.Enroll(bytes.Repeat([]byte{7}, 32), enrolled), now)
	const at = 1_800_000_000
	v := activation.Decide(activation.Inputs{
		Now: at, Contact: at, Warn: 86400, Comparison: cmp,
		License: &license.Claims{V: 1, NotBefore: at - 10, IssuedAt: at - 10, Expires: license.NoEnd, RenewBy: at + 30*86400, GraceUntil: at + 60*86400},
	})
	var flags []string
	for _, f := range v.Flags {
		flags = append(flags, string(f))
	}
	want := m.Second.Verdict
	if string(cmp.Outcome) != want.Outcome || string(v.Phase) != want.Phase || !slices.Equal(flags, want.Flags) {
		t.Errorf("verdict: outcome %s phase %s flags %v, want %s %s %v\n%s", cmp.Outcome, v.Phase, flags, want.Outcome, want.Phase, want.Flags, cmp.Why)
	}
	t.Logf("verdict %s %v (%d of %d points): %s", v.Phase, flags, cmp.Matched, cmp.Available, cmp.Why)
}

// boot runs one machine to its end. A boot whose end mark never comes is
// retried once and counted: software emulation loses one now and then. A wrong
// value is never retried.
func boot(t *testing.T, cache, arch string, h hardware) answer {
	t.Helper()
	for try := 1; ; try++ {
		a, err := bootOnce(t, cache, arch, h)
		if err == nil {
			return a
		}
		if try == 2 {
			t.Fatal(err)
		}
		t.Logf("boot retried: %v", err)
	}
}

func bootOnce(t *testing.T, cache, arch string, h hardware) (answer, error) {
	t.Helper()
	dir := t.TempDir()
	ramdisk, err := initramfs(cache, arch, dir, h)
	if err != nil {
		return answer{}, err
	}
	args, err := h.arguments(arch, dir)
	if err != nil {
		return answer{}, err
	}
	console := map[string]string{"amd64": "ttyS0", "arm64": "ttyAMA0"}[arch]
	args = append(args, "-kernel", filepath.Join(cache, "kernel."+arch), "-initrd", ramdisk,
		"-append", "console="+console+" quiet panic=-1 no_timer_check net.ifnames=0")
	qemu := map[string]string{"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}[arch]
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, qemu, args...).CombinedOutput()
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w\n%s", qemu, err, tail(out))
	}
	mark := regexp.MustCompile(`(?s)@@FP@@([A-Za-z0-9+/=]+)@@END@@ took (\d+) ms`).FindSubmatch(out)
	if mark == nil {
		return answer{}, fmt.Errorf("the machine said nothing between its marks:\n%s", tail(out))
	}
	raw, err := base64.StdEncoding.DecodeString(string(mark[1]))
	if err != nil {
		return answer{}, fmt.Errorf("console corrupted: %w", err)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatalf("license-agent fingerprint --output json: %v\n%s", err, raw)
	}
	if a.took, err = strconv.Atoi(string(mark[2])); err != nil {
		return answer{}, fmt.Errorf("console corrupted: %w", err)
	}
	t.Logf("took %d ms; %s", a.took, a.Fingerprint)
	return a, nil
}

func tail(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// initramfs is the prepared archive followed by a second one with the order:
// the kernel unpacks concatenated archives one after the other.
func initramfs(cache, arch, dir string, h hardware) (string, error) {
	base, err := os.ReadFile(filepath.Join(cache, "initramfs."+arch))
	if err != nil {
		return "", err
	}
	user := h.User
	if user == "" {
		user = "root"
	}
	disks := 0
	for _, d := range h.Disks {
		disks += max(d.Namespaces, 1)
	}
	order, err := json.Marshal(map[string]any{"user": user, "disks": disks, "nics": len(h.NICs), "links": h.Links})
	if err != nil {
		return "", err
	}
	var buf bytes.Buffer
	buf.Write(base)
	for buf.Len()%4 != 0 {
		buf.WriteByte(0)
	}
	cpio(&buf, "order.json", order)
	cpio(&buf, "TRAILER!!!", nil)
	f := filepath.Join(dir, "initramfs")
	return f, os.WriteFile(f, buf.Bytes(), 0o600)
}

// cpio appends one regular file in the "newc" form (cpio(5)).
func cpio(w *bytes.Buffer, name string, data []byte) {
	pad := func(n int) {
		for ; n%4 != 0; n++ {
			w.WriteByte(0)
		}
	}
	fields := []int{0, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0}
	w.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(w, "%08x", f)
	}
	w.WriteString(name)
	w.WriteByte(0)
	pad(110 + len(name) + 1)
	w.Write(data)
	pad(len(data))
}
