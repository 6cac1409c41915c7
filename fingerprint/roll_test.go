package fingerprint

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoll(t *testing.T) {
	salt := []byte("salt")
	base := Device{
		MAC: part(MAC, "00:1b:21:3a:4c:5e"), Disk: part(Disk, "DISKQ1"),
		Board: part(Board, "BOARDQ1"), CPU: part(CPU, "BFEBFBFF000206A7"),
	}
	change := func(f func(*Device)) Device { d := base; f(&d); return d }
	for _, c := range []struct {
		name  string
		then  Device
		now   Device
		limit int
		want  []Kind
		after Device // must enrol to the same hashes as the rolled reference
	}{
		{"nothing changed", base, base, 4, nil, base},
		{
			"a lost disk is replaced", base, change(func(d *Device) { d.Disk = part(Disk, "DISKQ2") }), 1,
			[]Kind{Disk},
			change(func(d *Device) { d.Disk = part(Disk, "DISKQ2") }),
		},
		{
			"a second disk is taken in", base, change(func(d *Device) { d.Disk = part(Disk, "DISKQ1", "DISKQ2") }), 1,
			[]Kind{Disk},
			change(func(d *Device) { d.Disk = part(Disk, "DISKQ1", "DISKQ2") }),
		},
		{
			"a member that left stays enrolled", change(func(d *Device) { d.Disk = part(Disk, "DISKQ1", "DISKQ2") }), base, 1, nil,
			change(func(d *Device) { d.Disk = part(Disk, "DISKQ1", "DISKQ2") }),
		},
		{"a lost part goes first", base, change(func(d *Device) {
			d.Disk = part(Disk, "DISKQ1", "DISKQ2")
			d.Board = part(Board, "BOARDQ2")
		}), 1, []Kind{Board}, change(func(d *Device) { d.Board = part(Board, "BOARDQ2") })},
		{"a new part is added before a set grows", change(func(d *Device) { d.Board = part(Board) }), change(func(d *Device) {
			d.MAC = part(MAC, "00:1b:21:3a:4c:5e", "00:1b:21:3a:4c:5f")
		}), 1, []Kind{Board}, base},
		{
			"no limit", base, change(func(d *Device) { d.Disk, d.Board = part(Disk, "DISKQ2"), part(Board, "BOARDQ2") }), 4,
			[]Kind{Disk, Board},
			change(func(d *Device) { d.Disk, d.Board = part(Disk, "DISKQ2"), part(Board, "BOARDQ2") }),
		},
		{"limit zero", base, change(func(d *Device) { d.Disk = part(Disk, "DISKQ2") }), 0, nil, base},
		{"negative limit", base, change(func(d *Device) { d.Disk = part(Disk, "DISKQ2") }), -1, nil, base},
		{"absent is kept", base, change(func(d *Device) { d.Disk = part(Disk) }), 4, nil, base},
		{"placeholder is kept", base, change(func(d *Device) { d.Board = part(Board, "None") }), 4, nil, base},
		{"unreadable is kept", base, change(func(d *Device) { d.Board = Component{State: Unreadable} }), 4, nil, base},
		{
			"the CPU follows freely", base, change(func(d *Device) { d.CPU = part(CPU, "178BFBFF00B00F21") }), 0, nil,
			change(func(d *Device) { d.CPU = part(CPU, "178BFBFF00B00F21") }),
		},
		{
			"another spelling of the CPU is no change", change(func(d *Device) { d.CPU = part(CPU, "A7060200FFFBEBBF") }), base, 4, nil,
			change(func(d *Device) { d.CPU = part(CPU, "A7060200FFFBEBBF") }),
		},
	} {
		got, kinds := Roll(Enroll(salt, c.then), c.now, c.limit)
		if diff := cmp.Diff(c.want, kinds); diff != "" {
			t.Errorf("%s: parts (-want +got):\n%s", c.name, diff)
		}
		if diff := cmp.Diff(Enroll(salt, c.after), got); diff != "" {
			t.Errorf("%s: reference (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRollKeepsTheBound(t *testing.T) {
	salt := []byte("salt")
	e := Enroll(salt, Device{Disk: part(Disk, "KEEPQ1")})
	for i := range 40 {
		d := Device{Disk: part(Disk, "KEEPQ1", "NEWQ"+string(rune('A'+i%26))+string(rune('A'+i/26)))}
		e, _ = Roll(e, d, 1)
		if n := len(e.Parts[0].Hashes); n > MaxHashes {
			t.Fatalf("%d hashes after %d rolls", n, i+1)
		}
		if got := Compare(Presets()[PresetStrict], e, d); got.Parts[1].Result != ResultMatch {
			t.Fatalf("roll %d lost the present disks", i+1)
		}
	}
	if e.Env != "" || string(e.Salt) != "salt" {
		t.Errorf("class or salt changed: %+v", e)
	}
}
