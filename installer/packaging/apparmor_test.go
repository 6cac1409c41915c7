package packaging

import (
	"regexp"
	"strings"
	"testing"
)

// readable are the paths that a profile lets its program read, as expressions. Of
// apparmor.d(5) it knows what ours uses: {,} * ** and character classes.
func readable(t *testing.T, profile string) (list []*regexp.Regexp) {
	t.Helper()
	for line := range strings.Lines(profile) {
		f := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ","))
		if len(f) == 3 && f[0] == "owner" {
			continue // root made what is asked for here
		}
		if len(f) != 2 || !strings.HasPrefix(f[0], "/") || !strings.Contains(f[1], "r") {
			continue
		}
		e := strings.NewReplacer(".", `\.`, "{", "(", "}", ")", ",", "|", "**", ".*", "*", "[^/]*").Replace(f[0])
		r, err := regexp.Compile("^" + e + "$")
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}

// AppArmor judges the file at the end of a link. These are the ends of
// /etc/resolv.conf and of /etc/ssl/certs on systems that confine by it, as in
// abstractions/nameservice and abstractions/ssl_certs of AppArmor itself: without
// them the agent reaches no merchant there. The control: what no rule is about.
func TestProfileReadsWhereLinksLead(t *testing.T) {
	rules := readable(t, text(t, AppArmor, Names{}))
	for path, want := range map[string]bool{
		"/etc/resolv.conf":                                  true,
		"/run/systemd/resolve/stub-resolv.conf":             true,
		"/run/resolvconf/resolv.conf":                       true,
		"/run/NetworkManager/resolv.conf":                   true,
		"/run/connman/resolv.conf":                          true,
		"/run/netconfig/resolv.conf":                        true, // SUSE
		"/etc/ssl/certs/ca-certificates.crt":                true,
		"/usr/share/ca-certificates/mozilla/x.crt":          true,
		"/var/lib/ca-certificates/ca-bundle.pem":            true, // SUSE
		"/var/lib/ca-certificates/pem/x.pem":                true,
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": true,

		"/etc/shadow":                false,
		"/run/NetworkManager/secret": false,
		"/var/lib/other/x":           false,
	} {
		got := false
		for _, r := range rules {
			got = got || r.MatchString(path)
		}
		if got != want {
			t.Errorf("%s: may be read %v, want %v", path, got, want)
		}
	}
}
