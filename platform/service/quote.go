package service

import "strings"

// commandLine joins program and arguments by the rules of CommandLineToArgvW,
// with the program always in quotes.
func commandLine(program string, args []string) string {
	var b strings.Builder
	b.WriteString(`"` + program + `"`)
	for _, arg := range args {
		b.WriteString(" " + quote(arg))
	}
	return b.String()
}

// quote puts an argument in quotes if it needs them. Backslashes are ordinary
// characters except before a quote, where each must be doubled.
func quote(arg string) string {
	if arg != "" && !strings.ContainsAny(arg, " \t\n\v\"") {
		return arg
	}
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for _, c := range []byte(arg) {
		switch c {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1))
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteByte(c)
	}
	b.WriteString(strings.Repeat(`\`, slashes))
	b.WriteByte('"')
	return b.String()
}
