package manifest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// file is one file of a bundle while it is read, or a folder of an archive.
type file struct {
	name    string // with slashes, below the bundle; a folder's ends with one
	mode    fs.FileMode
	content io.Reader
	open    bool // others than root could write to it when root has unpacked it
}

// writable are the modes by which others than the owner write.
const writable fs.FileMode = 0o022

// source calls yield for each file and stops at the first error.
type source func(yield func(file) error) error

// Formats are the suffixes that the marketplace accepts.
func Formats() []string { return []string{"zip", "tar", "tar.gz"} }

// validPath refuses names that leave the folder, that Windows reads in another
// way than Linux, and that a list of one line each cannot hold.
func validPath(name string) bool {
	return fs.ValidPath(name) && name != "." && utf8.ValidString(name) && !strings.ContainsAny(name, `\:*?"<>|`) &&
		!strings.ContainsFunc(name, unicode.IsControl) &&
		!slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") })
}

// open finds out what path is: an unpacked bundle or an archive.
func open(path string) (source, error) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case fi.IsDir():
		return folder(path), nil
	}
	for format, read := range map[string]func(string) source{".zip": zipped, ".tar": plain, ".tar.gz": gzipped} {
		if strings.HasSuffix(path, format) {
			return read(path), nil
		}
	}
	return nil, fmt.Errorf("%w: %s is neither a folder nor a .%s file", ErrNotBundle, path, strings.Join(Formats(), ", ."))
}

// folder reads an unpacked bundle. Root keeps every access below the folder,
// whatever links are in it; a link is refused all the same.
func folder(dir string) source {
	return func(yield func(file) error) (err error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, root.Close()) }()
		return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() {
				return yield(file{name: name, mode: info.Mode()})
			}
			f, err := root.Open(filepath.FromSlash(name))
			if err != nil {
				return err
			}
			return errors.Join(yield(file{name: name, mode: info.Mode(), content: f}), f.Close())
		})
	}
}

func plain(name string) source {
	return tarred(name, func(r io.Reader) (io.Reader, error) { return r, nil })
}

func gzipped(name string) source {
	return tarred(name, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
}

func tarred(name string, unpack func(io.Reader) (io.Reader, error)) source {
	return func(yield func(file) error) (err error) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		stream, err := unpack(f)
		if err != nil {
			return damaged(err)
		}
		for r := tar.NewReader(stream); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				_, err = io.Copy(padding{}, stream) // the digest of gzip is checked at its end
				return damaged(err)
			}
			if err != nil {
				return damaged(err)
			}
			if err := yield(tarEntry(h, r)); err != nil {
				return damaged(err)
			}
		}
	}
}

// tarEntry gives a hard link, which the reader shows as a file without content,
// and whatever else is more than a file, a mode that no file has.
func tarEntry(h *tar.Header, content io.Reader) file {
	mode := h.FileInfo().Mode()
	more := h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir
	for key := range h.PAXRecords {
		// Those with a point are attributes, access lists, capabilities, holes.
		more = more || strings.Contains(key, ".")
	}
	if more {
		mode |= fs.ModeIrregular
	}
	owned := h.Uid != 0 || h.Gid != 0 || h.Uname != "" && h.Uname != "root" || h.Gname != "" && h.Gname != "root"
	return file{name: h.Name, mode: mode, content: content, open: owned || mode&writable != 0}
}

// padding takes the zeros that may follow the end of a tar file: another archive
// behind it would be unpacked by some.
type padding struct{}

func (padding) Write(p []byte) (int, error) {
	if len(bytes.Trim(p, "\x00")) > 0 {
		return 0, errors.New("something follows the end of the archive")
	}
	return len(p), nil
}

// damaged marks the errors of the archive readers; ours have their own mark.
func damaged(err error) error {
	if err == nil || errors.Is(err, ErrAltered) || errors.Is(err, ErrNotBundle) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%w: the archive is damaged: %w", ErrAltered, err)
}
