//go:build e2e

package systemd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The installation without a package under init scripts, whose word for a start
// proves nothing: a second one leaves the process alone, and a program that does
// not start is taken back.
func TestByItselfUnderScripts(t *testing.T) {
	for manager, c := range map[string]struct {
		before, after string // the scripts; insserv numbers its links by what else is there
		want          []string
	}{
		"linux-openrc": {before: `
rm -f /etc/runlevels/sysinit/* # of a Debian that has kernel file systems to mount
for level in sysinit boot default; do openrc $level; done
`},
		"unix-systemv": {after: `
kill -9 $(pid); while [ -n "$(pid)" ]; do sleep 0.1; done
[ -S /run/license-agent/agent.sock ] && at its socket is left
cp /etc/license-agent/agent.toml /root/; echo 'log_levle = "info"' >>/etc/license-agent/agent.toml
/etc/init.d/license-agent start >/dev/null 2>&1 || at and not taken for an answer
/etc/init.d/license-agent stop; cp /root/agent.toml /etc/license-agent/agent.toml
/etc/init.d/license-agent start; license-agent diagnose >/dev/null && at started
printf '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: rsyslog\n# Required-Start: $local_fs\n# Required-Stop: $local_fs\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\n' >/etc/init.d/rsyslog
chmod 755 /etc/init.d/rsyslog; update-rc.d rsyslog defaults; update-rc.d license-agent defaults
at $(ls /etc/rc2.d | grep license-agent), $(ls -d /etc/rc?.d/*license-agent | wc -l) links
at $(/root/license-agent install --manager $manager | grep -o 'nothing to do')
update-rc.d license-agent disable; ls /etc/rc2.d | grep -q '^S..license-agent' && at disabled and enabled
/root/license-agent install --manager $manager >/dev/null; at enabled again in $(ls /etc/rc2.d | grep -c '^S..license-agent')
LICENSE_AGENT_INSTANCE=cad LICENSE_AGENT_DIR=/x /etc/init.d/license-agent restart && license-agent diagnose >/dev/null && at restarted
/etc/init.d/license-agent stop
`, want: []string{"its socket is left", "and not taken for an answer", "started", "S02license-agent, 7 links", "nothing to do", "enabled again in 1", "restarted"}},
	} {
		root := disk(t, need(t, "E2E_OPENRC"))
		program, err := os.ReadFile(agentProgram(t, "NEW"))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(root, "root/license-agent"), program, 0o755))
		must(t, os.WriteFile(filepath.Join(root, "root/broken"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "etc/init.d/localmount"), []byte("#!/sbin/openrc-run\nstart() { return 0; }\n"), 0o755))
		said := aloneIn(t, root, serviceShell+"manager="+manager+"\n"+c.before+`
/root/license-agent install --manager $manager
license-agent diagnose >/dev/null && at installed as $(who)
was=$(pid); at $(/root/license-agent install --manager $manager | grep -o 'nothing to do')
[ $was = $(pid) ] && at the process stays
# The program installs the file that it was started from; here another one lies over it by then.
exec 9</root/license-agent; mount --bind /root/broken /root/license-agent
/proc/self/fd/9 upgrade --manager $manager >/root/out 2>&1 && at a broken program was installed
umount /root/license-agent; exec 9<&-
at $(grep -o 'does not answer' /root/out | head -1), $(grep -o 'nothing was changed' /root/out | head -1)
cmp /root/license-agent /usr/local/bin/license-agent && license-agent diagnose >/dev/null && [ $was != $(pid) ] && at the old one runs
`+c.after+`
/root/license-agent uninstall --purge --manager $manager
at $(gone) $(ls -d /etc/license-agent /var/lib/license-agent /var/log/license-agent.log /usr/local/bin/license-agent /etc/init.d/license-agent /etc/rc?.d/*license-agent 2>/dev/null)
`)
		want := append([]string{"installed as license-agent", "nothing to do", "the process stays", "does not answer, nothing was changed", "the old one runs"}, c.want...)
		if diff := cmp.Diff(append(want, "gone"), said); diff != "" {
			t.Errorf("%s: %s", manager, diff)
		}
	}
}
