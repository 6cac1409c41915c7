package probe

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/windows"
)

// The control codes and property numbers (winioctl.h). All are answered on a
// handle opened without any access right.
const (
	ioctlStorageQueryProperty = 0x2d1400
	ioctlVolumeDiskExtents    = 0x560000

	storageDeviceProperty              = 0
	storageAdapterSerialNumberProperty = 57
)

// readDisks asks each PhysicalDriveN. The volume of the system drive is asked
// as well where its disk gave no serial: it passes the question on to its disk.
func readDisks() []WindowsDisk {
	drive := systemDrive()
	var system []int
	if drive != "" {
		system = diskNumbers(`\\.\` + drive)
	}
	var out []WindowsDisk
	found := false
	for n, missing := 0, 0; n < 512 && missing < 8; n++ {
		d, err := readDisk("PhysicalDrive" + strconv.Itoa(n))
		if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
			missing++
			continue
		}
		missing = 0
		if err != nil {
			d.Error = err.Error()
		}
		d.System = slices.Contains(system, n)
		if d.System {
			s, err := parseDescriptor(d.Descriptor)
			found = found || err == nil && s.serial != ""
		}
		out = append(out, d)
	}
	if drive != "" && !found {
		if d, err := readDisk(drive); err == nil {
			d.System = true
			out = append(out, d)
		}
	}
	return out
}

// readDisk asks one device for its descriptor and adapter serial.
func readDisk(name string) (WindowsDisk, error) {
	d := WindowsDisk{Name: name}
	h, err := openDevice(`\\.\` + name)
	if err != nil {
		return d, err
	}
	defer windows.CloseHandle(h)
	if d.Descriptor, err = queryProperty(h, storageDeviceProperty); err != nil {
		return d, err
	}
	if s, err := parseDescriptor(d.Descriptor); err == nil && s.bus == busNVMe {
		// Windows 10 1903 and later; others answer "invalid".
		if b, err := queryProperty(h, storageAdapterSerialNumberProperty); err == nil {
			d.Adapter = b
		}
	}
	return d, nil
}

// openDevice opens without read or write access, which needs no privilege.
func openDevice(path string) (windows.Handle, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	return windows.CreateFile(p, 0, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
}

// queryProperty is IOCTL_STORAGE_QUERY_PROPERTY, standard query.
func queryProperty(h windows.Handle, property uint32) ([]byte, error) {
	var query [12]byte // STORAGE_PROPERTY_QUERY
	binary.LittleEndian.PutUint32(query[0:], property)
	out := make([]byte, 1024)
	var n uint32
	if err := windows.DeviceIoControl(h, ioctlStorageQueryProperty, &query[0], uint32(len(query)), &out[0], uint32(len(out)), &n, nil); err != nil {
		return nil, err
	}
	return out[:min(int(n), len(out))], nil
}

// diskNumbers returns the numbers of the disks that hold a volume.
func diskNumbers(volume string) []int {
	h, err := openDevice(volume)
	if err != nil {
		return nil
	}
	defer windows.CloseHandle(h)
	out := make([]byte, 8+24*64)
	var n uint32
	if err := windows.DeviceIoControl(h, ioctlVolumeDiskExtents, nil, 0, &out[0], uint32(len(out)), &n, nil); err != nil {
		return nil
	}
	return parseExtents(out[:min(int(n), len(out))])
}
