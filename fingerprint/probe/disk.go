package probe

import (
	"strings"

	"licenseagent.example/fingerprint"
)

// rankCard is the rank of an SD card: it is carried from machine to machine
// although the kernel does not call it removable, but on a single-board
// computer it is the only disk.
const rankCard = 1

// diskComponent decides over the disks that were found. Two paths to one disk
// (multipath) and two namespaces of one NVMe controller show the same serial
// and become one value.
func diskComponent(c []candidate) fingerprint.Component {
	return set(fingerprint.Disk, c,
		"a memory card counts only where there is no other disk",
		"no fixed disk with a serial")
}

// diskPathRule says why a whole disk does not count, judged by the path of its
// device in sysfs (with slashes) and its kernel name; "" if it does.
func diskPathRule(path, name string) string {
	switch {
	case strings.HasPrefix(name, "sr"), strings.HasPrefix(name, "fd"):
		return "an optical or floppy drive"
	case strings.HasPrefix(name, "mtdblock"), strings.HasPrefix(name, "ubiblock"):
		return "raw flash"
	case strings.HasPrefix(name, "mmcblk") && (strings.Contains(name, "boot") || strings.Contains(name, "rpmb")):
		return "a special area of an eMMC"
	case isNVMePath(name):
		return "one path of a multipath NVMe disk"
	case strings.Contains(path, "/virtual/nvme-subsystem/"):
		// With native NVMe multipath (the kernel's default) the disk hangs
		// below a virtual subsystem, its paths are hidden.
	case strings.Contains(path, "/virtual/"):
		return "a virtual block device"
	case strings.Contains(path, "/pseudo_"):
		return "a simulated SCSI disk"
	case strings.Contains(path, "/usb"):
		// USB enclosures of SSDs report removable = 0.
		return "on USB"
	case strings.Contains(path, "/session"), strings.Contains(path, "/rport-"), strings.Contains(path, "/devices/rbd/"):
		return "on the network"
	}
	return ""
}

// isNVMePath recognises nvme0c1n2: controller 1's path to namespace 2.
func isNVMePath(name string) bool {
	rest, ok := strings.CutPrefix(name, "nvme")
	if !ok {
		return false
	}
	rest = strings.TrimLeft(rest, "0123456789")
	return strings.HasPrefix(rest, "c")
}

// vpd80 reads the unit serial number page (SPC-4, 7.8.19): four bytes of
// header, the last two the length, then the serial, padded on either side.
func vpd80(b []byte) (string, error) {
	if len(b) < 4 || b[1] != 0x80 {
		return "", errMalformed
	}
	size := int(b[2])<<8 | int(b[3])
	if size > len(b)-4 {
		return "", errMalformed
	}
	return clean(b[4 : 4+size]), nil
}

// udevSerial takes the serial out of udev's database entry of one disk. The
// order prefers what the disk calls its serial: ID_SERIAL_SHORT of a SCSI disk
// is its WWN, SCSI_IDENT_SERIAL depends on whether sg3-utils is installed, and
// ID_SERIAL begins with the model.
func udevSerial(entry string) (text, key string) {
	keys := [...]string{"ID_SCSI_SERIAL", "ID_SERIAL_SHORT", "SCSI_IDENT_SERIAL", "ID_SERIAL"}
	best := len(keys)
	for line := range strings.Lines(entry) {
		line, ok := strings.CutPrefix(line, "E:")
		if !ok {
			continue
		}
		k, v, _ := strings.Cut(line, "=")
		for i, want := range keys[:best] {
			if k == want && trim(v) != "" {
				best, text, key = i, clean([]byte(v)), want
				break
			}
		}
	}
	return text, key
}
