// Package manifest is the reading side of a vendor bundle: what its signed
// manifest says, and whether a folder or an archive is exactly that. Both
// programs use it, the agent before anything of a bundle is installed. The
// format is written down in installer/bundle/FORMAT.md. It is not stable API.
package manifest

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"licenseagent.example/activation/license"
	"licenseagent.example/platform/paths"
)

// Where the parts of a bundle are.
const (
	Bin     = "bin"                     // the product and the agent
	Scripts = "scripts"                 // what the marketplace runs
	License = "license"                 // what makes the bundle believable
	Anchor  = License + "/anchor.json"  // trust anchor of the vendor
	KeySet  = License + "/keyset.json"  // key set, signed by the vendor's root keys
	Signed  = License + "/bundle.json"  // the manifest in its envelope
	Sums    = License + "/SHA256SUMS"   // digest of every file but this one and the manifest
	program = Bin + "/" + paths.Program // ".exe" on Windows
)

const (
	maxName  = 64        // characters of a product's name
	maxFiles = 100_000   // of one bundle
	maxSize  = 16 << 30  // bytes of all files together
	maxSums  = 32 << 20  // bytes of the list
	maxSmall = 256 << 10 // bytes of the other files of the license folder
)

var (
	// ErrAltered is returned when a file is not the one that the vendor signed, is
	// missing, or is not the vendor's at all.
	ErrAltered = errors.New("bundle: not as the vendor signed it")
	// ErrNotBundle is returned when a folder or archive is no bundle: another
	// layout, no manifest, an entry that no bundle has.
	ErrNotBundle = errors.New("bundle: not a vendor bundle")
	// ErrUntrusted is returned when the manifest does not lead to the vendor's root
	// keys.
	ErrUntrusted = errors.New("bundle: not signed by this vendor")
	// ErrTooLarge is returned when a bundle holds more than anybody may be asked to read.
	ErrTooLarge = errors.New("bundle: too large")
	// ErrManifest is returned when a value of the manifest is outside its limits.
	ErrManifest = errors.New("bundle: bad value")
)

// Manifest is what the vendor signs with a key of use "bundle". The order of
// the members is the format.
type Manifest struct {
	V        int64  `json:"v"`        // 1
	Issuer   string `json:"iss"`      // the vendor, as in the trust anchor
	Name     string `json:"name"`     // of the product, as the vendor writes it
	Software string `json:"software"` // file name of the package without its suffix
	Version  string `json:"version"`  // of the product, may be empty
	Target   string `json:"target"`   // GOOS/GOARCH of the agent inside
	Instance string `json:"instance"` // of the agent: its service is license-agent-INSTANCE
	Made     int64  `json:"made"`     // UTC second
	Files    int64  `json:"files"`    // number of files in the list
	Size     int64  `json:"size"`     // bytes of them together
	Sums     string `json:"sums"`     // SHA-256 of the list, 64 hexadecimal digits
}

// Targets are the systems that a bundle can be made for.
func Targets() []string {
	return []string{"linux/amd64", "linux/arm64", "windows/amd64", "windows/arm64"}
}

// Stages are the life-cycle commands of the marketplace: each is a script.
func Stages() []string {
	return []string{"install", "poststart", "start", "restart", "prestop", "stop", "update", "uninstall"}
}

// Windows says whether the bundle is for Windows.
func (m Manifest) Windows() bool { return strings.HasPrefix(m.Target, "windows/") }

// Required are the files that a bundle for this system cannot be without.
func (m Manifest) Required() []string {
	list, suffix := []string{Anchor, KeySet, program}, ".sh"
	if m.Windows() {
		list, suffix = []string{Anchor, KeySet, program + ".exe"}, ".cmd"
	}
	for _, s := range Stages() {
		list = append(list, path.Join(Scripts, s+suffix))
	}
	return list
}

// Validate checks the limits of every member. The error wraps ErrManifest.
func (m Manifest) Validate() error {
	bad := func(member string, want string) error {
		return fmt.Errorf("%w: %s: want %s", ErrManifest, member, want)
	}
	switch {
	case m.V != 1:
		return bad("v", "1")
	case !ValidName(m.Name):
		return bad("name", fmt.Sprintf("1 to %d visible characters", maxName))
	case m.Software == "" || m.Software != Software(m.Name):
		return bad("software", "the name as a file name")
	case len(m.Version) > maxName || strings.ContainsFunc(m.Version, func(r rune) bool { return !versionRune(r) }):
		return bad("version", "letters, digits and . _ + ~ -")
	case !slices.Contains(Targets(), m.Target):
		return bad("target", "one of "+strings.Join(Targets(), ", "))
	case m.Instance == "" || paths.ValidInstance(m.Instance) != nil:
		return bad("instance", fmt.Sprintf("1 to %d of a-z, 0-9 and inner hyphens", paths.MaxInstance))
	case m.Made < 0 || m.Made > license.NoEnd:
		return bad("made", "a UTC second")
	case m.Files < 1 || m.Files > maxFiles:
		return bad("files", fmt.Sprintf("1 to %d", maxFiles))
	case m.Size < 1 || m.Size > maxSize:
		return bad("size", fmt.Sprintf("1 to %d bytes", int64(maxSize)))
	case len(m.Sums) != 64 || strings.Trim(m.Sums, "0123456789abcdef") != "":
		return bad("sums", "64 hexadecimal digits")
	}
	return nil
}

func versionRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+~-", r)
}

// ValidName says whether a product may be called so: visible characters of any
// script, so that it can stand in one line of a script and of a list.
func ValidName(name string) bool {
	n := utf8.RuneCountInString(name)
	return utf8.ValidString(name) && n >= 1 && n <= maxName && strings.TrimSpace(name) == name && Software(name) != "" &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Software is the file name of a package: the marketplace wants the name of the
// software. What a file system or a shell would read as something else becomes
// a hyphen.
func Software(name string) string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune("/\\:*?\"'<>|%!^&;`$()", r) {
			return '-'
		}
		return r
	}, name)
	return strings.Trim(text, "-.")
}

// FileName checks the name of an entry: it must mean the same file below the
// folder of the bundle on every system, and nothing outside of it. The error wraps
// ErrNotBundle.
func FileName(name string) error {
	top, _, _ := strings.Cut(name, "/")
	switch {
	case !validPath(name):
		return fmt.Errorf("%w: entry %q", ErrNotBundle, name)
	case top != Bin && top != Scripts && top != License:
		return fmt.Errorf("%w: %q is in none of %s/, %s/ and %s/", ErrNotBundle, name, Bin, Scripts, License)
	}
	return nil
}
