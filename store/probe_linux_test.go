package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

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
