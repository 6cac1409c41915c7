package fingerprint

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sort"
)

// hashDomain separates these hashes from every other use of a salt.
const hashDomain = "license-agent fingerprint v1"

// Hash returns the salted hash of one value as a license stores it: HMAC-SHA256
// keyed with the per-license salt over domain, kind and canonical value, each
// followed by a newline (canonical values contain none), in 64 lower-case
// hexadecimal digits. The kind is part of it, so that a serial that serves as
// board and as disk does not show as equal. Salted because a plain hash of an
// address is searched in seconds: 2^24 per maker.
func Hash(salt []byte, k Kind, value string) string {
	return newHasher(salt).sum(k, spell(k, value))
}

// hasher reuses one keyed HMAC for the values of a comparison.
type hasher struct{ mac hash.Hash }

func newHasher(salt []byte) hasher { return hasher{hmac.New(sha256.New, salt)} }

// sum hashes a value that is already spelled.
func (h hasher) sum(k Kind, spelled string) string {
	h.mac.Reset()
	h.mac.Write([]byte(hashDomain + "\n" + string(k) + "\n" + spelled + "\n"))
	var buf [sha256.Size]byte
	return hex.EncodeToString(h.mac.Sum(buf[:0]))
}

// Enroll returns the form in which a license remembers a device: salted hashes
// of the parts that are usable now. At most MaxHashes per part: the values in
// their order, then their other spellings as far as there is room. Placeholders
// and misreads are never enrolled, whatever state the observation claims.
func Enroll(salt []byte, d Device) Enrolled {
	return enroll(salt, d, IsPlaceholder)
}

// EnrollParsed is Enroll for the side that received the string form: alt holds
// the further spellings that came beside it.
func EnrollParsed(salt []byte, env EnvKind, p Parsed, alt map[Kind][]string) Enrolled {
	return Enroll(salt, p.Device(env, nil, alt))
}

func enroll(salt []byte, d Device, isPlaceholder rule) Enrolled {
	e := Enrolled{Env: d.Env.Kind, Salt: append([]byte(nil), salt...)}
	h := newHasher(salt)
	for _, part := range observed(d, isPlaceholder) {
		var hashes []string
		add := func(text string) {
			if len(hashes) == MaxHashes {
				return
			}
			if sum := h.sum(part.Kind, spell(part.Kind, text)); indexOf(hashes, sum) < 0 {
				hashes = append(hashes, sum)
			}
		}
		for _, v := range part.Values {
			add(v.Text)
		}
		for _, v := range part.Values {
			for _, a := range v.Alt {
				add(a)
			}
		}
		if len(hashes) > 0 {
			sort.Strings(hashes)
			e.Parts = append(e.Parts, Part{Kind: part.Kind, Hashes: hashes})
		}
	}
	return e
}

// observed returns the four settled parts in the order of the string form; the
// kind comes from the place in Device, not from what the component says.
func observed(d Device, isPlaceholder rule) [4]Component {
	return [4]Component{
		d.MAC.settled(MAC, isPlaceholder), d.Disk.settled(Disk, isPlaceholder),
		d.Board.settled(Board, isPlaceholder), d.CPU.settled(CPU, isPlaceholder),
	}
}
