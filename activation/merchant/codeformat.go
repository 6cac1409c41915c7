package merchant

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Codes are 24 random symbols of Crockford's base 32 (120 bits) and a check
// symbol, in five groups of five: no I, L, O or U to misread, upper or lower
// case, blanks and dashes as one likes.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeSymbols  = 25
	codeGroup    = 5
)

// newCode draws a code and returns it as people read it.
func newCode(rand io.Reader) (string, error) {
	raw := make([]byte, codeSymbols-1)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("merchant: drawing a code: %w", err)
	}
	symbols := make([]byte, 0, codeSymbols)
	for _, b := range raw {
		symbols = append(symbols, codeAlphabet[b&31])
	}
	symbols = append(symbols, checkSymbol(symbols))
	return grouped(string(symbols)), nil
}

func grouped(symbols string) string {
	var groups []string
	for i := 0; i < len(symbols); i += codeGroup {
		groups = append(groups, symbols[i:i+codeGroup])
	}
	return strings.Join(groups, "-")
}

// checkSymbol is the sum of xᵢ·aⁱ in GF(2⁵), a = 2, modulus x⁵+x²+1. The powers
// of a are distinct for 31 places, so every single wrong symbol and every swap
// of two symbols is noticed.
func checkSymbol(symbols []byte) byte {
	sum := 0
	for _, s := range symbols { // Horner: multiply by a, add
		sum <<= 1
		if sum&32 != 0 {
			sum ^= 0b100101
		}
		sum ^= strings.IndexByte(codeAlphabet, s)
	}
	sum <<= 1
	if sum&32 != 0 {
		sum ^= 0b100101
	}
	return codeAlphabet[sum]
}

// NormaliseCode returns the one spelling of a typed code: our own codes in
// upper case without dashes, with O read as 0 and I and L as 1. What is not
// one of ours (a marketplace has its own form) is only trimmed.
func NormaliseCode(typed string) (code string, own bool) {
	var b []byte
	for _, r := range strings.ToUpper(typed) {
		switch {
		case r == '-' || r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == '\u00a0' || r == '\u3000':
			continue
		case r == 'O':
			r = '0'
		case r == 'I' || r == 'L':
			r = '1'
		}
		if r > 'Z' || strings.IndexByte(codeAlphabet, byte(r)) < 0 {
			return strings.TrimSpace(typed), false
		}
		b = append(b, byte(r))
	}
	if len(b) != codeSymbols || checkSymbol(b[:codeSymbols-1]) != b[codeSymbols-1] {
		return strings.TrimSpace(typed), false
	}
	return string(b), true
}

// lookup is what the database knows of a code. The HMAC key lives in a file, so
// a copy of the database cannot be searched for short marketplace codes; and
// equality is found by an index over hashes, whose timing says nothing about
// the code.
func lookup(pepper []byte, typed string) string {
	code, own := NormaliseCode(typed)
	mac := hmac.New(sha256.New, pepper)
	if own {
		mac.Write([]byte("own\n" + code))
	} else {
		mac.Write([]byte("foreign\n" + code))
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// codeHint is the part of a code that support sees: enough to find it on an
// invoice, 100 bits short of using it.
func codeHint(code string) string {
	if len(code) < 2*codeGroup {
		return "…"
	}
	return "…" + code[len(code)-codeGroup:]
}
