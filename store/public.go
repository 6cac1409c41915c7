package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"licenseagent.example/activation"
	"licenseagent.example/platform/securefile"
)

// PublicLicense is the content of a file in Options.PublicDir: what the vendor
// signed for one license, for programs that want to check it without asking the
// agent. Envelopes are strings of their exact bytes. Only the envelopes prove
// anything; Seal lets this agent, and nobody else, see that the file is as it
// wrote it.
type PublicLicense struct {
	V       int    `json:"v"` // 1
	Issuer  string `json:"issuer"`
	Product string `json:"product"`
	Seq     int64  `json:"seq"`
	Head    string `json:"head"`
	License string `json:"license"`
	KeySet  string `json:"keyset"`
	Notice  string `json:"notice,omitempty"`
	Seal    string `json:"seal"`
}

// PublicName is the name of the public file of one license:
// license-<product>@<issuer>.json. Bytes other than a-z 0-9 . _ - appear as
// %XX, so that names differ on file systems that ignore case, too. Where that
// is longer than 200 bytes (file systems allow 255) the middle is the SHA-256
// of what it would have been, in hexadecimal.
func PublicName(k activation.Key) string {
	middle := escape(k.Product) + "@" + escape(k.Issuer)
	if len(middle) > 200 {
		middle = fmt.Sprintf("%x", sha256.Sum256([]byte(middle)))
	}
	return publicPrefix + middle + publicSuffix
}

const (
	publicPrefix = "license-"
	publicSuffix = ".json"
	maxPublic    = 4 << 20 // bytes of one public file
)

func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (s *Store) encodePublic(r activation.Record, keySet []byte) ([]byte, error) {
	if !utf8.Valid(r.License) || !utf8.Valid(keySet) || !utf8.Valid(r.Notice) {
		return nil, fmt.Errorf("%w: envelope of %s is not text", errContent, recordEntry(r.Key).label())
	}
	p := PublicLicense{
		V: 1, Issuer: r.Key.Issuer, Product: r.Key.Product, Seq: r.Seq, Head: r.Head,
		License: string(r.License), KeySet: string(keySet), Notice: string(r.Notice),
	}
	plain, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	p.Seal = s.seal.fileMAC("public", plain)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(p)
	return out.Bytes(), err
}

// decodePublic accepts only what this store wrote.
func (s *Store) decodePublic(b []byte) (PublicLicense, error) {
	var p PublicLicense
	if err := json.Unmarshal(b, &p); err != nil {
		return p, errContent
	}
	seal := p.Seal
	p.Seal = ""
	plain, err := json.Marshal(p)
	if err != nil || s.seal.fileMAC("public", plain) != seal {
		return p, errSeal
	}
	return p, nil
}

// publish brings the public files in line with the image: writes those that
// differ, removes those of licenses that are gone. A failure does not concern
// the state; it is reported and tried again with the next change.
func (s *Store) publish(img image) error {
	if s.public == nil {
		return nil
	}
	st, _ := img.state()
	want := map[string][]byte{}
	var failed error
	for _, r := range st.Records {
		if len(r.License) == 0 {
			continue
		}
		b, err := s.encodePublic(r, st.KeySets[r.Key.Issuer])
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		want[PublicName(r.Key)] = b
	}
	names, err := s.public.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		_, wanted := want[name]
		if !wanted && strings.HasPrefix(name, publicPrefix) && strings.HasSuffix(name, publicSuffix) {
			failed = errors.Join(failed, s.public.Remove(name))
		}
	}
	for name, b := range want {
		old, err := s.public.ReadFile(name, maxPublic)
		if err == nil && bytes.Equal(old, b) {
			continue
		}
		failed = errors.Join(failed, s.public.WriteFile(name, b, securefile.PublicFile))
	}
	return failed
}

// fromPublic is the last resort: with neither database nor mirror, the signed
// envelopes of the public files keep the license until the next contact.
func (s *Store) fromPublic() (image, error) {
	img := newImage()
	if s.public == nil {
		return img, nil
	}
	names, err := s.public.Names()
	if err != nil {
		return img, err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, publicPrefix) || !strings.HasSuffix(name, publicSuffix) {
			continue
		}
		b, err := s.public.ReadFile(name, maxPublic)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var p PublicLicense
			if p, err = s.decodePublic(b); err == nil {
				img, err = keep(img, p.change())
			}
		}
		if err != nil {
			s.report(Event{Kind: EventRefused, File: name, Text: err.Error()})
		}
	}
	return img, nil
}

func (p PublicLicense) change() activation.Change {
	c := activation.Change{Put: []activation.Record{{
		Key: activation.Key{Issuer: p.Issuer, Product: p.Product}, License: []byte(p.License), Seq: p.Seq, Head: p.Head,
	}}}
	if p.Notice != "" {
		c.Put[0].Notice = []byte(p.Notice)
	}
	if p.KeySet != "" {
		c.KeySets = map[string][]byte{p.Issuer: []byte(p.KeySet)}
	}
	return c
}

// keep is with for one of several sources: one that cannot be used changes nothing.
func keep(img image, c activation.Change) (image, error) {
	next, err := img.with(c)
	if err != nil {
		return img, err
	}
	return next, nil
}
