//go:build !linux && !windows

package securefile

import (
	"io/fs"
	"os"
)

const readFlags = os.O_RDONLY

// inspectDir refuses: this package has not learned the permissions of this
// system, and guessing would mean trusting.
func inspectDir(path string, _ bool) (fs.FileInfo, error) {
	return nil, &Error{Path: path, Err: ErrUnsupported}
}

func inspectFile(full string, _ *os.File, _ fs.FileInfo, _ bool) error {
	return &Error{Path: full, Err: ErrUnsupported}
}

func mkdir(path string, _ bool) error { return &Error{Path: path, Err: ErrUnsupported} }

func (d *Dir) create(string, fs.FileMode, bool) (*os.File, error) { return nil, ErrUnsupported }

func widen(f *os.File, perm fs.FileMode) error { return f.Chmod(perm) }

func (d *Dir) renameNew(string, string) error { return ErrUnsupported }

// Sync flushes the directory itself, which holds the names.
func (d *Dir) Sync() error { return ErrUnsupported }

func lockFile(*os.File) error { return ErrUnsupported }

func openRetry(open func() (*os.File, error)) (*os.File, error) { return open() }

func retry(op func() error) error { return op() }

// ReadOnly returns false: it is a question about mounts, which this package
// has not learned here.
func ReadOnly(string) bool { return false }
