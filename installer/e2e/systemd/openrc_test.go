//go:build e2e

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// aloneIn runs a shell script as root in a file tree, with a process 1, a network
// and kernel file systems of its own, and returns the lines that begin with a
// colon.
func aloneIn(t *testing.T, root, script string) []string {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(root, "root/e2e.sh"), []byte("set -e\nat() { echo \": $*\"; }\n"+script), 0o755))
	cmd := exec.Command("systemd-nspawn", "-q", "-D", root, "--as-pid2", "--register=no", "--keep-unit", "--private-users=no", "--private-network", "--link-journal=no", "/bin/sh", "/root/e2e.sh")
	cmd.Env = append(environment(), "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var said []string
	for _, line := range strings.Split(strings.ReplaceAll(string(out), "\r", ""), "\n") {
		if rest, ok := strings.CutPrefix(line, ": "); ok {
			said = append(said, rest)
		}
	}
	return said
}

// helpers of both scripts: who answers, and as whom.
const serviceShell = `
answers() { i=0; until license-agent diagnose >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 600 ] || { cat /var/log/license-agent.log; return 1; }; sleep 0.1; done; }
pid() { pgrep -o -x license-agent || true; }
who() { stat -c %U /proc/$(pid); }
replaced() { i=0; while p=$(pid); [ -z "$p" ] || [ "$p" = "$1" ]; do i=$((i+1)); [ $i -lt 600 ] || return 1; sleep 0.1; done; }
handed() { echo $(stat -c '%a %U' /run/license-agent.dmi), $(license-agent diagnose | grep -o 'BN[^"]*'); }
gone() { [ -z "$(pid)" ] && [ ! -e /run/license-agent.dmi ] && echo gone; }
`

// firmwareShell gives the machine a table of serial numbers, which only root may
// read: what the agent knows of it has been handed over.
const firmwareShell = `
mount -o remount,rw /sys; mkdir -p /sys/firmware/dmi/tables
install -m 0400 /root/DMI /sys/firmware/dmi/tables/DMI
`

// The apk's files and scripts under a real OpenRC, with the arguments that apk
// gives: enabled, started, supervised, restarted by an upgrade, stopped, forgotten.
// Debian's OpenRC has no service for the local file systems, which are mounted
// here before it begins; Alpine's has.
func TestOpenRC(t *testing.T) {
	root := disk(t, need(t, "E2E_OPENRC"))
	_, b := packageFile(t, "NEW", "_x86_64.apk")
	raw, _, content := segments(t, b)
	cmd := exec.Command("tar", "-xz", "-C", root)
	cmd.Stdin = strings.NewReader(string(raw[len(raw)-1]))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	// Alpine has no update-rc.d, by which the scripts know a Debian.
	must(t, os.Remove(filepath.Join(root, "usr/sbin/update-rc.d")))
	must(t, os.WriteFile(filepath.Join(root, "etc/init.d/localmount"), []byte("#!/sbin/openrc-run\nstart() { return 0; }\n"), 0o755))
	for name, text := range content {
		if strings.HasPrefix(name, ".p") {
			must(t, os.WriteFile(filepath.Join(root, "root/"+strings.TrimPrefix(name, ".")), []byte(text), 0o755))
		}
	}
	must(t, os.WriteFile(filepath.Join(root, "root/DMI"), dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o400))
	said := aloneIn(t, root, serviceShell+firmwareShell+`
rm -f /etc/runlevels/sysinit/* # of a Debian that has kernel file systems to mount
sh /root/pre-install 1.1.0-r1
sh /root/post-install 1.1.0-r1
at enabled $(rc-update show default | grep -c license-agent)
for level in sysinit boot default; do openrc $level; done # the machine boots
answers
at $(rc-service license-agent status | grep -o started) as $(who)
at handed over: $(handed)
was=$(pid); kill -9 $was; replaced $was; answers
at supervised $(rc-service license-agent status | grep -o started)
was=$(pid)
sh /root/pre-upgrade 1.1.0-r1 1.0.0-r1
sh /root/post-upgrade 1.1.0-r1 1.0.0-r1
replaced $was; answers
at upgraded as $(who)
sh /root/pre-deinstall 1.1.0-r1
at stopped $(gone) $(rc-update show default | grep -c license-agent)
rc-service license-agent status >/dev/null 2>&1 || at status says so
sh /root/post-deinstall 1.1.0-r1
ls /var/lib/license-agent/device.key >/dev/null && at the licenses stay
`)
	want := []string{"enabled 1", "started as license-agent", "handed over: 400 license-agent, BN***77 from SMBIOS copy type 2 serial", "supervised started", "upgraded as license-agent", "stopped gone 0", "status says so", "the licenses stay"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

// The deb on a Debian without systemd: dpkg itself, and the System V script with
// the real start-stop-daemon.
func TestSysV(t *testing.T) {
	root := disk(t, need(t, "E2E_OPENRC"))
	for _, version := range []string{"OLD", "NEW"} {
		_, b := packageFile(t, version, "_amd64.deb")
		must(t, os.WriteFile(filepath.Join(root, "root", version+".deb"), b, 0o644))
	}
	must(t, os.WriteFile(filepath.Join(root, "root/DMI"), dmi("SN-7Q4W-0042", "BN-9K2M-0077"), 0o400))
	said := aloneIn(t, root, serviceShell+firmwareShell+`
script=/etc/init.d/license-agent
dpkg -i /root/OLD.deb
answers
at $($script status) as $(who)
at handed over: $(handed)
was=$(pid); $script start; [ $was = $(pid) ] && at started once
$script restart; answers; [ $was != $(pid) ] && at restarted
kill -9 $(pid); while [ -n "$(pid)" ]; do sleep 0.1; done; $script status >/dev/null || at status after kill: $?
$script start; answers; at again as $(who)
was=$(pid); dpkg -i /root/NEW.deb; replaced $was; answers; at $(license-agent version | grep -o '1\.1\.0' | head -1)
$script stop; at $(gone); $script status >/dev/null || at status after stop: $?
$script nonsense 2>/dev/null || at usage: $?
dpkg -i /root/NEW.deb; at what was stopped stays $(gone)
$script start; answers
dpkg -r license-agent; at removed $(gone) $(ls /etc/init.d/license-agent 2>/dev/null)
ls /var/lib/license-agent/device.key >/dev/null && at the licenses stay
dpkg -P license-agent; at $(ls -d /var/lib/license-agent /etc/license-agent /run/license-agent 2>/dev/null | wc -l) left, $(grep -c license /etc/passwd) users
`)
	want := []string{
		"license-agent runs as license-agent", "handed over: 400 license-agent, BN***77 from SMBIOS copy type 2 serial", "started once", "restarted", "status after kill: 3", "again as license-agent", "1.1.0", "gone", "status after stop: 3", "usage: 2",
		"what was stopped stays gone", "removed gone", "the licenses stay", "0 left, 0 users",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}
