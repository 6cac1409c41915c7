package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
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
	each := 34
	if runtime.GOOS == "windows" {
		each = 4 // a process, and each start has one that looks first, takes tenths of a second to start
	}
	for _, d := range storetest.Damages() {
		for i := range scale(each, 1000) {
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
