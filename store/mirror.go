package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"licenseagent.example/platform/securefile"
)

// mirrorHead is the first line of state.mirror.
const mirrorHead = "license-agent-mirror 1\n"

// maxMirror bounds what is read of a mirror.
const maxMirror = maxFile

// mirrorDoc is the sealed content of state.mirror: the whole image.
type mirrorDoc struct {
	Schema int          `json:"schema"`
	Gen    uint64       `json:"gen"`
	Data   []mirrorItem `json:"data"`
}

type mirrorItem struct {
	Bucket string `json:"b"`
	Key    []byte `json:"k"`
	Value  []byte `json:"v"`
}

func mirrorEntry() entry { return entry{"mirror", ""} }

// writeMirror writes the whole image beside the database, sealed. It is what a
// damaged database is restored from, and its number tells when the database
// lost a commit.
func (s *Store) writeMirror(img image) error {
	doc := mirrorDoc{Schema: img.schema, Gen: img.gen}
	for _, e := range img.sorted() {
		doc.Data = append(doc.Data, mirrorItem{e.bucket, []byte(e.key), img.data[e]})
	}
	plain, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	b := append([]byte(mirrorHead), s.seal.seal(mirrorEntry(), plain)...)
	return s.dir.WriteFile(fileMirror, b, securefile.PrivateFile)
}

// readMirror returns the image of the mirror. No mirror gives an image of
// number 0; a damaged one errMirror; a newer one ErrNewerSchema.
func (s *Store) readMirror() (image, error) {
	b, err := s.dir.ReadFile(fileMirror, maxMirror)
	if errors.Is(err, fs.ErrNotExist) {
		return newImage(), nil
	}
	if errors.Is(err, securefile.ErrTooLarge) {
		return newImage(), fmt.Errorf("%w: %w", errMirror, err)
	}
	if err != nil {
		return newImage(), err
	}
	sealed, ok := bytes.CutPrefix(b, []byte(mirrorHead))
	if !ok {
		return newImage(), fmt.Errorf("%w: first line", errMirror)
	}
	plain, err := s.seal.open(mirrorEntry(), sealed)
	if err != nil {
		return newImage(), fmt.Errorf("%w: %w", errMirror, err)
	}
	var doc mirrorDoc
	if err := json.Unmarshal(plain, &doc); err != nil {
		return newImage(), fmt.Errorf("%w: %w", errMirror, errContent)
	}
	if doc.Schema > schemaVersion {
		return newImage(), newer(fileMirror, doc.Schema)
	}
	img := image{schema: doc.Schema, gen: doc.Gen, data: map[entry][]byte{}}
	for _, item := range doc.Data {
		img.data[entry{item.Bucket, string(item.Key)}] = item.Value
	}
	return img, nil
}
