package fingerprint

import "strings"

// Limits of the string form and of one value.
const (
	// MaxText is the longest string form in bytes. The marketplace's page says
	// "5K"; 5,000 satisfies the decimal and the binary reading.
	MaxText = 5000
	// MaxValue is the longest value in bytes, measured after Canonical. No
	// serial field of SMBIOS, ATA (20), NVMe (20) or SCSI (VPD page 0x80, 252)
	// is longer, so a longer text is a misread: it makes its part unreadable.
	MaxValue = 256
)

// Canonical returns a value as it stands in the string form: padding (blanks,
// white space, NUL) trimmed at both ends, inner runs of blanks collapsed to
// one, ASCII letters in upper case, and one '_' for each byte that is a
// separator ('|' or ','), a control byte or outside ASCII, so that no serial
// can change the number of parts. The mapping works on bytes and is therefore
// defined for invalid UTF-8 and identical in every language. It is idempotent.
func Canonical(value string) string {
	value = strings.Trim(value, " \t\n\v\f\r\x00")
	if isCanonical(value) {
		return value
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == ' ' && len(out) > 0 && out[len(out)-1] == ' ':
			continue
		case c == '|' || c == ',' || c < ' ' || c > '~':
			c = '_'
		case c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}

// isCanonical reports whether a trimmed value needs no change, which is the
// usual case and must not allocate.
func isCanonical(value string) bool {
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == '|' || c == ',' || c < ' ' || c > '~' || c >= 'a' && c <= 'z' ||
			c == ' ' && i > 0 && value[i-1] == ' ' {
			return false
		}
	}
	return true
}

// spell is Canonical plus the one spelling per kind that makes two readers of
// the same hardware agree: addresses with colons, CPU ids as WMI prints them.
func spell(k Kind, value string) string {
	value = Canonical(value)
	switch k {
	case MAC:
		return spellMAC(value)
	case CPU:
		return spellCPU(value)
	}
	return value
}

// spellMAC puts colons into twelve hexadecimal digits, however they were
// grouped (04-7C-16…, 047C.165E…, 047C165E…); other text stays as it is.
func spellMAC(value string) string {
	if len(value) == 17 && value[2] == ':' && value[14] == ':' {
		return value // already in our form, or not an address at all
	}
	digits := strings.Map(func(r rune) rune {
		if r == ':' || r == '-' || r == '.' {
			return -1
		}
		return r
	}, value)
	if len(digits) != 12 || !isHex(digits) {
		return value
	}
	var b strings.Builder
	for i := 0; i < 12; i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

// isHex reports whether s consists of hexadecimal digits in either case.
func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'F') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
