package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"licenseagent.example/platform/securefile"
)

// Names in the state directory.
const (
	fileDB     = "state.db"
	fileNew    = "state.db.new"      // being built; renamed to state.db when it is whole
	fileClean  = "state.db.ok"       // says that state.db was found sound when it was last closed
	fileBad    = "state.db.corrupt-" // + time: files put aside
	fileMirror = "state.mirror"
)

// maxFile is the size at which bbolt refuses to grow: a bug must not fill the disk.
const maxFile = 64 << 20

// openDB opens a bbolt file. A panic becomes an error, which leaves the handle
// open: the guard exists so that this does not happen.
func openDB(path string, readOnly bool) (db *bolt.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, fmt.Errorf("%w: %v", errProbe, r)
		}
	}()
	db, err = bolt.Open(path, securefile.PrivateFile, &bolt.Options{
		Timeout:      time.Second, // 0 would wait for ever
		FreelistType: bolt.FreelistMapType,
		MaxSize:      maxFile,
		ReadOnly:     readOnly,
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("%w: %s is locked by another program", ErrOwned, path)
	}
	return db, err
}

// unsized says that the file could not be given the size of its mapping. bbolt
// does that on Windows before it maps a file, on a full disk in vain, and hides
// the cause: without this a sound file would be taken for a damaged one.
func unsized(err error) bool {
	return err != nil && runtime.GOOS == "windows" && strings.HasPrefix(err.Error(), "truncate: ")
}

// manifest names every entry of one commit with the tag of its sealed value.
// Without it a leaf page with a smaller count, or an older copy of a page,
// would make a license disappear or step back without a sign.
type manifest struct {
	Gen  uint64         `json:"gen"`
	Tags []manifestItem `json:"tags"`
}

type manifestItem struct {
	Bucket string `json:"b"`
	Key    []byte `json:"k"`
	Tag    string `json:"t"`
}

func manifestEntry() entry { return entry{bucketMeta, "manifest"} }

func schemaEntry() entry { return entry{bucketMeta, "schema"} }

func encodeManifest(gen uint64, tags map[entry]string) ([]byte, error) {
	m := manifest{Gen: gen}
	for _, e := range slices.SortedFunc(maps.Keys(tags), compareEntries) {
		m.Tags = append(m.Tags, manifestItem{e.bucket, []byte(e.key), tags[e]})
	}
	return json.Marshal(m)
}

// writeTx writes next over prev in one transaction and returns the tags of
// next. Unchanged values keep their sealed form.
func (s *sealer) writeTx(tx *bolt.Tx, prev image, prevTags map[entry]string, next image) (map[entry]string, error) {
	tags := maps.Clone(prevTags)
	if tags == nil {
		tags = map[entry]string{}
	}
	for _, name := range []string{bucketMeta, bucketRecords, bucketKeySets, bucketClock} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return nil, err
		}
	}
	for e := range prev.data {
		if _, stays := next.data[e]; !stays {
			if err := tx.Bucket([]byte(e.bucket)).Delete([]byte(e.key)); err != nil {
				return nil, err
			}
			delete(tags, e)
		}
	}
	for _, e := range next.sorted() {
		if old, had := prev.data[e]; had && bytes.Equal(old, next.data[e]) {
			continue
		}
		sealed := s.seal(e, next.data[e])
		if err := tx.Bucket([]byte(e.bucket)).Put([]byte(e.key), sealed); err != nil {
			return nil, err
		}
		tags[e] = tag(sealed)
	}
	plain, err := encodeManifest(next.gen, tags)
	if err != nil {
		return nil, err
	}
	meta := tx.Bucket([]byte(bucketMeta))
	if err := meta.Put([]byte(manifestEntry().key), s.seal(manifestEntry(), plain)); err != nil {
		return nil, err
	}
	return tags, meta.Put([]byte(schemaEntry().key), schemaLine(next.schema, s.id))
}

// update runs one transaction. A panic inside bbolt becomes an error: the file
// passed the guard, but memory and disks fail while a process runs, too.
func update(db *bolt.DB, f func(*bolt.Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bbolt: %v", r)
		}
	}()
	return db.Update(f)
}

// content is what one file says.
type content struct {
	img  image
	tags map[entry]string
	bad  []refusal // values that are not used
}

// read returns everything in the file whose seal matches and that the manifest
// names. A file whose schema line is damaged or whose key is another one gives
// an error that is about the whole file.
func (s *sealer) read(db *bolt.DB) (c content, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errProbe, r)
		}
	}()
	err = db.View(func(tx *bolt.Tx) error {
		c, err = s.readTx(tx, db.Path())
		return err
	})
	return c, err
}

func (s *sealer) readTx(tx *bolt.Tx, path string) (content, error) {
	c := content{img: newImage(), tags: map[entry]string{}}
	meta := tx.Bucket([]byte(bucketMeta))
	if meta == nil {
		return c, errSchema
	}
	version, id, err := parseSchema(meta.Get([]byte(schemaEntry().key)))
	switch {
	case err != nil:
		return c, err
	case version > schemaVersion:
		return c, newer(filepath.Base(path), version)
	case id != s.id:
		return c, errOtherKey
	}
	c.img.schema = version
	named, err := s.readManifest(meta)
	if err != nil {
		c.bad = append(c.bad, refusal{manifestEntry(), err})
	} else {
		c.img.gen = named.gen
	}
	for _, name := range []string{bucketRecords, bucketKeySets, bucketClock} {
		b := tx.Bucket([]byte(name))
		if b == nil {
			continue // what the manifest names in it is missed below
		}
		err := b.ForEach(func(k, v []byte) error {
			e := entry{name, string(k)}
			plain, err := s.open(e, v)
			if err == nil && named.tags != nil {
				switch want, ok := named.tags[e]; {
				case !ok:
					err = errUnlisted
				case want != tag(v):
					err = errStale
				}
			}
			if err != nil {
				c.bad = append(c.bad, refusal{e, err})
				return nil
			}
			c.img.data[e], c.tags[e] = plain, tag(v)
			return nil
		})
		if err != nil {
			return c, err
		}
	}
	for e := range named.tags {
		_, read := c.img.data[e]
		if !read && !slices.ContainsFunc(c.bad, func(r refusal) bool { return r.entry == e }) {
			c.bad = append(c.bad, refusal{e, errLost})
		}
	}
	return c, nil
}

type named struct {
	gen  uint64
	tags map[entry]string // nil: no manifest
}

func (s *sealer) readManifest(meta *bolt.Bucket) (named, error) {
	sealed := meta.Get([]byte(manifestEntry().key))
	if sealed == nil {
		return named{}, errLost
	}
	plain, err := s.open(manifestEntry(), sealed)
	if err != nil {
		return named{}, err
	}
	var m manifest
	if err := json.Unmarshal(plain, &m); err != nil {
		return named{}, errContent
	}
	n := named{m.Gen, map[entry]string{}}
	for _, item := range m.Tags {
		n.tags[entry{item.Bucket, string(item.Key)}] = item.Tag
	}
	return n, nil
}

// create builds a whole file beside the final one and renames it. bbolt's own
// first initialisation is not crash-safe (etcd issue 16596): a power cut in it
// leaves a file that cannot be opened under the final name.
func (s *Store) create(img image) error {
	name := fileNew
	if s.opts.seams.inPlace {
		name = fileDB
	}
	if err := s.dir.Remove(name); err != nil {
		return err
	}
	// bbolt would make the file by a mode, which says nothing about access lists.
	if err := s.dir.Touch(name); err != nil {
		return err
	}
	db, err := openDB(s.path(name), false)
	if err != nil {
		return err
	}
	err = update(db, func(tx *bolt.Tx) error {
		_, err := s.seal.writeTx(tx, image{}, nil, img)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		s.dir.Remove(name)
		return fmt.Errorf("building %s: %w", name, err)
	}
	if s.opts.seams.inPlace {
		return nil
	}
	if err := s.dir.Rename(fileNew, fileDB); err != nil {
		return err
	}
	// The directory may be as new as the file, and its own name is in its parent
	// (fsync(2)). Where a directory cannot be opened or flushed, such as on
	// Windows, there is nothing to do.
	if parent, err := os.Open(filepath.Dir(s.dir.Path())); err == nil {
		parent.Sync()
		parent.Close()
	}
	return nil
}
