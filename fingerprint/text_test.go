package fingerprint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// part builds an observed part; no value means absent.
func part(k Kind, texts ...string) Component {
	c := Component{Kind: k, State: OK}
	for _, text := range texts {
		c.Values = append(c.Values, Value{Text: text, Source: "test"})
	}
	if len(texts) == 0 {
		c.State = Absent
	}
	return c
}

// randomText is anything that hardware, or someone who patched it, may give.
func randomText(r *rand.Rand) string {
	alphabet := []string{"A", "b", "7", "0", " ", "  ", "|", ",", "\x00", "\x1f", "\x7f", "\xff", "é", "序", "-", ".", "_", ":", "$"}
	var b strings.Builder
	for range r.IntN(40) {
		b.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	if r.IntN(20) == 0 {
		return strings.Repeat(b.String(), 30)
	}
	return b.String()
}

func randomDevice(r *rand.Rand) Device {
	list := func(k Kind, n int) Component {
		c := Component{Kind: k, State: []State{OK, OK, OK, OK, Absent, Unreadable, Placeholder}[r.IntN(7)]}
		for range r.IntN(n) {
			text := randomText(r)
			if k == MAC && r.IntN(2) == 0 {
				text = fmt.Sprintf("%02x-%02x-%02x-%02x-%02x-%02x", r.IntN(256)&^1, r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256), r.IntN(256))
			}
			c.Values = append(c.Values, Value{Text: text})
		}
		return c
	}
	return Device{
		MAC: list(MAC, 1+r.IntN(900)), Disk: list(Disk, 1+r.IntN(500)),
		Board: list(Board, 3), CPU: list(CPU, 3),
		Env: Environment{Kind: []EnvKind{Physical, Virtual, Container}[r.IntN(3)]},
	}
}

func TestFormatHoldsItsFormForAnyDevice(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dropped := 0
	for i := range 300 {
		d := randomDevice(r)
		text := Format(d)
		if strings.Count(text.String, "|") != 3 || len(text.String) > MaxText {
			t.Fatalf("device %d: %d bytes, %d separators", i, len(text.String), strings.Count(text.String, "|"))
		}
		parsed, err := Parse(text.String)
		if err != nil {
			t.Fatalf("device %d: Parse(Format): %v\n%q", i, err, text.String)
		}
		again := Format(parsed.Device(d.Env.Kind, nil, nil))
		if again.String != text.String || again.DroppedDisks+again.DroppedMACs != 0 {
			t.Fatalf("device %d: the string does not survive the round trip", i)
		}
		dropped += text.DroppedDisks + text.DroppedMACs
		if text.DroppedMACs > 0 && len(parsed.Disks) > 0 {
			t.Fatalf("device %d: an address was dropped before the last disk", i)
		}
	}
	if dropped == 0 {
		t.Fatal("the generator never reached the limit: this test proves nothing about it")
	}
}

func TestFormatDropsNoMoreThanNeeded(t *testing.T) {
	for extra := range 40 {
		var disks []string
		for i := range 100 {
			disks = append(disks, fmt.Sprintf("K%03dQ%s", i, strings.Repeat("7Z", extra)))
		}
		text := Format(Device{Disk: part(Disk, disks...), Board: part(Board, "MB77K")})
		kept := 100 - text.DroppedDisks
		if text.DroppedDisks > 0 && len(text.String)+1+len(disks[kept]) <= MaxText {
			t.Errorf("values of %d bytes: one more would have fitted", len(disks[0]))
		}
		if want := "|" + strings.Join(disks[:kept], ",") + "|MB77K|"; text.String != want {
			t.Errorf("values of %d bytes: not the first %d", len(disks[0]), kept)
		}
	}
}

func TestCanonicalIsIdempotentAndSafe(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		in := randomText(r)
		out := Canonical(in)
		if Canonical(out) != out {
			t.Fatalf("Canonical(%q) = %q is not stable", in, out)
		}
		for i := 0; i < len(out); i++ {
			if c := out[i]; c < ' ' || c > '~' || c == '|' || c == ',' || c >= 'a' && c <= 'z' {
				t.Fatalf("Canonical(%q) = %q", in, out)
			}
		}
		for _, k := range []Kind{MAC, Disk, Board, CPU} {
			if s := spell(k, in); spell(k, s) != s {
				t.Fatalf("spell(%s, %q) = %q is not stable", k, in, s)
			}
		}
	}
}

func TestOversizedValueIsUnreadableNotChanged(t *testing.T) {
	d := Device{Board: part(Board, strings.Repeat("K7", 32<<10)), MAC: part(MAC, "00:1b:21:3a:4c:5e")}
	got := d.Board.Settled()
	if got.State != Unreadable || len(got.Values) != 0 || len(got.Rejected) != 1 {
		t.Fatalf("state %s, %d values, %d rejected", got.State, len(got.Values), len(got.Rejected))
	}
	if n := len(got.Rejected[0].Text); n > MaxValue+3 {
		t.Errorf("the misread is kept with %d bytes", n)
	}
	if s := Format(d).String; s != "00:1B:21:3A:4C:5E|||" {
		t.Errorf("string %q", s)
	}
}

func TestSettled(t *testing.T) {
	bad := Component{Kind: Disk, State: OK, Values: []Value{
		{Text: "QM00001", Source: "sda"},
		{Text: " s3z8nb0k ", Source: "sdb", Alt: []string{"None", "WWN5"}},
		{Text: "S3Z8NB0K", Source: "sdc", Alt: []string{"LABEL9"}},
		{Text: "  ", Source: "sdd"},
	}}
	want := Component{
		Kind: Disk, State: OK,
		Values:   []Value{{Text: " s3z8nb0k ", Source: "sdb", Alt: []string{"WWN5", "LABEL9"}}},
		Rejected: []Rejected{{Text: "QM00001", Source: "sda", Reason: "QEMU's default disk serial", State: Placeholder}},
	}
	if diff := cmp.Diff(want, bad.Settled()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(bad.Values) != 4 || len(bad.Rejected) != 0 {
		t.Error("Settled changed its receiver")
	}
	for _, c := range []struct {
		name string
		in   Component
		want State
	}{
		{"no value at all", Component{Kind: Disk, State: OK}, Absent},
		{"only blanks", part(Disk, "  ", "\x00"), Absent},
		{"only placeholders", part(Disk, "lxd_root"), Placeholder},
		{"a placeholder and a misread", part(Disk, "lxd_root", strings.Repeat("K7", 200)), Unreadable},
		{"an unknown state", Component{Kind: Disk, State: "fine"}, Unreadable},
		{"no state", Component{Kind: Disk, Values: []Value{{Text: "S3Z8NB0K"}}}, Unreadable},
		{"absent with values", Component{Kind: Disk, State: Absent, Values: []Value{{Text: "S3Z8NB0K"}}}, Absent},
	} {
		got := c.in.Settled()
		if got.State != c.want || len(got.Values) != 0 {
			t.Errorf("%s: %s with %d values, want %s", c.name, got.State, len(got.Values), c.want)
		}
	}
}

func TestParsedDeviceStates(t *testing.T) {
	p := Parsed{MACs: []string{"00:1B:21:3A:4C:5E"}}
	d := p.Device(Virtual,
		map[Kind]State{MAC: Unreadable, Disk: Unreadable, Board: Placeholder, CPU: OK},
		map[Kind][]string{MAC: {"00:1B:21:3A:4C:5F"}, Disk: {"HIDDEN"}})
	got := map[Kind]State{}
	for _, c := range d.Components() {
		got[c.Kind] = c.State
	}
	want := map[Kind]State{MAC: OK, Disk: Unreadable, Board: Placeholder, CPU: Absent}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(d.Disk.Values) != 0 {
		t.Error("another spelling became a value of an empty part")
	}
	if d.MAC.Values[0].Alt[0] != "00:1B:21:3A:4C:5F" || d.Env.Kind != Virtual {
		t.Error("spellings or class were lost")
	}
}

func TestHardwareCode(t *testing.T) {
	short := strings.Repeat("A", MaxMarketplace)
	long := short + "B"
	if HardwareCode(short) != short {
		t.Error("1,024 bytes fit and must travel as they are")
	}
	code := HardwareCode(long)
	if len(code) != 71 || !strings.HasPrefix(code, "SHA256:") || strings.ToUpper(code) != code {
		t.Errorf("code %q", code)
	}
	for _, c := range []struct {
		code, s string
		want    bool
	}{
		{short, short, true},
		{code, long, true},
		{strings.ToLower(code), long, true},
		{HardwareCode(long), short, false},
		{long, long, true},
		{"", "", false},
		{"SHA256:", long, false},
		{strings.ToLower(short), short, false},
	} {
		if got := MatchesHardwareCode(c.code, c.s); got != c.want {
			t.Errorf("MatchesHardwareCode(%.20q…, %.20q…) = %v", c.code, c.s, got)
		}
	}
}

func TestParseErrorsNeverCarryTheValue(t *testing.T) {
	for _, s := range []string{"|secret-Serial||", "|SECRET,SECRET||", "||SEC,RET|", "|" + strings.Repeat("SECRET", 50) + "||"} {
		_, err := Parse(s)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "secret") {
			t.Errorf("Parse(%.30q) = %v", s, err)
		}
		if !errors.Is(err, ErrNotCanonical) && !errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrValueTooLong) {
			t.Errorf("no sentinel in %v", err)
		}
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "A1": "***", "ABCDE": "***", "s3z8nb0k": "S***K",
		"04:7c:16:5e:e3:5d": "04***5D", "CZJ1420RQX77": "CZ***77",
		"\xff\xfe|||,,,, 12": "__***12",
	} {
		if got := Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
}
