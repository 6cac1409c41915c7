package probe

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
)

func denied(source string) candidate { return candidate{source: source, err: fs.ErrPermission} }

// TestChain shows what becomes of the sources of the board's serial.
func TestChain(t *testing.T) {
	const none = "none at all"
	for _, c := range []struct {
		name  string
		in    []candidate
		state fingerprint.State
		text  string
		alt   []string
		note  string // part of Reason
	}{
		{"first wins", []candidate{{text: "MB-77", source: "board"}, {text: "SYS-A1", source: "system"}}, fingerprint.OK, "MB-77", nil, ""},
		{"placeholder is passed over", []candidate{{text: "Default string", source: "board"}, {text: "SYS-A1", source: "system"}}, fingerprint.OK, "SYS-A1", nil, ""},
		{"what anybody may read stays accepted", []candidate{{text: "MB-77", source: "board"}, {text: "i-0a1b2c3d4e5f60718", source: "tag", open: true}}, fingerprint.OK, "MB-77", []string{"i-0a1b2c3d4e5f60718"}, ""},
		{"the same without root", []candidate{denied("board"), {text: "i-0a1b2c3d4e5f60718", source: "tag", open: true}}, fingerprint.OK, "i-0a1b2c3d4e5f60718", nil, ""},
		{"the chassis of sixteen blades is not", []candidate{{text: "MB-77", source: "board"}, {text: "CHASSIS-9X", source: "chassis"}}, fingerprint.OK, "MB-77", nil, ""},
		{"refused", []candidate{denied("board"), {source: "system", err: fs.ErrNotExist}}, fingerprint.Unreadable, "", nil, "board: permission denied"},
		{"refused beside a placeholder", []candidate{{text: "None", source: "board"}, denied("system")}, fingerprint.Unreadable, "", nil, "system: permission denied"},
		{"placeholders only", []candidate{{text: "None", source: "board"}, {text: "0000", source: "system"}}, fingerprint.Placeholder, "", nil, "board: "},
		{"empty and missing", []candidate{{source: "board"}, {source: "system", err: fs.ErrNotExist}}, fingerprint.Absent, "", nil, none},
		{"too long", []candidate{{text: strings.Repeat("a1", 129), source: "board"}}, fingerprint.Unreadable, "", nil, "longer than 256"},
		{"just not too long", []candidate{{text: strings.Repeat("a1", 128), source: "board"}}, fingerprint.OK, strings.Repeat("a1", 128), nil, ""},
		{"nothing", nil, fingerprint.Absent, "", nil, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := chain(fingerprint.Board, c.in, none)
			if got.State != c.state || !strings.Contains(got.Reason, c.note) {
				t.Fatalf("state %s (%s), want %s (%s)", got.State, got.Reason, c.state, c.note)
			}
			var text string
			var alt []string
			if len(got.Values) > 0 {
				text, alt = got.Values[0].Text, got.Values[0].Alt
			}
			if text != c.text || !cmp.Equal(alt, c.alt) {
				t.Errorf("value %q, accepted %q, want %q, %q", text, alt, c.text, c.alt)
			}
			if used := min(len(got.Values), 1) + len(alt); used+len(got.Rejected) != len(c.in) {
				t.Errorf("%d of %d candidates are explained", used+len(got.Rejected), len(c.in))
			}
		})
	}
}

// TestSet shows order, ranks and duplicates.
func TestSet(t *testing.T) {
	texts := func(c fingerprint.Component) (out []string) {
		for _, v := range c.Values {
			out = append(out, v.Text)
		}
		return out
	}
	for _, c := range []struct {
		name string
		in   []candidate
		want []string
		left int
	}{
		{"sorted", []candidate{{text: "D3X"}, {text: "D1X"}, {text: "D2X"}}, []string{"D1X", "D2X", "D3X"}, 0},
		{"the root's disk first", []candidate{{text: "D1X"}, {text: "D3X", first: true}, {text: "D2X", first: true}}, []string{"D2X", "D3X", "D1X"}, 0},
		{"the same in another case once", []candidate{{text: "abcd1"}, {text: "ABCD1"}}, []string{"ABCD1"}, 1},
		{"lower ranks only", []candidate{{text: "D1X", rank: 2}, {text: "D2X", rank: 1}, {text: "D3X", rank: 1}}, []string{"D2X", "D3X"}, 1},
		{"the last resort", []candidate{{text: "D1X", rank: 3}}, []string{"D1X"}, 0},
		{"a placeholder makes no rank", []candidate{{text: "None"}, {text: "D2X", rank: 1}}, []string{"D2X"}, 1},
		{"a rule makes no rank", []candidate{{text: "D1X", drop: "rule"}, {text: "D2X", rank: 1}}, []string{"D2X"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 3 { // the order of the input must not matter
				got := set(fingerprint.Disk, c.in, "rank", "none")
				if diff := cmp.Diff(c.want, texts(got)); diff != "" || len(got.Rejected) != c.left {
					t.Fatalf("(-want +got):\n%s%d left out, want %d", diff, len(got.Rejected), c.left)
				}
				c.in = append(c.in[1:], c.in[0])
			}
		})
	}
}

// TestRejectedIsBounded keeps the interesting candidates of a host with
// hundreds of virtual interfaces.
func TestRejectedIsBounded(t *testing.T) {
	var in []candidate
	for i := range 300 {
		in = append(in, candidate{source: "veth" + strconv.Itoa(i), drop: "virtual"})
	}
	in = append(in, denied("eth0"), candidate{text: "52:54:00:12:34:56", source: "eth1"})
	got := macComponent(in)
	if len(got.Rejected) != maxRejected+1 {
		t.Fatalf("%d rejected, want %d and one that counts the rest", len(got.Rejected), maxRejected)
	}
	if got.Rejected[0].Source != "eth0" || got.Rejected[1].Source != "eth1" || got.Rejected[maxRejected].Reason != "270 more left out" {
		t.Errorf("first %+v, last %+v", got.Rejected[:2], got.Rejected[maxRejected])
	}
}

// TestAssemble shows that a container hides rather than lacks.
func TestAssemble(t *testing.T) {
	none := fingerprint.Component{Kind: fingerprint.MAC, State: fingerprint.Absent, Reason: "no adapter"}
	some := fingerprint.Component{Kind: fingerprint.Disk, State: fingerprint.OK, Values: []fingerprint.Value{{Text: "D1X"}}}
	for _, c := range []struct {
		env       fingerprint.Environment
		mac, disk fingerprint.State
	}{
		{fingerprint.Environment{Kind: fingerprint.Physical}, fingerprint.Absent, fingerprint.OK},
		{fingerprint.Environment{Kind: fingerprint.Virtual}, fingerprint.Absent, fingerprint.OK},
		{fingerprint.Environment{Kind: fingerprint.Container, Name: "docker"}, fingerprint.Unreadable, fingerprint.OK},
	} {
		d := Assemble(none, some, Firmware{Env: c.env})
		if d.MAC.State != c.mac || d.Disk.State != c.disk {
			t.Errorf("%s: mac %s, disk %s, want %s, %s", c.env.Kind, d.MAC.State, d.Disk.State, c.mac, c.disk)
		}
	}
	some.Kind = fingerprint.MAC
	d := Assemble(some, none, Firmware{Env: fingerprint.Environment{Kind: fingerprint.Container, Name: wsl}})
	if d.MAC.State != fingerprint.Unreadable || len(d.MAC.Values) != 0 {
		t.Errorf("WSL's address of the day was taken: %+v", d.MAC)
	}
}
