package probetest

import (
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Unpack writes a recorded Linux host from an archive to a temporary directory
// and returns it. Entry names are
//
//	PATH                a file with this content
//	PATH -> TARGET      a symbolic link; git on Windows could not check one out
//	PATH (hex)          a file given in hexadecimal, # starts a comment
//	PATH (dmidecode)    an SMBIOS table given as dmidecode prints it
//	nic NAME            an interface, see nic
//	disk NAME           a block device, see disk
//
// A file that the recorder could not read is an empty PATH.unreadable.
func Unpack(t testing.TB, archive []byte) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range txtar.Parse(archive).Files {
		if err := unpack(root, f.Name, string(f.Data)); err != nil {
			t.Fatalf("entry %q: %v", f.Name, err)
		}
	}
	return root
}

// unpack writes one entry.
func unpack(root, name, body string) error {
	if link, target, ok := strings.Cut(name, " -> "); ok {
		return symlink(root, link, target)
	}
	if file, ok := strings.CutSuffix(name, " (hex)"); ok {
		b, err := unhex(body)
		if err != nil {
			return err
		}
		return write(root, file, b)
	}
	if file, ok := strings.CutSuffix(name, " (dmidecode)"); ok {
		t, err := Encode(body, false)
		if err != nil {
			return err
		}
		return write(root, file, t.Bytes)
	}
	if nic, ok := strings.CutPrefix(name, "nic "); ok {
		return unpackNIC(root, nic, body)
	}
	if disk, ok := strings.CutPrefix(name, "disk "); ok {
		return unpackDisk(root, disk, body)
	}
	return write(root, name, []byte(body))
}

// unpackNIC writes an interface. Lines are "at PATH" (the device's directory
// below sys/devices; without it the interface is a virtual one), "link REL
// TARGET" (a link in the device's directory), and otherwise a file below the
// interface's directory and its content: "address 00:11:22:33:44:55".
func unpackNIC(root, name, body string) error {
	at := "virtual"
	dir, device := path.Join("sys/devices/virtual/net", name), ""
	values := [][2]string{{"type", "1"}, {"addr_assign_type", "0"}}
	for _, l := range lines(body) {
		switch key, value := l[0], l[1]; key {
		case "at":
			at = value
			device = path.Join("sys/devices", at)
			dir = path.Join(device, "net", name)
		case "link":
			rel, target, _ := strings.Cut(value, " ")
			if err := symlink(root, path.Join(device, rel), target); err != nil {
				return err
			}
		default:
			values = append(values, l)
		}
	}
	if device != "" {
		if err := symlink(root, dir+"/device", "../.."); err != nil {
			return err
		}
	}
	return finish(root, "sys/class/net/"+name, dir, values)
}

// unpackDisk writes a whole disk. Lines are "at PATH" (its directory below
// sys/devices), "device REL" (target of its device link, relative to that
// directory, "../.." if not given), "part NAME MAJ:MIN" (a partition),
// "vpd80 TEXT" (the SCSI serial page), "udev KEY=VALUE" (a line of udev's
// database), "slave NAME PATH" (a lower device below sys/devices), and otherwise
// a file and its content.
func unpackDisk(root, name, body string) error {
	dir := path.Join("sys/devices/virtual/block", name)
	device := "../.."
	values := [][2]string{{"removable", "0"}, {"size", "1000215216"}}
	number, udev := "", ""
	type part struct{ name, number string }
	var parts []part
	for _, l := range lines(body) {
		switch key, value := l[0], l[1]; key {
		case "at":
			dir = path.Join("sys/devices", value)
		case "device":
			device = value
		case "part":
			n, m, _ := strings.Cut(value, " ")
			parts = append(parts, part{n, m})
		case "udev":
			udev += "E:" + value + "\n"
		case "slave":
			lower, target, _ := strings.Cut(value, " ")
			if err := symlink(root, path.Join(dir, "slaves", lower), up(path.Join(dir, "slaves"))+"devices/"+target); err != nil {
				return err
			}
		case "vpd80":
			page := append([]byte{0, 0x80, byte(len(value) >> 8), byte(len(value))}, value...)
			if err := write(root, path.Join(dir, device, "vpd_pg80"), page); err != nil {
				return err
			}
		default:
			if key == "dev" {
				number = value
			}
			values = append(values, l)
		}
	}
	if err := symlink(root, dir+"/device", device); err != nil {
		return err
	}
	for _, p := range parts {
		if err := finish(root, "sys/class/block/"+p.name, path.Join(dir, p.name), [][2]string{{"partition", "1"}, {"dev", p.number}}); err != nil {
			return err
		}
		if err := symlink(root, "sys/dev/block/"+p.number, up("sys/dev/block")+strings.TrimPrefix(path.Join(dir, p.name), "sys/")); err != nil {
			return err
		}
	}
	if udev != "" {
		if err := write(root, "run/udev/data/b"+number, []byte("S:disk/by-id/x\n"+udev+"G:systemd\n")); err != nil {
			return err
		}
	}
	if number != "" {
		if err := symlink(root, "sys/dev/block/"+number, up("sys/dev/block")+strings.TrimPrefix(dir, "sys/")); err != nil {
			return err
		}
	}
	if err := symlink(root, "sys/class/block/"+name, up("sys/class/block")+strings.TrimPrefix(dir, "sys/")); err != nil {
		return err
	}
	return finish(root, "sys/block/"+name, dir, values)
}

// finish writes the files of a device; a path through its device link lands
// where the link leads. Then it makes the class link.
func finish(root, class, dir string, values [][2]string) error {
	for _, v := range values {
		file := path.Join(dir, v[0])
		if rest, ok := strings.CutPrefix(v[0], "device/"); ok {
			target, err := os.Readlink(filepath.Join(root, dir, "device"))
			if err != nil {
				return err
			}
			file = path.Join(dir, target, rest)
		}
		if err := write(root, file, []byte(v[1]+"\n")); err != nil {
			return err
		}
	}
	return symlink(root, class, up(path.Dir(class))+strings.TrimPrefix(dir, "sys/"))
}

// up leads from a directory below sys back to sys.
func up(dir string) string { return strings.Repeat("../", strings.Count(dir, "/")) }

// lines splits a body into keys and values; a value in double quotes is
// unquoted.
func lines(body string) [][2]string {
	var out [][2]string
	for line := range strings.Lines(body) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		out = append(out, [2]string{key, value})
	}
	return out
}

// unhex reads hexadecimal text with blanks and comments.
func unhex(body string) ([]byte, error) {
	var digits strings.Builder
	for line := range strings.Lines(body) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	return hex.DecodeString(digits.String())
}

// write makes a file; files are readable for all, so that a test of another
// user can be run as root.
func write(root, name string, b []byte) error {
	full := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(full); err == nil && strings.HasSuffix(name, ".unreadable") {
		return fmt.Errorf("%s is there already", name)
	}
	return os.WriteFile(full, b, 0o644)
}

// symlink makes a link; one that is there already with the same target is kept.
func symlink(root, name, target string) error {
	full := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if old, err := os.Readlink(full); err == nil && old == target {
		return nil
	}
	return os.Symlink(target, full)
}
