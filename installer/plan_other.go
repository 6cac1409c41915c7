//go:build !windows

package installer

import "fmt"

// onWindows is the answer of a program for another system to --manager windows-service.
func (t Target) onWindows() (windowsTarget, error) {
	return windowsTarget{}, fmt.Errorf("%w: use the program for Windows", ErrUnsupported)
}

// windowsTarget has no plans here.
type windowsTarget struct{}

func (windowsTarget) install([]byte) Plan          { return Plan{} }
func (windowsTarget) upgrade([]byte) (Plan, error) { return Plan{}, ErrUnsupported }
func (windowsTarget) uninstall(bool) Plan          { return Plan{} }
