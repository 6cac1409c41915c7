package securefile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempPrefix begins the name of a file that is being written. Names are random
// so that nobody can put something there in advance.
const tempPrefix = ".tmp-"

// Dir is an open directory that was found to be in order. All its methods work
// relative to the handle, so a directory that is renamed or replaced meanwhile
// does not redirect them. Dir may be used by several goroutines.
type Dir struct {
	root   *os.Root
	path   string
	public bool
}

// Open opens an existing private directory: a real directory, owned by the
// account of this process, permission PrivateDir or less, below directories
// that only this account and the system may change.
func Open(path string) (*Dir, error) { return open(path, false) }

// OpenPublic opens an existing directory that others may read, such as the
// configuration: owned by this account or the system, and not writable by
// anybody else.
func OpenPublic(path string) (*Dir, error) { return open(path, true) }

// Make creates a private directory if it does not exist and opens it. Parents
// are not created: a missing parent is usually a mistake in the configuration.
func Make(path string) (*Dir, error) { return makeDir(path, false) }

// MakePublic creates a directory of permission PublicDir if it does not exist
// and opens it.
func MakePublic(path string) (*Dir, error) { return makeDir(path, true) }

func makeDir(path string, public bool) (*Dir, error) {
	if !filepath.IsAbs(path) {
		return nil, &Error{Path: path, Err: ErrNotAbsolute, Next: "give the full path"}
	}
	if err := mkdir(filepath.Clean(path), public); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Path: path, Err: err, Next: "create the directory above it, or choose another place"}
	}
	return open(path, public)
}

func open(path string, public bool) (*Dir, error) {
	if !filepath.IsAbs(path) {
		return nil, &Error{Path: path, Err: ErrNotAbsolute, Next: "give the full path"}
	}
	path = filepath.Clean(path)
	checked, err := inspectDir(path, public)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	// os.OpenRoot resolves the path a second time. Whoever exchanged the
	// directory in between gets a refusal, not our files.
	if now, err := root.Stat("."); err != nil || !os.SameFile(checked, now) {
		root.Close()
		return nil, &Error{Path: path, Err: errors.Join(ErrChanged, err)}
	}
	return &Dir{root: root, path: path, public: public}, nil
}

// Path is the absolute path under which the directory was opened. Libraries
// that insist on a path, such as bbolt, get Path joined with a name that
// Check has accepted; nobody but this account can exchange that file, because
// the directory and all above it are closed to others.
func (d *Dir) Path() string { return d.path }

// Close releases the handle. Files that were opened stay open.
func (d *Dir) Close() error { return d.root.Close() }

// Check refuses the named file unless it is a regular file of the right owner
// and permission with one name. A file that does not exist gives an error that
// is fs.ErrNotExist.
func (d *Dir) Check(name string) error {
	f, err := d.OpenFile(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// OpenFile opens the named file for reading after the checks of Check, made on
// the opened handle.
func (d *Dir) OpenFile(name string) (*os.File, error) {
	if err := plainName(name); err != nil {
		return nil, err
	}
	full := filepath.Join(d.path, name)
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, &Error{Path: full, Err: err}
	}
	// Look before opening: opening a device can have effects of its own.
	if err := regular(full, before); err != nil {
		return nil, err
	}
	f, err := openRetry(func() (*os.File, error) { return d.root.OpenFile(name, readFlags, 0) })
	if err != nil {
		return nil, &Error{Path: full, Err: err}
	}
	after, err := f.Stat()
	switch {
	case err != nil:
		err = &Error{Path: full, Err: err}
	case !os.SameFile(before, after):
		err = &Error{Path: full, Err: ErrChanged}
	default:
		err = inspectFile(full, f, after, d.public)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile returns the content of the named file, at most limit bytes. A larger
// file gives ErrTooLarge and is not read: a planted file must not decide how
// much memory the agent uses.
func (d *Dir) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := d.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, &Error{Path: filepath.Join(d.path, name), Err: err}
	}
	if int64(len(b)) > limit {
		return nil, &Error{Path: filepath.Join(d.path, name), Err: ErrTooLarge, Next: "remove the file; the agent never writes one of this size"}
	}
	return b, nil
}

// WriteFile replaces the named file as a whole: after a crash at any instant
// either the old or the new content is there. perm is PrivateFile or
// PublicFile.
func (d *Dir) WriteFile(name string, data []byte, perm fs.FileMode) error {
	return d.write(name, data, perm, d.root.Rename)
}

// Create writes a file that must not exist yet; the content appears as a whole
// or not at all, and an existing file is never replaced (ErrExists).
func (d *Dir) Create(name string, data []byte, perm fs.FileMode) error {
	return d.write(name, data, perm, d.renameNew)
}

func (d *Dir) write(name string, data []byte, perm fs.FileMode, publish func(from, to string) error) error {
	if err := plainName(name); err != nil {
		return err
	}
	full := filepath.Join(d.path, name)
	temp := tempName()
	if err := d.writeTemp(temp, data, perm); err != nil {
		d.root.Remove(temp)
		return &Error{Path: full, Err: err, Next: "the previous content is still there; check free space and the file system"}
	}
	if err := retry(func() error { return publish(temp, name) }); err != nil {
		d.root.Remove(temp)
		if errors.Is(err, fs.ErrExist) {
			return &Error{Path: full, Err: ErrExists}
		}
		return &Error{Path: full, Err: err, Next: "the previous content is still there"}
	}
	// Without this the rename itself may be lost in a power cut (fsync(2)).
	if err := d.Sync(); err != nil {
		return &Error{Path: full, Err: err, Next: "check the file system: the new content may not survive a power cut"}
	}
	return nil
}

// GiveFile writes a file that only another user may read, mode GivenFile: it is that
// user's before it has its name. Needs root, and a system with such owners.
func (d *Dir) GiveFile(name string, data []byte, uid, gid int) error {
	return d.write(name, data, GivenFile, func(from, to string) error {
		if err := d.root.Lchown(from, uid, gid); err != nil {
			return err
		}
		return d.root.Rename(from, to)
	})
}

func (d *Dir) writeTemp(temp string, data []byte, perm fs.FileMode) error {
	// Exclusive creation does not follow a planted link, and the permission holds
	// from the first instant: there is no moment at which others could open it.
	f, err := d.create(temp, perm, true)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = widen(f, perm)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Remove deletes the named file. A file that does not exist is no error.
func (d *Dir) Remove(name string) error {
	if err := plainName(name); err != nil {
		return err
	}
	if err := retry(func() error { return d.root.Remove(name) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{Path: filepath.Join(d.path, name), Err: err}
	}
	return d.Sync()
}

// Rename gives a file another name in the same directory, for example to put a
// damaged one aside, replacing whatever had that name.
func (d *Dir) Rename(from, to string) error {
	if err := errors.Join(plainName(from), plainName(to)); err != nil {
		return err
	}
	if err := retry(func() error { return d.root.Rename(from, to) }); err != nil {
		return &Error{Path: filepath.Join(d.path, from), Err: err}
	}
	return d.Sync()
}

// Names lists the entries of the directory, in order.
func (d *Dir) Names() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, &Error{Path: d.path, Err: err}
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// Sweep removes the temporary files that a crash in WriteFile or Create left
// behind. The caller holds the lock: otherwise it would remove a file that
// another process is writing.
func (d *Dir) Sweep() error {
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, tempPrefix) && len(name) == len(tempName()) {
			err = errors.Join(err, d.Remove(name))
		}
	}
	return err
}

func tempName() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails since Go 1.24
	return tempPrefix + hex.EncodeToString(b)
}

// plainName refuses names that are not directly in the directory. os.Root would
// keep "a/../b" inside as well, but nobody has a reason to ask for it.
func plainName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\:\x00") {
		return &Error{Path: name, Err: ErrName}
	}
	return nil
}

func regular(full string, fi fs.FileInfo) error {
	switch mode := fi.Mode(); {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		return &Error{Path: full, Err: ErrSymlink, Next: "replace the link by the file itself, or remove it"}
	default:
		return &Error{Path: full, Err: ErrNotRegular, Found: mode.String(), Next: "remove it"}
	}
}

// ReadPublic reads one file that the administrator wrote, such as a
// configuration or a trust anchor, with the rules of OpenPublic for its
// directory and the file: others may read it, nobody else may change it.
func ReadPublic(path string, limit int64) ([]byte, error) {
	d, err := OpenPublic(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadFile(filepath.Base(path), limit)
}

// Touch makes an empty private file for a library that opens files by itself.
// The name must be free (ErrExists).
func (d *Dir) Touch(name string) error {
	if err := plainName(name); err != nil {
		return err
	}
	f, err := d.create(name, PrivateFile, true)
	if errors.Is(err, fs.ErrExist) {
		err = ErrExists
	}
	if err != nil {
		return &Error{Path: filepath.Join(d.path, name), Err: err}
	}
	return f.Close()
}

// Retry repeats an operation for two seconds while another process, usually a
// virus scanner, holds the file. That happens on Windows only; elsewhere op is
// called once.
func Retry(op func() error) error { return retry(op) }
