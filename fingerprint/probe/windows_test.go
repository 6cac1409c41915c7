package probe

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe/probetest"
)

// winDescriptor composes a STORAGE_DEVICE_DESCRIPTOR as the port drivers do:
// header, then the strings.
func winDescriptor(bus uint32, removable bool, serial string) []byte {
	b := make([]byte, 40)
	put := binary.LittleEndian.PutUint32
	put(b[0:], 40)
	if removable {
		b[10] = 1
	}
	put(b[28:], bus)
	put(b[16:], uint32(len(b)))
	b = append(b, "Model X\x00"...)
	if serial != "" {
		put(b[24:], uint32(len(b)))
		b = append(b, serial+"\x00"...)
	}
	put(b[4:], uint32(len(b)))
	return append(b, make([]byte, 100)...) // what the buffer had room for
}

// winAdapterSerial composes a STORAGE_ADAPTER_SERIAL_NUMBER.
func winAdapterSerial(s string) []byte {
	b := make([]byte, 8+256)
	binary.LittleEndian.PutUint32(b[0:], 264)
	binary.LittleEndian.PutUint32(b[4:], 264)
	for i, u := range utf16.Encode([]rune(s)) {
		binary.LittleEndian.PutUint16(b[8+2*i:], u)
	}
	return b
}

// winNIC composes a row of GetIfTable2Ex.
func winNIC(name, mac, pnp string, flags uint8) WindowsAdapter {
	b, _ := hex.DecodeString(strings.ReplaceAll(mac, ":", ""))
	return WindowsAdapter{Name: name, Type: ifTypeEthernet, Flags: flags, Permanent: b, Current: b, PnP: pnp}
}

func winRSMB(t *testing.T, text string) []byte {
	t.Helper()
	table, err := probetest.Encode(text, false)
	if err != nil {
		t.Fatal(err)
	}
	return table.RSMB()
}

const (
	hw = flagHardware | flagConnector

	lenovoTable = "SMBIOS 3.3 present.\nHandle 0x1, DMI type 1, 27 bytes\n\tManufacturer: LENOVO\n\tProduct Name: 20XW\n\tSerial Number: PF2KX9QZ\n" +
		"Handle 0x2, DMI type 2, 15 bytes\n\tSerial Number: L1HF1B3005W\nHandle 0x4, DMI type 4, 48 bytes\n\tID: C1 06 08 00 FF FB EB BF\n\tStatus: Populated, Enabled\n"
	hypervTable = "SMBIOS 3.1 present.\nHandle 0x0, DMI type 0, 26 bytes\n\tVendor: Microsoft Corporation\nHandle 0x1, DMI type 1, 27 bytes\n\tManufacturer: Microsoft Corporation\n\tProduct Name: Virtual Machine\n\tSerial Number: 2349-2347-2234-2340-2341-3240-48\n" +
		"Handle 0x4, DMI type 4, 48 bytes\n\tID: 00 00 00 00 00 00 00 00\n\tStatus: Populated, Enabled\n"
	vboxTable  = "SMBIOS 2.5 present.\nHandle 0x1, DMI type 1, 27 bytes\n\tManufacturer: innotek GmbH\n\tProduct Name: VirtualBox\n\tSerial Number: 0\n\tUUID: 7B0CD1A2-3344-4F55-8A66-0B1C2D3E4F5A\n"
	emptyTable = "Handle 0x1, DMI type 1, 27 bytes\n\tSerial Number: System Serial Number\nHandle 0x2, DMI type 2, 15 bytes\n\tSerial Number: To be filled by O.E.M.\n"
)

// windowsHosts are composed Windows machines and the string that each gives.
func windowsHosts(t *testing.T) map[string]struct {
	facts WindowsFacts
	want  string
	env   fingerprint.EnvKind
} {
	type host = struct {
		facts WindowsFacts
		want  string
		env   fingerprint.EnvKind
	}
	nvme := WindowsDisk{Name: "PhysicalDrive0", System: true, Descriptor: winDescriptor(busNVMe, false, "001B_444A_488B_5CEC."), Adapter: winAdapterSerial("BTFJ68N00112       _0000")}
	usb := WindowsDisk{Name: "PhysicalDrive1", Descriptor: winDescriptor(busUSB, true, "4C530001")}
	lan := winNIC("Ethernet", "04:7c:16:5e:e3:5d", `PCI\VEN_8086&DEV_15FB`, hw)
	return map[string]host{
		"KooGallery's sample": {
			WindowsFacts{Adapters: []WindowsAdapter{lan}, Disks: []WindowsDisk{nvme}, ProcessorID: "BFEBFBFF00090672", SMBIOS: winRSMB(t, emptyTable)},
			"04:7C:16:5E:E3:5D|001B_444A_488B_5CEC.||BFEBFBFF00090672", fingerprint.Physical,
		},
		"laptop": {
			WindowsFacts{
				Adapters: []WindowsAdapter{
					lan,
					{Name: "Wi-Fi", Type: ifTypeWiFi, Flags: hw, Permanent: []byte{0x3c, 0x58, 0xc2, 1, 2, 3}, PnP: `PCI\VEN_8086&DEV_A0F0`},
					winNIC("Bluetooth Network Connection", "3c:58:c2:01:02:07", `BTH\MS_BTHPAN`, 0),
					winNIC("Ethernet 2 (Fortinet)", "00:09:0f:aa:00:01", `ROOT\NET\0000`, 0),
					winNIC("TAP", "00:ff:12:34:56:78", `ROOT\NET\0001`, 0),
					winNIC("vEthernet (Default Switch)", "00:15:5d:01:02:03", `ROOT\VMS_MP\0000`, 0),
					winNIC("Ethernet-WFP", "04:7c:16:5e:e3:5d", "", hw|flagFilter),
					winNIC("Dock", "48:65:ee:11:22:33", `USB\VID_17EF`, hw),
					{Name: "Loopback", Type: 24},
				},
				Disks: []WindowsDisk{usb, nvme}, ProcessorID: "BFEBFBFF000806C1", SMBIOS: winRSMB(t, lenovoTable),
			},
			"04:7C:16:5E:E3:5D,3C:58:C2:01:02:03|001B_444A_488B_5CEC.|L1HF1B3005W|BFEBFBFF000806C1", fingerprint.Physical,
		},
		"only a dock": {WindowsFacts{Adapters: []WindowsAdapter{winNIC("Dock", "48:65:ee:11:22:33", `USB\VID_17EF`, hw)}}, "48:65:EE:11:22:33|||", fingerprint.Physical},
		"virtualisation-based security": {
			WindowsFacts{ProcessorID: "BFEBFBFF000806C1", Hypervisor: "Microsoft Hv", RootPartition: true, SMBIOS: winRSMB(t, lenovoTable)},
			"||L1HF1B3005W|BFEBFBFF000806C1", fingerprint.Physical,
		},
		"Hyper-V guest": {
			WindowsFacts{
				Adapters:    []WindowsAdapter{winNIC("Ethernet", "00:15:5d:0a:0b:0c", `VMBUS\{F8615163}`, hw)},
				Disks:       []WindowsDisk{{Name: "PhysicalDrive0", System: true, Descriptor: winDescriptor(10, false, "")}},
				ProcessorID: "1F8BFBFF00050657", Hypervisor: "Microsoft Hv", SMBIOS: winRSMB(t, hypervTable),
			},
			"00:15:5D:0A:0B:0C||2349-2347-2234-2340-2341-3240-48|1F8BFBFF00050657", fingerprint.Virtual,
		},
		"VirtualBox: UUID in the old byte order": {
			WindowsFacts{ProcessorID: "178BFBFF000A20F0", Hypervisor: "VBoxVBoxVBox", SMBIOS: winRSMB(t, vboxTable)},
			"||7B0CD1A2-3344-4F55-8A66-0B1C2D3E4F5A|178BFBFF000A20F0", fingerprint.Virtual,
		},
		"Windows 7: swapped ATA serial": {
			WindowsFacts{Disks: []WindowsDisk{{Name: "PhysicalDrive0", Descriptor: winDescriptor(11, false, "2020202057202d44435758433031413436373832")}}},
			"|WD-WCCX104A7628||", fingerprint.Physical,
		},
		"server: RAID, iSCSI, storage space, mounted image": {
			WindowsFacts{Disks: []WindowsDisk{
				{Name: "PhysicalDrive0", Descriptor: winDescriptor(8, false, "ZZ-DATA-1")},
				{Name: "PhysicalDrive1", System: true, Descriptor: winDescriptor(8, false, "zz-boot-9")},
				{Name: "PhysicalDrive2", Descriptor: winDescriptor(busISCSI, false, "LUN-4711")},
				{Name: "PhysicalDrive3", Descriptor: winDescriptor(busSpaces, false, "{f0e1}")},
				{Name: "PhysicalDrive4", Descriptor: winDescriptor(busFile, false, "IMG-4711")},
				{Name: "PhysicalDrive5", Descriptor: winDescriptor(busNVMeOF, false, "NET-4711")},
			}},
			"|ZZ-BOOT-9,ZZ-DATA-1||", fingerprint.Physical,
		},
		"NVMe driver without EUI": {
			WindowsFacts{Disks: []WindowsDisk{{Name: "PhysicalDrive0", Descriptor: winDescriptor(busNVMe, false, ""), Adapter: winAdapterSerial("BTFJ68N00112       _00000001.")}}},
			"|BTFJ68N00112||", fingerprint.Physical,
		},
		"ARM64: no CPUID": {
			WindowsFacts{SMBIOS: winRSMB(t, "Handle 0x4, DMI type 4, 48 bytes\n\tID: 41 D0 0F 51 00 00 00 00\n\tStatus: Populated, Enabled\n")},
			"|||00000000510FD041", fingerprint.Physical,
		},
		"GetAdaptersAddresses only": {
			WindowsFacts{Adapters: []WindowsAdapter{
				{Name: "Ethernet", Type: ifTypeEthernet, Old: true, Current: []byte{4, 0x7c, 0x16, 0x5e, 0xe3, 0x5d}, PnP: `PCI\VEN_8086`},
				{Name: "TAP", Type: ifTypeEthernet, Old: true, Current: []byte{0, 0xff, 0x12, 0x34, 0x56, 0x78}, PnP: `ROOT\NET\0001`},
				{Name: "Wi-Fi Direct", Type: ifTypeWiFi, Old: true, Current: []byte{0x3e, 0x58, 0xc2, 1, 2, 3}, PnP: `{5d624f94-8850-40c3-a3fa-a4fd2080baf3}\vwifimp_wfd`},
				{Name: "Tunnel", Type: 131, Old: true},
			}},
			"04:7C:16:5E:E3:5D|||", fingerprint.Physical,
		},
		"nothing may be read": {WindowsFacts{
			Errors: map[string]string{"adapters": "Access is denied.", "smbios": "Access is denied."},
			Disks:  []WindowsDisk{{Name: "PhysicalDrive0", Error: "Access is denied."}},
		}, "|||", fingerprint.Physical},
		"old SD card beside nothing": {WindowsFacts{Disks: []WindowsDisk{{Name: "PhysicalDrive0", Descriptor: winDescriptor(busSD, false, "5f3a9c21")}}}, "|5F3A9C21||", fingerprint.Physical},
		"table is garbage":           {WindowsFacts{SMBIOS: []byte{0, 3, 3, 0, 200, 0, 0, 0, 1}, ProcessorID: "BFEBFBFF000806C1"}, "|||BFEBFBFF000806C1", fingerprint.Physical},
	}
}

// TestWindowsHosts reads each composed machine through its recorded form.
func TestWindowsHosts(t *testing.T) {
	for name, h := range windowsHosts(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b, err := json.Marshal(h.facts)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, recordedWindows), b, 0o600); err != nil {
				t.Fatal(err)
			}
			d := Host{Root: dir}.Read()
			if got := fingerprint.Format(d).String; got != h.want || d.Env.Kind != h.env {
				t.Errorf("got %s on %s, want %s on %s\n%+v", got, d.Env.Kind, h.want, h.env, d)
			}
		})
	}
}

// TestWindowsStates shows what is unreadable, absent or a placeholder.
func TestWindowsStates(t *testing.T) {
	hosts := windowsHosts(t)
	states := func(f WindowsFacts) [4]fingerprint.State {
		d := Assemble(f.network(), f.disks(), f.firmware())
		return [4]fingerprint.State{d.MAC.State, d.Disk.State, d.Board.State, d.CPU.State}
	}
	const a, o, p, u = fingerprint.Absent, fingerprint.OK, fingerprint.Placeholder, fingerprint.Unreadable
	for name, want := range map[string][4]fingerprint.State{
		"nothing may be read":     {u, u, u, u},
		"KooGallery's sample":     {o, o, p, o},
		"Hyper-V guest":           {o, a, o, o},
		"table is garbage":        {a, a, u, o},
		"ARM64: no CPUID":         {a, a, a, o},
		"NVMe driver without EUI": {a, o, a, a},
	} {
		if got := states(hosts[name].facts); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := states(WindowsFacts{SMBIOS: winRSMB(t, hypervTable)}); got[3] != p {
		t.Errorf("a zero processor id is %s, want placeholder", got[3])
	}
}

// TestWindowsAccepted keeps the other spellings of a disk's serial.
func TestWindowsAccepted(t *testing.T) {
	hosts := windowsHosts(t)
	for name, want := range map[string][]string{
		"KooGallery's sample":           {"BTFJ68N00112"},
		"NVMe driver without EUI":       nil,
		"Windows 7: swapped ATA serial": {"2020202057202d44435758433031413436373832"},
	} {
		got := hosts[name].facts.disks().Values[0].Alt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// recordedTables are the firmware tables of the recorded machines.
func recordedTables(t *testing.T) (out []string) {
	t.Helper()
	files, err := filepath.Glob("../collect/testdata/hosts/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, table, ok := strings.Cut(string(b), "-- sys/firmware/dmi/tables/DMI (dmidecode) --\n")
		if ok {
			table, _, _ = strings.Cut(table, "\n-- ")
			out = append(out, table)
		}
	}
	if len(out) < 6 {
		t.Fatalf("%d recorded tables", len(out))
	}
	return out
}

// TestSameTableSameText gives one table to both systems.
func TestSameTableSameText(t *testing.T) {
	for _, text := range append(recordedTables(t), lenovoTable, hypervTable, emptyTable) {
		raw := winRSMB(t, text)
		s, err := ParseSMBIOS(raw)
		if err != nil {
			t.Fatal(err)
		}
		id := &identity{}
		id.fromSMBIOS(s, "RSMB")
		f := WindowsFacts{SMBIOS: raw}.firmware()
		cpu, _ := cpuFacts{sockets: s.CPUs}.cpu("RSMB")
		if diff := cmp.Diff([]fingerprint.Component{id.board(f.Env.Kind == fingerprint.Virtual), cpu}, []fingerprint.Component{f.Board, f.CPU}); diff != "" {
			t.Errorf("Linux and Windows differ:\n%s", diff)
		}
	}
}

// TestParseDescriptor refuses structures whose offsets lead outside.
func TestParseDescriptor(t *testing.T) {
	good := winDescriptor(11, false, "  S3Z9NB0K  ")
	change := func(at int, v uint32) []byte {
		b := append([]byte{}, good...)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name, want string
		in         []byte
		ok         bool
	}{
		{"padded", "S3Z9NB0K", good, true},
		{"no serial", "", winDescriptor(11, false, ""), true},
		{"offset all ones", "", change(24, 0xffffffff), true},
		{"offset into the header", "", change(24, 12), false},
		{"offset behind the end", "", change(24, 100000), false},
		{"offset behind the size", "", change(24, uint32(len(good)-4)), false},
		{"size beyond the buffer", "S3Z9NB0K", change(4, 100000), true},
		{"short", "", good[:35], false},
		{"empty", "", nil, false},
	} {
		got, err := parseDescriptor(c.in)
		if got.serial != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %q, %v, want %q, ok %v", c.name, got.serial, err, c.want, c.ok)
		}
	}
}

// TestUnswap decodes only what is a swapped serial.
func TestUnswap(t *testing.T) {
	for in, want := range map[string]string{
		"42566332666666303539622d6632643731622031": "VB2cff0f95-b2f7db11", // VirtualBox under Windows 7
		"2020202057202d44435758433031413436373832": "WD-WCCX104A7628",
		"0025385981B0A1C20025385981B0A1C200253859": "",
		"WD-WCXC10A46728":                          "",
		"":                                         "",
		strings.Repeat("zz", 20):                   "",
	} {
		if got := unswap(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestAdapterSerial cuts padding and namespace.
func TestAdapterSerial(t *testing.T) {
	for in, want := range map[string]string{
		"FJ68N000000000000   _0000": "FJ68N000000000000", "S64DMX0T600214W_00000001.": "S64DMX0T600214W",
		"A_B": "A_B", "A_12": "A_12", "": "", "   ": "", "Größe_0001": "Größe",
	} {
		if got := adapterSerial(winAdapterSerial(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := adapterSerial([]byte{1, 2, 3}); got != "" {
		t.Errorf("three bytes gave %q", got)
	}
}

// TestParseExtents reads the disks of a volume.
func TestParseExtents(t *testing.T) {
	b := make([]byte, 8+2*24)
	b[0], b[8], b[32] = 2, 3, 1
	if got := parseExtents(b); !cmp.Equal(got, []int{3, 1}) {
		t.Errorf("got %v", got)
	}
	b[0] = 200 // more than there are
	if got := parseExtents(b); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if got := parseExtents(b[:7]); got != nil {
		t.Errorf("got %v", got)
	}
}

// TestRecordedWindowsBroken: a damaged record is unreadable, not absent.
func TestRecordedWindowsBroken(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, recordedWindows), []byte(`{"adapters": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range (Host{Root: dir}).Read().Components() {
		if c.State != fingerprint.Unreadable || c.Reason == "" {
			t.Errorf("%s is %s (%q)", c.Kind, c.State, c.Reason)
		}
	}
}

// FuzzStorage feeds anything to the decoders of storage structures.
func FuzzStorage(f *testing.F) {
	f.Add(winDescriptor(11, false, "S3Z9NB0K"), winAdapterSerial("A_0001"))
	f.Add(winDescriptor(busNVMe, false, "001B_444A_488B_5CEC."), []byte{})
	f.Fuzz(func(t *testing.T, descriptor, adapter []byte) {
		d := WindowsDisk{Descriptor: descriptor, Adapter: adapter}
		c := d.candidate()
		if strings.ContainsRune(c.text, 0) || c.text != strings.TrimSpace(c.text) || c.text != strings.ToValidUTF8(c.text, "") {
			t.Fatalf("text %q", c.text)
		}
		parseExtents(descriptor)
	})
}
