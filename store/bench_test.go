package store

import (
	"path/filepath"
	"testing"

	"licenseagent.example/activation"
)

// One durable step of one license: two syncs of bbolt, mirror and public file.
func BenchmarkApply(b *testing.B) {
	for name, public := range map[string]bool{"private": false, "public": true} {
		b.Run(name, func(b *testing.B) {
			o := options()
			if public {
				o.PublicDir = newDir(b)
			}
			s := mustOpen(b, newDir(b), o)
			n := int64(0)
			for b.Loop() {
				n++
				mustApply(b, s, counted(n))
			}
		})
	}
}

// The tick of the clock is the change that happens all the time.
func BenchmarkApplyClock(b *testing.B) {
	s := mustOpen(b, newDir(b), options())
	mustApply(b, s, counted(1))
	n := int64(0)
	for b.Loop() {
		n++
		mustApply(b, s, activation.Change{Clock: &activation.ClockState{HighWater: n}})
	}
}

func BenchmarkLoad(b *testing.B) {
	s := mustOpen(b, newDir(b), options())
	mustApply(b, s, counted(1))
	for b.Loop() {
		mustLoad(b, s)
	}
}

// Open as at the start of the agent: after an orderly stop, after a crash with
// the probe process, after a crash with the check in this process, and with the
// guard switched off.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct {
		name    string
		crashed bool
		change  func(*Options)
	}{
		{"clean", false, func(o *Options) { o.Probe = probeCommand(b) }},
		{"crashed", true, func(o *Options) { o.Probe = probeCommand(b) }},
		{"crashed-in-process", true, func(*Options) {}},
		{"no-guard", false, func(o *Options) { o.seams.noGuard = true }},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := options()
			c.change(&o)
			dir := filled(b, 50, o)
			for b.Loop() {
				b.StopTimer()
				if c.crashed {
					s := mustOpen(b, dir, o)
					mustApply(b, s, counted(1))
					mustApply(b, s, counted(2))
					s.leave()
				}
				b.StartTimer()
				s, err := Open(dir, o)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				s.Close()
				b.StartTimer()
			}
		})
	}
}

// The look at the structure alone, at a file of half a megabyte.
func BenchmarkStructure(b *testing.B) {
	dir, _ := large(b)
	file := mustRead(b, filepath.Join(dir, fileDB))
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		if err := look(file); err != nil {
			b.Fatal(err)
		}
	}
}
