//go:build !linux && !windows

package probe

import (
	"errors"

	"licenseagent.example/fingerprint"
)

// unsupported is the observation of a part on a system without collectors.
func unsupported(kind fingerprint.Kind) fingerprint.Component {
	return fingerprint.Component{Kind: kind, State: fingerprint.Unreadable, Reason: "no collector for this operating system"}
}

func (h Host) network() fingerprint.Component { return unsupported(fingerprint.MAC) }

func (h Host) disks() fingerprint.Component { return unsupported(fingerprint.Disk) }

func (h Host) firmware() Firmware {
	return Firmware{
		Board: unsupported(fingerprint.Board), CPU: unsupported(fingerprint.CPU),
		Env: fingerprint.Environment{Kind: fingerprint.Physical, Reason: "not examined on this operating system"},
	}
}

func (h Host) rawTable() ([]byte, error) { return nil, errors.ErrUnsupported }
