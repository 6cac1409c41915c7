package merchant

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// The runtime is set up for the kind of database, undone, and left alone where
// the operator has set it.
func TestTuneRuntime(t *testing.T) {
	percent := func() int { p := debug.SetGCPercent(100); debug.SetGCPercent(p); return p }
	before, places := percent(), runtime.GOMAXPROCS(0)
	for _, c := range []struct {
		postgres        bool
		set             map[string]string
		percent, places int
	}{
		{false, nil, garbagePercent, threads * places},
		{true, nil, garbagePercent, places},
		{false, map[string]string{"GOGC": "50"}, before, threads * places},
		{false, map[string]string{"GOMAXPROCS": "1"}, garbagePercent, places},
	} {
		d := &Database{postgres: c.postgres}
		undo := d.TuneRuntime(func(name string) string { return c.set[name] })
		if p, n := percent(), runtime.GOMAXPROCS(0); p != c.percent || n != c.places {
			t.Errorf("PostgreSQL %t, %v: GOGC %d, GOMAXPROCS %d; want %d, %d", c.postgres, c.set, p, n, c.percent, c.places)
		}
		undo()
		if p, n := percent(), runtime.GOMAXPROCS(0); p != before || n != places {
			t.Errorf("undone: GOGC %d, GOMAXPROCS %d; want %d, %d", p, n, before, places)
		}
	}
}
