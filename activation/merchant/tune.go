package merchant

import (
	"runtime"
	"runtime/debug"
)

const (
	// garbagePercent lets the heap grow to five times what is live before it is
	// collected. A connection a request makes garbage of what little is live: at
	// Go's 100 a quarter of the processor time went into collecting it.
	garbagePercent = 400
	// threads is how many times as many threads as processors run Go code when
	// the database is a file. Its writer, for whom all requests wait, leaves the
	// Go scheduler for each sync of the file and then queues for a free place
	// behind handshakes, which fill them all. With more places than processors
	// the kernel decides, which prefers who has slept: on two processors a
	// quarter more renewals a second. A database server is waited for without
	// leaving the scheduler; there it gains nothing.
	threads = 4
)

// TuneRuntime is Database.TuneRuntime for that of the service.
func (s *Service) TuneRuntime(env func(string) string) (undo func()) { return s.db.TuneRuntime(env) }

// TuneRuntime sets up the Go runtime of a process that does nothing but serve
// this database, and returns what undoes it. What the operator set in the
// environment (GOGC, GOMAXPROCS) stays.
func (d *Database) TuneRuntime(env func(string) string) (undo func()) {
	percent, places := -2, 0
	if env("GOGC") == "" {
		percent = debug.SetGCPercent(garbagePercent)
	}
	if !d.postgres && env("GOMAXPROCS") == "" {
		places = runtime.GOMAXPROCS(threads * runtime.GOMAXPROCS(0))
	}
	return func() {
		if percent != -2 {
			debug.SetGCPercent(percent)
		}
		if places != 0 {
			runtime.GOMAXPROCS(places)
		}
	}
}
