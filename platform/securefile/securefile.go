// Package securefile reads and writes the agent's files so that no other user
// of the machine can read, replace or redirect them.
//
// Licence services have a history here: a planted symbolic link made one of
// them overwrite any file as root (CVE-2021-41057), a log directory owned by
// the service user gave root away (CVE-2016-1247), files in a folder that
// everybody may write were exchanged under an installer (CVE-2022-23296).
// Therefore every directory is opened once, checked by its handle, and then
// used only through that handle: what was checked is what is used. A file is
// created with its final permission under a random name, flushed, renamed over
// the old one, and the directory is flushed too.
//
// A refusal is an *Error that wraps one of the sentinels below and says which
// path, what was found and what to do.
//
// It is not part of the stable API.
package securefile

import (
	"errors"
	"fmt"
	"io/fs"
)

// Permissions of what the agent creates. ATTACK_SURFACE.md lists them and a
// test holds the two together.
const (
	// PrivateDir is the permission of the state directory: the store and the
	// device key are the owner's alone.
	PrivateDir fs.FileMode = 0o700
	// PrivateFile is the permission of each file in the state directory.
	PrivateFile fs.FileMode = 0o600
	// PublicDir is the permission of directories that others must pass or list:
	// configuration and the directory of the socket.
	PublicDir fs.FileMode = 0o755
	// PublicFile is the permission of files that others may read: configuration,
	// trust anchors, the mirror of a license.
	PublicFile fs.FileMode = 0o644
	// GivenFile is the permission of a file that root hands over to another user:
	// he reads it, nobody writes it.
	GivenFile fs.FileMode = 0o400
)

// LockName is the file in the state directory whose lock means "an agent is
// running on this state".
const LockName = "agent.lock"

// Each sentinel is returned wrapped in an *Error.
var (
	// ErrNotDirectory is returned when a directory is expected and something
	// else is there.
	ErrNotDirectory = errors.New("is not a directory")
	// ErrNotRegular is returned when a file is a device, a pipe, a socket or a
	// directory. Opening a pipe would block for ever.
	ErrNotRegular = errors.New("is not a regular file")
	// ErrSymlink is returned when the directory itself or a file in it is a
	// symbolic link (or another reparse point on Windows), whoever made it.
	ErrSymlink = errors.New("is a symbolic link")
	// ErrHardLink is returned when a private file has a second name: it could
	// be changed or kept through that name.
	ErrHardLink = errors.New("has a second name (hard link)")
	// ErrOwner is returned when a file or directory belongs to another account.
	ErrOwner = errors.New("belongs to another account")
	// ErrService is returned instead for the directory of a service, which has the
	// name of the account that it runs as: who took it over would stop the service.
	ErrService = errors.New("belongs to the service")
	// ErrMode is returned when other accounts may do more than they need to.
	ErrMode = errors.New("is open to other accounts")
	// ErrParent is returned when a directory above may be changed by another
	// account, who could rename ours away and put another in its place.
	ErrParent = errors.New("lies below a directory that another account may change")
	// ErrTooLarge is returned when a file is larger than the reader's bound.
	ErrTooLarge = errors.New("is larger than allowed")
	// ErrExists is returned by Create when the name is taken.
	ErrExists = errors.New("exists already")
	// ErrName is returned for a file name that is empty or contains a separator.
	ErrName = errors.New("is not a plain file name")
	// ErrNotAbsolute is returned for a relative directory.
	ErrNotAbsolute = errors.New("is not an absolute path")
	// ErrLocked is returned by Lock when another agent holds the lock.
	ErrLocked = errors.New("is in use by another agent")
	// ErrChanged is returned when a name meant one file when it was checked and
	// another when it was opened: somebody is exchanging it now.
	ErrChanged = errors.New("was exchanged while it was being opened")
	// ErrUnsupported is returned on systems whose permissions this package
	// cannot judge.
	ErrUnsupported = errors.New("cannot be judged on this operating system")
)

// Error says which path was refused, why, and what to do about it.
type Error struct {
	Path  string // what was refused
	Err   error  // one of the sentinels, or an error of the operating system
	Found string // what was seen, for example "mode 0777"; may be empty
	Next  string // the next step as a sentence without full stop; may be empty
}

// Error gives one line: path, reason, what was found, next step.
func (e *Error) Error() string {
	s := fmt.Sprintf("securefile: %s %v", e.Path, e.Err)
	if e.Found != "" {
		s += " (" + e.Found + ")"
	}
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// Unwrap gives the sentinel or the operating system's error to errors.Is.
func (e *Error) Unwrap() error { return e.Err }
