package devicekey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// secretSize is a signing seed followed by the root of Derive.
const secretSize = ed25519.SeedSize + 32

// The file is four lines of ASCII:
//
//	license-agent device key 1
//	tier file
//	data <base64 of the secret, sealed as the tier says>
//	sum <SHA-256 of the three lines above, hexadecimal>
//
// The sum tells a damaged file from a good one: a key with a flipped bit would
// otherwise be a perfectly good key of a device nobody has activated.
const fileHeader = "license-agent device key 1"

func encode(tier string, sealed []byte) []byte {
	var b bytes.Buffer
	b.WriteString(fileHeader + "\n")
	b.WriteString("tier " + tier + "\n")
	b.WriteString("data " + base64.StdEncoding.EncodeToString(sealed) + "\n")
	sum := sha256.Sum256(b.Bytes())
	b.WriteString("sum " + hex.EncodeToString(sum[:]) + "\n")
	return b.Bytes()
}

// decode returns errors that never contain any part of the file.
func decode(b []byte) (tier string, sealed []byte, err error) {
	header, rest, _ := bytes.Cut(b, []byte("\n"))
	if string(header) != fileHeader {
		if bytes.HasPrefix(header, []byte(strings.TrimSuffix(fileHeader, "1"))) {
			return "", nil, errors.New("written by a newer version")
		}
		return "", nil, errors.New("unknown first line")
	}
	lines := strings.Split(string(rest), "\n")
	if len(lines) != 4 || lines[3] != "" {
		return "", nil, errors.New("cut short or extended")
	}
	tier, okTier := strings.CutPrefix(lines[0], "tier ")
	data, okData := strings.CutPrefix(lines[1], "data ")
	if !okTier || !okData {
		return "", nil, errors.New("unknown lines")
	}
	if sealed, err = base64.StdEncoding.Strict().DecodeString(data); err != nil {
		return "", nil, errors.New("not base64")
	}
	// Comparing the whole text leaves exactly one valid form of each file.
	if !bytes.Equal(encode(tier, sealed), b) {
		return "", nil, errors.New("check sum differs")
	}
	return tier, sealed, nil
}
