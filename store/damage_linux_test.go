package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
)

// damage is one kind of damage to a file of pages.
type damage struct {
	kind string
	do   func(b []byte, rnd *rand.Rand) []byte
}

func damages() []damage {
	page := func(b []byte, i int) []byte { return b[i*testPage : (i+1)*testPage] }
	any := func(b []byte, rnd *rand.Rand) int { return rnd.IntN(len(b) / testPage) }
	garbage := func(b []byte, rnd *rand.Rand) {
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
	}
	return []damage{
		{"truncate", func(b []byte, rnd *rand.Rand) []byte { return b[:rnd.IntN(len(b))] }},
		{"bit flip", func(b []byte, rnd *rand.Rand) []byte { b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8); return b }},
		{"zero page", func(b []byte, rnd *rand.Rand) []byte { clear(page(b, any(b, rnd))); return b }},
		{"garbage page", func(b []byte, rnd *rand.Rand) []byte { garbage(page(b, any(b, rnd)), rnd); return b }},
		{"swapped pages", func(b []byte, rnd *rand.Rand) []byte {
			x, y := page(b, any(b, rnd)), page(b, any(b, rnd))
			keep := slices.Clone(x)
			copy(x, y)
			copy(y, keep)
			return b
		}},
		{"torn sector", func(b []byte, rnd *rand.Rand) []byte {
			at := rnd.IntN(len(b)/sector) * sector
			garbage(b[at:at+sector], rnd)
			return b
		}},
		{"one meta", func(b []byte, rnd *rand.Rand) []byte { garbage(page(b, rnd.IntN(2))[:80], rnd); return b }},
		{"both metas", func(b []byte, rnd *rand.Rand) []byte {
			garbage(page(b, 0)[:80], rnd)
			garbage(page(b, 1)[:80], rnd)
			return b
		}},
		{"16 bytes", func(b []byte, rnd *rand.Rand) []byte {
			// In the head of a page, where structure is: elsewhere it is the bit flip again.
			at := any(b, rnd)*testPage + rnd.IntN(256)
			garbage(b[at:at+16], rnd)
			return b
		}},
	}
}

// server is a child that starts on one directory after the other; when one of
// them kills it the next child takes over.
type server struct {
	spec   spec
	p      *process
	deaths int
	hangs  int
	last   string // what the last one that died said
}

func (v *server) serve(t *testing.T, dir string) (millis int, verdict string) {
	t.Helper()
	if v.p == nil {
		v.p = start(t, v.spec)
	}
	fmt.Fprintln(v.p.in, dir)
	late := false
	timer := time.AfterFunc(time.Minute, func() { late = true; v.p.cmd.Process.Kill() })
	line, ok := v.p.line()
	timer.Stop()
	if !ok {
		v.p.end()
		v.last = string(v.p.err.b)
		v.p = nil
		if late {
			v.hangs++
			return 0, "hang"
		}
		v.deaths++
		return 0, "death"
	}
	fmt.Sscanf(line, "%d ", &millis)
	_, verdict, _ = strings.Cut(line, " ")
	return millis, verdict
}

// P04: no damage to the store file stops the agent; with the mirror beside it
// nothing is lost either, and without it nothing false appears.
func TestDamageIsServed(t *testing.T) {
	t.Parallel()
	dir, want := large(t)
	db, mirror := mustRead(t, filepath.Join(dir, fileDB)), mustRead(t, filepath.Join(dir, fileMirror))
	exact, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 3))
	guarded, bare := &server{spec: spec{Mode: "serve"}}, &server{spec: spec{Mode: "serve", Bare: true}}
	alone := &server{spec: spec{Mode: "serve", Alone: true}}
	target := ramDir(t)
	tries, served, aside, slowest, wrong := 0, 0, 0, 0, 0
	for _, d := range damages() {
		for i := range scale(34, 1000) {
			tries++
			damaged := d.do(slices.Clone(db), rnd)
			files := map[string][]byte{fileDB: damaged, fileMirror: mirror}
			orphan := i%4 == 3
			if orphan {
				delete(files, fileMirror)
			}
			lay(t, target, files)
			millis, verdict := guarded.serve(t, target)
			slowest = max(slowest, millis)
			flag, state, ok := strings.Cut(strings.TrimPrefix(verdict, "served "), " ")
			if !ok || !strings.HasPrefix(verdict, "served ") {
				t.Errorf("%s %d: %s %s", d.kind, i, verdict, guarded.last)
				continue
			}
			served++
			if flag == "true" {
				aside++
			}
			if state != string(exact) && (!orphan || !partOf(t, state, want)) {
				wrong++
				t.Errorf("%s %d, mirror %v: another state is served", d.kind, i, !orphan)
			}
			// The same for an agent within another program, which has no probe.
			lay(t, target, files)
			if _, verdict := alone.serve(t, target); !strings.HasPrefix(verdict, "served ") {
				t.Errorf("%s %d, no probe: %s %s", d.kind, i, verdict, alone.last)
			}
		}
	}
	if served != tries || guarded.deaths+guarded.hangs+wrong != 0 {
		t.Errorf("%d of %d served, %d deaths, %d hangs", served, tries, guarded.deaths, guarded.hangs)
	}
	bareTries := 0
	for _, d := range damages() {
		for range promise.Size(40, 300) {
			bareTries++
			lay(t, target, map[string][]byte{fileDB: d.do(slices.Clone(db), rnd)})
			bare.serve(t, target)
		}
	}
	if bare.deaths*100 < bareTries {
		t.Errorf("bare bbolt survived: %d deaths in %d damages", bare.deaths, bareTries)
	}
	promise.Reached(t, "P04", fmt.Sprintf("%d damages of 9 kinds, %d served, %d deaths, %d put aside, slowest start %d ms; without probe process %d deaths", tries, served, guarded.deaths, aside, slowest, alone.deaths),
		fmt.Sprintf("bare bbolt: %d of %d damages kill the process", bare.deaths, bareTries))
}

// The probe says what it finds, and only about the file.
func TestProbe(t *testing.T) {
	t.Parallel()
	dir := filled(t, 3, options())
	sound := filepath.Join(dir, fileDB)
	garbage := filepath.Join(dir, "garbage")
	mustWrite(t, garbage, make([]byte, 3*testPage))
	says := func(script string) []string {
		return []string{"/bin/sh", "-c", "echo '" + probeHello + "'; " + script}
	}
	const short = 200 * time.Millisecond
	for name, c := range map[string]struct {
		argv  []string
		file  string
		limit time.Duration
		want  error
	}{
		"sound":            {probeCommand(t), sound, patient, nil},
		"garbage":          {probeCommand(t), garbage, patient, errProbe},
		"no such program":  {[]string{"/nonexistent/license-agent", ProbeArg}, sound, patient, errNoProbe},
		"another program":  {[]string{"/bin/true"}, sound, patient, errNoProbe},
		"talkative":        {[]string{"/bin/echo", "ok"}, sound, patient, errNoProbe},
		"greets and dies":  {says("kill -SEGV $$"), sound, patient, errProbe},
		"greets and fails": {says("echo broken; exit 65"), sound, patient, errProbe},
		"says ok, fails":   {says("echo ok; exit 1"), sound, patient, nil},
		"busy":             {says("exit 75"), sound, patient, ErrOwned},
		"greets and hangs": {says("exec sleep 60"), sound, short, errLate},
		"loops":            {says("while :; do :; done"), sound, short, errLate},
		"never greets":     {[]string{"/bin/sh", "-c", "exec sleep 60"}, sound, short, errLate},
	} {
		err := runProbe(c.argv, c.file, c.limit)
		if !errors.Is(err, c.want) || errors.Is(err, errLate) && !errors.Is(err, errProbe) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A probe that got no processor time is asked once more.
func TestStarvedProbe(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "asked")
	// The first one waits without end and without work; the limit it gets decides nothing.
	script := "if [ -e " + mark + " ]; then echo '" + probeHello + "'; echo ok; exit 0; fi; : > " + mark + "; exec sleep 600"
	if err := runProbe([]string{"/bin/sh", "-c", script}, "file", 3*time.Second); err != nil {
		t.Error(err)
	}
}

// A probe that cannot run must not cost anybody a sound file.
func TestUnavailableProbe(t *testing.T) {
	dir := filled(t, 3, options())
	if err := os.Remove(filepath.Join(dir, fileClean)); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Probe = []string{"/nonexistent/license-agent", ProbeArg}
	s := mustOpen(t, dir, o)
	if n, torn := count(mustLoad(t, s)); n != 3 || torn {
		t.Errorf("count %d, torn %v", n, torn)
	}
	if got := kinds(s); !slices.Equal(got, []string{EventNoProbe}) {
		t.Errorf("%v", got)
	}
}

// The mark of an orderly close spares the probe, and nothing else does.
func TestCleanMark(t *testing.T) {
	dir := filled(t, 3, options())
	never := options()
	never.Probe = []string{"/nonexistent/license-agent", ProbeArg} // reports when it is asked
	s := mustOpen(t, dir, never)
	if len(s.Stats().Events) != 0 {
		t.Errorf("probed after an orderly close: %v", s.Stats().Events)
	}
	mustApply(t, s, counted(4))
	s.leave() // as a crash does
	s = mustOpen(t, dir, never)
	if got := kinds(s); !slices.Equal(got, []string{EventNoProbe}) {
		t.Errorf("not probed after a crash: %v", got)
	}
	mustClose(t, s)
	path := filepath.Join(dir, fileDB)
	b := mustRead(t, path)
	b[len(b)-1] ^= 1 // in a free page: harmless, but other bytes than were checked
	mustWrite(t, path, b)
	s = mustOpen(t, dir, never)
	if got := kinds(s); !slices.Equal(got, []string{EventNoProbe}) {
		t.Errorf("not probed after a change: %v", got)
	}
}
