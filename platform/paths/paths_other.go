//go:build !linux && !windows

package paths

import "path/filepath"

// system refuses: nobody has decided, or tested, where the agent would live on
// this system.
func system(*Paths) error { return ErrUnsupported }

// socketUnder names the socket inside a runtime directory.
func socketUnder(runtime string) string { return filepath.Join(runtime, SocketName) }
