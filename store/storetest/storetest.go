// Package storetest is for tests: the ways in which a state file gets damaged.
// The tests of the store and those of the whole agent use the same ones. It is
// not stable API.
package storetest

import (
	"math/rand/v2"
	"slices"
)

const (
	page   = 4096 // of bbolt on the systems we ship to
	sector = 512  // what a disk writes as a whole
)

// Damage is one kind of damage to a file of pages. Do changes b, which it may
// keep and whose length is a multiple of a page, and returns what the file
// holds afterwards.
type Damage struct {
	Kind string
	Do   func(b []byte, rnd *rand.Rand) []byte
}

// Damages returns the nine kinds.
func Damages() []Damage {
	part := func(b []byte, i int) []byte { return b[i*page : (i+1)*page] }
	some := func(b []byte, rnd *rand.Rand) int { return rnd.IntN(len(b) / page) }
	return []Damage{
		{"cut off", func(b []byte, rnd *rand.Rand) []byte { return b[:rnd.IntN(len(b))] }},
		{"bit", func(b []byte, rnd *rand.Rand) []byte { b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8); return b }},
		{"zero page", func(b []byte, rnd *rand.Rand) []byte { clear(part(b, some(b, rnd))); return b }},
		{"noise page", Noise},
		{"pages exchanged", func(b []byte, rnd *rand.Rand) []byte {
			x, y := part(b, some(b, rnd)), part(b, some(b, rnd))
			keep := slices.Clone(x)
			copy(x, y)
			copy(y, keep)
			return b
		}},
		{"torn sector", func(b []byte, rnd *rand.Rand) []byte {
			at := rnd.IntN(len(b)/sector) * sector
			noise(b[at:at+sector], rnd)
			return b
		}},
		{"one meta page", func(b []byte, rnd *rand.Rand) []byte { noise(part(b, rnd.IntN(2))[:80], rnd); return b }},
		{"both meta pages", func(b []byte, rnd *rand.Rand) []byte {
			noise(part(b, 0)[:80], rnd)
			noise(part(b, 1)[:80], rnd)
			return b
		}},
		{"16 bytes", func(b []byte, rnd *rand.Rand) []byte {
			// In the head of a page, where structure is: elsewhere it is the bit again.
			at := some(b, rnd)*page + rnd.IntN(256)
			noise(b[at:at+16], rnd)
			return b
		}},
	}
}

// Noise fills one page of b.
func Noise(b []byte, rnd *rand.Rand) []byte {
	at := rnd.IntN(len(b)/page) * page
	noise(b[at:at+page], rnd)
	return b
}

func noise(b []byte, rnd *rand.Rand) {
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
}
