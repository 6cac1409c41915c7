package store

import (
	"os"

	bolt "go.etcd.io/bbolt"
)

// Kinds of events.
const (
	EventQuarantined = "quarantined"       // a damaged file was put aside
	EventRefused     = "refused"           // a value or a mirror is not used
	EventHealed      = "healed"            // a refused value was replaced from the mirror
	EventRestored    = "restored"          // a new file was written from what is known
	EventMirror      = "mirror-failed"     // a copy could not be written; the state itself is safe
	EventNoProbe     = "probe-unavailable" // the check ran in this process, or will run at the next start
	EventCompacted   = "compacted"
	EventMigrated    = "migrated"
)

// Event is something an operator should know. It holds no secret.
type Event struct {
	Kind string `json:"kind"`           // one of the Event* constants
	File string `json:"file,omitempty"` // name in the state directory, or a path
	Text string `json:"text,omitempty"`
}

// keepEvents bounds the memory of events.
const keepEvents = 64

func (s *Store) report(e Event) {
	if len(s.events) == keepEvents {
		s.events = append(s.events[:0], s.events[1:]...)
	}
	s.events = append(s.events, e)
	if s.opts.Report != nil {
		s.opts.Report(e)
	}
}

// reportRefused tells each refusal; a value in healed was replaced.
func (s *Store) reportRefused(bad []refusal, healed map[entry][]byte) {
	for _, r := range bad {
		kind := EventRefused
		if _, ok := healed[r.entry]; ok {
			kind = EventHealed
		}
		s.report(Event{Kind: kind, File: fileDB, Text: r.entry.label() + ": " + r.err.Error()})
	}
}

// Stats is what a support bundle may show of the store: sizes and counts, names
// of files, no content.
type Stats struct {
	Schema      int      `json:"schema"`
	Generation  uint64   `json:"generation"` // number of the last commit
	Records     int      `json:"records"`
	KeySets     int      `json:"keysets"`
	FileBytes   int64    `json:"file_bytes"`
	MirrorBytes int64    `json:"mirror_bytes"`
	FreePages   int      `json:"free_pages"`
	MirrorStale bool     `json:"mirror_stale"` // the last write of the mirror failed
	Stopped     bool     `json:"stopped"`      // a commit failed and the state was not loaded since
	Quarantine  []string `json:"quarantine"`   // damaged files put aside
	Events      []Event  `json:"events"`       // since Open, oldest first, at most 64
}

// Stats describes the store for diagnose.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Schema: s.img.schema, Generation: s.img.gen, MirrorStale: s.stale, Stopped: s.stopped,
		Events: append([]Event{}, s.events...), Quarantine: []string{},
	}
	for e := range s.img.data {
		switch e.bucket {
		case bucketRecords:
			st.Records++
		case bucketKeySets:
			st.KeySets++
		}
	}
	if s.closed {
		return st
	}
	if names, err := s.badFiles(); err == nil && names != nil {
		st.Quarantine = names
	}
	st.FileBytes, st.MirrorBytes = sizeOf(s.path(fileDB)), sizeOf(s.path(fileMirror))
	if s.db != nil {
		st.FreePages = freePages(s.db)
	}
	return st
}

func sizeOf(path string) int64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// freePages counts the pages that no value uses, 0 when bbolt does not say.
func freePages(db *bolt.DB) int { return db.Stats().FreePageN }

// needsCompaction reports whether the file is large and half of the pages up to
// its high-water mark are free. Pages beyond that mark do not count: bbolt
// doubles files, so a file that was just compacted may have many.
func needsCompaction(db *bolt.DB) bool {
	if db == nil || sizeOf(db.Path()) <= compactMin {
		return false
	}
	var used int64
	if err := db.View(func(tx *bolt.Tx) error { used = tx.Size(); return nil }); err != nil {
		return false
	}
	return int64(freePages(db))*int64(db.Info().PageSize)*2 > used
}
