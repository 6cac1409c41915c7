// Package bundle makes vendor bundles: the archive that a marketplace puts onto
// a customer's machine, with the product, a license agent that belongs to this
// product alone, and the scripts of its life cycle. Only license-merchant uses
// it. The format is FORMAT.md; package manifest reads it. It is not stable API.
package bundle

import (
	"crypto/sha256"
	"debug/buildinfo"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/installer/bundle/manifest"
	"licenseagent.example/platform/paths"
)

//go:embed files
var files embed.FS //nolint:gochecknoglobals // embedding knows no other way

var (
	// ErrInput is returned when what the bundle should be made of does not fit
	// together: a bad name, an agent for another system, an anchor without address.
	ErrInput = errors.New("bundle: cannot be made of this")
	// ErrExists is returned when the file is there already.
	ErrExists = errors.New("bundle: exists already")
)

// Options say what a bundle is made of.
type Options struct {
	Name     string         // of the product, as customers know it
	Version  string         // of the product
	Target   string         // linux/amd64 and so on
	App      string         // file or folder of the product
	Start    []string       // program below App with its arguments; nil for the only program there is
	Agent    string         // file of the license-agent program for Target
	Anchor   license.Anchor // trust anchor of the vendor
	Merchant string         // https:// address of the vendor's service
	Instance string         // name of the private instance; empty for one made of vendor and product
	Format   string         // zip, tar or tar.gz
	Out      string         // folder for the archive
	Made     time.Time      // date of every file, so that the same input gives the same bytes
	Signer   license.Signer // key of use "bundle"
	KeySet   []byte         // envelope of the key set that lists it
}

// item is one file that will be in the archive: on disk, or made here.
type item struct {
	name    string // in the archive
	from    func() (io.ReadCloser, error)
	program bool // may be executed
	sum     string
	size    int64
}

// Build writes the archive and returns its path and what was signed. Errors
// wrap ErrInput, ErrExists, a sentinel of manifest, or are of the file system;
// after one there is no archive.
func Build(o Options) (string, manifest.Manifest, error) {
	m, anchor, err := o.manifest()
	if err != nil {
		return "", m, err
	}
	items, err := o.collect(m, anchor)
	if err != nil {
		return "", m, err
	}
	var list strings.Builder
	for i := range items {
		if err := items[i].measure(); err != nil {
			return "", m, err
		}
		fmt.Fprintf(&list, "%s  %s\n", items[i].sum, items[i].name)
		m.Files++
		m.Size += items[i].size
	}
	sum := sha256.Sum256([]byte(list.String()))
	m.Sums = hex.EncodeToString(sum[:])
	if err := m.Validate(); err != nil {
		return "", m, err
	}
	envelope, err := license.Seal(license.TypeBundle, m, o.Signer)
	if err != nil {
		return "", m, err
	}
	items = append(items, text(manifest.Sums, list.String()), text(manifest.Signed, string(envelope)))
	sort.Slice(items, func(i, j int) bool { return items[i].name < items[j].name })
	path := filepath.Join(o.Out, m.Software+"."+o.Format)
	if err := o.write(path, items); err != nil {
		return "", m, err
	}
	// What was just made must pass what every customer will check.
	if _, err := manifest.Verify(path, &anchor, nil); err != nil {
		return "", m, errors.Join(fmt.Errorf("the bundle just made does not verify: %w", err), os.Remove(path))
	}
	return path, m, nil
}

// manifest is everything that can be said before the files are read.
func (o Options) manifest() (manifest.Manifest, license.Anchor, error) {
	m := manifest.Manifest{
		V: 1, Issuer: o.Anchor.Issuer, Name: o.Name, Software: manifest.Software(o.Name), Version: o.Version,
		Target: o.Target, Instance: o.Instance, Made: o.Made.Unix(),
	}
	anchor := o.Anchor
	switch {
	case !slices.Contains(manifest.Formats(), o.Format):
		return m, anchor, fmt.Errorf("%w: format %q: want one of %s", ErrInput, o.Format, strings.Join(manifest.Formats(), ", "))
	case !slices.Contains(manifest.Targets(), o.Target):
		return m, anchor, fmt.Errorf("%w: target %q: want one of %s", ErrInput, o.Target, strings.Join(manifest.Targets(), ", "))
	case !manifest.ValidName(o.Name):
		return m, anchor, fmt.Errorf("%w: name %q: want visible characters, at most 64", ErrInput, o.Name)
	case anchor.Merchant == "" && o.Merchant == "":
		return m, anchor, fmt.Errorf("%w: neither the trust anchor nor --merchant says where the agent shall go", ErrInput)
	case o.Merchant != "" && anchor.Merchant != "" && o.Merchant != anchor.Merchant:
		return m, anchor, fmt.Errorf("%w: --merchant is %s, the trust anchor says %s", ErrInput, o.Merchant, anchor.Merchant)
	case o.Merchant != "":
		anchor.Merchant = o.Merchant
	}
	if err := anchor.Validate(); err != nil {
		return m, anchor, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if m.Instance == "" {
		m.Instance = Instance(anchor.Issuer, o.Name, longest(m))
	}
	if err := paths.ValidInstance(m.Instance); err != nil {
		return m, anchor, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return m, anchor, o.fits()
}

// fits checks that the agent is one, and for this target.
func (o Options) fits() error {
	info, err := buildinfo.ReadFile(o.Agent)
	if err != nil {
		return fmt.Errorf("%w: --agent %s is not a program of this project: %w", ErrInput, o.Agent, err)
	}
	have := map[string]string{}
	for _, s := range info.Settings {
		have[s.Key] = s.Value
	}
	if got := have["GOOS"] + "/" + have["GOARCH"]; !strings.HasSuffix(info.Path, "/cmd/"+paths.Program) || got != o.Target {
		return fmt.Errorf("%w: --agent %s is %s for %s, wanted is %s for %s", ErrInput, o.Agent, filepath.Base(info.Path), got, paths.Program, o.Target)
	}
	return nil
}

// longest is how long the name of an instance may be that nobody has chosen.
func longest(m manifest.Manifest) int {
	if m.Windows() {
		return paths.MaxInstance
	}
	return paths.MaxUser
}

// Instance names the private instance of a product: readable where possible, and
// never the same for two vendors, also when their products have the same name.
func Instance(issuer, product string, most int) string {
	slug := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(issuer+"-"+product))
	for strings.Contains(slug, "--") {
		slug = strings.ReplaceAll(slug, "--", "-")
	}
	slug = strings.Trim(slug, "-")
	// A hyphen in the vendor's name would let two vendors meet.
	if len(slug) <= most && !strings.Contains(issuer, "-") && issuer+"-"+strings.ReplaceAll(strings.ToLower(product), " ", "-") == slug {
		return slug // nothing was lost but spaces and capitals
	}
	sum := sha256.Sum256([]byte(issuer + "\x00" + product))
	tail := hex.EncodeToString(sum[:4])
	slug = strings.Trim(slug[:min(len(slug), most-len(tail)-1)], "-")
	return strings.TrimPrefix(slug+"-"+tail, "-")
}
