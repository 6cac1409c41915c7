//go:build !windows

package service

// TieChildren has nothing to do here: systemd ends what is left of a service's
// processes, and a program that runs can be replaced.
func TieChildren() error { return nil }
