// Package probe reads what identifies this machine: permanent MAC addresses,
// disk serials, the board's serial and the CPU's id. It asks the kernel
// directly (sysfs, netlink, ioctl, CPUID on Linux; IP helper, storage IOCTL and
// the firmware table on Windows), needs nothing but golang.org/x/sys, starts no
// program, and is light enough for a customer's own program. It never panics
// and never exits: what cannot be read is reported as unreadable, with the
// reason. It is not stable API; package fingerprint, whose types it returns, is.
package probe

import "licenseagent.example/fingerprint"

// Host says which machine to read. The zero value is this machine.
type Host struct {
	// Root is the directory of a recorded machine. A recorded Linux machine
	// holds sys/, proc/ and run/udev/ as they were; netlink, ioctl and CPUID
	// are not asked. A recorded Windows machine is a directory with the file
	// windows.json (see WindowsFacts). Empty means this machine.
	//
	// A recorded file that its recorder was not allowed to read is marked by
	// an empty file of the same name plus ".unreadable" (see README.md).
	Root string

	// SMBIOSFile is the path of a copy of the SMBIOS table. On Linux the
	// table and the serials in it are readable by root only (mode 0400), so
	// an unprivileged service gets a copy from whoever starts it: systemd's
	// LoadCredential=, or a privileged one-shot. Accepted are the bytes of
	// /sys/firmware/dmi/tables/DMI, alone or behind the 31-byte _SM_ or the
	// 24-byte _SM3_ entry point, a file written by dmidecode --dump-bin, and
	// the RSMB form of Windows. An empty file says that the machine has no
	// table and is the same as no file. Empty path means there is no copy.
	SMBIOSFile string
}

// Read returns one observation of the machine. It does not bound the time of
// a single system call; package collect does.
func (h Host) Read() fingerprint.Device {
	return Assemble(h.Network(), h.Disks(), h.Firmware())
}

// Assemble joins parts that were read one by one into an observation. Inside a
// container "absent" becomes "unreadable": the engine shows a part of the
// machine (its own network, no firmware tables: Docker masks them since 2016),
// so that not seeing something says nothing about the machine.
func Assemble(mac, disk fingerprint.Component, f Firmware) fingerprint.Device {
	d := fingerprint.Device{MAC: mac, Disk: disk, Board: f.Board, CPU: f.CPU, Env: f.Env, Notes: f.Notes}
	if f.Env.Kind != fingerprint.Container {
		return d
	}
	for _, c := range []*fingerprint.Component{&d.MAC, &d.Disk, &d.Board, &d.CPU} {
		if c.State == fingerprint.Absent {
			c.State, c.Reason = fingerprint.Unreadable, "the container does not show it: "+c.Reason
		}
	}
	if f.Env.Name == wsl && d.MAC.State == fingerprint.OK {
		// WSL issues 5291 and 5352.
		d.MAC = fingerprint.Component{Kind: fingerprint.MAC, State: fingerprint.Unreadable, Reason: "WSL makes a new address at each start", Rejected: d.MAC.Rejected}
	}
	return d
}

// Network returns the permanent MAC addresses of the physical adapters.
func (h Host) Network() fingerprint.Component { return h.network() }

// Disks returns the serials of the fixed disks.
func (h Host) Disks() fingerprint.Component { return h.disks() }

// Firmware returns what comes from SMBIOS, device tree and CPU, and the class
// of machine, which are read together because each needs the others.
func (h Host) Firmware() Firmware { return h.firmware() }

// Table is the SMBIOS table as the kernel has it, which only root may read, for
// whoever hands it over to an agent that is not root; nothing where the machine
// has none. errors.ErrUnsupported where everybody may read it (Windows).
func (h Host) Table() ([]byte, error) { return h.rawTable() }

// Firmware is the part of an observation that comes from SMBIOS, device tree
// and CPU.
type Firmware struct {
	Board fingerprint.Component
	CPU   fingerprint.Component
	Env   fingerprint.Environment
	// Notes are disagreements between the sources, in words.
	Notes []string
}
