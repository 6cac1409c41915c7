//go:build !linux && !windows

package ipc

import (
	"context"
	"net"
	"os"
)

// Listen refuses: without a decision how callers are identified here, every
// caller would be anonymous.
func Listen(string, Options) (net.Listener, error) { return nil, ErrUnsupported }

// FromFile refuses, as Listen does.
func FromFile(*os.File, Options) (net.Listener, error) { return nil, ErrUnsupported }

// Dial refuses: nobody could say who answers.
func Dial(context.Context, string, DialOptions) (net.Conn, error) { return nil, ErrUnsupported }

// Process would be a handle of the process that made a connection.
type Process struct{ PID int }

// ProcessOf refuses, as Listen does.
func ProcessOf(net.Conn) (*Process, error) { return nil, ErrUnsupported }

// FindProcess refuses, as Listen does.
func FindProcess(int, string) (*Process, error) { return nil, ErrUnsupported }

// ProcessFromFile refuses, as Listen does.
func ProcessFromFile(int, *os.File) (*Process, error) { return nil, ErrUnsupported }

// Adopt refuses, as Listen does.
func Adopt(*os.File) (net.Conn, error) { return nil, ErrUnsupported }

// File is nil: there is no process.
func (*Process) File() *os.File { return nil }

// Wait refuses, as Listen does.
func (*Process) Wait() error { return ErrUnsupported }

// Alive is false: there is no process.
func (*Process) Alive() bool { return false }

// Birth is empty: there is no process.
func (*Process) Birth() string { return "" }

// Close does nothing.
func (*Process) Close() error { return nil }

// Descriptors is how many files this process may have open.
func Descriptors() int { return maxDescriptors }
