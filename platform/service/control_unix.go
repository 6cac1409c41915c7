//go:build !windows

package service

import (
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
