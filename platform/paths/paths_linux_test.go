package paths

import (
	"strings"
	"testing"
)

// The packages, the unit and the documentation print these paths; a change here
// is a change of the product.
func TestForLinux(t *testing.T) {
	for _, test := range []struct {
		instance string
		want     Paths
	}{
		{"", Paths{
			Service: "license-agent", Config: "/etc/license-agent", State: "/var/lib/license-agent",
			Runtime: "/run/license-agent", Socket: "/run/license-agent/agent.sock", Logs: "/var/log/license-agent",
		}},
		{"cad", Paths{
			Instance: "cad", Service: "license-agent-cad", Config: "/etc/license-agent-cad", State: "/var/lib/license-agent-cad",
			Runtime: "/run/license-agent-cad", Socket: "/run/license-agent-cad/agent.sock", Logs: "/var/log/license-agent-cad",
		}},
	} {
		got, err := For(test.instance)
		if err != nil || got != test.want {
			t.Errorf("For(%q) = %+v, %v\nwant %+v", test.instance, got, err, test.want)
		}
	}
}

// ut_user of utmp(5) holds 32 bytes with the final zero, and systemd-sysusers
// refuses a name that does not fit.
func TestLongestUserFits(t *testing.T) {
	p, err := For(strings.Repeat("x", MaxUser))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Service) > 31 {
		t.Errorf("%d bytes: %s", len(p.Service), p.Service)
	}
}

// sockaddr_un.sun_path holds 108 bytes with the final zero.
func TestLongestSocketFits(t *testing.T) {
	name := make([]byte, MaxInstance)
	for i := range name {
		name[i] = 'x'
	}
	p, err := For(string(name))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Socket) > 107 {
		t.Errorf("%d bytes: %s", len(p.Socket), p.Socket)
	}
}
