//go:build e2e

package systemd

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

const state = "/var/lib/license-agent"

// onOwnDisk moves the state onto a small disk of its own and back again.
func (l *life) onOwnDisk(size string, f func()) {
	l.t.Helper()
	l.run("systemctl", "stop", "license-agent.socket", service)
	l.run("sh", "-c", "cp -a "+state+" /mnt/state && mount -t tmpfs -o mode=0700,size="+size+" tmpfs "+state+" && cp -a /mnt/state/. "+state+"/ && rm -r /mnt/state")
	f()
	l.run("systemctl", "stop", "license-agent.socket", service)
	l.run("sh", "-c", "cp -a "+state+" /mnt/state && umount "+state+" && cp -a /mnt/state/. "+state+"/ && rm -r /mnt/state")
	l.run("systemctl", "start", "license-agent.socket", service)
	l.active()
}

// says waits until the journal speaks of something since this call began.
func (l *life) says(since string, words ...string) {
	l.t.Helper()
	for _, w := range words {
		l.wait("the journal to say "+w, func() bool {
			return strings.Contains(l.run("journalctl", "--no-pager", "-o", "cat", "-u", "license-agent*", "--after-cursor="+since), w)
		})
	}
}

// cursor is the present end of the journal.
func (l *life) cursor() string {
	l.t.Helper()
	_, c, ok := strings.Cut(l.run("journalctl", "--no-pager", "-n", "0", "--show-cursor"), "-- cursor: ")
	if !ok {
		l.t.Fatal("no cursor")
	}
	return strings.TrimSpace(c)
}

// badDays are what goes wrong with an installation that is in order. Each is
// named with its next step, and nothing is lost.
func (l *life) badDays() {
	l.step("a full disk", func(t *testing.T) {
		l.onOwnDisk("3m", func() {
			l.run("systemctl", "start", "license-agent.socket", service)
			l.active()
			if out, err := l.try("dd", "if=/dev/zero", "of="+state+"/fill", "bs=4k"); err == nil {
				t.Errorf("the disk is not full: %s", out)
			}
			if p := l.phase(); p != "active" {
				t.Errorf("phase %q on a full disk", p)
			}
			contact := l.contact()
			out, err := l.try("license-agent", "renew")
			switch {
			case err == nil && l.real && l.contact() > contact:
				// Its many activations have left free pages in state.db, into which the
				// renewal went. Then it must be there after a start.
				contact = l.contact()
			case err == nil || !strings.Contains(out, "storage-full") || !strings.Contains(out, "next:"):
				t.Errorf("a renewal on a full disk: %v %s", err, out)
			}
			l.run("systemctl", "restart", service)
			l.active()
			if p := l.phase(); p != "active" {
				t.Errorf("phase %q after a start on a full disk", p)
			}
			if c := l.contact(); c < contact {
				t.Errorf("the contact of %d is lost, the last one is of %d", contact, c)
			}
			l.run("rm", state+"/fill")
			l.wait("a renewal when there is space again", func() bool {
				out, err := l.try("license-agent", "renew")
				return err == nil && strings.Contains(out, "active")
			})
		})
		if p := l.phase(); p != "active" {
			t.Errorf("phase %q afterwards", p)
		}
	})

	l.step("a read-only /var", func(t *testing.T) {
		l.onOwnDisk("8m", func() {
			l.run("mount", "-o", "remount,ro", state)
			since := l.cursor()
			l.try("systemctl", "start", "license-agent.socket", service) //nolint:errcheck // what it says is judged
			l.says(since, "storage-failed", "read-only file system", "remount,rw")
			l.run("systemctl", "stop", "license-agent.socket", service)
			l.run("mount", "-o", "remount,rw", state)
		})
		if p := l.phase(); p != "active" {
			t.Errorf("phase %q afterwards", p)
		}
	})

	l.step("a read-only /var and no state yet", func(t *testing.T) {
		l.run("systemctl", "stop", "license-agent.socket", service)
		l.run("sh", "-ec", "mv "+state+" /mnt/state; mount --bind /var/lib /var/lib; mount -o remount,bind,ro /var/lib")
		l.run("systemctl", "reset-failed", "license-agent.socket", service)
		since := l.cursor()
		l.try("systemctl", "start", "license-agent.socket", service) //nolint:errcheck // what it says is judged
		// systemd has to make the directory, and gives up before our program runs.
		l.says(since, "STATE_DIRECTORY", "Read-only file system")
		// So what an operator types next says it, whoever he is.
		out, err := l.try("setpriv", "--reuid", "nobody", "--clear-groups", "license-agent", "status")
		for _, words := range []string{state + ": read-only file system", "next:", "remount,rw"} {
			if err == nil || !said(out, words) {
				t.Errorf("status does not say %q: %v %s", words, err, out)
			}
		}
		l.run("systemctl", "stop", "license-agent.socket", service)
		l.run("sh", "-ec", "umount /var/lib; mv /mnt/state "+state)
		// A quick machine has come here within the ten seconds of systemd's limit.
		l.run("systemctl", "reset-failed", "license-agent.socket", service)
		l.run("systemctl", "start", "license-agent.socket", service)
		l.active()
		if p := l.phase(); p != "active" {
			t.Errorf("phase %q afterwards", p)
		}
	})

	l.step("a key of an older configuration", func(t *testing.T) {
		l.put("/etc/license-agent/agent.toml", []byte("log_levle = \"debug\"\n"), 0o644)
		since := l.cursor()
		l.try("systemctl", "restart", service) //nolint:errcheck // what it says is judged
		l.says(since, "config-invalid", `unknown key "log_levle", did you mean "log_level"?`, "next:")
		if out, err := l.try("license-agent", "run", "--check-config"); err == nil || !strings.Contains(out, "log_levle") {
			t.Errorf("%v %s", err, out)
		}
		l.storm(t)
		l.put("/etc/license-agent/agent.toml", shipped(t, "agent.toml"), 0o644)
		l.active() // it has been trying all the time
	})

	l.step("the path of the socket is taken", func(t *testing.T) {
		l.run("systemctl", "stop", "license-agent.socket", service)
		l.run("sh", "-c", "mkdir -p /run/license-agent/agent.sock && touch /run/license-agent/agent.sock/x")
		since := l.cursor()
		if out, err := l.try("systemctl", "start", "license-agent.socket"); err == nil {
			t.Errorf("the socket stands beside a folder: %s", out)
		}
		l.says(since, "/run/license-agent/agent.sock")
		// That is systemd's word; ours, with the next step, is what follows.
		if out, err := l.try("license-agent", "status"); err == nil || !said(out, "not a socket: /run/license-agent/agent.sock") || !said(out, "next: Find out who owns the socket") {
			t.Errorf("%v %s", err, out)
		}
		byHand := []string{"setpriv", "--reuid", "license-agent", "--regid", "license-agent", "--clear-groups", "license-agent", "run"}
		if l.real { // its key is in the TPM
			byHand = []string{"env", "LICENSE_AGENT_TPM=/dev/tpmrm0", "setpriv", "--reuid", "license-agent", "--regid", "license-agent", "--groups", "tss", "license-agent", "run"}
		}
		if out, err := l.try(byHand...); err == nil || !strings.Contains(out, "socket-taken") || !said(out, "next: Remove the foreign socket") {
			t.Errorf("%v %s", err, out)
		}
		l.run("rm", "-r", "/run/license-agent/agent.sock")
		l.run("systemctl", "reset-failed", "license-agent.socket")
		l.run("systemctl", "start", "license-agent.socket", service)
		l.active()
		// A second agent at the same place, started by hand.
		if out, err := l.try(byHand...); err == nil || !strings.Contains(out, "state-in-use") || !strings.Contains(out, "next:") {
			t.Errorf("%v %s", err, out)
		}
	})

	l.step("systemd does not run", func(t *testing.T) {
		out, err := l.try("unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c",
			"mount -t tmpfs none /run && license-agent --instance cad install --manager linux-systemd; code=$?; exit $code")
		for _, words := range []string{"has not been booted with systemd", "nothing was changed", "next:"} {
			if err == nil || !strings.Contains(out, words) {
				t.Errorf("not said: %q: %v %s", words, err, out)
			}
		}
		for _, p := range []string{"/usr/local/bin/license-agent-cad", "/etc/license-agent-cad", "/etc/systemd/system/license-agent-cad.service"} {
			if l.exists(p) {
				t.Errorf("%s is left", p)
			}
		}
	})
}

// storm is a service that cannot start and programs that keep asking for it for
// ten seconds. It is started no more often than the unit says, once in two
// seconds, whoever asks, and the socket stays open for the day it is mended.
func (l *life) storm(t *testing.T) {
	t.Helper()
	since, began, restarts := l.cursor(), time.Now(), l.number(t, "NRestarts")
	asked := l.run("sh", "-c", `end=$(($(date +%s) + 10)); n=0
		while [ $(date +%s) -lt $end ]; do
			for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -s -m 1 --unix-socket /run/license-agent/agent.sock http://x/v1/status >/dev/null & done; wait; n=$((n + 12))
		done; echo $n`)
	starts := strings.Count(l.run("journalctl", "--no-pager", "-o", "cat", "-u", service, "--after-cursor="+since), "config-invalid")
	restarts = l.number(t, "NRestarts") - restarts
	limit := int(time.Since(began)/(2*time.Second)) + 1
	t.Logf("%s callers in %v: %d starts, NRestarts went up by %d", asked, time.Since(began).Round(time.Second), starts, restarts)
	if starts > limit || restarts > limit {
		t.Errorf("%d starts and %d restarts, the unit allows %d", starts, restarts, limit)
	}
	if starts == 0 {
		t.Error("the control: it was not started at all")
	}
	if s := l.show("license-agent.socket", "ActiveState"); s != "active" {
		t.Errorf("the socket is %s (%s)", s, l.show("license-agent.socket", "Result"))
	}
}

// number is a property of the service that counts.
func (l *life) number(t *testing.T, property string) int {
	t.Helper()
	n, err := strconv.Atoi(l.show(service, property))
	must(t, err)
	return n
}

// clock moves the clock of a machine that has one of its own.
func (l *life) clock() {
	l.step("the clock is set back", func(t *testing.T) {
		before := l.believed()
		l.run("date", "-s", "-40 days")
		l.run("systemctl", "kill", "-s", "KILL", service)
		l.wait("an answer", func() bool { return l.phase() == "active" })
		if now := l.believed(); now < before {
			t.Errorf("the agent's time went back by %d s", before-now)
		}
		l.run("date", "-s", "+40 days")
		l.run("systemctl", "restart", service)
		l.active()
	})
	l.step("the clock is far ahead, and is put right", func(t *testing.T) {
		l.run("date", "-s", "+400 days")
		l.run("systemctl", "restart", service)
		l.wait("the end of the entitlement", func() bool { return l.phase() == "expired" })
		l.run("date", "-s", "-400 days")
		l.run("systemctl", "restart", service)
		l.wait("a license that runs again", func() bool { return l.phase() == "active" })
	})
}
