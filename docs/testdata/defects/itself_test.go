package store

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

// A bucket that contains itself: bbolt walks into it until the stack ends, which
// no recover catches. Without a probe process the agent walked itself.
func TestBucketInItself(t *testing.T) {
	debug.SetMaxStack(16 << 20) // how deep the walk is does not matter
	dir := filled(t, 3, options())
	if err := os.Remove(filepath.Join(dir, fileClean)); err != nil { // as after a crash
		t.Fatal(err)
	}
	path, order := filepath.Join(dir, fileDB), binary.NativeEndian
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	meta := b[16:]
	size := int(order.Uint32(meta[8:]))
	if newer := b[size+16:]; order.Uint64(newer[48:]) > order.Uint64(meta[48:]) {
		meta = newer
	}
	root := int(order.Uint64(meta[16:]))
	element := b[root*size+16:] // the first of the root page: flags, position, size of the key
	if order.Uint32(element) != 1 {
		t.Fatal("the first element of the root is no bucket")
	}
	value := element[order.Uint32(element[4:])+order.Uint32(element[8:]):]
	order.PutUint64(value, uint64(root))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Probe = nil
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st := s.Stats(); len(st.Quarantine) != 1 {
		t.Errorf("the file was not put aside: %+v", st)
	}
}
