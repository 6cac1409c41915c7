package fingerprint

// Mask hides a value from people without administrator rights: both ends
// remain so that an administrator can tell two disks apart, at most a third of
// the value is shown, and the length is not.
func Mask(value string) string {
	value = Canonical(value)
	switch n := len(value); {
	case n == 0:
		return ""
	case n >= 12:
		return value[:2] + "***" + value[n-2:]
	case n >= 6:
		return value[:1] + "***" + value[n-1:]
	}
	return "***"
}
