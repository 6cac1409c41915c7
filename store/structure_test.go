package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

const testPage = 4096

// look is the part of the guard that reads the file itself.
func look(b []byte) error {
	r := bytes.NewReader(b)
	m, err := checkHeader(r, int64(len(b)))
	if err != nil {
		return err
	}
	return checkStructure(r, m)
}

// Every file that bbolt writes is accepted, whatever its history.
func TestStructureAcceptsSoundFiles(t *testing.T) {
	dir, _ := large(t)
	if err := look(mustRead(t, filepath.Join(dir, fileDB))); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := openDB(path, false)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		if err := look(mustRead(t, path)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("new file")
	do := func(what string, f func(tx *bolt.Tx) error) {
		t.Helper()
		if err := db.Update(f); err != nil {
			t.Fatal(err)
		}
		check(what)
	}
	do("empty bucket", func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("b")); return err })
	do("small bucket", func(tx *bolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte("k"), nil) })
	do("nested buckets", func(tx *bolt.Tx) error {
		b, err := tx.Bucket([]byte("b")).CreateBucket([]byte("c"))
		if err != nil {
			return err
		}
		return b.Put([]byte("k"), make([]byte, 10_000))
	})
	do("three levels", func(tx *bolt.Tx) error {
		for i := range 3000 {
			if err := tx.Bucket([]byte("b")).Put(binary.BigEndian.AppendUint64([]byte("key "), uint64(i)), make([]byte, 300)); err != nil {
				return err
			}
		}
		return nil
	})
	for round := range 6 {
		do("deletions", func(tx *bolt.Tx) error {
			c := tx.Bucket([]byte("b")).Cursor()
			n := 0
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if n++; v != nil && n%2 == round%2 {
					if err := c.Delete(); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	do("bucket deleted", func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("b")) })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each rule is broken once, at a page of the kind that it is about.
func TestStructureRefuses(t *testing.T) {
	dir, _ := large(t)
	file := mustRead(t, filepath.Join(dir, fileDB))
	m, err := checkHeader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	order := binary.NativeEndian
	find := func(flags uint16) uint64 {
		for id := uint64(2); id < m.pages; id++ {
			p := file[id*testPage:]
			if order.Uint16(p[8:]) == flags && order.Uint16(p[10:]) > 2 && order.Uint64(p) == id && live(file, m, id) &&
				(flags != flagLeaf || order.Uint32(p[pageHeader:]) == 0) { // records, not the list of buckets
				return id
			}
		}
		t.Fatalf("the file has no page with flags %#x", flags)
		return 0
	}
	leaf, branch, list := find(flagLeaf), find(flagBranch), m.freelist
	for name, spoil := range map[string]func(b []byte){
		"page number":          func(b []byte) { order.PutUint64(b[leaf*testPage:], leaf+1) },
		"page flags":           func(b []byte) { order.PutUint16(b[leaf*testPage+8:], 0x20) },
		"leaf as branch":       func(b []byte) { order.PutUint16(b[leaf*testPage+8:], flagBranch) },
		"count too high":       func(b []byte) { order.PutUint16(b[leaf*testPage+10:], 0xFFFF) },
		"empty branch":         func(b []byte) { order.PutUint16(b[branch*testPage+10:], 0) },
		"page spills over":     func(b []byte) { b[leaf*testPage+12]++ },
		"page spills far":      func(b []byte) { order.PutUint32(b[leaf*testPage+12:], 0xFFFFFFFF) },
		"value outside":        func(b []byte) { order.PutUint32(b[leaf*testPage+pageHeader+12:], 0xFFFFFFF0) },
		"key outside":          func(b []byte) { order.PutUint32(b[leaf*testPage+pageHeader+8:], 0xFFFFFF) },
		"key in the table":     func(b []byte) { order.PutUint32(b[leaf*testPage+pageHeader+4:], 0) },
		"keys out of order":    func(b []byte) { order.PutUint32(b[leaf*testPage+pageHeader+elementSize+8:], 0) },
		"unknown element":      func(b []byte) { order.PutUint32(b[leaf*testPage+pageHeader:], 2) },
		"value as bucket":      func(b []byte) { order.PutUint32(b[leaf*testPage+pageHeader:], flagBucket) },
		"child outside":        func(b []byte) { order.PutUint64(b[branch*testPage+pageHeader+8:], m.pages) },
		"child is a meta page": func(b []byte) { order.PutUint64(b[branch*testPage+pageHeader+8:], 1) },
		"child is its parent":  func(b []byte) { order.PutUint64(b[branch*testPage+pageHeader+8:], branch) },
		"child twice": func(b []byte) {
			copy(b[branch*testPage+pageHeader+8:][:8], b[branch*testPage+pageHeader+elementSize+8:][:8])
		},
		"list with other flags":  func(b []byte) { order.PutUint16(b[list*testPage+8:], flagLeaf) },
		"list too short":         func(b []byte) { order.PutUint16(b[list*testPage+10:], order.Uint16(b[list*testPage+10:])-1) },
		"list too long":          func(b []byte) { order.PutUint16(b[list*testPage+10:], 0xFFFE) },
		"list far too long":      func(b []byte) { order.PutUint16(b[list*testPage+10:], 0xFFFF) },
		"free page outside":      func(b []byte) { order.PutUint64(b[list*testPage+pageHeader:], m.pages) },
		"free page twice":        func(b []byte) { copy(b[list*testPage+pageHeader:][:8], b[list*testPage+pageHeader+8:][:8]) },
		"used page free":         func(b []byte) { order.PutUint64(b[list*testPage+pageHeader:], leaf) },
		"free list is no page":   func(b []byte) { clear(b[list*testPage : (list+1)*testPage]) },
		"everything behind meta": func(b []byte) { clear(b[2*testPage:]) },
	} {
		b := bytes.Clone(file)
		spoil(b)
		if err := look(b); !errors.Is(err, errStructure) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// live says whether the newest commit uses a page.
func live(file []byte, m boltMeta, id uint64) bool {
	w := walker{b: file, size: uint64(m.pageSize), seen: make([]bool, m.pages)}
	return w.tree(m.root, 0) == nil && w.seen[id]
}

// What the look accepts, bbolt can open, check and write without dying: a fault
// in it would end this process.
func FuzzStructure(f *testing.F) {
	base, err := os.ReadFile(filepath.Join("testdata", "schema-1", fileDB))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{0, 0, 0, 1})
	f.Add([]byte{0x20, 0x0a, 0, 0xff, 0x30, 0x08, 0, 2})
	f.Add(bytes.Repeat([]byte{0x2f, 0xff, 0, 0}, 8))
	f.Fuzz(func(t *testing.T, changes []byte) {
		b := bytes.Clone(base)
		for ; len(changes) >= 4; changes = changes[4:] { // place (24 bits), value
			at := int(changes[0])<<16 | int(changes[1])<<8 | int(changes[2])
			b[at%len(b)] = changes[3]
		}
		if look(b) != nil {
			return
		}
		path := ramDir(t)
		mustWrite(t, path, b)
		if checkFile(path) != nil {
			return
		}
		db, err := openDB(path, false)
		if err != nil {
			return
		}
		defer db.Close()
		_ = update(db, func(tx *bolt.Tx) error { // an error is an answer, a fault is not
			b, err := tx.CreateBucketIfNotExists([]byte(bucketRecords))
			if err != nil {
				return err
			}
			return b.Put([]byte("acme.example\x00fuzz"), make([]byte, 5000))
		})
	})
}
