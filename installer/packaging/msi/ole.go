package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
)

// compound is a file in Microsoft's compound format ([MS-CFB]), which an MSI
// package is: sectors in chains, like a small file system.
type compound struct {
	b          []byte
	sector     int      // bytes per sector
	fat, mini  []uint32 // next sector by sector
	cutoff     uint64   // smaller streams lie in the mini stream
	miniSector int
	entries    []int // offsets of the directory entries
}

var errCompound = errors.New("not a sound compound file")

// The end of a chain, and the marks that are no sectors begin here.
const maxRegular = 0xfffffffa

const entrySize = 128

func openCompound(b []byte) (*compound, error) {
	if len(b) < 512 || !bytes.HasPrefix(b, []byte{0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1}) {
		return nil, fmt.Errorf("%w: no header", errCompound)
	}
	c := &compound{b: b, sector: 1 << b[30], miniSector: 1 << b[32], cutoff: uint64(binary.LittleEndian.Uint32(b[56:]))}
	if c.sector != 512 && c.sector != 4096 || c.miniSector != 64 {
		return nil, fmt.Errorf("%w: sectors of %d and %d bytes", errCompound, c.sector, c.miniSector)
	}
	// The header names the first 109 sectors of the table, then a chain does.
	var tables []uint32
	for i := range 109 {
		tables = append(tables, binary.LittleEndian.Uint32(b[76+4*i:]))
	}
	for at, n := binary.LittleEndian.Uint32(b[68:]), 0; at < maxRegular; n++ {
		s, err := c.at(at)
		if err != nil || n > len(b)/c.sector {
			return nil, fmt.Errorf("%w: list of tables", errCompound)
		}
		for i := 0; i < c.sector-4; i += 4 {
			tables = append(tables, binary.LittleEndian.Uint32(b[s+i:]))
		}
		at = binary.LittleEndian.Uint32(b[s+c.sector-4:])
	}
	for _, t := range tables {
		if t >= maxRegular {
			continue
		}
		s, err := c.at(t)
		if err != nil {
			return nil, err
		}
		for i := 0; i < c.sector; i += 4 {
			c.fat = append(c.fat, binary.LittleEndian.Uint32(b[s+i:]))
		}
	}
	directory, err := c.chain(binary.LittleEndian.Uint32(b[48:]))
	if err != nil {
		return nil, err
	}
	for _, s := range directory {
		for i := 0; i < c.sector; i += entrySize {
			c.entries = append(c.entries, s+i)
		}
	}
	minis, err := c.chain(binary.LittleEndian.Uint32(b[60:]))
	if err != nil {
		return nil, err
	}
	for _, s := range minis {
		for i := 0; i < c.sector; i += 4 {
			c.mini = append(c.mini, binary.LittleEndian.Uint32(b[s+i:]))
		}
	}
	if len(c.entries) == 0 {
		return nil, fmt.Errorf("%w: no directory", errCompound)
	}
	return c, nil
}

// at is the offset of a sector.
func (c *compound) at(sector uint32) (int, error) {
	at := (int(sector) + 1) * c.sector
	if sector >= maxRegular || at+c.sector > len(c.b) {
		return 0, fmt.Errorf("%w: sector %d", errCompound, sector)
	}
	return at, nil
}

// chain gives the offsets of the sectors of a chain.
func (c *compound) chain(first uint32) ([]int, error) {
	var out []int
	for s := first; s < maxRegular; s = c.fat[s] {
		at, err := c.at(s)
		if err != nil {
			return nil, err
		}
		if int(s) >= len(c.fat) || len(out) > len(c.fat) {
			return nil, fmt.Errorf("%w: chain", errCompound)
		}
		out = append(out, at)
	}
	return out, nil
}

// name of a directory entry; MSI writes its tables' names in a packed form,
// which does not matter here.
func (c *compound) name(entry int) string {
	n := int(binary.LittleEndian.Uint16(c.b[entry+64:]))
	var units []uint16
	for i := 0; i+2 < n && i < 64; i += 2 {
		units = append(units, binary.LittleEndian.Uint16(c.b[entry+i:]))
	}
	return string(utf16.Decode(units))
}

// stream gives the offset of each byte of a stream, so that it can be changed
// in place.
func (c *compound) stream(name string) ([]int, error) {
	for _, e := range c.entries {
		if c.name(e) != name {
			continue
		}
		first, size := binary.LittleEndian.Uint32(c.b[e+116:]), binary.LittleEndian.Uint64(c.b[e+120:])
		if size >= c.cutoff {
			sectors, err := c.chain(first)
			return spread(sectors, c.sector, int(size)), err
		}
		// A small stream: its sectors are numbered inside the root's stream.
		root, err := c.chain(binary.LittleEndian.Uint32(c.b[c.entries[0]+116:]))
		if err != nil {
			return nil, err
		}
		var sectors []int
		for s := first; s < maxRegular; s = c.mini[s] {
			at := int(s) * c.miniSector
			if int(s) >= len(c.mini) || at/c.sector >= len(root) || len(sectors) > len(c.mini) {
				return nil, fmt.Errorf("%w: small stream", errCompound)
			}
			sectors = append(sectors, root[at/c.sector]+at%c.sector)
		}
		return spread(sectors, c.miniSector, int(size)), nil
	}
	return nil, fmt.Errorf("%w: no stream %q", errCompound, name)
}

func spread(sectors []int, each, size int) []int {
	var out []int
	for _, s := range sectors {
		for i := 0; i < each && len(out) < size; i++ {
			out = append(out, s+i)
		}
	}
	return out
}
