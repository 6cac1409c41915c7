package merchant

import (
	"context"
	"encoding/pem"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation/license"
)

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestLifeOverTLS(t *testing.T) {
	b := newBed(t)
	_, client := b.serve()
	code, info := b.code()
	d := b.device(1)
	send := func(kind, code string) string {
		t.Helper()
		a := must(client.Send(context.Background(), d.request(kind, code), "idem-"+nonce()))(t)
		d.take(a)
		return d.state()
	}
	var got []string
	got = append(got, send(license.RequestActivate, code))
	want := license.Claims{
		V: 1, Issuer: "vendor.example", ID: d.license, Product: "painter", Edition: "pro", Seats: 5,
		Features: []string{"batch", "export"}, Limits: []license.Limit{{Name: "max-projects", Value: 100}}, Device: d.claims.Device,
		IssuedAt: 1_800_000_000, NotBefore: 1_800_000_000, Expires: license.NoEnd, RenewBy: 1_800_000_000 + 7*day, GraceUntil: 1_800_000_000 + 21*day,
		Seq: 1, Head: d.head, KeySet: 1, Nonce: d.claims.Nonce, ServerTime: 1_800_000_000,
	}
	if diff := cmp.Diff(want, *d.claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	got = append(got, send(license.RequestRenew, ""))
	must0(t, b.svc.Freeze(context.Background(), info.ID, "unpaid"))
	got = append(got, send(license.RequestRenew, ""), send(license.RequestRenew, ""))
	must0(t, b.svc.Unfreeze(context.Background(), info.ID, "paid"))
	got = append(got, send(license.RequestRenew, ""))
	if d.claims == nil {
		t.Error("no license beside the notice active")
	}
	got = append(got, send(license.RequestRenew, ""), send(license.RequestRelease, ""), send(license.RequestRenew, ""))
	if diff := cmp.Diff([]string{"license", "license", "suspended", "suspended", "active", "license", "released", "released"}, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if d.seq != 8 {
		t.Errorf("chain at %d after 8 answers", d.seq)
	}
	ks := must(client.KeySet(context.Background()))(t)
	must(license.OpenKeySet(b.anchor, d.set, ks))(t)
	if diff := cmp.Diff([]string{"seat.activate", "seat.notice", "seat.notice", "seat.release", "seat.notice"}, b.actions(d.license)); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"code.add", "code.frozen", "code.active"}, b.actions(info.ID)); diff != "" {
		t.Errorf("audit of the code (-want +got):\n%s", diff)
	}
}
