package probe

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe/probetest"
)

// machineRecord is a machine of fingerprint/testdata/machines.json: what stands
// in its hardware, and the string that must come out.
type machineRecord struct {
	Name, Quirk           string
	MAC, Disk, Board, CPU []string
	Junk                  []string
	String                string
}

// TestCorpusHosts builds each record of our own making as a recorded host (an
// SMBIOS table, sysfs files) and reads it: the readers must neither lose a real
// serial nor let a placeholder through.
func TestCorpusHosts(t *testing.T) {
	raw, err := os.ReadFile("../testdata/machines.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Machines []machineRecord }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Machines) < 60 {
		t.Fatalf("%d machines, want at least 60", len(file.Machines))
	}
	for _, m := range file.Machines {
		t.Run(m.Name, func(t *testing.T) {
			d := Host{Root: probetest.Unpack(t, []byte(m.archive()))}.Read()
			// The record lists its disks in any order; the reader sorts them.
			got, want := sortedParts(fingerprint.Format(d).String), sortedParts(m.String)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", m.Quirk, diff)
			}
			for _, c := range d.Components() {
				for _, v := range c.Values {
					if slices.Contains(m.Junk, v.Text) {
						t.Errorf("%s: %q was taken for a %s", m.Quirk, v.Text, c.Kind)
					}
				}
				if c.State == fingerprint.Absent && c.Kind == fingerprint.Disk && len(m.Disk) > 0 && strings.TrimSpace(m.Disk[0]) != "" {
					t.Errorf("%s: disks %q became absent", m.Quirk, m.Disk)
				}
			}
		})
	}
}

// archive writes the record in the notation of probetest.
func (m machineRecord) archive() string {
	var b strings.Builder
	b.WriteString(dmi("Handle 0x0, DMI type 0, 24 bytes\n"))
	for i, text := range m.Board {
		fmt.Fprintf(&b, "Handle 0x%x, DMI type 2, 15 bytes\n\tSerial Number: %s\n", 0x200+i, strconv.Quote(text))
	}
	for i, text := range m.CPU {
		if id := processorBytes(text); id != "" {
			fmt.Fprintf(&b, "Handle 0x%x, DMI type 4, 42 bytes\n\tSocket Designation: CPU%d\n\tID: %s\n\tStatus: Populated, Enabled\n", 0x400+i, i, id)
		}
	}
	b.WriteString("-- sys/block/keep --\n-- sys/class/net/bonding_masters --\n")
	for i, text := range m.MAC {
		text = strings.ToLower(strings.ReplaceAll(text, "-", ":"))
		fmt.Fprintf(&b, "-- nic eth%d --\nat pci0000:00/0000:00:%02x.0\naddress %s\n", i, i, text)
	}
	for i, text := range m.Disk {
		name := "vd" + string(rune('a'+i))
		fmt.Fprintf(&b, "-- disk %s --\nat pci0000:01/0000:01:%02x.0/virtio%d/block/%s\ndev 252:%d\nserial %s\n", name, i, i, name, 16*i, strconv.Quote(text))
	}
	return b.String()
}

// processorBytes spells a CPU id as dmidecode does; "" for text that cannot
// stand in the eight bytes of the field.
func processorBytes(text string) string {
	for _, form := range fingerprint.CPUForms(text) {
		if len(form) == 23 {
			return form
		}
	}
	return ""
}

// sortedParts splits a string into its parts and their values.
func sortedParts(s string) [][]string {
	var out [][]string
	for _, part := range strings.Split(s, "|") {
		values := strings.Split(part, ",")
		slices.Sort(values)
		out = append(out, values)
	}
	return out
}
