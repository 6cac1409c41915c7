package collect

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"licenseagent.example/fingerprint"
)

func seen(k fingerprint.Kind, text, source string, alt ...string) fingerprint.Component {
	return fingerprint.Component{Kind: k, State: fingerprint.OK, Values: []fingerprint.Value{{Text: text, Source: source, Alt: alt}}}
}

// TestCompare shows what is a disagreement and what is only blindness.
func TestCompare(t *testing.T) {
	device := fingerprint.Device{
		MAC:   seen(fingerprint.MAC, "b0:26:28:aa:10:04", "netlink IFLA_PERM_ADDRESS eth0"),
		Disk:  seen(fingerprint.Disk, "WD WMAM9XE78956", "sysfs vpd_pg80 sda", "ALT-4711X"),
		Board: seen(fingerprint.Board, "MB-4711X", "SMBIOS type 2 serial"),
		CPU:   seen(fingerprint.CPU, "BFEBFBFF000806C1", "CPUID leaf 1"),
		Env:   fingerprint.Environment{Kind: fingerprint.Virtual, Reason: "test"},
	}
	device.Board.Rejected = []fingerprint.Rejected{{Text: "SYS-4711X", Source: "SMBIOS type 1 serial"}}
	device.MAC.Rejected = []fingerprint.Rejected{{Text: "48:65:ee:11:22:33", Source: "sysfs address dock0"}}
	for _, c := range []struct {
		name string
		in   facts
		want string // part of the note, "" for none
	}{
		{"nothing seen", facts{}, ""},
		{"all agree", facts{Board: "mb-4711x", Disks: []namedFact{{"sda", "WD_WMAM9XE78956"}}, NICs: []namedFact{{"eth0", "B0:26:28:AA:10:04"}}, System: "kvm", Role: "guest"}, ""},
		{"another board", facts{Board: "MB-0815Y"}, "board: "},
		{"the board's serial was passed over", facts{Board: "SYS-4711X"}, ""},
		{"a placeholder is no opinion", facts{Board: "To be filled by O.E.M."}, ""},
		{"another disk serial", facts{Disks: []namedFact{{"sda", "5000c50015ea71aa"}}}, "disk sda: "},
		{"an accepted spelling", facts{Disks: []namedFact{{"sda", "alt-4711x"}}}, ""},
		{"a disk that we leave out", facts{Disks: []namedFact{{"dm-0", "x"}}}, ""},
		{"ghw is blind without udev", facts{Disks: []namedFact{{"sda", ""}}}, ""},
		{"ghw is blind for a bond's member", facts{NICs: []namedFact{{"eth0", ""}}}, ""},
		{"another address", facts{NICs: []namedFact{{"eth0", "b0:26:28:aa:10:05"}}}, "mac eth0: ghw"},
		{"another address of one left out", facts{NICs: []namedFact{{"dock0", "48:65:ee:11:22:34"}}}, "mac dock0: ghw"},
		{"an address in use", facts{Interfaces: []namedFact{{"eth0", "02:00:00:00:00:01"}}}, "mac eth0: in use"},
		{"not listed", facts{Interfaces: []namedFact{{"lo", ""}}}, "gopsutil does not list"},
		{"same processor", facts{CPU: cpuFact{Family: "6", Model: "140", Stepping: 1}}, ""},
		{"another processor", facts{CPU: cpuFact{Family: "6", Model: "141", Stepping: 1}}, "cpu: gopsutil sees family 6 model 141"},
		{"ProcessorId", facts{CPU: cpuFact{ID: "bfebfbff000806c1"}}, ""},
		{"another ProcessorId", facts{CPU: cpuFact{ID: "0000000000000000"}}, "cpu: gopsutil sees ProcessorId"},
		{"no numbers (ARM)", facts{CPU: cpuFact{Family: "8", Model: "0xd08"}}, ""},
		{"a container by a stray file", facts{System: "docker", Role: "guest"}, "env: gopsutil says docker"},
		{"a host of virtual machines", facts{System: "kvm", Role: "host"}, ""},
		{"a source failed", facts{Errors: []string{"ghw block: WMI"}}, "cross-check: ghw block: WMI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			notes := compare(device, c.in)
			if c.want == "" && len(notes) > 0 || c.want != "" && (len(notes) != 1 || !strings.Contains(notes[0], c.want)) {
				t.Fatalf("notes %q, want %q", notes, c.want)
			}
			for _, secret := range []string{"4711X", "0815Y", "71aa", "aa:10"} {
				if strings.Contains(strings.Join(notes, ""), secret) {
					t.Errorf("%q shows %q", notes, secret)
				}
			}
		})
	}
}

// TestFrom matches sources and device names of both systems.
func TestFrom(t *testing.T) {
	for _, c := range []struct {
		source, name string
		want         bool
	}{
		{"sysfs vpd_pg80 sda", "sda", true},
		{"sysfs vpd_pg80 sdaa", "sda", false},
		{"sysfs vpd_pg80 xsda", "sda", false},
		{"StorageDeviceProperty PhysicalDrive0", `\\.\PHYSICALDRIVE0`, true},
		{"StorageDeviceProperty PhysicalDrive10", `\\.\PHYSICALDRIVE0`, false},
		{"GetIfTable2Ex Ethernet 2", "Ethernet 2", true},
		{"", "", false},
	} {
		if got := from(c.source, c.name); got != c.want {
			t.Errorf("%q from %q: %v", c.source, c.name, got)
		}
	}
}

// TestSignature reads family, model and stepping of processors whose numbers
// are public.
func TestSignature(t *testing.T) {
	for _, c := range []struct {
		id                      string
		family, model, stepping int
		ok                      bool
	}{
		{"BFEBFBFF000206A7", 6, 42, 7, true},
		{"BFEBFBFF00090672", 6, 151, 2, true},
		{"178BFBFF00B00F21", 26, 2, 1, true},
		{"178BFBFF00A20F12", 25, 33, 2, true},
		{"0000000000000000", 0, 0, 0, false},
		{"garbage", 0, 0, 0, false},
		{"BFEBFBFF000206AZ", 0, 0, 0, false},
	} {
		family, model, stepping, ok := signature(c.id)
		if family != c.family || model != c.model || stepping != c.stepping || ok != c.ok {
			t.Errorf("%s: %d %d %d %v", c.id, family, model, stepping, ok)
		}
	}
}

// TestKnown makes nothing of ghw's words for nothing.
func TestKnown(t *testing.T) {
	for in, want := range map[string]string{"unknown": "", " Unknown ": "", "N/A": "", "": "", " S-1 ": "S-1"} {
		if got := known(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// TestAsk bounds and guards a source.
func TestAsk(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for _, c := range []struct {
		name   string
		source func(context.Context) (string, error)
		want   string
		failed string
	}{
		{"answers", func(context.Context) (string, error) { return "x", nil }, "x", ""},
		{"fails", func(context.Context) (string, error) { return "half", errors.New("no such field") }, "", "s: no such field"},
		{"hangs", func(context.Context) (string, error) { <-release; return "late", nil }, "", "s: no answer in time"},
		{"panics", func(context.Context) (string, error) { panic("variant") }, "", "s: the reader failed: variant"},
	} {
		var f facts
		limit := time.Minute
		if c.name == "hangs" {
			limit = time.Millisecond
		}
		got := ask(context.Background(), &f, "s", limit, c.source)
		failed := strings.Join(f.Errors, "")
		if got != c.want || !strings.HasPrefix(failed, c.failed) || (failed == "") != (c.failed == "") {
			t.Errorf("%s: %q, errors %q", c.name, got, f.Errors)
		}
	}
}

// TestChild runs this program as the cross-check's child.
func TestChild(t *testing.T) {
	for mode, want := range map[string]string{
		"real": "", "garbage": "its answer cannot be read", "flood": "its answer cannot be read",
		"crash": "exit status 2", "hang": "context deadline exceeded",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv(childVariable, mode)
			limit := time.Minute
			if mode == "hang" {
				limit = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			f := runChild(ctx, os.Args[0])
			failed := strings.Join(f.Errors, "\n")
			if want == "" && strings.Contains(failed, "child process") || want != "" && !strings.Contains(failed, want) {
				t.Errorf("errors %q, want %q", f.Errors, want)
			}
		})
	}
	f := runChild(context.Background(), "/no/such/program")
	if len(f.Errors) != 1 || !strings.HasPrefix(f.Errors[0], "child process: ") {
		t.Errorf("missing program: %+v", f)
	}
}

// TestCrossCheckMain writes what this machine's second sources say.
func TestCrossCheckMain(t *testing.T) {
	var out strings.Builder
	if code := CrossCheckMain(&out); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var f facts
	if err := json.Unmarshal([]byte(out.String()), &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Interfaces) == 0 && len(f.Errors) == 0 {
		t.Errorf("no interfaces and no error: %+v", f)
	}
	if code := CrossCheckMain(full{}); code != 1 {
		t.Errorf("a closed pipe gave exit code %d", code)
	}
}

// full refuses every byte.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("pipe closed") }
