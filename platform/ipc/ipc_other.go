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
