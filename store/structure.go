package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// Layout of a bbolt meta page (bbolt internal/common: Page and Meta), in the
// byte order of the machine.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	pageHeader  = 16
	metaSize    = 64
)

// checkHeader reads both meta pages with plain reads and returns the newer. A
// truncated file, once mapped, kills the process with SIGBUS, which no recover
// catches.
func checkHeader(r io.ReaderAt, size int64) (newest boltMeta, err error) {
	pageSize, err := findPageSize(r)
	if err != nil {
		return newest, err
	}
	if size%pageSize != 0 || size > maxFile {
		return newest, fmt.Errorf("%w: size %d with pages of %d", errHeader, size, pageSize)
	}
	valid := false
	for i := range int64(2) {
		m, ok := readMeta(r, i*pageSize)
		if !ok || int64(m.pageSize) != pageSize {
			continue
		}
		if m.pages > uint64(size/pageSize) {
			return newest, fmt.Errorf("%w: %d pages in use, the file has %d", errHeader, m.pages, size/pageSize)
		}
		if !valid || m.txid > newest.txid {
			newest, valid = m, true
		}
	}
	if !valid {
		return newest, errHeader
	}
	return newest, nil
}

// findPageSize looks where bbolt looks: page 0, then each place page 1 may have.
func findPageSize(r io.ReaderAt) (int64, error) {
	if m, ok := readMeta(r, 0); ok {
		return int64(m.pageSize), nil
	}
	for i := range 15 {
		pos := int64(1024) << i
		if m, ok := readMeta(r, pos); ok && int64(m.pageSize) == pos {
			return pos, nil
		}
	}
	return 0, errHeader
}

type boltMeta struct {
	pageSize uint32
	root     uint64 // page of the root bucket
	freelist uint64 // page of the free list
	pages    uint64 // high-water mark: first page number not in use
	txid     uint64
}

func readMeta(r io.ReaderAt, pos int64) (boltMeta, bool) {
	var page [pageHeader + metaSize]byte
	if _, err := r.ReadAt(page[:], pos); err != nil {
		return boltMeta{}, false
	}
	m := page[pageHeader:]
	order := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(m[:56])
	size := order.Uint32(m[8:])
	ok := order.Uint32(m) == boltMagic && order.Uint32(m[4:]) == boltVersion &&
		order.Uint64(m[56:]) == sum.Sum64() && size >= 1024 && size <= 16<<20 && size&(size-1) == 0
	return boltMeta{
		pageSize: size, root: order.Uint64(m[16:]), freelist: order.Uint64(m[32:]),
		pages: order.Uint64(m[40:]), txid: order.Uint64(m[48:]),
	}, ok
}

// Page flags, and the flag of a leaf element that is a bucket (bbolt
// internal/common).
const (
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01
	elementSize  = 16
)

// maxNesting bounds pages within pages: our trees are two or three levels deep.
const maxNesting = 32

// checkStructure walks every page of the newest commit with bounds checked, as
// bbolt itself does not: it follows page numbers, counts and offsets through
// the mapped file wherever they point. Each page must be used exactly once or be
// free. It reads plainly, so no content can do more to it than make it refuse.
func checkStructure(r io.ReaderAt, m boltMeta) error {
	b := make([]byte, m.pages*uint64(m.pageSize))
	if _, err := r.ReadAt(b, 0); err != nil {
		return fmt.Errorf("%w: %w", errStructure, err)
	}
	w := walker{b: b, size: uint64(m.pageSize), seen: make([]bool, m.pages)}
	if m.pages < 4 {
		return fmt.Errorf("%w: %d pages", errStructure, m.pages)
	}
	w.seen[0], w.seen[1] = true, true // the meta pages
	if err := w.tree(m.root, 0); err != nil {
		return err
	}
	if err := w.free(m.freelist); err != nil {
		return err
	}
	for id, seen := range w.seen {
		if !seen {
			return fmt.Errorf("%w: page %d is neither used nor free", errStructure, id)
		}
	}
	return nil
}

type walker struct {
	b    []byte
	size uint64 // of a page
	seen []bool
}

// page returns a page and those it spills into, each of which is used here for
// the first time.
func (w *walker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= uint64(len(w.seen)) {
		return nil, fmt.Errorf("%w: page %d of %d", errStructure, id, len(w.seen))
	}
	p := w.b[id*w.size:]
	order := binary.NativeEndian
	if self := order.Uint64(p); self != id {
		return nil, fmt.Errorf("%w: page %d says it is %d", errStructure, id, self)
	}
	end := id + 1 + uint64(order.Uint32(p[12:]))
	if end > uint64(len(w.seen)) {
		return nil, fmt.Errorf("%w: page %d ends at %d of %d", errStructure, id, end, len(w.seen))
	}
	for i := id; i < end; i++ {
		if w.seen[i] {
			return nil, fmt.Errorf("%w: page %d is used twice", errStructure, i)
		}
		w.seen[i] = true
	}
	return p[:(end-id)*w.size], nil
}

// tree walks the pages of one bucket and of those within it.
func (w *walker) tree(id uint64, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("%w: nested too deeply", errStructure)
	}
	p, err := w.page(id)
	if err != nil {
		return err
	}
	return w.elements(p, id, depth)
}

// elements walks one branch or leaf page, or a small bucket that lies inside a
// leaf element (id is then that of the page around it).
func (w *walker) elements(p []byte, id uint64, depth int) error {
	order := binary.NativeEndian
	flags, n := order.Uint16(p[8:]), uint64(order.Uint16(p[10:]))
	table := uint64(pageHeader)
	if flags != flagBranch && flags != flagLeaf || table+n*elementSize > uint64(len(p)) || flags == flagBranch && n == 0 {
		return fmt.Errorf("%w: page %d has flags %#x and %d elements", errStructure, id, flags, n)
	}
	var last []byte
	for i := range n {
		at := table + i*elementSize
		e := p[at : at+elementSize]
		pos, key, value := uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])), uint64(0)
		if flags == flagLeaf {
			pos, key, value = uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		}
		if at+pos < table+n*elementSize || at+pos+key+value > uint64(len(p)) {
			return fmt.Errorf("%w: element %d of page %d lies outside", errStructure, i, id)
		}
		k, v := p[at+pos:at+pos+key], p[at+pos+key:at+pos+key+value]
		if i > 0 && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("%w: keys of page %d are not in order", errStructure, id)
		}
		last = k
		var err error
		switch kind := order.Uint32(e); {
		case flags == flagBranch:
			err = w.tree(order.Uint64(e[8:]), depth+1)
		case kind == flagBucket:
			err = w.bucket(v, id, depth+1)
		case kind != 0:
			err = fmt.Errorf("%w: element %d of page %d has flags %#x", errStructure, i, id, kind)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket walks a bucket from its header: page of the root, or 0 and the page
// itself behind the header.
func (w *walker) bucket(v []byte, id uint64, depth int) error {
	const header = 16
	if len(v) < header || depth > maxNesting {
		return fmt.Errorf("%w: a bucket in page %d", errStructure, id)
	}
	if root := binary.NativeEndian.Uint64(v); root != 0 {
		return w.tree(root, depth)
	}
	if len(v) < header+pageHeader || binary.NativeEndian.Uint16(v[header+8:]) != flagLeaf {
		return fmt.Errorf("%w: a small bucket in page %d", errStructure, id)
	}
	return w.elements(v[header:], id, depth)
}

// free reads the list of free pages.
func (w *walker) free(id uint64) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	order := binary.NativeEndian
	n, ids := uint64(order.Uint16(p[10:])), p[pageHeader:]
	if n == 0xFFFF { // more do not fit: the number is in the first place
		n, ids = order.Uint64(ids), ids[8:]
	}
	if order.Uint16(p[8:]) != flagFreelist || n > uint64(len(ids)/8) {
		return fmt.Errorf("%w: free list of %d", errStructure, n)
	}
	for i := range n {
		free := order.Uint64(ids[8*i:])
		if free >= uint64(len(w.seen)) || w.seen[free] {
			return fmt.Errorf("%w: free page %d of %d", errStructure, free, len(w.seen))
		}
		w.seen[free] = true
	}
	return nil
}
