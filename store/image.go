package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"licenseagent.example/activation"
)

// Buckets of the file.
const (
	bucketMeta    = "meta"
	bucketRecords = "records" // issuer NUL product → activation.Record as JSON
	bucketKeySets = "keysets" // issuer → envelope
	bucketClock   = "clock"   // "clock" → activation.ClockState as JSON
)

// Limits on what may be stored; far above what a license needs, far below what
// would hurt.
const (
	maxName  = 512     // bytes of an issuer or a product
	maxValue = 1 << 20 // bytes of one value
)

// entry is the place of one value.
type entry struct{ bucket, key string }

func (e entry) bound() []byte { return []byte(e.bucket + "\x00" + e.key) }

// label names an entry for people: issuers and products are no secrets.
func (e entry) label() string {
	return e.bucket + "/" + strings.ReplaceAll(e.key, "\x00", "/")
}

func compareEntries(a, b entry) int {
	if c := strings.Compare(a.bucket, b.bucket); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}

// image is everything the store remembers, unsealed.
type image struct {
	schema int
	gen    uint64 // number of the commit that made it, only grows
	data   map[entry][]byte
}

func newImage() image { return image{schema: schemaVersion, data: map[entry][]byte{}} }

func (m image) sorted() []entry {
	return slices.SortedFunc(maps.Keys(m.data), compareEntries)
}

func recordEntry(k activation.Key) entry {
	return entry{bucketRecords, k.Issuer + "\x00" + k.Product}
}

func clockEntry() entry { return entry{bucketClock, "clock"} }

func checkName(what, s string) error {
	switch {
	case len(s) > maxName:
		return fmt.Errorf("%w: %s is longer than %d bytes", ErrInvalid, what, maxName)
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("%w: %s contains a zero byte", ErrInvalid, what)
	}
	return nil
}

func checkKey(k activation.Key) error {
	if k.Issuer == "" {
		return fmt.Errorf("%w: license without issuer", ErrInvalid)
	}
	if err := checkName("issuer", k.Issuer); err != nil {
		return err
	}
	return checkName("product", k.Product)
}

// with returns the image after a change. The receiver is not altered, so that
// a failed commit leaves memory as it was.
func (m image) with(c activation.Change) (image, error) {
	next := image{schema: m.schema, gen: m.gen + 1, data: maps.Clone(m.data)}
	put := func(e entry, v []byte) error {
		if len(v) > maxValue {
			return fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrInvalid, e.label(), len(v), maxValue)
		}
		next.data[e] = v
		return nil
	}
	for _, k := range c.Delete {
		delete(next.data, recordEntry(k))
	}
	for _, r := range c.Put {
		if err := checkKey(r.Key); err != nil {
			return image{}, err
		}
		v, err := json.Marshal(r)
		if err != nil {
			return image{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if err := put(recordEntry(r.Key), v); err != nil {
			return image{}, err
		}
	}
	for issuer, envelope := range c.KeySets {
		if err := checkKey(activation.Key{Issuer: issuer}); err != nil {
			return image{}, err
		}
		if err := put(entry{bucketKeySets, issuer}, bytes.Clone(envelope)); err != nil {
			return image{}, err
		}
	}
	if c.Clock != nil {
		v, err := json.Marshal(c.Clock)
		if err != nil {
			return image{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		next.data[clockEntry()] = v
	}
	return next, nil
}

// state decodes the image. What cannot be understood is left out and listed.
func (m image) state() (activation.State, []refusal) {
	st := activation.State{KeySets: map[string][]byte{}}
	var bad []refusal
	for _, e := range m.sorted() {
		v := m.data[e]
		switch e.bucket {
		case bucketRecords:
			var r activation.Record
			if err := json.Unmarshal(v, &r); err != nil || recordEntry(r.Key) != e {
				bad = append(bad, refusal{e, errContent})
				continue
			}
			st.Records = append(st.Records, r)
		case bucketKeySets:
			st.KeySets[e.key] = append([]byte{}, v...)
		case bucketClock:
			if err := json.Unmarshal(v, &st.Clock); err != nil {
				st.Clock = activation.ClockState{}
				bad = append(bad, refusal{e, errContent})
			}
		}
	}
	return st, bad
}

// refusal is one value that is never used.
type refusal struct {
	entry entry
	err   error
}
