//go:build !linux

package installer

import "context"

// answers is for the service managers of Linux.
func answers(context.Context, string, string) error { return ErrUnsupported }
