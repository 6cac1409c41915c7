package probe

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"licenseagent.example/fingerprint"
)

// network reads the adapters' permanent addresses.
func (h Host) network() fingerprint.Component {
	if f, ok := h.facts(); ok {
		return f.network()
	}
	f := WindowsFacts{}
	var err error
	if f.Adapters, err = readAdapters(); err != nil {
		f.Errors = map[string]string{"adapters": "GetIfTable2Ex and GetAdaptersAddresses: " + err.Error()}
	}
	return f.network()
}

// disks reads the serials of the fixed disks.
func (h Host) disks() fingerprint.Component {
	if f, ok := h.facts(); ok {
		return f.disks()
	}
	return WindowsFacts{Disks: readDisks()}.disks()
}

// firmware reads board, CPU and class of machine.
func (h Host) firmware() Firmware {
	if f, ok := h.facts(); ok {
		return f.firmware()
	}
	cpu := readCPUID()
	f := WindowsFacts{ProcessorID: cpu.leaf1, RootPartition: cpu.root}
	if cpu.hypervisor {
		f.Hypervisor = cpu.vendor
		if f.Hypervisor == "" {
			f.Hypervisor = "unnamed"
		}
	}
	var err error
	if f.SMBIOS, err = readFirmwareTable(); err != nil {
		f.Errors = map[string]string{"smbios": "GetSystemFirmwareTable: " + err.Error()}
	}
	return f.firmware()
}

// facts returns those of a recorded Windows machine. A recorded Linux tree
// cannot be read here: its names contain colons, which Windows forbids.
func (h Host) facts() (WindowsFacts, bool) {
	f, ok := h.windows()
	if !ok && h.Root != "" {
		const text = "recorded host: no windows.json; recorded Linux machines can be read on Linux only"
		return WindowsFacts{Errors: map[string]string{"adapters": text, "disks": text, "smbios": text}}, true
	}
	return f, ok
}

// readAdapters lists the interfaces by GetIfTable2Ex, which knows what is
// hardware and the permanent address.
func readAdapters() ([]WindowsAdapter, error) {
	var table *windows.MibIfTable2
	err := windows.GetIfTable2Ex(windows.MibIfTableNormalWithoutStatistics, &table)
	if err != nil { // before Windows 10 1709 that level is invalid
		err = windows.GetIfTable2Ex(windows.MibIfTableNormal, &table)
	}
	if err != nil {
		return readAdaptersOld(err)
	}
	defer windows.FreeMibTable(unsafe.Pointer(table))
	rows := unsafe.Slice(&table.Table[0], min(table.NumEntries, 4096))
	out := make([]WindowsAdapter, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		a := WindowsAdapter{
			Name: windows.UTF16ToString(r.Alias[:]), Description: windows.UTF16ToString(r.Description[:]),
			Type: r.Type, Flags: r.InterfaceAndOperStatusFlags,
		}
		if n := min(int(r.PhysicalAddressLength), len(r.PermanentPhysicalAddress)); n > 0 {
			a.Permanent = append(a.Permanent, r.PermanentPhysicalAddress[:n]...)
			a.Current = append(a.Current, r.PhysicalAddress[:n]...)
		}
		if a.Flags&(flagHardware|flagConnector) == flagHardware|flagConnector {
			a.PnP = pnpInstance(r.InterfaceGuid.String())
		}
		out = append(out, a)
	}
	return out, nil
}

// readAdaptersOld lists the interfaces by GetAdaptersAddresses; first is why
// the better call failed. GAA_FLAG_INCLUDE_PREFIX stays away: it makes the
// call fail on machines with certain routes.
func readAdaptersOld(first error) ([]WindowsAdapter, error) {
	const flags = windows.GAA_FLAG_SKIP_UNICAST | windows.GAA_FLAG_SKIP_ANYCAST | windows.GAA_FLAG_SKIP_MULTICAST | windows.GAA_FLAG_SKIP_DNS_SERVER
	size := uint32(15 << 10) // as the function's documentation recommends
	for range 4 {
		buf := make([]byte, size)
		head := (*windows.IpAdapterAddresses)(unsafe.Pointer(&buf[0]))
		err := windows.GetAdaptersAddresses(windows.AF_UNSPEC, flags, 0, head, &size)
		if errors.Is(err, windows.ERROR_BUFFER_OVERFLOW) && size <= 4<<20 {
			continue
		}
		if errors.Is(err, windows.ERROR_NO_DATA) {
			return nil, nil
		}
		if err != nil {
			return nil, errors.Join(first, err)
		}
		var out []WindowsAdapter
		for r := head; r != nil && len(out) < 4096; r = r.Next {
			a := WindowsAdapter{
				Name: windows.UTF16PtrToString(r.FriendlyName), Description: windows.UTF16PtrToString(r.Description),
				Type: r.IfType, Old: true, PnP: pnpInstance(windows.BytePtrToString(r.AdapterName)),
			}
			a.Current = append(a.Current, r.PhysicalAddress[:min(int(r.PhysicalAddressLength), len(r.PhysicalAddress))]...)
			out = append(out, a)
		}
		return out, nil
	}
	return nil, errors.Join(first, windows.ERROR_BUFFER_OVERFLOW)
}

// pnpInstance finds the device behind an interface, "" if the registry does
// not say.
func pnpInstance(guid string) string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE,
		`SYSTEM\CurrentControlSet\Control\Network\{4D36E972-E325-11CE-BFC1-08002BE10318}\`+guid+`\Connection`,
		registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	defer k.Close()
	s, _, err := k.GetStringValue("PnpInstanceID")
	if err != nil {
		return ""
	}
	return s
}

// readFirmwareTable asks for the raw SMBIOS table, the documented way for
// programs without administrator rights.
func readFirmwareTable() ([]byte, error) {
	const rsmb = 'R'<<24 | 'S'<<16 | 'M'<<8 | 'B'
	proc := windows.NewLazySystemDLL("kernel32.dll").NewProc("GetSystemFirmwareTable")
	if err := proc.Find(); err != nil {
		return nil, err
	}
	buf := make([]byte, maxFile)
	n, _, err := proc.Call(rsmb, 0, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	if n > maxFile { // larger than any SMBIOS 2 table: ask once more with that size
		buf = make([]byte, min(n, 1<<20))
		n, _, err = proc.Call(rsmb, 0, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	}
	switch {
	case n == 0 && errors.Is(err, windows.ERROR_NOT_FOUND), n == 0 && errors.Is(err, windows.ERROR_INVALID_FUNCTION):
		return nil, nil // the firmware has none
	case n == 0:
		return nil, err
	}
	return buf[:min(int(n), len(buf))], nil
}

// systemDrive returns "C:" or whichever drive holds Windows.
func systemDrive() string {
	dir, err := windows.GetSystemWindowsDirectory()
	if err != nil || len(dir) < 2 || dir[1] != ':' {
		return ""
	}
	return dir[:2]
}

func (h Host) rawTable() ([]byte, error) { return nil, errors.ErrUnsupported }
