package manifest

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// errZip is for a zip file that two unpackers may read in two ways.
var errZip = errors.New("not as the vendor's tool writes it")

// zipped reads a zip file. Some unpackers follow the directory at its end, others
// what stands before each file: only a file in which both say the same passes.
func zipped(name string) source {
	return func(yield func(file) error) (err error) {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		r, err := zip.NewReader(f, fi.Size())
		if err != nil {
			return damaged(err)
		}
		if err := oneWay(f, fi.Size(), r.File); err != nil {
			return damaged(err)
		}
		r.RegisterDecompressor(zip.Deflate, inflate)
		for _, e := range r.File {
			f, err := e.Open()
			if err != nil {
				return damaged(err)
			}
			// Only Unix modes are given to anybody.
			modes := e.CreatorVersion>>8 == 3 || e.CreatorVersion>>8 == 19
			entry := file{name: e.Name, mode: e.Mode(), content: f, open: modes && e.Mode()&writable != 0}
			if err := errors.Join(yield(entry), f.Close()); err != nil {
				return damaged(err)
			}
		}
		return nil
	}
}

// whole is a decompressor that leaves nothing unread: what follows the end of the
// compressed data could be a file to somebody else.
type whole struct {
	io.ReadCloser
	rest *bufio.Reader
}

func inflate(r io.Reader) io.ReadCloser {
	b := bufio.NewReader(r)
	return whole{flate.NewReader(b), b}
}

func (w whole) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		if _, more := w.rest.ReadByte(); more == nil {
			err = fmt.Errorf("%w: something follows the end of a file", errZip)
		}
	}
	return n, err
}

// oneWay reads the headers between the files (APPNOTE 4.3.7): the first one is at
// the very beginning, each file begins where the one before ended, all are named
// as in the directory, and that one is the end of the zip file.
func oneWay(f io.ReaderAt, size int64, list []*zip.File) error {
	at := int64(0)
	for _, e := range list {
		next, err := header(f, at, e)
		if err != nil {
			return err
		}
		at = next
	}
	begin, length, tail, err := directory(f, size)
	if err != nil {
		return err
	}
	if uint64(at) != begin || begin+length+tail != uint64(size) {
		return fmt.Errorf("%w: something stands before or behind the directory", errZip)
	}
	return nil
}

// directory says where the directory is, how long, and what the records behind it
// are long (APPNOTE 4.3.16 and, for many or large files, 4.3.14).
func directory(f io.ReaderAt, size int64) (begin, length, tail uint64, err error) {
	const short, locator, long = 22, 20, 56
	le := binary.LittleEndian
	var end [short]byte
	if _, err := f.ReadAt(end[:], max(size-short, 0)); err != nil {
		return 0, 0, 0, err
	}
	if string(end[:4]) != "PK\x05\x06" {
		return 0, 0, 0, fmt.Errorf("%w: something follows the directory", errZip)
	}
	begin, length = uint64(le.Uint32(end[16:])), uint64(le.Uint32(end[12:]))
	if begin != 1<<32-1 && length != 1<<32-1 && le.Uint16(end[10:]) != 1<<16-1 {
		return begin, length, short, nil
	}
	var record [long]byte
	if _, err := f.ReadAt(record[:], max(size-short-locator-long, 0)); err != nil {
		return 0, 0, 0, err
	}
	if string(record[:4]) != "PK\x06\x06" {
		return 0, 0, 0, fmt.Errorf("%w: something follows the directory", errZip)
	}
	return le.Uint64(record[48:]), le.Uint64(record[40:]), short + locator + long, nil
}

// header compares what stands before a file with the directory, and returns where
// the file ends.
func header(f io.ReaderAt, at int64, e *zip.File) (int64, error) {
	var h [30]byte
	if _, err := f.ReadAt(h[:], at); err != nil {
		return 0, err
	}
	le := binary.LittleEndian
	flags, packed, names, extras := le.Uint16(h[6:]), le.Uint32(h[18:]), int(le.Uint16(h[26:])), int(le.Uint16(h[28:]))
	text := make([]byte, names+extras)
	if _, err := f.ReadAt(text, at+int64(len(h))); err != nil {
		return 0, err
	}
	begin, err := e.DataOffset()
	const big, descriptor, utf8Names = 1<<32 - 1, 1 << 3, 1 << 11
	switch {
	case err != nil:
		return 0, err
	case string(h[:4]) != "PK\x03\x04" || begin != at+int64(len(h)+len(text)):
		return 0, fmt.Errorf("%w: %s does not begin where it should", errZip, e.Name)
	case string(text[:names]) != e.Name || flags != e.Flags || flags&^(descriptor|utf8Names) != 0 || le.Uint16(h[8:]) != e.Method:
		return 0, fmt.Errorf("%w: %s is called otherwise before the file", errZip, e.Name)
	case flags&descriptor == 0 && uint64(packed) != min(e.CompressedSize64, big):
		return 0, fmt.Errorf("%w: %s has another length before the file", errZip, e.Name)
	case !simple(text[names:]) || !simple(e.Extra):
		return 0, fmt.Errorf("%w: %s has a field that is none of date and length", errZip, e.Name)
	}
	end := begin + int64(e.CompressedSize64)
	if flags&descriptor != 0 {
		end += 16
		if max(e.CompressedSize64, e.UncompressedSize64) >= big {
			end += 8
		}
	}
	return end, nil
}

// simple says whether an extra field holds dates and long lengths only. Others may
// say another name (APPNOTE 4.6.9) or an owner.
func simple(extra []byte) bool {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if !strings.ContainsRune("\x01\x0a\u5455", rune(id)) || n > len(extra)-4 {
			return false
		}
		extra = extra[4+n:]
	}
	return len(extra) == 0
}
