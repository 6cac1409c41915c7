//go:build e2e

package systemd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each package is small, and the archive brings what the packages do.
func TestSizeAndArchive(t *testing.T) {
	all, err := filepath.Glob(filepath.Join(need(t, "E2E_NEW"), "license-agent*"))
	must(t, err)
	if len(all) != 8 {
		t.Errorf("want four packages for each of two processors, there are %v", all)
	}
	for _, f := range all {
		fi, err := os.Stat(f)
		must(t, err)
		if fi.Size() > 8<<20 {
			t.Errorf("%s has %d bytes, the promise is 8 MB", f, fi.Size())
		}
	}
	_, b := packageFile(t, "NEW", "linux-amd64.tar.gz")
	z, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	var names []string
	texts := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o022 != 0 || !strings.HasPrefix(h.Name, "license-agent-1.1.0-linux-amd64/") {
			t.Errorf("%s: owner %d:%d, mode %o", h.Name, h.Uid, h.Gid, h.Mode)
		}
		if base := path.Base(h.Name); base == "license-agent" || base == "copyright" {
			b, err := io.ReadAll(r)
			must(t, err)
			texts[base] = b
		}
	}
	// Whoever passes the program on passes on the terms of what is linked into it.
	info, err := buildinfo.Read(bytes.NewReader(texts["license-agent"]))
	must(t, err)
	if len(info.Deps) < 10 {
		t.Errorf("the program says that it has %d modules in it", len(info.Deps))
	}
	for _, m := range info.Deps {
		if !bytes.Contains(texts["copyright"], []byte("\n---- "+m.Path+" "+m.Version+" ----\n\n")) {
			t.Errorf("the terms of %s are not in the archive", m.Path)
		}
	}
	// What the packages have in /usr/share/license-agent, for who installs without one.
	for _, name := range []string{"seal.conf", "tpm.conf"} {
		if !slices.Contains(names, "license-agent-1.1.0-linux-amd64/service/"+name) {
			t.Errorf("%s is not in the archive", name)
		}
	}
}
