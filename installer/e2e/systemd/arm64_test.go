//go:build e2e

package systemd

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inTar lists a tar archive: mode, owner and digest by name, without top.
func inTar(t *testing.T, r io.Reader, top string) (list map[string]string, program []byte) {
	t.Helper()
	list = map[string]string{}
	for r := tar.NewReader(r); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list, program
		}
		must(t, err)
		b, err := io.ReadAll(r)
		must(t, err)
		name := strings.TrimPrefix(filepath.Join("/", h.Name), top)
		list[name] = fmt.Sprintf("%c %o %d:%d %s %x", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Linkname, sha256.Sum256(b))
		if filepath.Base(name) == "license-agent" && bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
			program = b
		}
	}
}

func unzip(t *testing.T, b []byte) io.Reader {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	return z
}

// The packages for ARM64 bring the same as those for amd64 but for the program,
// which is one for that processor, and say so in their own fields.
func TestPackagesForARM64(t *testing.T) {
	program := map[string][]byte{}
	same := func(kind, path string, list func(arch string) map[string]string) {
		t.Helper()
		x86, arm := list("amd64"), list("arm64")
		if len(x86) < 10 || x86[path] == "" {
			t.Fatalf("%s: %q is not in the list of %d", kind, path, len(x86))
		}
		if x86[path] == arm[path] {
			t.Errorf("%s: the same program for two processors", kind)
		}
		for arch, l := range map[string]map[string]string{"amd64": x86, "arm64": arm} {
			if sum := fmt.Sprintf("%x", sha256.Sum256(program[arch])); !strings.HasSuffix(l[path], sum) {
				t.Errorf("%s for %s: another program than in the archive: %s, %s", kind, arch, l[path], sum)
			}
			delete(l, path)
		}
		if diff := cmp.Diff(x86, arm); diff != "" {
			t.Errorf("%s: %s", kind, diff)
		}
	}
	same("tar.gz", "/license-agent", func(arch string) map[string]string {
		_, b := packageFile(t, "NEW", "linux-"+arch+".tar.gz")
		list, p := inTar(t, unzip(t, b), "/license-agent-1.1.0-linux-"+arch)
		f, err := elf.NewFile(bytes.NewReader(p))
		must(t, err)
		if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want {
			t.Errorf("the program for %s is one for %v", arch, f.Machine)
		}
		program[arch] = p
		return list
	})
	same("deb", "/usr/bin/license-agent", func(arch string) map[string]string {
		file, _ := packageFile(t, "NEW", "_"+arch+".deb")
		if got := strings.TrimSpace(tool(t, "dpkg-deb", "-f", file, "Architecture")); got != arch {
			t.Errorf("the deb for %s is for %q", arch, got)
		}
		data, err := exec.Command("dpkg-deb", "--fsys-tarfile", file).Output()
		must(t, err)
		list, _ := inTar(t, bytes.NewReader(data), "")
		for _, part := range []string{"preinst", "postinst", "prerm", "postrm", "conffiles"} {
			list[part] = tool(t, "dpkg-deb", "-I", file, part)
		}
		return list
	})
	same("rpm", "/usr/bin/license-agent", func(arch string) map[string]string {
		name := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
		file, _ := packageFile(t, "NEW", "."+name+".rpm")
		if got := tool(t, "rpm", "-qp", "--qf", "%{ARCH}", file); got != name {
			t.Errorf("the rpm for %s is for %q", name, got)
		}
		list := map[string]string{"scripts": tool(t, "rpm", "-qp", "--scripts", file)}
		for _, line := range strings.Split(tool(t, "rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME} %{FILEFLAGS} %{FILEDIGESTS}\n]", file), "\n") {
			path, rest, _ := strings.Cut(line, " ")
			list[path] = rest
		}
		return list
	})
	same("apk", "/usr/bin/license-agent", func(arch string) map[string]string {
		name := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
		_, b := packageFile(t, "NEW", "_"+name+".apk")
		raw, _, content := segments(t, b)
		if !strings.Contains(content[".PKGINFO"], "\narch = "+name+"\n") {
			t.Errorf("the apk for %s is not for it: %s", name, content[".PKGINFO"])
		}
		list, _ := inTar(t, unzip(t, raw[len(raw)-1]), "")
		for part, text := range content {
			if strings.HasPrefix(part, ".p") { // its scripts
				list[part] = text
			}
		}
		return list
	})
}
