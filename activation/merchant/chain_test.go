package merchant

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

func TestLostReply(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	for range 3 {
		request := d.request(license.RequestRenew, "")
		lost := must(b.svc.Process(context.Background(), request, "", ""))(t)
		b.clock.Add(time.Hour)
		again := must(b.svc.Process(context.Background(), request, "", ""))(t)
		if !bytes.Equal(lost.License, again.License) || !bytes.Equal(lost.KeySet, again.KeySet) {
			t.Fatal("a retry got other bytes")
		}
		d.take(again)
	}
	must0(t, d.renew())
	if d.state() != "license" || must(b.svc.Device(context.Background(), d.license))(t).Contested != 0 {
		t.Error("lost replies made an honest device contested")
	}
}

// TestRetryAcrossKeySets: the answer to a retry carries the key set it carried
// the first time, or its license would not be the same answer.
func TestRetryAcrossKeySets(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	request := d.request(license.RequestRenew, "")
	lost := must(b.svc.Process(context.Background(), request, "", ""))(t)
	must(b.svc.RotateKeys(context.Background(), b.rootDirs(), 0))(t)
	if diff := cmp.Diff(lost, must(b.svc.Process(context.Background(), request, "", ""))(t)); diff != "" {
		t.Errorf("the retry differs:\n%s", diff)
	}
	d.take(lost)
	must0(t, d.renew())
	if d.set.Version != 2 || d.claims.KeySet != 2 {
		t.Errorf("after rotation: key set %d, license wants %d", d.set.Version, d.claims.KeySet)
	}
}

// TestFork is two copies of one device taking turns: the case that "accept one
// position behind" never notices.
func TestFork(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	a := b.device(1)
	must0(t, a.activate(code))
	c := a.copied()
	must0(t, a.renew())
	held := *a.claims
	must0(t, c.renew())
	if c.state() != license.NoticeContested || c.claims != nil {
		t.Fatalf("the copy was told %s", c.state())
	}
	b.clock.Add(24 * time.Hour)
	must0(t, a.renew())
	if a.state() != license.NoticeContested {
		t.Fatalf("the original was told %s", a.state())
	}
	if held.RenewBy <= b.clock.Now().Unix() {
		t.Error("both should still run until renew-by")
	}
	// Neither gets a longer license by asking on.
	for range 3 {
		must0(t, a.renew())
		must0(t, c.renew())
		if a.claims != nil || c.claims != nil {
			t.Fatal("a contested seat was renewed")
		}
	}
	// One re-bind settles it, with the code and the same hardware.
	must0(t, a.do(license.RequestRebind, code))
	if a.state() != "license" {
		t.Fatalf("re-bind was told %s", a.state())
	}
	must0(t, a.renew())
	if a.state() != "license" {
		t.Fatalf("after the re-bind: %s", a.state())
	}
	// The copy shows itself again; a second re-bind must wait for 30 days.
	must0(t, c.renew())
	if c.state() != license.NoticeContested {
		t.Fatalf("the copy after the re-bind was told %s", c.state())
	}
	wantCode(t, "second re-bind", a.do(license.RequestRebind, code), protocol.CodeRebindLimit)
	wantCode(t, "re-bind by activating again", c.do(license.RequestActivate, code), protocol.CodeRebindLimit)
	b.clock.Add(30 * 24 * time.Hour)
	must0(t, a.do(license.RequestRebind, code))
	if diff := cmp.Diff([]string{"seat.activate", "seat.contested", "seat.notice", "seat.rebind", "seat.contested", "seat.rebind"}, b.actions(a.license)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// TestRestoredStore is an honest administrator who restores a backup.
func TestRestoredStore(t *testing.T) {
	for behind := 1; behind <= 3; behind++ {
		b := newBed(t)
		code, _ := b.code()
		d := b.device(1)
		must0(t, d.activate(code))
		backup := d.copied()
		for range behind {
			must0(t, d.renew())
		}
		must0(t, backup.renew())
		if backup.state() != license.NoticeContested {
			t.Errorf("%d behind: not flagged at the first contact (%s)", behind, backup.state())
		}
		must0(t, backup.do(license.RequestRebind, code))
		must0(t, backup.renew())
		if backup.state() != "license" {
			t.Errorf("%d behind: one self-service step did not settle it", behind)
		}
	}
}

// TestForkRetry: a fork's answer is remembered too, on line and as a file.
func TestForkRetry(t *testing.T) {
	for _, offline := range []bool{false, true} {
		b := newBed(t)
		code, _ := b.code()
		d := b.device(1)
		must0(t, d.activate(code))
		c := d.copied()
		must0(t, d.renew())
		request := c.request(license.RequestRenew, "", func(r *license.Request) { r.Offline = offline })
		first := must(b.svc.Process(context.Background(), request, "", "fork"))(t)
		if diff := cmp.Diff(first, must(b.svc.Process(context.Background(), request, "", "fork"))(t)); diff != "" {
			t.Errorf("offline %v: the retry differs:\n%s", offline, diff)
		}
	}
}

// TestNamesAreForgotten: an Idempotency-Key is kept for days, the answer to a
// recorded request for ever.
func TestNamesAreForgotten(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	code, _ := b.code(func(s *CodeSpec) { s.Devices = 9 })
	request := b.device(1).request(license.RequestActivate, code)
	first := must(b.svc.Process(ctx, request, "", "name"))(t)
	names := func() (n int) {
		must0(t, b.db.read.QueryRow(`SELECT COUNT(*) FROM idempotency`).Scan(&n))
		return n
	}
	b.clock.Add(nameLife * time.Second)
	must(b.svc.Process(ctx, b.device(2).request(license.RequestActivate, code), "", "other"))(t)
	if n := names(); n != 2 {
		t.Errorf("%d names at the end of their life, want 2", n)
	}
	b.clock.Add(2 * time.Hour)
	must(b.svc.Process(ctx, b.device(3).request(license.RequestActivate, code), "", "third"))(t)
	if n := names(); n != 2 {
		t.Errorf("%d names, want the 2 young ones", n)
	}
	if diff := cmp.Diff(first, must(b.svc.Process(ctx, request, "", "name"))(t)); diff != "" {
		t.Errorf("the recorded request did something new:\n%s", diff)
	}
}

func TestReactivationKeepsTheSeat(t *testing.T) {
	b := newBed(t)
	code, info := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	lic, seq := d.license, d.seq
	d.seq, d.head = 0, "" // the store is lost, the device key is not
	must0(t, d.activate(code))
	if d.license != lic || d.seq <= seq {
		t.Errorf("license %s at %d, had %s at %d", d.license, d.seq, lic, seq)
	}
	must0(t, d.renew())
	if got := must(b.svc.Code(context.Background(), info.ID))(t).Used; got != 1 || d.state() != "license" {
		t.Errorf("%d seats used, told %s", got, d.state())
	}
}

// TestOldRequestReplayed: bytes recorded earlier change nothing.
func TestOldRequestReplayed(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	activation := d.request(license.RequestActivate, code)
	first := must(b.svc.Process(context.Background(), activation, "", ""))(t)
	d.take(first)
	must0(t, d.renew())
	if diff := cmp.Diff(first, must(b.svc.Process(context.Background(), activation, "", ""))(t)); diff != "" {
		t.Errorf("a recorded activation got something new:\n%s", diff)
	}
	must0(t, d.renew())
	if d.state() != "license" {
		t.Errorf("the replay disturbed the device: %s", d.state())
	}
}

func TestEntitlementEnd(t *testing.T) {
	b := newBed(t)
	code, info := b.code(func(s *CodeSpec) { s.ValidDays, s.Devices = 30, 2 })
	d := b.device(1)
	b.clock.Add(100 * 24 * time.Hour)
	must0(t, d.activate(code))
	end := b.clock.Now().Unix() + 30*day
	if d.claims.Expires != end {
		t.Fatalf("expires %d, want %d", d.claims.Expires, end)
	}
	b.clock.Add(28 * 24 * time.Hour)
	must0(t, d.renew())
	if d.claims.Expires != end || d.claims.RenewBy != end || d.claims.GraceUntil != end {
		t.Errorf("near the end: exp %d ren %d grc %d, want all %d", d.claims.Expires, d.claims.RenewBy, d.claims.GraceUntil, end)
	}
	for _, step := range []struct {
		at   int64
		want protocol.Code
	}{{end - 1, ""}, {end, protocol.CodeEnded}, {end + 1, protocol.CodeEnded}} {
		b.clock.Add(time.Unix(step.at, 0).Sub(b.clock.Now()))
		wantCode(t, "renewal at the end", d.renew(), step.want)
	}
	wantCode(t, "activation after the end", b.device(2).activate(code), protocol.CodeEnded)
	must0(t, d.do(license.RequestRelease, ""))
	if got := must(b.svc.Code(context.Background(), info.ID))(t); got.Expires != end || got.Used != 0 {
		t.Errorf("code after the end: %+v", got)
	}
}

func TestTermsOfACode(t *testing.T) {
	b := newBed(t)
	code, _ := b.code(func(s *CodeSpec) {
		s.Renew, s.Grace, s.Ends = 3600, 7200, b.clock.Now().Unix()+day
	})
	d := b.device(1)
	must0(t, d.activate(code))
	now := b.clock.Now().Unix()
	if d.claims.RenewBy != now+3600 || d.claims.GraceUntil != now+10800 || d.claims.Expires != now+day {
		t.Errorf("ren +%d grc +%d exp +%d", d.claims.RenewBy-now, d.claims.GraceUntil-now, d.claims.Expires-now)
	}
}
