package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"licenseagent.example/activation/license"
	"licenseagent.example/installer/bundle/manifest"
	"licenseagent.example/platform/paths"
)

func text(name, content string) item {
	return item{name: name, size: int64(len(content)), program: strings.HasPrefix(name, manifest.Scripts+"/"), from: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

// measure reads the file once for its digest. It is read again while the archive
// is written and must be the same then.
func (it *item) measure() error {
	r, err := it.from()
	if err != nil {
		return err
	}
	h := sha256.New()
	it.size, err = io.Copy(h, r)
	it.sum = hex.EncodeToString(h.Sum(nil))
	return errors.Join(err, r.Close())
}

// collect gathers all files but the list and the manifest, sorted by name.
func (o Options) collect(m manifest.Manifest, anchor license.Anchor) ([]item, error) {
	anchorText, err := anchor.Encode()
	if err != nil {
		return nil, err
	}
	agent := path.Join(manifest.Bin, paths.Program)
	if m.Windows() {
		agent += ".exe"
	}
	items := []item{
		text(manifest.Anchor, string(anchorText)), text(manifest.KeySet, string(o.KeySet)),
		{name: agent, program: true, from: func() (io.ReadCloser, error) { return os.Open(o.Agent) }},
	}
	app, start, err := o.app(m)
	if err != nil {
		return nil, err
	}
	items = append(items, app...)
	scripts, err := o.scripts(m, start)
	if err != nil {
		return nil, err
	}
	items = append(items, scripts...)
	var programs strings.Builder
	for _, it := range app {
		if it.program {
			programs.WriteString(it.name + "\n")
		}
	}
	items = append(items, text(manifest.Scripts+"/programs", programs.String()))
	sort.Slice(items, func(i, j int) bool { return items[i].name < items[j].name })
	there := map[string]string{}
	for _, it := range items {
		low := strings.ToLower(it.name)
		if other, twice := there[low]; twice {
			return nil, fmt.Errorf("%w: %s and %s would be one file where case does not count; rename one in the product", ErrInput, other, it.name)
		}
		there[low] = it.name
	}
	return items, nil
}

// app lists the product's files and finds its program.
func (o Options) app(m manifest.Manifest) (items []item, start []string, err error) {
	dir, only := o.App, ""
	if fi, err := os.Stat(o.App); err != nil {
		return nil, nil, err
	} else if !fi.IsDir() {
		dir, only = filepath.Split(o.App)
	}
	root, err := os.OpenRoot(filepath.Clean(dir)) // no link leads out of it
	if err != nil {
		return nil, nil, err
	}
	defer root.Close() //nolint:errcheck // read only
	var programs []string
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if only != "" && name != "." && name != only {
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			return notEmpty(root, name)
		}
		fi, err := root.Stat(filepath.FromSlash(name)) // what a link inside the folder points to
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInput, name, err)
		}
		if fi.IsDir() {
			return fmt.Errorf("%w: %s is a link to a folder, and archives of the marketplace hold no links; put a copy of the folder there", ErrInput, name)
		}
		if !fi.Mode().IsRegular() {
			return fmt.Errorf("%w: %s is neither a file nor a folder (%s); archives of the marketplace hold nothing else", ErrInput, name, fi.Mode())
		}
		if fi.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			return fmt.Errorf("%w: %s has a set-user-ID or set-group-ID bit (%s), which no package keeps; take it away, or let the product do without", ErrInput, name, fi.Mode())
		}
		if manifest.FileName(path.Join(manifest.Bin, name)) != nil {
			return fmt.Errorf("%w: the name of %q cannot be in a package: without control characters and \\ : * ? \" < > |, and no part ends in a point or a blank; rename it in the product", ErrInput, name)
		}
		program, err := executable(root, name, fi.Mode())
		if err != nil {
			return err
		}
		if program && !strings.Contains(name, "/") {
			programs = append(programs, name)
		}
		full := filepath.Join(dir, filepath.FromSlash(name))
		items = append(items, item{name: path.Join(manifest.Bin, name), program: program, from: func() (io.ReadCloser, error) { return os.Open(full) }})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	start = o.Start
	if len(start) == 0 {
		if len(programs) != 1 {
			return nil, nil, fmt.Errorf("%w: %s holds %d programs; say which one starts the product: --start \"NAME ARGUMENTS\"", ErrInput, o.App, len(programs))
		}
		start = programs
	}
	if !slices.ContainsFunc(items, func(it item) bool { return it.name == path.Join(manifest.Bin, start[0]) }) {
		return nil, nil, fmt.Errorf("%w: --start %s is not in %s", ErrInput, start[0], o.App)
	}
	for i := range items { // whatever its mode was on the machine where the bundle is made
		items[i].program = items[i].program || items[i].name == path.Join(manifest.Bin, start[0])
	}
	return items, start, nil
}

// notEmpty refuses a folder without content: archives of the marketplace hold
// files, so it would not be there on the customer's machine, and the product may
// need it.
func notEmpty(root *os.Root, name string) error {
	inside, err := fs.ReadDir(root.FS(), name)
	if err == nil && len(inside) == 0 && name != "." {
		err = fmt.Errorf("%w: the folder %s is empty and would not be in the package; put a file into it, or let the product make it", ErrInput, name)
	}
	return err
}

// executable looks at the mode, and at the first bytes where there are no modes.
func executable(root *os.Root, name string, mode fs.FileMode) (bool, error) {
	if mode&0o111 != 0 || strings.EqualFold(path.Ext(name), ".exe") {
		return true, nil
	}
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return false, err
	}
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	head = head[:n]
	return bytes.HasPrefix(head, []byte("#!")) || bytes.HasPrefix(head, []byte("\x7fELF")), errors.Join(err, f.Close())
}

// scripts are one per stage, the life cycle itself, and what it is told.
func (o Options) scripts(m manifest.Manifest, start []string) ([]item, error) {
	suffix, settings := ".sh", shell(m, start)
	if m.Windows() {
		var err error
		if settings, err = batch(m, start); err != nil {
			return nil, err
		}
		suffix = ".cmd"
	}
	read := func(name string) (string, error) {
		b, err := files.ReadFile("files/" + name + suffix)
		return lines(string(b), m), err
	}
	stage, err := read("stage")
	if err != nil {
		return nil, err
	}
	life, err := read("lifecycle")
	if err != nil {
		return nil, err
	}
	items := []item{text(path.Join(manifest.Scripts, "settings"+suffix), lines(settings, m)), text(path.Join(manifest.Scripts, "lifecycle"+suffix), life)}
	for _, s := range manifest.Stages() {
		items = append(items, text(path.Join(manifest.Scripts, s+suffix), stage))
	}
	return items, nil
}

// lines gives a script the line ends of its system: cmd misses labels otherwise.
func lines(script string, m manifest.Manifest) string {
	if m.Windows() {
		return strings.ReplaceAll(script, "\n", "\r\n")
	}
	return script
}

// quote makes one word of a shell from any text (POSIX.1-2024, 2.2.2).
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// shell writes settings.sh.
func shell(m manifest.Manifest, start []string) string {
	var b strings.Builder
	b.WriteString("# What lifecycle.sh is told about this bundle. Signed with everything else.\n# shellcheck shell=sh disable=SC2034,SC2016\n")
	for _, v := range [][2]string{{"name", m.Name}, {"software", m.Software}, {"version", m.Version}, {"instance", m.Instance}, {"issuer", strings.TrimRight(m.Issuer, ".")}} {
		fmt.Fprintf(&b, "%s=%s\n", v[0], quote(v[1]))
	}
	b.WriteString("start_command() { \"$@\"")
	for i, word := range start {
		if i == 0 {
			word = "./" + word
		}
		b.WriteString(" " + quote(word))
	}
	b.WriteString("; }\n")
	return b.String()
}
