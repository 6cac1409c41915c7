//go:build e2e

package systemd

import (
	"slices"
	"strings"
	"testing"
)

// The control of every "nothing is left": one of each kind is planted and seen, and
// a machine on which nothing happened is as before.
func TestSnapshot(t *testing.T) {
	m := inContainer(t, disk(t, base(t)), 46)
	before := m.snapshot()
	if diff := left(before, m.snapshot()); len(diff) != 0 {
		t.Fatalf("nothing happened and yet: %s", strings.Join(diff, "\n"))
	}
	plants := []struct{ plant, want string }{
		{"cp /bin/sleep /opt/license-agent-planted", "new: file /opt/license-agent-planted f 755 0:0"},
		{"setsid /opt/license-agent-planted 3600 >/dev/null 2>&1 </dev/null &", "new: process /opt/license-agent-planted 3600"},
		{"touch /var/log/license-agent.log", "new: named /var/log/license-agent.log"},
		{"mkdir /var/cache/license-agent", "new: named /var/cache/license-agent"},
		{"touch /tmp/.license-agent.x", "new: named /tmp/.license-agent.x"},
		{"mkdir /var/tmp/a && touch /var/tmp/a/license-agent", "new: named /var/tmp/a/license-agent"},
		{"touch /root/license-agent", "new: named /root/license-agent"},
		{"touch /var/lib/systemd/license-agent", "new: named /var/lib/systemd/license-agent"},
		{"chmod 600 /etc/debian_version", "new: file /etc/debian_version f 600 0:0"},
		{"chown 1:2 /usr/bin/env", "new: file /usr/bin/env f 755 1:2"},
		{"ln -sfn /dev/zero /etc/mtab", "new: file /etc/mtab l 777 0:0 /dev/zero"},
		{"tr a-z b-za </etc/issue >/root/issue && cat /root/issue >/etc/issue", "new: file /etc/issue "},
		{"printf x >>/usr/share/common-licenses/BSD", "new: file /usr/share/common-licenses/BSD "},
		{"useradd --system planted", "new: user planted"},
		{"groupadd --system planters", "new: group planters"},
		{"printf '[Service]\\nExecStart=/bin/true\\n' >/etc/systemd/system/planted.service && systemctl daemon-reload", "new: unit file planted.service"},
		{"printf '[Socket]\\nListenStream=/run/planted.sock\\nAccept=yes\\n' >/etc/systemd/system/planted.socket && cp /etc/systemd/system/planted.service /etc/systemd/system/planted@.service && systemctl daemon-reload && systemctl start planted.socket", "new: socket /run/planted.sock"},
		{"true", "new: unix listener /run/planted.sock"},
		{"systemd-run -q --wait --unit=fails /bin/false || true", "new: failed"},
		{"printf '[Socket]\\nListenStream=127.0.0.1:7\\nAccept=yes\\n' >/etc/systemd/system/port.socket && cp /etc/systemd/system/planted.service /etc/systemd/system/port@.service && systemctl daemon-reload && systemctl start port.socket", "new: listener tcp"},
	}
	for _, p := range plants {
		m.run("sh", "-ec", p.plant)
	}
	diff := left(before, m.snapshot())
	for _, p := range plants {
		if !slices.ContainsFunc(diff, func(d string) bool { return strings.HasPrefix(d, p.want) }) {
			t.Errorf("not seen: %s, after %s", p.want, p.plant)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(diff, "\n"))
	}
}
