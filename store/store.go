package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"licenseagent.example/activation"
	"licenseagent.example/platform/securefile"
)

// Options says how to open a state directory.
type Options struct {
	// MACKey is derived from the device key, at least 32 bytes. Records sealed
	// under another key are refused: a copied file is worthless elsewhere.
	MACKey []byte
	// Now gives UTC seconds; it only names files that are put aside. nil: 0.
	Now func() int64
	// Probe is the command, without the file, that ends in ProbeMain, normally
	// this program and ProbeArg. Empty: bbolt's check runs in this process, behind
	// the look at the structure alone (agent/embed, whose program is not ours).
	Probe []string
	// PublicDir gets a readable copy of each signed license; "" for none.
	PublicDir string
	// Report, when set, is told what an operator should know. It is called with
	// the store locked and must not call it.
	Report func(Event)

	seams seams
}

// seams switch single defences off, so that tests can show what each is for,
// and take the clock out of tests that are not about it.
type seams struct {
	lockWait   time.Duration // instead of lockWait
	probeTime  time.Duration // instead of probeTime
	noLock     bool          // no instance lock
	noGuard    bool          // bare bolt.Open
	noFailStop bool          // go on after a failed commit
	early      func()        // called before the commit, as an early acknowledgement
	inPlace    bool          // first creation under the final name
	noMirror   bool          // write no mirror
	sealer     func(*sealer) // alters the seal
}

// Store is the agent's memory; it implements activation.StateStore. It may be
// used by several goroutines.
type Store struct {
	opts   Options
	dir    *securefile.Dir
	public *securefile.Dir // nil: none
	lock   *securefile.Lock
	seal   *sealer

	mu      sync.Mutex
	db      *bolt.DB // nil after a failed commit
	img     image    // what the last commit or read left, nothing else
	tags    map[entry]string
	stale   bool // the mirror is older than img
	large   bool // compaction failed; do not try again
	stopped bool // ErrCommit was returned and Load not yet called
	closed  bool
	events  []Event
}

// Open opens the state in dir, an absolute path, and creates it if there is
// none. A damaged state never makes it fail: the file is put aside and the
// state restored from the mirror. It fails with ErrOwned, ErrUnsafe,
// ErrNewerSchema, ErrKey, or an error of the operating system.
func Open(dir string, opts Options) (*Store, error) {
	seal, err := newSealer(opts.MACKey)
	if err != nil {
		return nil, err
	}
	if opts.seams.sealer != nil {
		opts.seams.sealer(seal)
	}
	if opts.Now == nil {
		opts.Now = func() int64 { return 0 }
	}
	s := &Store{opts: opts, seal: seal}
	if err := s.enter(dir); err != nil {
		s.leave()
		return nil, err
	}
	if err := s.open(); err != nil {
		s.leave()
		return nil, err
	}
	return s, nil
}

// lockWait is how long Open waits for an agent that is just ending.
const lockWait = time.Second

// enter takes possession of the directories.
func (s *Store) enter(dir string) (err error) {
	if s.dir, err = securefile.Make(dir); err != nil {
		return unsafeErr(err)
	}
	wait := lockWait
	if s.opts.seams.lockWait > 0 {
		wait = s.opts.seams.lockWait
	}
	const pause = 20 * time.Millisecond
	for !s.opts.seams.noLock {
		if s.lock, err = s.dir.Lock(); !errors.Is(err, securefile.ErrLocked) || wait <= 0 {
			break
		}
		wait -= pause
		time.Sleep(pause)
	}
	if errors.Is(err, securefile.ErrLocked) {
		return fmt.Errorf("%w: %w", ErrOwned, err)
	}
	if err != nil {
		return unsafeErr(err)
	}
	for _, name := range []string{fileDB, fileMirror, fileClean} {
		if err := s.dir.Check(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unsafeErr(err)
		}
	}
	if err := errors.Join(s.dir.Sweep(), s.dropLeftovers()); err != nil {
		return err
	}
	if s.opts.PublicDir == "" {
		return nil
	}
	if s.public, err = securefile.MakePublic(s.opts.PublicDir); err != nil {
		return unsafeErr(err)
	}
	return s.public.Sweep()
}

// dropLeftovers removes a file whose building was interrupted.
func (s *Store) dropLeftovers() error {
	names, err := s.dir.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == fileNew {
			return s.dir.Remove(fileNew)
		}
	}
	return nil
}

// unsafeErr marks a refusal of securefile; errors of the operating system stay what they are.
func unsafeErr(err error) error {
	for _, refusal := range []error{
		securefile.ErrNotDirectory, securefile.ErrNotRegular, securefile.ErrSymlink, securefile.ErrHardLink, securefile.ErrOwner,
		securefile.ErrMode, securefile.ErrParent, securefile.ErrChanged, securefile.ErrNotAbsolute,
	} {
		if errors.Is(err, refusal) {
			return fmt.Errorf("%w: %w", ErrUnsafe, err)
		}
	}
	return err
}

// leave gives up what open and enter took, in whatever state it is.
func (s *Store) leave() {
	if s.db != nil {
		s.db.Close()
		s.db = nil
	}
	if s.public != nil {
		s.public.Close()
	}
	if s.lock != nil {
		s.lock.Unlock()
	}
	if s.dir != nil {
		s.dir.Close()
	}
}

// Load returns everything remembered. After a failed Apply it reads the disk
// anew, and tells what is really there. Records that are refused are missing in
// it and listed in Stats.
func (s *Store) Load() (activation.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return activation.State{}, ErrClosed
	}
	if s.db == nil {
		if err := s.open(); err != nil {
			return activation.State{}, err
		}
	}
	s.stopped = false
	st, _ := s.img.state()
	return st, nil
}

// Apply makes one change durable, all of it or nothing, and returns nil only
// then. ErrInvalid: nothing happened. ErrCommit: it is not known what the disk
// holds; Apply gives ErrStopped until Load was called.
func (s *Store) Apply(c activation.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case s.stopped || s.db == nil:
		return ErrStopped
	}
	next, err := s.img.with(c)
	if err != nil {
		return err
	}
	if s.db.IsReadOnly() { // opened on a full disk, see read
		s.closeDB()
		if err := s.open(); err != nil {
			s.stopped = true
			return fmt.Errorf("%w: %w", ErrCommit, err)
		}
		if next, err = s.img.with(c); err != nil {
			return err
		}
	}
	if s.opts.seams.early != nil {
		s.opts.seams.early()
	}
	var tags map[entry]string
	err = update(s.db, func(tx *bolt.Tx) (err error) {
		tags, err = s.seal.writeTx(tx, s.img, s.tags, next)
		return err
	})
	if err != nil {
		return s.fail(err)
	}
	s.img, s.tags = next, tags
	s.copyOut(true)
	s.compact()
	return nil
}

// fail stops the store. When the sync of bbolt's meta page fails, Commit
// returns an error and the next read shows the new value all the same; and
// Linux may forget that the page was never written (the fsync problem that
// made PostgreSQL panic). So nothing in memory is believed any more.
func (s *Store) fail(cause error) error {
	if !s.opts.seams.noFailStop {
		s.db.Close()
		s.db, s.stopped = nil, true
	}
	return fmt.Errorf("%w: %w", ErrCommit, cause)
}

// copyOut brings mirror and public files up to date. The change is durable
// already, so a failure is reported, not returned, and tried again next time.
func (s *Store) copyOut(changed bool) {
	if s.opts.seams.noMirror {
		return
	}
	s.stale = false
	if changed {
		if err := s.writeMirror(s.img); err != nil {
			s.stale = true
			s.report(Event{Kind: EventMirror, File: fileMirror, Text: err.Error()})
		}
	}
	if err := s.publish(s.img); err != nil {
		s.report(Event{Kind: EventMirror, File: s.opts.PublicDir, Text: err.Error()})
	}
}

// Close checks the file once more, closes it and notes that it was sound, which
// spares the next start the probe. Closing twice is no error.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	defer s.leave()
	if s.db == nil {
		return nil
	}
	sound := s.db.View(checkTx)
	err := s.db.Close()
	s.db = nil
	if err != nil || sound != nil {
		return err
	}
	// Without the mark, on a full disk for example, the next start probes.
	if err := s.markClean(); err != nil {
		s.report(Event{Kind: EventNoProbe, File: fileClean, Text: err.Error()})
	}
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir.Path(), name) }
