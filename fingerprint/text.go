package fingerprint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Errors of Parse. Each is returned wrapped, with the part it is about and
// never with the value itself.
var (
	ErrTooLong      = errors.New("fingerprint: string longer than 5,000 bytes")
	ErrParts        = errors.New("fingerprint: not exactly four parts")
	ErrNotCanonical = errors.New("fingerprint: value not in canonical form")
	ErrEmptyValue   = errors.New("fingerprint: empty value in a list")
	ErrDuplicate    = errors.New("fingerprint: value repeated in a list")
	ErrValueTooLong = errors.New("fingerprint: value longer than 256 bytes")
)

// Text is the string form together with what had to be left out of it.
type Text struct {
	String       string `json:"string"`
	DroppedDisks int    `json:"dropped_disks,omitempty"` // whole disk values left out to stay within MaxText
	DroppedMACs  int    `json:"dropped_macs,omitempty"`  // whole addresses left out after all disks were
}

// Format returns the string form of the KooGallery rule: addresses, disks,
// board and CPU joined by '|' (always three), lists joined by ',', everything
// in upper case. A part that is absent, unreadable or a placeholder is empty.
// The order of the values is kept (collectors give the disk behind / or the
// system drive first, then sorted), duplicates are merged. Above MaxText bytes
// whole values are dropped: disks from the end of the order, then addresses.
func Format(d Device) Text {
	p := Parsed{MACs: texts(MAC, d.MAC), Disks: texts(Disk, d.Disk)}
	if v := texts(Board, d.Board); len(v) > 0 {
		p.Board = v[0]
	}
	if v := texts(CPU, d.CPU); len(v) > 0 {
		p.CPU = v[0]
	}
	var t Text
	size := listSize(p.MACs) + listSize(p.Disks) + len(p.Board) + len(p.CPU) + 3
	p.Disks, t.DroppedDisks, size = dropUntil(p.Disks, size)
	p.MACs, t.DroppedMACs, _ = dropUntil(p.MACs, size)
	t.String = p.String()
	return t
}

// texts returns the canonical values of a settled component.
func texts(k Kind, c Component) []string {
	values := c.settled(k, IsPlaceholder).Values
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, spell(k, v.Text))
	}
	return out
}

// listSize is the length of the values with their commas.
func listSize(list []string) int {
	size := max(len(list)-1, 0)
	for _, s := range list {
		size += len(s)
	}
	return size
}

// dropUntil removes values from the end until size fits into MaxText.
func dropUntil(list []string, size int) (kept []string, dropped, newSize int) {
	for size > MaxText && len(list) > 0 {
		last := list[len(list)-1]
		list = list[:len(list)-1]
		size -= len(last)
		if len(list) > 0 {
			size-- // its comma
		}
		dropped++
	}
	return list, dropped, size
}

// Parsed is the string form taken apart. All values are canonical.
type Parsed struct {
	MACs  []string `json:"macs"`
	Disks []string `json:"disks"`
	Board string   `json:"board"`
	CPU   string   `json:"cpu"`
}

// String is the inverse of Parse.
func (p Parsed) String() string {
	return strings.Join([]string{strings.Join(p.MACs, ","), strings.Join(p.Disks, ","), p.Board, p.CPU}, "|")
}

// Parse is the inverse of Format and accepts nothing that Format cannot
// produce: for every accepted s, Parse(s).String() == s. Errors: ErrTooLong,
// ErrParts, ErrNotCanonical, ErrEmptyValue, ErrDuplicate, ErrValueTooLong.
func Parse(s string) (Parsed, error) {
	if len(s) > MaxText {
		return Parsed{}, ErrTooLong
	}
	parts := strings.Split(s, "|")
	if len(parts) != 4 {
		return Parsed{}, fmt.Errorf("%w: %d", ErrParts, len(parts))
	}
	macs, err := parseList(MAC, parts[0])
	if err != nil {
		return Parsed{}, err
	}
	disks, err := parseList(Disk, parts[1])
	if err != nil {
		return Parsed{}, err
	}
	for i, k := range [...]Kind{Board, CPU} {
		if err := parseValue(k, parts[2+i]); err != nil {
			return Parsed{}, err
		}
	}
	return Parsed{MACs: macs, Disks: disks, Board: parts[2], CPU: parts[3]}, nil
}

func parseList(k Kind, s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	list := strings.Split(s, ",")
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		if v == "" {
			return nil, fmt.Errorf("%w: %s", ErrEmptyValue, k)
		}
		if err := parseValue(k, v); err != nil {
			return nil, err
		}
		if seen[v] {
			return nil, fmt.Errorf("%w: %s", ErrDuplicate, k)
		}
		seen[v] = true
	}
	return list, nil
}

func parseValue(k Kind, v string) error {
	if len(v) > MaxValue {
		return fmt.Errorf("%w: %s", ErrValueTooLong, k)
	}
	if spell(k, v) != v {
		return fmt.Errorf("%w: %s", ErrNotCanonical, k)
	}
	return nil
}

// Device turns a parsed string back into an observation, for the side that
// received it. States tell what an empty part means; a part without an entry
// counts as absent when empty. A state other than OK never hides a value that
// is there. Alt holds further spellings per part (see Value.Alt).
func (p Parsed) Device(env EnvKind, states map[Kind]State, alt map[Kind][]string) Device {
	part := func(k Kind, values ...string) Component {
		c := Component{Kind: k, State: OK}
		for _, v := range values {
			if v != "" {
				c.Values = append(c.Values, Value{Text: v})
			}
		}
		if len(c.Values) > 0 {
			c.Values[0].Alt = alt[k]
			return c
		}
		c.State = Absent
		if s := states[k]; s == Unreadable || s == Placeholder {
			c.State = s
		}
		return c
	}
	return Device{
		MAC: part(MAC, p.MACs...), Disk: part(Disk, p.Disks...),
		Board: part(Board, p.Board), CPU: part(CPU, p.CPU), Env: Environment{Kind: env},
	}
}

// MaxMarketplace is the longest string that KooGallery's deviceFingerprint
// field carries (getLicenseAsync, topic_0070649255).
const MaxMarketplace = 1024

// HardwareCode returns what travels in a marketplace field of MaxMarketplace
// characters: the string itself, or "SHA256:" and 64 upper-case hexadecimal
// digits of its SHA-256 when it is longer ("hardware identification code").
func HardwareCode(s string) string {
	if len(s) <= MaxMarketplace {
		return s
	}
	return digestCode(s)
}

// MatchesHardwareCode reports whether a marketplace's code stands for the
// string s: either form is accepted, the digest in either case.
func MatchesHardwareCode(code, s string) bool {
	return s != "" && (code == s || strings.EqualFold(code, digestCode(s)))
}

func digestCode(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "SHA256:" + strings.ToUpper(hex.EncodeToString(sum[:]))
}
