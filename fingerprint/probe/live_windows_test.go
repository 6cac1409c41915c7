package probe

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"licenseagent.example/fingerprint"
)

// TestLive reads this machine twice, whatever it is.
func TestLive(t *testing.T) {
	first, second := Host{}.Read(), Host{}.Read()
	if a, b := fingerprint.Format(first).String, fingerprint.Format(second).String; a != b || strings.Count(a, "|") != 3 {
		t.Fatalf("two reads gave %q and %q", a, b)
	}
	text, err := json.MarshalIndent(first, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	for _, c := range first.Components() {
		if ok := c.State == fingerprint.OK; ok != (len(c.Values) > 0) || ok == (c.Reason != "") {
			t.Errorf("%s: state %s with %d values and reason %q", c.Kind, c.State, len(c.Values), c.Reason)
		}
	}
	if first.CPU.State != fingerprint.OK && first.CPU.State != fingerprint.Placeholder {
		t.Errorf("no processor id: %+v", first.CPU)
	}
}

// TestBothAdapterCalls: the old call knows no adapter that the new one lacks.
func TestBothAdapterCalls(t *testing.T) {
	fresh, err := readAdapters()
	if err != nil {
		t.Fatal(err)
	}
	old, err := readAdaptersOld(nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, a := range fresh {
		known[net.HardwareAddr(a.Current).String()] = true
		t.Logf("%+v", a)
	}
	for _, a := range old {
		if !known[net.HardwareAddr(a.Current).String()] {
			t.Errorf("GetIfTable2Ex lacks %+v", a)
		}
	}
}

// TestFirmwareTable parses the table of this machine.
func TestFirmwareTable(t *testing.T) {
	b, err := readFirmwareTable()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return // a machine without one
	}
	s, err := ParseSMBIOS(b)
	if err != nil || s.Truncated || s.Major < 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestDisks asks the disks of this machine; what cannot be opened has a reason.
func TestDisks(t *testing.T) {
	drive := systemDrive()
	if len(drive) != 2 || drive[1] != ':' {
		t.Errorf("system drive %q", drive)
	}
	for _, d := range readDisks() {
		s, err := parseDescriptor(d.Descriptor)
		t.Logf("%s: %+v, %v, system %v, %s", d.Name, s, err, d.System, d.Error)
		if (d.Error == "") != (err == nil) {
			t.Errorf("%s: error %q, descriptor %v", d.Name, d.Error, err)
		}
	}
	if _, err := readDisk("NoSuchDevice"); err == nil {
		t.Error("a device that does not exist was read")
	}
}

// BenchmarkProbeWarm is one whole observation of this machine.
func BenchmarkProbeWarm(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Host{}.Read()
	}
}
