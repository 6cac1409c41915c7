//go:build !linux

package service

// NoCoreDumps has nothing to do here: Go's runtime keeps Windows Error
// Reporting away unless GOTRACEBACK=wer asks for it (package runtime).
func NoCoreDumps() error { return nil }
