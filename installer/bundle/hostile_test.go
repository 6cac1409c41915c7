package bundle

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"licenseagent.example/installer/bundle/manifest"
)

// withEmpty is a bundle whose product has a file without content, as many have.
func withEmpty(t *testing.T, format string) (*vendor, []byte) {
	t.Helper()
	v := newVendor(t, "acme")
	o := v.options(t, "My CAD")
	o.Format = format
	check(t, os.WriteFile(filepath.Join(o.App, "share", "empty"), nil, 0o644))
	return v, must[[]byte](t)(os.ReadFile(v.bundle(t, o)))
}

// again writes a tar file anew: each entry as change makes it, and more ones
// behind them.
func again(t *testing.T, whole []byte, change func(*tar.Header), more ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(bytes.NewReader(whole)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		if change != nil {
			change(h)
		}
		check(t, w.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			must[int64](t)(io.Copy(w, r))
		}
	}
	for _, h := range more {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		check(t, w.WriteHeader(&h))
	}
	check(t, w.Close())
	return out.Bytes()
}

func packed(t *testing.T, parts ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&out)
		must[int](t)(w.Write(p))
		check(t, w.Close())
	}
	return out.Bytes()
}

// refused writes an archive and wants Verify to say why it is none.
func refused(t *testing.T, v *vendor, what, format string, archive []byte, want error, why string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "My-CAD."+format)
	check(t, os.WriteFile(file, archive, 0o644))
	if m, err := manifest.Verify(file, &v.anchor, nil); !errors.Is(err, want) || m != nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s, %s: %v, want %v, %q", format, what, err, want, why)
	}
}

// Entries that no bundle has, in one that is whole otherwise: each alone is reason
// enough, and is named.
func TestHostileTar(t *testing.T) {
	v, whole := withEmpty(t, "tar")
	only := func(name string, change func(*tar.Header)) []byte {
		return again(t, whole, func(h *tar.Header) {
			if h.Name == name {
				change(h)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "My-CAD.tar")
	check(t, os.WriteFile(file, again(t, whole, nil, tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}), 0o644))
	if _, err := manifest.Verify(file, &v.anchor, nil); err != nil {
		t.Fatalf("control: written again, with a folder: %v", err)
	}
	for _, h := range []tar.Header{
		{Name: "../evil"},
		{Name: "/etc/passwd"},
		{Name: "bin/../../evil"},
		{Name: "My CAD/bin/x"},
		{Name: `bin\evil`},
		{Name: "bin/c:evil"},
		{Name: "bin/evil."},
		{Name: "bin/a\nb"},
		{Name: "bin/dev", Typeflag: tar.TypeChar},
		{Name: "bin/pipe", Typeflag: tar.TypeFifo},
		{Name: "bin/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "bin/link", Typeflag: tar.TypeLink, Linkname: "bin/product"},
		{Name: "bin/suid", Mode: 0o4755},
		{Name: "bin/product"},
		{Name: "bin/Product"},
		{Name: "../evil/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "/etc/evil/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "My CAD/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o777},
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o2755},
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755, Uid: 1000},
	} {
		refused(t, v, h.Name, "tar", again(t, whole, nil, h), manifest.ErrNotBundle, strings.Trim(strconv.Quote(h.Name), `"/`))
	}
	for what, change := range map[string]func(*tar.Header){
		"others may write": func(h *tar.Header) { h.Mode = 0o666 },
		"a group's":        func(h *tar.Header) { h.Mode = 0o664 },
		"somebody's":       func(h *tar.Header) { h.Uid = 1000 },
		"a group":          func(h *tar.Header) { h.Gid = 1000 },
		"somebody's name":  func(h *tar.Header) { h.Uname = "guest" },
		"a link":           func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeLink, "/etc/shadow" },
		"capabilities": func(h *tar.Header) {
			h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr.security.capability": "x"}
		},
	} {
		refused(t, v, what, "tar", only("bin/share/empty", change), manifest.ErrNotBundle, "bin/share/empty")
	}
	other := again(t, whole, func(h *tar.Header) { h.Name = "bin/other" })
	refused(t, v, "a second one behind it", "tar", append(bytes.Clone(whole), other...), manifest.ErrAltered, "something follows")
	refused(t, v, "a second one behind it", "tar.gz", packed(t, whole, other), manifest.ErrAltered, "something follows")
	refused(t, v, "garbage behind it", "tar.gz", append(packed(t, whole), "evil"...), manifest.ErrAltered, "damaged")
}

// A zip file has what stands before each file and a directory at its end. Some
// unpackers follow the one, some the other.
func TestHostileZip(t *testing.T) {
	v, whole := withEmpty(t, "zip")
	var evil bytes.Buffer
	w := zip.NewWriter(&evil)
	must[io.Writer](t)(w.Create("bin/evil.so"))
	check(t, w.Flush())
	begin := evil.Len()
	check(t, w.Close())
	end := bytes.LastIndex(whole, []byte("PK\x05\x06"))
	directory := int(binary.LittleEndian.Uint32(whole[end+16:]))
	with := func(at int, what string) []byte {
		return bytes.Join([][]byte{whole[:at], whole[at:]}, []byte(what))
	}
	moved := func(b []byte, by int) []byte { // the directory is found where it is now
		at := bytes.LastIndex(b, []byte("PK\x05\x06")) + 16
		binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])+uint32(by))
		return b
	}
	renamed := bytes.Replace(whole, []byte("bin/share/empty"), []byte("bin/share/other"), 1)
	comment := append(bytes.Clone(whole), "evil"...)
	comment[end+20] = 4
	for what, c := range map[string][]byte{
		"a file before the first":      with(0, evil.String()[:begin]),
		"a file that is not listed":    moved(with(directory, evil.String()[:begin]), begin),
		"another name before the file": renamed,
		"a second zip file in front":   with(0, evil.String()),
		"something behind it":          append(bytes.Clone(whole), "evil"...),
		"a comment":                    comment,
		"a second directory":           moved(append(bytes.Clone(whole), whole[directory:]...), len(whole)-directory),
	} {
		refused(t, v, what, "zip", c, manifest.ErrAltered, "vendor's tool")
	}

	// Entry by entry, by the tool that the vendor has used.
	rewritten := func(change func(*zip.FileHeader), more ...string) []byte {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		r := must[*zip.Reader](t)(zip.NewReader(bytes.NewReader(whole), int64(len(whole))))
		for _, e := range r.File {
			h := e.FileHeader
			if change != nil && h.Name == "bin/share/empty" {
				change(&h)
			}
			from := must[io.ReadCloser](t)(e.Open())
			must[int64](t)(io.Copy(must[io.Writer](t)(w.CreateHeader(&h)), from))
			check(t, from.Close())
		}
		for _, name := range more {
			must[io.Writer](t)(w.Create(name))
		}
		check(t, w.Close())
		return out.Bytes()
	}
	file := filepath.Join(t.TempDir(), "My-CAD.zip")
	check(t, os.WriteFile(file, rewritten(nil), 0o644))
	if _, err := manifest.Verify(file, &v.anchor, nil); err != nil {
		t.Fatalf("control: written again: %v", err)
	}
	for _, name := range []string{"bin/Product", "bin/product", "../evil", "/evil", "lib/", "../evil/"} {
		refused(t, v, name, "zip", rewritten(nil, name), manifest.ErrNotBundle, strings.Trim(name, "/"))
	}
	for what, change := range map[string]func(*zip.FileHeader){
		"a link":           func(h *zip.FileHeader) { h.SetMode(os.ModeSymlink | 0o777) },
		"others may write": func(h *zip.FileHeader) { h.SetMode(0o666) },
		"set-user-ID":      func(h *zip.FileHeader) { h.SetMode(os.ModeSetuid | 0o755) },
	} {
		refused(t, v, what, "zip", rewritten(change), manifest.ErrNotBundle, "bin/share/empty")
	}
	refused(t, v, "another name in a field", "zip", rewritten(func(h *zip.FileHeader) { h.Extra = append([]byte{0x75, 0x70, 9, 0, 1, 0, 0, 0, 0}, "evil"...) }), manifest.ErrAltered, "bin/share/empty")
	refused(t, v, "cut off", "zip", whole[:len(whole)-1], manifest.ErrAltered, "")
	if _, err := manifest.Verify(filepath.Join(t.TempDir(), "x.rar"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Data behind the end of a compressed file, where its length leaves room for it.
func TestHiddenInZip(t *testing.T) {
	v, whole := withEmpty(t, "zip")
	r := must[*zip.Reader](t)(zip.NewReader(bytes.NewReader(whole), int64(len(whole))))
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range r.File {
		h := e.FileHeader
		raw := must[[]byte](t)(io.ReadAll(must[io.Reader](t)(e.OpenRaw())))
		if h.Name == "bin/share/data.txt" {
			raw = append(raw, "PK\x03\x04 and so on"...)
			h.CompressedSize64 = uint64(len(raw))
		}
		must[int](t)(must[io.Writer](t)(w.CreateRaw(&h)).Write(raw))
	}
	check(t, w.Close())
	refused(t, v, "data behind the end", "zip", out.Bytes(), manifest.ErrAltered, "something follows the end")
}

// What somebody puts beside the signature is not kept in memory: a small archive
// could fill that of the machine before the signature is looked at.
func TestManyBesideTheSignature(t *testing.T) {
	v, whole := withEmpty(t, "tar")
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	content := make([]byte, 256<<10)
	for i := range 500 {
		check(t, w.WriteHeader(&tar.Header{Name: "license/" + strconv.Itoa(i), Mode: 0o644, Size: int64(len(content))}))
		must[int](t)(w.Write(content))
	}
	bomb := packed(t, append(out.Bytes(), whole...))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	refused(t, v, "500 files more", "tar.gz", bomb, manifest.ErrAltered, "license/")
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 64 {
		t.Errorf("%d MiB for an archive of %d KiB", used, len(bomb)>>10)
	}
}
