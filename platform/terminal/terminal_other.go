//go:build !linux && !windows

package terminal

import "os"

// Nobody has decided how echo is switched off here, so nothing is a terminal
// and secrets come from a file or standard input.
func isTerminal(*os.File) bool { return false }

func noEcho(*os.File) (func(), error) { return nil, ErrNotTerminal }
