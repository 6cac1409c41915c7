package store

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A model of a disk behind a cache: what was synced is there after a power cut;
// of the rest any part may be, a write also torn at a sector.

const sector = 512

// node is a file. Writes carry the number of the event that made them.
type node struct {
	durable []byte
	pending []write
	lost    []write // their sync failed: the kernel may never write them again
}

type write struct {
	off  int64
	data []byte // nil: set the size to off
}

// name is one change of the directory.
type name struct {
	op       string // create, rename, remove
	from, to string
	node     int
}

// disk is the model of one directory.
type disk struct {
	nodes   []*node
	live    map[string]int // what running programs see
	durable map[string]int
	pending []name
	// lying ignores every sync: the control.
	lying bool
}

func newDisk() *disk { return &disk{live: map[string]int{}, durable: map[string]int{}} }

func (d *disk) create(file string) {
	if _, ok := d.live[file]; ok {
		return
	}
	d.nodes = append(d.nodes, &node{})
	d.live[file] = len(d.nodes) - 1
	d.pending = append(d.pending, name{op: "create", to: file, node: d.live[file]})
}

func (d *disk) rename(from, to string) {
	d.live[to] = d.live[from]
	delete(d.live, from)
	d.pending = append(d.pending, name{op: "rename", from: from, to: to})
}

func (d *disk) remove(file string) {
	delete(d.live, file)
	d.pending = append(d.pending, name{op: "remove", from: file})
}

func (d *disk) write(file string, off int64, data []byte) {
	if i, ok := d.live[file]; ok {
		d.nodes[i].pending = append(d.nodes[i].pending, write{off, data})
	}
}

// appendTo is write(2) on a file that this program has just created.
func (d *disk) appendTo(file string, data []byte) {
	i, ok := d.live[file]
	if !ok {
		return
	}
	size := int64(len(d.nodes[i].durable))
	for _, w := range d.nodes[i].pending {
		size = max(size, w.off+int64(len(w.data)))
	}
	d.write(file, size, data)
}

func (d *disk) sync(file string) {
	if i, ok := d.live[file]; ok && !d.lying {
		n := d.nodes[i]
		for _, w := range n.pending {
			n.durable = w.apply(n.durable)
			// What is written and synced later is on the disk, whatever became of
			// the earlier content of the same place.
			n.lost = slices.DeleteFunc(n.lost, func(l write) bool {
				return l.data != nil && w.data != nil && l.off < w.off+int64(len(w.data)) && w.off < l.off+int64(len(l.data))
			})
		}
		n.pending = nil
	}
}

// syncFailed is what Linux does after an error: the pages count as clean.
func (d *disk) syncFailed(file string) {
	if i, ok := d.live[file]; ok {
		n := d.nodes[i]
		for _, w := range n.pending {
			n.lost = append(n.lost, w.sectors()...)
		}
		n.pending = nil
	}
}

func (d *disk) syncDir() {
	if d.lying {
		return
	}
	for _, c := range d.pending {
		c.apply(d.durable)
	}
	d.pending = nil
}

func (c name) apply(names map[string]int) {
	switch c.op {
	case "create":
		names[c.to] = c.node
	case "rename":
		if i, ok := names[c.from]; ok {
			names[c.to] = i
			delete(names, c.from)
		}
	case "remove":
		delete(names, c.from)
	}
}

func (w write) apply(b []byte) []byte {
	if w.data == nil {
		if w.off <= int64(len(b)) {
			return b[:w.off:w.off]
		}
		return append(b[:len(b):len(b)], make([]byte, w.off-int64(len(b)))...)
	}
	end := w.off + int64(len(w.data))
	out := make([]byte, max(int64(len(b)), end))
	copy(out, b)
	copy(out[w.off:], w.data)
	return out
}

// sectors takes a write apart; a change of size stays whole.
func (w write) sectors() []write {
	if w.data == nil {
		return []write{w}
	}
	var parts []write
	for at := 0; at < len(w.data); at += sector {
		parts = append(parts, write{w.off + int64(at), w.data[at:min(at+sector, len(w.data))]})
	}
	return parts
}

// torn keeps some of the sectors of a write.
func (w write) torn(rnd *rand.Rand) []write {
	return slices.DeleteFunc(w.sectors(), func(write) bool { return rnd.IntN(2) == 0 })
}

// open says whether a power cut now has more than one outcome.
func (d *disk) open() bool {
	return len(d.pending) > 0 || slices.ContainsFunc(d.nodes, func(n *node) bool { return len(n.pending)+len(n.lost) > 0 })
}

// cut gives one outcome of a power cut now. variant 0: nothing that was not
// synced is there; 1: everything; else a random part.
func (d *disk) cut(variant int, rnd *rand.Rand) map[string][]byte {
	names := maps.Clone(d.durable)
	keep := len(d.pending)
	if variant == 0 {
		keep = 0
	} else if variant > 1 {
		keep = rnd.IntN(len(d.pending) + 1) // journals keep the order of names
	}
	for _, c := range d.pending[:keep] {
		c.apply(names)
	}
	files := map[string][]byte{}
	for file, i := range names {
		n := d.nodes[i]
		b := n.durable
		for _, w := range slices.Concat(n.lost, n.pending) {
			switch {
			case variant == 0:
			case variant == 1:
				b = w.apply(b)
			default:
				switch rnd.IntN(4) {
				case 0, 1: // not there
				case 2:
					for _, part := range w.torn(rnd) {
						b = part.apply(b)
					}
				default:
					b = w.apply(b)
				}
			}
		}
		files[file] = b
	}
	return files
}

// lay writes an outcome into a fresh state directory.
func lay(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	mustMake(t, dir).Close()
	for file, b := range files {
		mustWrite(t, filepath.Join(dir, file), b)
	}
}

// The model itself: a sync orders, a rename is not durable before its directory is.
func TestDiskModel(t *testing.T) {
	d := newDisk()
	rnd := rand.New(rand.NewPCG(1, 1))
	d.create("a")
	d.write("a", 0, []byte("one"))
	if got := d.cut(0, rnd); len(got) != 0 {
		t.Errorf("an unsynced file is there: %v", got)
	}
	d.sync("a")
	if got := d.cut(1, rnd); string(got["a"]) != "one" {
		t.Errorf("%q", got)
	}
	d.syncDir()
	d.write("a", 0, []byte("two"))
	if got := d.cut(0, rnd); string(got["a"]) != "one" {
		t.Errorf("%q", got)
	}
	d.syncFailed("a")
	d.sync("a")
	if got := d.cut(0, rnd); string(got["a"]) != "one" {
		t.Errorf("a sync after a failed sync wrote what was lost: %q", got)
	}
	d.write("a", 1, []byte("hree"))
	d.sync("a")
	if got := d.cut(1, rnd); string(got["a"]) != "ohree" {
		t.Errorf("a lost write covers a later one that was synced: %q", got)
	}
	d.create("b")
	d.rename("b", "a")
	if got := d.cut(0, rnd); string(got["a"]) != "ohree" || !d.open() {
		t.Errorf("%q", got)
	}
	d.syncDir()
	if got := d.cut(0, rnd); string(got["a"]) != "" || len(got) != 1 {
		t.Errorf("%q", got)
	}
	d.write("a", 0, make([]byte, 3*sector))
	d.write("a", 10, nil)
	d.sync("a")
	if got := d.cut(0, rnd); len(got["a"]) != 10 {
		t.Errorf("%d bytes", len(got["a"]))
	}
}
