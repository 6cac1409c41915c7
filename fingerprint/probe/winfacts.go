package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"licenseagent.example/fingerprint"
)

// WindowsFacts is what is read from a Windows machine, before any rule. It is
// also the content of windows.json, the recorded form of such a machine, so
// that the rules can be run anywhere.
type WindowsFacts struct {
	Adapters []WindowsAdapter `json:"adapters"`
	Disks    []WindowsDisk    `json:"disks"`
	// SMBIOS is the answer of GetSystemFirmwareTable('RSMB', 0).
	SMBIOS []byte `json:"smbios,omitempty"`
	// ProcessorID is CPUID leaf 1, EDX then EAX in hexadecimal; "" where the
	// processor has no such instruction (ARM64).
	ProcessorID string `json:"processor_id,omitempty"`
	// Hypervisor is the vendor text of CPUID leaf 0x40000000 when leaf 1
	// shows a hypervisor, and RootPartition says that this Windows owns it.
	Hypervisor    string `json:"hypervisor,omitempty"`
	RootPartition bool   `json:"root_partition,omitempty"`
	// Errors say why a whole list is missing, by part: "adapters", "disks", "smbios".
	Errors map[string]string `json:"errors,omitempty"`
}

// recordedWindows is the name of the file in a recorded Windows machine.
const recordedWindows = "windows.json"

// maxRecorded bounds that file: 500 disks and adapters fit.
const maxRecorded = 4 << 20

// windows returns the facts of a recorded Windows machine; ok is false where
// Root is no such machine.
func (h Host) windows() (f WindowsFacts, ok bool) {
	if h.Root == "" {
		return f, false
	}
	file, err := os.Open(filepath.Join(h.Root, recordedWindows))
	if errors.Is(err, fs.ErrNotExist) {
		return f, false
	}
	if err == nil {
		defer file.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(file, maxRecorded)); err == nil {
			err = json.Unmarshal(b, &f)
		}
	}
	if err != nil {
		text := "recorded host: " + why(err)
		f = WindowsFacts{Errors: map[string]string{"adapters": text, "disks": text, "smbios": text}}
	}
	return f, true
}

// network decides over the adapters.
func (f WindowsFacts) network() fingerprint.Component {
	if text := f.Errors["adapters"]; text != "" {
		return fingerprint.Component{Kind: fingerprint.MAC, State: fingerprint.Unreadable, Reason: text}
	}
	c := make([]candidate, 0, len(f.Adapters))
	for _, a := range f.Adapters {
		c = append(c, a.candidate())
	}
	return macComponent(c)
}

// disks decides over the disks.
func (f WindowsFacts) disks() fingerprint.Component {
	if text := f.Errors["disks"]; text != "" {
		return fingerprint.Component{Kind: fingerprint.Disk, State: fingerprint.Unreadable, Reason: text}
	}
	c := make([]candidate, 0, len(f.Disks))
	for _, d := range f.Disks {
		c = append(c, d.candidate())
	}
	return diskComponent(c)
}

// firmware decides over board, CPU and class of machine.
func (f WindowsFacts) firmware() Firmware {
	var out Firmware
	id := &identity{}
	var table SMBIOS
	var err error
	switch text := f.Errors["smbios"]; {
	case text != "":
		err = errors.New(text)
	case len(f.SMBIOS) == 0:
		err = fmt.Errorf("%w: the firmware has no table", fs.ErrNotExist)
	default:
		table, err = ParseSMBIOS(f.SMBIOS)
	}
	if err == nil {
		id.fromSMBIOS(table, "RSMB")
	} else if !absent(err) {
		id.boards = []candidate{{source: "RSMB", err: err}}
	}
	cpu := cpuidFacts{
		known: f.ProcessorID != "", leaf1: f.ProcessorID,
		hypervisor: f.Hypervisor != "", vendor: f.Hypervisor, root: f.RootPartition,
	}
	out.Env = envFacts{cpu: cpu, id: id}.machine()
	out.Board = id.board(out.Env.Kind == fingerprint.Virtual)
	facts := cpuFacts{leaf1: f.ProcessorID, sockets: table.CPUs}
	if err != nil && !absent(err) {
		facts.table = err
	}
	out.CPU, out.Notes = facts.cpu("RSMB")
	return out
}

// WindowsAdapter is one row of GetIfTable2Ex, or of GetAdaptersAddresses where
// that fails.
type WindowsAdapter struct {
	Name        string `json:"name"` // as people see it: "Ethernet 2"
	Description string `json:"description"`
	Type        uint32 `json:"type"`  // IANA ifType
	Flags       uint8  `json:"flags"` // InterfaceAndOperStatusFlags
	// Permanent and Current are the addresses; Current decides only where the
	// row comes from GetAdaptersAddresses, which knows no permanent one.
	Permanent []byte `json:"permanent,omitempty"`
	Current   []byte `json:"current,omitempty"`
	Old       bool   `json:"old,omitempty"` // from GetAdaptersAddresses
	// PnP is the device instance (PCI\VEN_8086&…), from the registry; "" if
	// it could not be found.
	PnP string `json:"pnp,omitempty"`
}

// The interface types and flags that the rules use (ipifcons.h, netioapi.h).
const (
	ifTypeEthernet = 6
	ifTypeWiFi     = 71

	flagHardware  = 1 << 0
	flagFilter    = 1 << 1
	flagConnector = 1 << 2
)

// candidate applies the rules that tell a physical adapter from the rest.
// HardwareInterface and ConnectorPresent are false for VPN adapters, Bluetooth
// networks and virtual switches; WMI's PhysicalAdapter is true for some of
// them (seen for Fortinet's and for Bluetooth), so it is not asked.
func (a WindowsAdapter) candidate() candidate {
	c := candidate{source: "GetIfTable2Ex " + a.Name, text: spellMAC(a.Permanent)}
	if a.Old {
		c.source, c.text = "GetAdaptersAddresses "+a.Name, spellMAC(a.Current)
	}
	bus, _, _ := strings.Cut(strings.ToUpper(a.PnP), `\`)
	switch {
	case a.Type != ifTypeEthernet && a.Type != ifTypeWiFi:
		c.drop = fmt.Sprintf("not Ethernet or Wi-Fi (type %d)", a.Type)
	case !a.Old && a.Flags&flagFilter != 0:
		c.drop = "a filter above an adapter"
	case !a.Old && a.Flags&flagHardware == 0:
		c.drop = "not hardware"
	case !a.Old && a.Flags&flagConnector == 0:
		c.drop = "no connector"
	case bus == "ROOT", bus == "SWD", bus == "BTH", bus == "BTHENUM", strings.HasPrefix(bus, "{"):
		// Software devices, Bluetooth, and the children of a driver such as
		// Wi-Fi Direct. Decisive only for the old call, which has no flags.
		c.drop = "a software or Bluetooth adapter (" + bus + ")"
	case c.text == "" || c.text == "00:00:00:00:00:00":
		c.drop = "no permanent address"
	}
	c.rank = adapterRank(c.text, bus == "USB")
	return c
}
