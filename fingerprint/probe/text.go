package probe

import (
	"errors"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// maxFile bounds every file that is read: no sysfs attribute is longer than a
// page, and an SMBIOS 2 table not longer than 64 KiB.
const maxFile = 64 << 10

var (
	// errTooLong is returned for a value of more than maxValue bytes.
	errTooLong = errors.New("value is longer than 256 bytes")
	// errMalformed is returned for a binary value whose lengths contradict each other.
	errMalformed = errors.New("value is malformed")
)

// clean makes text of the bytes that hardware gave: blanks and NULs are cut at
// both ends (NVMe pads to 20 characters on the right, WD disks on the left),
// nothing is changed inside, except that each byte which is not UTF-8 becomes
// '_': fingerprint.Canonical would do the same later, and the JSON form, which
// cannot carry such bytes, then survives a round trip unchanged.
func clean(b []byte) string {
	s := trim(string(b))
	if utf8.ValidString(s) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			out = append(out, '_')
		} else {
			out = append(out, s[i:i+n]...)
		}
		i += n
	}
	return string(out)
}

// trim cuts blanks, line ends and NULs at both ends.
func trim(s string) string { return strings.Trim(s, " \t\r\n\v\f\x00") }

// absent says that an error means "there is none" rather than "we cannot see it".
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// why is the reason of an error without the path in it, for people.
func why(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "permission denied (needs root or the SMBIOS table handed over)"
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}
