package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"licenseagent.example/activation/license"
)

// seen is what one pass over a bundle leaves.
type seen struct {
	sums  map[string]string // name → SHA-256
	sizes map[string]int64
	small map[string][]byte // content of what leads to the signature
	lower map[string]string // Windows ignores case: two names must not be one there
	total int64
}

// Verify reads a folder or an archive completely and returns the manifest if
// every file is the one that the vendor signed and nothing else is there. With
// an anchor the vendor is the one of that anchor, and the bundle's own anchor
// decides nothing; without one it shows that the bundle is whole, and that
// whoever made it holds the keys of the anchor inside. held is a key set of this
// vendor that the caller knows from elsewhere, nil for none: the keys that it takes
// back are taken back, whatever the one inside says.
//
// Errors wrap ErrAltered, ErrNotBundle, ErrUntrusted, ErrTooLarge, or are of the
// file system.
func Verify(path string, anchor *license.Anchor, held *license.KeySet) (*Manifest, error) {
	src, err := open(path)
	if err != nil {
		return nil, err
	}
	s := seen{map[string]string{}, map[string]int64{}, map[string][]byte{}, map[string]string{}, 0}
	if err := src(s.take); err != nil {
		return nil, err
	}
	for _, name := range []string{Anchor, KeySet, Sums, Signed} {
		if s.small[name] == nil {
			return nil, fmt.Errorf("%w: %s is missing", ErrNotBundle, name)
		}
	}
	m, err := s.manifest(anchor, held)
	if err != nil {
		return nil, err
	}
	if err := s.compare(m); err != nil {
		return nil, err
	}
	return m, nil
}

// take reads one file.
func (s *seen) take(f file) error {
	name, folder := strings.CutSuffix(f.name, "/")
	if err := FileName(name); err != nil {
		return err
	}
	// A link could lead out of the folder; a set-user-ID bit would give rights that
	// nobody signed for, and so would a file or folder that others may write to.
	if f.open {
		return fmt.Errorf("%w: %s could be changed by others than root once root has unpacked it (%s)", ErrNotBundle, f.name, f.mode)
	}
	if folder && f.mode&^fs.ModePerm == fs.ModeDir {
		return nil
	}
	if folder || f.mode.Type() != 0 || f.mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		return fmt.Errorf("%w: %s is not a plain file (%s)", ErrNotBundle, f.name, f.mode)
	}
	low := strings.ToLower(f.name)
	if other, twice := s.lower[low]; twice {
		return fmt.Errorf("%w: %s and %s are one file where case does not count", ErrNotBundle, other, f.name)
	}
	s.lower[low] = f.name
	if len(s.lower) > maxFiles {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, maxFiles)
	}
	sum := sha256.New()
	into := io.Writer(sum)
	limit := int64(maxSize) - s.total
	var keep bytes.Buffer
	if kept(f.name) {
		into = io.MultiWriter(sum, &keep)
		limit = maxSmall
		if f.name == Sums {
			limit = maxSums
		}
	}
	n, err := io.Copy(into, io.LimitReader(f.content, limit+1))
	if err != nil {
		return err
	}
	if n > limit {
		return fmt.Errorf("%w: %s", ErrTooLarge, f.name)
	}
	if kept(f.name) {
		s.small[f.name] = append([]byte{}, keep.Bytes()...) // not nil for an empty file
	}
	s.sums[f.name], s.sizes[f.name] = hex.EncodeToString(sum.Sum(nil)), n
	s.total += n
	return nil
}

// kept are the files whose content is needed. Everybody can put any number of
// others beside them.
func kept(name string) bool {
	return slices.Contains([]string{Anchor, KeySet, Sums, Signed}, name)
}

// manifest opens the signed manifest.
func (s *seen) manifest(anchor *license.Anchor, held *license.KeySet) (*Manifest, error) {
	inside, err := license.ParseAnchor(s.small[Anchor])
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrAltered, Anchor, err)
	}
	if anchor == nil {
		anchor = &inside
	}
	if anchor.Issuer != inside.Issuer {
		return nil, fmt.Errorf("%w: the bundle is of %s, the trust anchor of %s", ErrUntrusted, inside.Issuer, anchor.Issuer)
	}
	set, err := license.OpenKeySet(*anchor, nil, s.small[KeySet])
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUntrusted, KeySet, err)
	}
	// Who has stolen a key packs the key set of the time before it was taken back.
	if held != nil && held.Issuer == set.Issuer {
		set.Revoked = slices.Sorted(slices.Values(append(set.Revoked, held.Revoked...)))
	}
	m := new(Manifest)
	if err := set.OpenBundle(s.small[Signed], m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUntrusted, Signed, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotBundle, Signed, err)
	}
	if m.Issuer != anchor.Issuer {
		return nil, fmt.Errorf("%w: %s is of %s, the trust anchor of %s", ErrUntrusted, Signed, m.Issuer, anchor.Issuer)
	}
	return m, nil
}

// compare holds what was read against the list that the manifest signs.
func (s *seen) compare(m *Manifest) error {
	if s.sums[Sums] != m.Sums {
		return fmt.Errorf("%w: %s has other content", ErrAltered, Sums)
	}
	listed := map[string]bool{Sums: true, Signed: true}
	var size int64
	for line := range strings.Lines(string(s.small[Sums])) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || listed[name] {
			return fmt.Errorf("%w: line %q of %s", ErrNotBundle, line, Sums)
		}
		listed[name] = true
		switch got, there := s.sums[name]; {
		case !there:
			return fmt.Errorf("%w: %s is missing", ErrAltered, name)
		case got != sum:
			return fmt.Errorf("%w: %s has other content", ErrAltered, name)
		}
		size += s.sizes[name]
	}
	for name := range s.sums {
		if !listed[name] {
			return fmt.Errorf("%w: %s is not a file of the vendor", ErrAltered, name)
		}
	}
	if int64(len(listed)-2) != m.Files || size != m.Size {
		return fmt.Errorf("%w: %d files of %d bytes, the manifest says %d of %d", ErrAltered, len(listed)-2, size, m.Files, m.Size)
	}
	for _, name := range m.Required() {
		if !listed[name] {
			return fmt.Errorf("%w: a bundle for %s needs %s", ErrNotBundle, m.Target, name)
		}
	}
	return nil
}

// ProperName checks what the marketplace asks of the file's name. A folder may
// have any.
func ProperName(path string, m *Manifest) error {
	base := filepath.Base(path)
	for _, format := range Formats() {
		if base == m.Software+"."+format {
			return nil
		}
	}
	if !slices.ContainsFunc(Formats(), func(f string) bool { return strings.HasSuffix(base, "."+f) }) {
		return nil
	}
	return fmt.Errorf("%w: the file must be named %s.%s", ErrNotBundle, m.Software, strings.Join(Formats(), " or ."))
}
