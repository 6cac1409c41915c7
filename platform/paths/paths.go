// Package paths says where one instance of the agent keeps its configuration,
// its state and its socket.
//
// The rules are in one place because four parties must agree on them without
// talking to each other: the daemon, the client library, the installer and the
// packages. Two vendors' agents on one machine are two instances; every path
// and the service name carry the instance name, so they share nothing.
//
// This package only computes names. It creates, opens and checks nothing; that
// is the business of securefile and ipc.
//
// It is not part of the stable API.
package paths

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Program is the name of the service, of its directories and of its user for
// the instance without a name.
const Program = "license-agent"

// MaxInstance is the longest instance name in bytes. It keeps the socket path
// far below the 108 bytes of sockaddr_un (unix(7)).
const MaxInstance = 32

// MaxUser is the longest name of an instance that a user of Linux is made for. The
// user is "license-agent-NAME", and utmp(5) leaves 31 bytes for a user's name: with
// one more systemd-sysusers(8) makes none, and the service could not start. Longer
// names are in use where there is no such user, on Windows and below a folder, and
// where useradd(8) has made one.
const MaxUser = 17

// SocketName is the file name of the socket inside Paths.Runtime.
const SocketName = "agent.sock"

var (
	// ErrInstance is returned when an instance name is not 1 to 32 lower-case
	// ASCII letters, digits and inner hyphens.
	ErrInstance = errors.New("paths: not an instance name")
	// ErrNotAbsolute is returned when a directory is relative: the meaning of a
	// relative path would depend on where the process was started.
	ErrNotAbsolute = errors.New("paths: not an absolute path")
	// ErrUnsupported is returned by For on a system whose layout nobody has
	// decided yet. Under works everywhere.
	ErrUnsupported = errors.New("paths: no system-wide layout for this operating system")
)

// Paths is the layout of one instance. All fields but Credentials are absolute
// paths; on Windows Socket is a pipe name such as `\\.\pipe\license-agent`.
type Paths struct {
	Instance    string // "" for the unnamed instance
	Service     string // name for the service manager: license-agent or license-agent-NAME
	Config      string // directory of agent.toml and of the trust anchors; written by the administrator, read by the agent
	State       string // private directory (0700): store, device key, instance lock
	Runtime     string // directory of the socket; may vanish at reboot
	Socket      string // Unix socket or pipe on which the agent answers
	Logs        string // directory for a log file, where neither journal nor event log is used
	Credentials string // directory of systemd credentials (systemd.exec(5)), "" where there is none
}

// ValidInstance reports whether name may be used as an instance name. The empty
// name is valid and means the unnamed instance. Only lower-case letters, digits
// and inner hyphens are allowed: the name becomes part of file names (Windows
// ignores case), unit names (systemd escapes everything else), user names,
// registry keys and pipe names, and must mean the same in each of them.
func ValidInstance(name string) error {
	if name == "" {
		return nil
	}
	bad := len(name) > MaxInstance || name[0] == '-' || name[len(name)-1] == '-'
	for i := 0; i < len(name) && !bad; i++ {
		c := name[i]
		bad = !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if bad {
		return fmt.Errorf("%w: %q: use 1 to %d of a-z, 0-9 and inner hyphens", ErrInstance, name, MaxInstance)
	}
	return nil
}

// ServiceName is the name under which the service manager knows the instance.
// The instance name must have passed ValidInstance.
func ServiceName(instance string) string {
	if instance == "" {
		return Program
	}
	return Program + "-" + instance
}

// For returns the system-wide layout of an instance: the one the packages
// install and the client library looks for. It reads no environment variable,
// because a client that believed them could be led to another socket.
func For(instance string) (Paths, error) {
	if err := ValidInstance(instance); err != nil {
		return Paths{}, err
	}
	p := Paths{Instance: instance, Service: ServiceName(instance)}
	if err := system(&p); err != nil {
		return Paths{}, err
	}
	return p, nil
}

// Under returns a layout that lies completely below dir, for demonstrations,
// tests and agents embedded in another program. dir must be absolute.
func Under(dir, instance string) (Paths, error) {
	if err := ValidInstance(instance); err != nil {
		return Paths{}, err
	}
	if !filepath.IsAbs(dir) {
		return Paths{}, fmt.Errorf("%w: %q", ErrNotAbsolute, dir)
	}
	base := filepath.Join(dir, ServiceName(instance))
	p := Paths{
		Instance: instance,
		Service:  ServiceName(instance),
		Config:   filepath.Join(base, "etc"),
		State:    filepath.Join(base, "state"),
		Runtime:  filepath.Join(base, "run"),
		Logs:     filepath.Join(base, "log"),
	}
	p.Socket = socketUnder(p.Runtime)
	return p, nil
}

// WithUnitEnv returns p with the directories that systemd gave to the unit:
// STATE_DIRECTORY, RUNTIME_DIRECTORY, LOGS_DIRECTORY, CONFIGURATION_DIRECTORY
// and CREDENTIALS_DIRECTORY, each the first of a colon-separated list
// (systemd.exec(5)). Only the daemon's own start calls it, with os.Getenv; a
// variable that is not an absolute path is an error and not ignored, because
// silently using another directory would look like lost state.
func (p Paths) WithUnitEnv(getenv func(string) string) (Paths, error) {
	for _, v := range []struct {
		name string
		to   *string
	}{
		{"STATE_DIRECTORY", &p.State},
		{"RUNTIME_DIRECTORY", &p.Runtime},
		{"LOGS_DIRECTORY", &p.Logs},
		{"CONFIGURATION_DIRECTORY", &p.Config},
		{"CREDENTIALS_DIRECTORY", &p.Credentials},
	} {
		value := getenv(v.name)
		if value == "" {
			continue
		}
		if v.name != "CREDENTIALS_DIRECTORY" {
			value, _, _ = strings.Cut(value, ":")
		}
		if !filepath.IsAbs(value) {
			return Paths{}, fmt.Errorf("%w: %s=%q", ErrNotAbsolute, v.name, value)
		}
		*v.to = filepath.Clean(value)
		if v.name == "RUNTIME_DIRECTORY" {
			p.Socket = socketUnder(p.Runtime)
		}
	}
	return p, nil
}
