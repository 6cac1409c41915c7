package bundle

import (
	"fmt"
	"strings"

	"licenseagent.example/installer/bundle/manifest"
)

// batch writes settings.cmd.
func batch(m manifest.Manifest, start []string) (string, error) {
	if strings.Contains(start[0], "/") || !strings.HasSuffix(strings.ToLower(start[0]), ".exe") {
		return "", fmt.Errorf("%w: --start %s: on Windows the product is started by an .exe file at the top of --app", ErrInput, start[0])
	}
	for _, word := range start[1:] {
		if word == "" || strings.Contains(word, " ") {
			return "", fmt.Errorf("%w: --start %s: on Windows an argument holds no blank", ErrInput, word)
		}
	}
	var b strings.Builder
	b.WriteString("@rem What lifecycle.cmd is told about this bundle. Signed with everything else.\n")
	for _, v := range [][2]string{
		{"name", m.Name},
		{"software", m.Software},
		{"version", m.Version},
		{"instance", m.Instance},
		{"issuer", strings.TrimRight(m.Issuer, ".")},
		{"program", start[0]},
		{"arguments", strings.Join(start[1:], " ")},
	} {
		// cmd reads scripts in the code page of the machine and has no way to quote
		// these for every place where a variable is used.
		if strings.ContainsAny(v[1], "\"%!^&|<>()") || strings.ContainsFunc(v[1], func(r rune) bool { return r > '~' }) {
			return "", fmt.Errorf("%w: %s %q: a Windows script holds letters, digits and simple signs only", ErrInput, v[0], v[1])
		}
		fmt.Fprintf(&b, "@set \"%s=%s\"\n", v[0], v[1])
	}
	return b.String(), nil
}
