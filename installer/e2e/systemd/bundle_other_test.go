//go:build e2e

package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A vendor's package where there is no systemd, as root: the agent is started by
// tools that may hand on what they were given, such as the lock of the stages.
func TestBundleWithoutSystemd(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "CAD.tar.gz")
	must(t, os.WriteFile(archive, startVendor(t, "acme", "127.0.0.1").bundle(t, "2.0"), 0o644))
	for manager, prepare := range map[string]string{
		"System V": "rm -f /sbin/openrc* /sbin/rc-*\n",
		// As on Alpine: see TestOpenRC.
		"OpenRC": `rm -f $(which update-rc.d) /etc/runlevels/sysinit/*
printf '#!/sbin/openrc-run\nstart() { return 0; }\n' >/etc/init.d/localmount; chmod 755 /etc/init.d/localmount
for level in sysinit boot default; do openrc $level; done
`,
	} {
		root := disk(t, need(t, "E2E_OPENRC"))
		must(t, os.MkdirAll(filepath.Join(root, "opt/cad"), 0o755))
		if out, err := exec.Command("tar", "-C", filepath.Join(root, "opt/cad"), "-xzf", archive).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		said := aloneIn(t, root, prepare+`
stage() { sh /opt/cad/scripts/"$1".sh $2 >/root/said 2>&1 </dev/null || { cat /root/said; return 1; }; at $1 $(pgrep -fc '^/bin/sh ./product'); }
for each in install start poststart restart; do stage $each; done
kill -s STOP $(pgrep -f '^/usr/local/bin/license-agent-acme-cad run') # it hangs: what the health check sees, restart mends
! sh /opt/cad/scripts/poststart.sh >/root/said 2>&1 </dev/null
for each in restart poststart update stop start; do stage $each; done
stage uninstall --purge
at left: $(ls -d /var/lib/license-agent* /etc/license-agent* /etc/init.d/license-agent* /run/license-agent* /var/log/license-agent* /usr/local/bin/license-agent* 2>/dev/null)
`)
		want := []string{"install 0", "start 1", "poststart 1", "restart 1", "restart 1", "poststart 1", "update 1", "stop 0", "start 1", "uninstall 0", "left:"}
		if diff := cmp.Diff(want, said); diff != "" {
			t.Errorf("%s: %s", manager, diff)
		}
	}
}

// No user can be made for a longer name: that is said before anything is there. A
// machine whose tools have made one goes on.
func TestBundleWithALongName(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "CAD.tar.gz")
	must(t, os.WriteFile(archive, startVendor(t, "acme", "127.0.0.1").bundle(t, "2.0", "--instance", "acme-cad-professional"), 0o644))
	root := disk(t, need(t, "E2E_OPENRC"))
	must(t, os.MkdirAll(filepath.Join(root, "opt/cad"), 0o755))
	if out, err := exec.Command("tar", "-C", filepath.Join(root, "opt/cad"), "-xzf", archive).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	said := aloneIn(t, root, `rm -f /sbin/openrc* /sbin/rc-*
left() { ls -d /var/lib/$1* /etc/$1* /etc/init.d/$1* /run/$1* /var/log/$1* /usr/local/bin/$1* 2>/dev/null || :; }
long=license-agent-acme-cad-professional
! sh /opt/cad/scripts/install.sh >/root/said 2>&1
at refused: $(grep -c "no user of this system can be called $long; nothing was changed" /root/said) $(left $long)
echo "$long:x:990:990::/:/usr/sbin/nologin" >>/etc/passwd; echo "$long:x:990:" >>/etc/group
for stage in install start update poststart; do sh /opt/cad/scripts/$stage.sh >/root/said 2>&1 </dev/null || { cat /root/said; at failed $stage; }; done
at as $(ps -o uid= -p $(pgrep -f "^/usr/local/bin/$long run"))
sh /opt/cad/scripts/uninstall.sh --purge >/root/said 2>&1 </dev/null
at left: $(left $long) $(grep $long /etc/passwd)
`)
	if diff := cmp.Diff([]string{"refused: 1", "as 990", "left:"}, said); diff != "" {
		t.Error(diff)
	}
}
