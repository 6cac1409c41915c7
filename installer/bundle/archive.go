package bundle

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// packer adds one file to an archive.
type packer func(it item, content io.Reader) error

// write makes the archive under another name and gives it its own when it is
// whole and on disk.
func (o Options) write(path string, items []item) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: %s", ErrExists, path)
	}
	f, err := os.CreateTemp(o.Out, ".bundle-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	add, finish := o.packer(f)
	for _, it := range items {
		if err = it.pack(add); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	err = finish()
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// pack reads a file a second time; one that changed meanwhile would give a
// bundle that nobody can install.
func (it item) pack(add packer) error {
	r, err := it.from()
	if err != nil {
		return err
	}
	h := sha256.New()
	err = errors.Join(add(it, io.TeeReader(r, h)), r.Close())
	if err == nil && it.sum != "" && hex.EncodeToString(h.Sum(nil)) != it.sum {
		err = fmt.Errorf("%w: %s changed while it was read", ErrInput, it.name)
	}
	return err
}

func (it item) mode() fs.FileMode {
	if it.program {
		return 0o755
	}
	return 0o644
}

// packer is the writer for the format. Only names, modes, one date and the
// content are in the archive, so that the same input gives the same bytes.
func (o Options) packer(f io.Writer) (packer, func() error) {
	if o.Format == "zip" {
		z := zip.NewWriter(f)
		return func(it item, content io.Reader) error {
			h := &zip.FileHeader{Name: it.name, Method: zip.Deflate, Modified: o.Made.UTC()}
			h.SetMode(it.mode())
			w, err := z.CreateHeader(h)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, content)
			return err
		}, z.Close
	}
	var close []func() error
	if o.Format == "tar.gz" {
		g := gzip.NewWriter(f)
		close, f = append(close, g.Close), g
	}
	t := tar.NewWriter(f)
	close = append(close, t.Close)
	return func(it item, content io.Reader) error {
			h := &tar.Header{Name: it.name, Size: it.size, Mode: int64(it.mode().Perm()), ModTime: o.Made.UTC(), Format: tar.FormatPAX, Typeflag: tar.TypeReg}
			if err := t.WriteHeader(h); err != nil {
				return err
			}
			_, err := io.Copy(t, content)
			return err
		}, func() error {
			var errs []error
			for i := len(close) - 1; i >= 0; i-- {
				errs = append(errs, close[i]())
			}
			return errors.Join(errs...)
		}
}
