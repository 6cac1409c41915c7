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
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// turned is what the guest said after one step.
type turned struct {
	Name   string     `json:"name"`
	Boot   int64      `json:"boot"`
	Wall   int64      `json:"wall"`
	Status api.Status `json:"status"`
}

func (s turned) verdict(t *testing.T) api.Verdict {
	t.Helper()
	if len(s.Status.Licenses) != 1 {
		t.Fatalf("%s: %d licenses", s.Name, len(s.Status.Licenses))
	}
	return s.Status.Licenses[0].Verdict
}

// TestClock plays with the real clock of a machine (P20, P21): what a license
// may run for is counted whatever the wall clock says, and a wrong date in the
// future is not for good.
func TestClock(t *testing.T) {
	cache := os.Getenv("VM_CACHE")
	if cache == "" {
		t.Fatal("VM_CACHE is not set: run these tests by `make vm`")
	}
	const day = 86400
	// A status answer may be a second old, so each step lasts a little longer.
	steps := []map[string]any{
		{"name": "a month back", "shift": -30 * day, "freeze": 2},
		{"name": "held for 20 seconds", "freeze": 20},
		{"name": "two months back over kill -9", "shift": -60 * day, "freeze": 2, "kill": true},
		{"name": "held again", "freeze": 20},
		{"name": "put right", "shift": 90*day + 44, "freeze": 2},
		{"name": "40 days ahead", "shift": 40 * day, "freeze": 2},
		{"name": "put right again", "shift": -40 * day, "freeze": 2},
	}
	said := attack(t, cache, 0, steps)
	if len(said) != len(steps)+1 {
		t.Fatalf("the machine told of %d steps, want %d", len(said), len(steps)+1)
	}
	first, gain, stood := said[0], int64(0), int64(0)
	for i, s := range said {
		v := s.verdict(t)
		counted, passed := s.Status.Time-first.Status.Time, s.Boot-first.Boot
		t.Logf("%-30s wall %s, %3d s passed, %d s counted: %s %v", s.Name, time.Unix(s.Wall, 0).UTC().Format(time.DateTime), passed, counted, v.Phase, v.Flags)
		if ahead := s.Name == "40 days ahead"; v.Runs == ahead {
			t.Errorf("%s: runs is %v (%s)", s.Name, v.Runs, v.Reason)
		}
		gain = max(gain, passed-counted)
		if i > 0 && s.Status.Time < said[i-1].Status.Time && s.Name != "put right again" {
			t.Errorf("%s: the time of the agent went back by %d s", s.Name, said[i-1].Status.Time-s.Status.Time)
		}
		if s.Name == "held for 20 seconds" || s.Name == "held again" {
			stood += s.Boot - said[i-1].Boot - (s.Wall - said[i-1].Wall)
		}
	}
	if gain > 600 {
		t.Errorf("%d seconds were gained, at most 600 may be", gain)
	}
	if stood < 30 {
		t.Errorf("control: the wall clock was held for %d seconds only", stood)
	}
	promise.Reached(t, "P20", fmt.Sprintf("real clock of a virtual machine: set back by 30 and 60 days, held, over kill -9: at most %d s gained", max(gain, 0)),
		fmt.Sprintf("the wall clock itself lost %d days and %d s", (first.Wall-said[3].Wall)/day, stood))
	end := said[len(said)-1].verdict(t).GraceUntil
	kept, lost := replayed(said)
	if off := kept - said[len(said)-1].Status.Time; off < -60 || off > 60 || kept >= end {
		t.Errorf("the same readings of the clocks through the time rule end %d s off the agent's, %d s before the end of grace", off, end-kept)
	}
	if lost < end {
		t.Errorf("control: a mark that believes every clock ends %d s before the end of grace: the license would run", end-lost)
	}
	promise.Reached(t, "P21", "real clock of a virtual machine: 40 days ahead the license has ended, with the clock put right it runs again",
		fmt.Sprintf("the same readings of its clocks to a mark that believes every clock: with the clock put right it still stands %d days after the end of grace", (lost-end)/day))
}

// replayed gives the readings of the machine's clocks to the time rule, and to
// one without its defence, a mark that only rises, and returns what both believe
// in the end.
func replayed(said []turned) (kept, mark int64) {
	var s activation.ClockState
	for _, one := range said {
		r := activation.Reading{Wall: one.Wall, Boot: one.Boot, BootID: "one boot"}
		s = s.Tick(r)
		kept, _ = s.Believe(r)
		mark = max(mark, one.Wall)
	}
	return kept, mark
}

// TestWrongDate starts the agent on a machine whose date is seventy years ahead
// (P21), which is more than its hardware clock can hold: the agent believes it, because it knows nothing better, and goes on
// believing it when the operator has put the date right. One contact heals it.
func TestWrongDate(t *testing.T) {
	cache := os.Getenv("VM_CACHE")
	if cache == "" {
		t.Fatal("VM_CACHE is not set: run these tests by `make vm`")
	}
	const seventy = 70*365*86400 + 18*86400 // 18 leap days from 2026 to 2096
	said := attack(t, cache, seventy, []map[string]any{{"name": "a little later", "freeze": 2}})
	if len(said) != 4 {
		t.Fatalf("the machine told of %d steps, want 4", len(said))
	}
	for _, s := range said {
		t.Logf("%-30s wall %s, believed %s", s.Name, time.Unix(s.Wall, 0).UTC().Format(time.DateTime), time.Unix(s.Status.Time, 0).UTC().Format(time.DateTime))
	}
	before, after, later := said[1], said[2], said[3]
	stuck := before.Status.Time - before.Wall
	if stuck < seventy/2 {
		t.Errorf("control: without a contact the agent is %d s ahead only: the wrong date was never believed", stuck)
	}
	for _, s := range []turned{after, later} {
		if off := s.Status.Time - s.Wall; off < -60 || off > 60 {
			t.Errorf("%s: the agent is %d s off", s.Name, off)
		}
		if v := s.verdict(t); !v.Runs {
			t.Errorf("%s: %s (%s)", s.Name, v.Phase, v.Reason)
		}
	}
	promise.Reached(t, "P21", fmt.Sprintf("real clock of a virtual machine 70 years ahead at the first start, put right, then one contact: the agent is %d s off and the license runs", after.Status.Time-after.Wall),
		fmt.Sprintf("before the contact it is %d years ahead", stuck/(365*86400)))
}

// attack boots a machine with the vendor's service on board. wrong is how far
// its date is ahead when the agent starts for the first time.
func attack(t *testing.T, cache string, wrong int64, steps []map[string]any) []turned {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "license-merchant"), "../../../activation/cmd/license-merchant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("license-merchant cannot be built: %v\n%s", err, out)
	}
	h := loadMachines(t, "machines")["server"].hardware
	ramdisk, err := initramfs(cache, "amd64", dir, h)
	must(t, err)
	must(t, extend(ramdisk, filepath.Join(dir, "license-merchant"), map[string]any{"user": "root", "clock": steps, "wrong": wrong}))
	args, err := h.arguments("amd64", dir)
	must(t, err)
	args = append(args, "-m", "768", "-rtc", "base=2026-06-01T00:00:00", "-kernel", filepath.Join(cache, "kernel.amd64"), "-initrd", ramdisk,
		"-append", "console=ttyS0 quiet panic=-1 no_timer_check net.ifnames=0")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", args...).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("@@FAIL@@")) {
		t.Fatalf("qemu: %v\n%s", err, tail(out))
	}
	var said []turned
	for _, m := range regexp.MustCompile(`@@CLOCK@@([A-Za-z0-9+/=]+)@@END@@`).FindAllSubmatch(out, -1) {
		b, err := base64.StdEncoding.DecodeString(string(m[1]))
		must(t, err)
		var s turned
		must(t, json.Unmarshal(b, &s))
		said = append(said, s)
	}
	if !slices.ContainsFunc(said, func(s turned) bool { return s.Name == "activated" }) {
		t.Fatalf("nothing was activated:\n%s", tail(out))
	}
	return said
}

// extend appends another archive with the program and the order.
func extend(ramdisk, program string, order any) error {
	text, err := json.Marshal(order)
	if err != nil {
		return err
	}
	bin, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	base, err := os.ReadFile(ramdisk)
	if err != nil {
		return err
	}
	buf := bytes.NewBuffer(base)
	for buf.Len()%4 != 0 {
		buf.WriteByte(0)
	}
	more := &bytes.Buffer{}
	cpio(more, "order.json", text)
	cpio(more, "license-merchant", bin)
	cpio(more, "TRAILER!!!", nil)
	buf.Write(more.Bytes())
	return os.WriteFile(ramdisk, buf.Bytes(), 0o600)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
