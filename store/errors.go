package store

import "errors"

// Errors of Open.
var (
	// ErrOwned is returned when another agent owns this state: two writers
	// would overwrite each other's pages.
	ErrOwned = errors.New("another agent owns this state")

	// ErrNewerSchema is returned when the state was written by a newer version
	// of this program. Nothing was touched: run the newer version.
	ErrNewerSchema = errors.New("the state was written by a newer version of license-agent")

	// ErrUnsafe is returned when a folder or file has an owner, a mode or a
	// kind (symbolic link, device) with which somebody else could have written it.
	ErrUnsafe = errors.New("the state is not private to this user")

	// ErrKey is returned when Options.MACKey is shorter than 32 bytes.
	ErrKey = errors.New("the key of the store is too short")
)

// Errors of Load and Apply.
var (
	// ErrCommit is returned when a change did not become durable for certain.
	// The store has stopped: the disk may hold the old or the new state, and
	// Load says which.
	ErrCommit = errors.New("the change could not be made durable")

	// ErrStopped is returned by Apply after ErrCommit until Load was called:
	// the caller does not know what it would be changing.
	ErrStopped = errors.New("the store has stopped after a failed write; load it again first")

	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the store is closed")

	// ErrInvalid is returned for a change that cannot be stored, such as a key
	// without an issuer. Nothing was written and the store goes on.
	ErrInvalid = errors.New("this change cannot be stored")
)

// Reasons for which one record is refused.
var (
	errSeal     = errors.New("seal does not match")
	errStale    = errors.New("an older version than the manifest names")
	errUnlisted = errors.New("not named by the manifest")
	errLost     = errors.New("named by the manifest but missing")
	errContent  = errors.New("content cannot be understood")
)

// Reasons for which the whole file is refused.
var (
	errHeader    = errors.New("no valid meta page")
	errStructure = errors.New("pages do not fit together")
	errSchema    = errors.New("schema line is damaged")
	errOtherKey  = errors.New("written under another device key")
	errProbe     = errors.New("the probe refused the file")
	errLate      = errors.New("no end")
	errNoProbe   = errors.New("the probe could not be started")
	errBehind    = errors.New("the file lost its last commit")
	errMirror    = errors.New("mirror is damaged")
)
