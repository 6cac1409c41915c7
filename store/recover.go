package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"syscall"
)

// open brings the store into service: guard, read, compare with the mirror,
// and build a new file when anything was wrong.
func (s *Store) open() error {
	before, beforeTags := s.img, s.tags
	found, whole, err := s.inspect()
	if err != nil {
		return err
	}
	mirror, merr := s.readMirror()
	if merr != nil && !errors.Is(merr, errMirror) {
		return merr
	}
	if merr != nil {
		s.report(Event{Kind: EventRefused, File: fileMirror, Text: merr.Error()})
	}
	plan, err := s.decide(found, whole, mirror)
	if err != nil {
		return err
	}
	if plan.rebuild {
		if err := s.rebuild(plan); err != nil {
			return err
		}
		// Written, synced and renamed by this process just now: nothing to guard
		// against, and a probe that finds no time on a busy machine decides nothing.
		found, whole, err = s.read()
		if err = errors.Join(err, whole); err != nil || len(found.bad) > 0 {
			s.closeDB()
			return fmt.Errorf("the file just written cannot be read back: %w", errors.Join(err, errorsOf(found.bad)))
		}
	}
	s.img, s.tags = found.img, found.tags
	s.copyOut(mirror.gen != s.img.gen || merr != nil || plan.rebuild)
	if s.stopped && s.stale && s.img.gen > before.gen {
		// The change whose sync failed shows in the page cache, and nothing proves
		// that it is on the disk too: neither memory nor a new start may decide.
		s.closeDB()
		s.img, s.tags = before, beforeTags
		return fmt.Errorf("%w: the last change is visible but cannot be made durable", ErrCommit)
	}
	_, bad := s.img.state()
	s.reportRefused(bad, nil)
	return nil
}

// inspect opens state.db if the guard lets it and reads it. whole is the reason
// for which the file as a whole is not used; err is not about the content.
func (s *Store) inspect() (found content, whole, err error) {
	found = content{img: newImage()}
	if s.opts.seams.noGuard {
		err = s.dir.Check(fileDB)
	} else {
		err = s.guard()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found, fs.ErrNotExist, nil
	case errors.Is(err, ErrOwned):
		return found, nil, err
	case errors.Is(err, errHeader), errors.Is(err, errStructure), errors.Is(err, errProbe):
		return found, err, nil
	case err != nil:
		return found, nil, unsafeErr(err)
	}
	return s.read()
}

// read opens and reads state.db, which the guard let pass.
func (s *Store) read() (found content, whole, err error) {
	found = content{img: newImage()}
	db, err := openDB(s.path(fileDB), false)
	if unsized(err) {
		// The file is as it was; what it holds can be answered from, and the next
		// change opens it again.
		db, err = openDB(s.path(fileDB), true)
	}
	var system syscall.Errno
	switch {
	case errors.Is(err, ErrOwned), errors.As(err, &system):
		return found, nil, err
	case err != nil:
		return found, err, nil
	}
	c, err := s.seal.read(db)
	switch {
	case err == nil:
		s.db = db
		return c, nil, nil
	case errors.Is(err, errSchema), errors.Is(err, errOtherKey), errors.Is(err, errProbe):
		return found, err, db.Close()
	}
	db.Close()
	return found, nil, err
}

// plan is what to do after looking at database and mirror.
type plan struct {
	rebuild bool
	aside   error // why the present file is put aside; nil: it is replaced
	img     image // what the new file will hold
}

// decide weighs the database against the mirror. The mirror is written after
// each commit and before it is acknowledged, so it holds all that was ever
// acknowledged, unless writing it failed.
func (s *Store) decide(found content, whole error, mirror image) (plan, error) {
	p := plan{img: found.img}
	switch {
	case whole != nil:
		p.rebuild, p.img = true, mirror
		if !errors.Is(whole, fs.ErrNotExist) {
			p.aside = whole
		}
		if mirror.gen == 0 {
			p.img = s.lastResort()
		}
		p.img.gen++
	case len(found.bad) > 0:
		p.rebuild, p.aside = true, errorsOf(found.bad)
		p.img = s.heal(found, mirror)
	case mirror.gen > found.img.gen:
		// bbolt falls back to the older meta page without a word when the newer is damaged.
		p.rebuild, p.aside, p.img = true, errBehind, mirror
		p.img.gen++
	case !s.large && needsCompaction(s.db):
		p.rebuild = true
		p.img.gen++
		s.report(Event{Kind: EventCompacted, File: fileDB})
	}
	if p.img.schema < schemaVersion {
		from := p.img.schema
		img, err := migrate(p.img, schemaVersion, steps())
		if err != nil {
			return p, err
		}
		p.img, p.rebuild = img, true
		s.report(Event{Kind: EventMigrated, Text: fmt.Sprintf("schema %d to %d", from, schemaVersion)})
	}
	return p, nil
}

// lastResort is what the public files hold; a folder that cannot be read holds nothing.
func (s *Store) lastResort() image {
	img, err := s.fromPublic()
	if err != nil {
		s.report(Event{Kind: EventRefused, File: s.opts.PublicDir, Text: err.Error()})
	}
	return img
}

// heal replaces the refused values of the database by those of the mirror.
func (s *Store) heal(found content, mirror image) image {
	img := image{schema: found.img.schema, gen: max(found.img.gen, mirror.gen) + 1, data: maps.Clone(found.img.data)}
	if mirror.gen > 0 && mirror.gen+1 >= found.img.gen {
		// As new as the database, or the database's own number is unreadable, or the
		// commit between the two was never acknowledged: a mixture of both could pair
		// a new license with an old key set.
		img.schema, img.data = mirror.schema, mirror.data
	} else if mirror.schema == found.img.schema {
		for _, r := range found.bad {
			if v, ok := mirror.data[r.entry]; ok {
				img.data[r.entry] = v
			}
		}
	}
	if mirror.gen == 0 { // no mirror, or it is damaged as well
		public := s.lastResort()
		for _, r := range found.bad {
			if v, ok := public.data[r.entry]; ok {
				img.data[r.entry] = v
			}
		}
	}
	s.reportRefused(found.bad, img.data)
	return img
}

// rebuild writes the planned image as a new file and puts it in place.
func (s *Store) rebuild(p plan) error {
	s.closeDB()
	if p.aside != nil {
		if err := s.quarantine(p.aside); err != nil {
			return err
		}
	}
	if err := s.create(p.img); err != nil {
		return fmt.Errorf("writing a new state: %w", err)
	}
	if p.aside != nil {
		st, _ := p.img.state()
		s.report(Event{Kind: EventRestored, File: fileDB, Text: fmt.Sprintf("%d licenses from the mirror", len(st.Records))})
	}
	return nil
}

func (s *Store) closeDB() {
	if s.db != nil {
		s.db.Close()
		s.db = nil
	}
}

// compactMin is the size below which compaction is not worth a write.
const compactMin = 4 << 20

// compact rebuilds a file that is large and half empty; bbolt never shrinks.
// If that fails the file as it is goes on serving.
func (s *Store) compact() {
	if s.large || !needsCompaction(s.db) {
		return
	}
	s.closeDB()
	if s.open() == nil {
		return
	}
	s.closeDB()
	s.large = true // no room for a second file: leave it until the next start
	if s.open() != nil {
		// What was applied is durable; only the reopening failed. Load tries again.
		s.stopped = true
	}
}

func errorsOf(bad []refusal) error {
	var all []error
	for _, r := range bad {
		all = append(all, fmt.Errorf("%s: %w", r.entry.label(), r.err))
	}
	return errors.Join(all...)
}
