//go:build !linux

package installer

// keepDescriptors: Windows hands on what it is told to and nothing else.
func keepDescriptors() error { return nil }
