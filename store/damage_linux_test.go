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
	"licenseagent.example/store/storetest"
)

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
	for _, d := range storetest.Damages() {
		for i := range scale(34, 1000) {
			tries++
			damaged := d.Do(slices.Clone(db), rnd)
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
				t.Errorf("%s %d: %s %s", d.Kind, i, verdict, guarded.last)
				continue
			}
			served++
			if flag == "true" {
				aside++
			}
			if state != string(exact) && (!orphan || !partOf(t, state, want)) {
				wrong++
				t.Errorf("%s %d, mirror %v: another state is served", d.Kind, i, !orphan)
			}
			// The same for an agent within another program, which has no probe.
			lay(t, target, files)
			if _, verdict := alone.serve(t, target); !strings.HasPrefix(verdict, "served ") {
				t.Errorf("%s %d, no probe: %s %s", d.Kind, i, verdict, alone.last)
			}
		}
	}
	if served != tries || guarded.deaths+guarded.hangs+wrong != 0 {
		t.Errorf("%d of %d served, %d deaths, %d hangs", served, tries, guarded.deaths, guarded.hangs)
	}
	// How often bare bbolt dies depends on where its pages lie: now and then a
	// file has little that is dangerous, then another one is taken.
	bareTries := 0
	for round := 0; round < 5 && bare.deaths*100 <= bareTries; round++ {
		other, _ := large(t)
		db := mustRead(t, filepath.Join(other, fileDB))
		for _, d := range storetest.Damages() {
			for range promise.Size(40, 300) {
				bareTries++
				lay(t, target, map[string][]byte{fileDB: d.Do(slices.Clone(db), rnd)})
				bare.serve(t, target)
			}
		}
	}
	if bare.deaths*100 <= bareTries {
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
