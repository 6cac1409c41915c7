package fingerprint

import (
	"fmt"
	"testing"
)

// benchDevice is a server: four addresses, eight disks with a second spelling.
func benchDevice() Device {
	d := Device{MAC: part(MAC), Disk: part(Disk), Board: part(Board, "CZJ1420RQX"), CPU: part(CPU, "BFEBFBFF000206A7")}
	d.MAC.State, d.Disk.State = OK, OK
	for i := range 4 {
		d.MAC.Values = append(d.MAC.Values, Value{Text: fmt.Sprintf("00:1b:21:3a:4c:%02x", i)})
	}
	for i := range 8 {
		d.Disk.Values = append(d.Disk.Values, Value{Text: fmt.Sprintf("S3Z8NB0K%02d", i), Alt: []string{fmt.Sprintf("eui.0025385%02d", i)}})
	}
	return d
}

func BenchmarkFormat(b *testing.B) {
	d := benchDevice()
	b.ReportAllocs()
	for b.Loop() {
		Format(d)
	}
}

func BenchmarkEnroll(b *testing.B) {
	d, salt := benchDevice(), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		Enroll(salt, d)
	}
}

func BenchmarkCompare(b *testing.B) {
	d := benchDevice()
	e, p := Enroll(make([]byte, 32), d), Presets()[PresetBalanced]
	b.ReportAllocs()
	for b.Loop() {
		Compare(p, e, d)
	}
}

// BenchmarkCompareStranger is the worst case: nothing matches, so that every
// spelling of every value is hashed.
func BenchmarkCompareStranger(b *testing.B) {
	d, p := benchDevice(), Presets()[PresetBalanced]
	e := Enroll(make([]byte, 32), d)
	e.Salt = []byte("another")
	b.ReportAllocs()
	for b.Loop() {
		Compare(p, e, d)
	}
}

func BenchmarkParse(b *testing.B) {
	s := Format(benchDevice()).String
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}
