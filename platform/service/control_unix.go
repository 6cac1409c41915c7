//go:build !windows

package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// harden has nothing to do: the unit or script that the caller gave says what
// the service may do.
func harden(Definition) error { return nil }

func classifySystem(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrAccess, err)
	}
	return err
}

// processExit is for Windows.
func processExit() func(string) (func(context.Context) error, error) { return nil }

// looker is for Windows.
func looker() func(string) (State, bool, error) { return nil }
