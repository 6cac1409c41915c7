//go:build !linux && !windows

package devicekey

// MachineID is not known here.
func MachineID() string { return "" }
