package merchant

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// race lets 64 devices activate one code at the same moment and counts winners.
func race(b *bed, round int, activate func(request []byte) error) int {
	code, _ := b.code()
	var requests [][]byte
	for i := range 64 {
		requests = append(requests, b.device(round*64+i).request(license.RequestActivate, code))
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	winners := 0
	for _, r := range requests {
		wg.Go(func() {
			if activate(r) == nil {
				mu.Lock()
				winners++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return winners
}

// TestP26OneSeat: a code for one device, 64 devices at once: one winner.
func TestP26OneSeat(t *testing.T) {
	b := newBed(t)
	n := promise.Size(5, 1000)
	for r := range n {
		won := race(b, r, func(request []byte) error {
			_, err := b.svc.Process(context.Background(), request, "", "")
			if err != nil && codeOf(t, err) != protocol.CodeUsedUp {
				t.Errorf("a loser was refused with %v", err)
			}
			return err
		})
		if won != 1 {
			t.Fatalf("round %d: %d winners of one seat", r, won)
		}
	}
	must(b.svc.VerifyAudit(context.Background()))(t)
	// The control checks in one transaction and writes in another, as in
	// Tailscale TS-2025-007. All check before one writes: the worst schedule,
	// forced here so that the control does not depend on luck.
	var checked sync.WaitGroup
	checked.Add(64)
	won := race(b, n, func(request []byte) error {
		req := must(license.OpenRequest(request))(t)
		in := &incoming{req: req, device: must(observed(req))(t), body: hash(string(request))}
		used := int64(0)
		var code entitlement
		err := b.svc.change(context.Background(), func(tx *tx) (err error) {
			if code, err = tx.code(in); err != nil {
				return err
			}
			return tx.row(`SELECT COUNT(*) FROM activations WHERE code_id = $1`, code.id).Scan(&used)
		})
		checked.Done()
		checked.Wait()
		if err != nil || used >= code.devices {
			return fmt.Errorf("refused: %w", err)
		}
		return b.svc.change(context.Background(), func(tx *tx) error {
			s := &seat{code: code, device: req.Device, key: req.Key, status: statusActive, parts: "[]", license: "lic-" + req.Device[4:20]}
			return tx.insert(s)
		})
	})
	if won <= 1 {
		t.Fatalf("the control has %d winners: this test cannot fail", won)
	}
	promise.Reached(t, "P26", fmt.Sprintf("64 devices x %d rounds: 1 winner each", n), fmt.Sprintf("check-then-write: %d winners", won))
}

// retried sends each request of n devices twenty times at once, over TLS, and
// counts the activations and the renewals that got other bytes than the first of
// their twenty.
func retried(b *bed, n int) (activations, renewals int) {
	t := b.t
	srv, _ := b.serve()
	client := newTLSClient(srv)
	differ := func(path string, request []byte) int {
		var mu sync.Mutex
		var wg sync.WaitGroup
		var first []byte
		others := 0
		for range 20 {
			wg.Go(func() {
				body, err := post(client, srv.URL+path, request, protocol.ContentEnvelope)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case first == nil:
					first = body
				case !bytes.Equal(first, body):
					others++
				}
			})
		}
		wg.Wait()
		return others
	}
	for i := range n {
		d := b.device(i)
		code, _ := b.code()
		activations += differ(protocol.PathActivations, d.request(license.RequestActivate, code))
		must0(t, d.activate(code))
		renewals += differ(protocol.PathRenewals, d.request(license.RequestRenew, ""))
	}
	return activations, renewals
}

// TestP26Retries: the same request many times at once gets the same bytes. The
// control is a service that knows no request again.
func TestP26Retries(t *testing.T) {
	n := promise.Size(3, 250)
	if a, r := retried(newBed(t), n); a+r != 0 {
		t.Fatalf("%d activations and %d renewals got other bytes", a, r)
	}
	forgetful := newBed(t)
	forgetful.svc.forgets = true
	a, r := retried(forgetful, 3)
	if a == 0 || r == 0 {
		t.Fatalf("without a memory of requests %d activations and %d renewals got other bytes: this test cannot fail", a, r)
	}
	promise.Reached(t, "P26", fmt.Sprintf("20 parallel retries x %d: identical bytes", 2*n),
		fmt.Sprintf("a service that knows no request again: other bytes for %d of 57 activations and %d of 57 renewals", a, r))
}

func TestSeatsAreCounted(t *testing.T) {
	b := newBed(t)
	code, info := b.code(func(s *CodeSpec) { s.Devices = 2 })
	one, two, three := b.device(1), b.device(2), b.device(3)
	must0(t, one.activate(code))
	must0(t, two.activate(code))
	wantCode(t, "third device", three.activate(code), protocol.CodeUsedUp)
	must0(t, one.do(license.RequestRelease, ""))
	must0(t, three.activate(code))
	wantCode(t, "released device comes back", one.activate(code), protocol.CodeUsedUp)
	must0(t, b.svc.Release(context.Background(), three.license, "moved"))
	must0(t, one.activate(code))
	if got := must(b.svc.Code(context.Background(), info.ID))(t).Used; got != 2 {
		t.Errorf("%d devices in use, want 2", got)
	}
	must0(t, three.renew())
	if three.state() != license.NoticeReleased {
		t.Errorf("a device released by the vendor was told %s", three.state())
	}
}

// A vendor may sell to machines without any serial of their own; their license
// is held by the device key and the contact.
func TestUnidentifiedMachines(t *testing.T) {
	b := newBed(t)
	code, info := b.code(func(s *CodeSpec) { s.Devices, s.Unidentified = 2, true })
	bare := func(r *license.Request) { r.Fingerprint = "|||BFEBFBFF000906EA" }
	d := b.device(1)
	must0(t, d.do(license.RequestActivate, code, bare))
	must0(t, d.do(license.RequestRenew, "", bare))
	if got := must(b.svc.Code(t.Context(), info.ID))(t); !got.Unidentified || got.Used != 1 {
		t.Errorf("%+v", got)
	}
	copied := d.copied()
	must0(t, d.do(license.RequestRenew, "", bare))
	must0(t, copied.do(license.RequestRenew, "", bare))
	if copied.state() != license.NoticeContested {
		t.Errorf("the copy was told %q", copied.state())
	}
}

func TestRefusals(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	code, info := b.code(func(s *CodeSpec) { s.Devices = 5 })
	d := b.device(1)
	wantCode(t, "unknown code", d.activate("00000-00000-00000-00000-00000"), protocol.CodeUnknownCode)
	wantCode(t, "other product", d.do(license.RequestActivate, code, func(r *license.Request) { r.Product = "sculptor" }), protocol.CodeWrongProduct)
	wantCode(t, "other vendor", d.do(license.RequestActivate, code, func(r *license.Request) { r.Issuer = "other.example" }), protocol.CodeWrongIssuer)
	wantCode(t, "renewal of nothing", d.do(license.RequestRenew, "", func(r *license.Request) { r.License = "lic-x" }), protocol.CodeUnknownLicense)
	wantCode(t, "not canonical hardware", d.do(license.RequestActivate, code, func(r *license.Request) { r.Fingerprint = "aa|b|c|d" }), protocol.CodeBadRequest)
	wantCode(t, "no hardware", d.do(license.RequestActivate, code, func(r *license.Request) { r.Fingerprint = "|||BFEBFBFF000906EA" }), protocol.CodeNoIdentity)
	if got := must(b.svc.Code(ctx, info.ID))(t); got.Used != 0 || got.FirstUsed != 0 {
		t.Errorf("refused activations left a trace: %+v", got)
	}
	must0(t, d.activate(code))
	other := b.device(2)
	other.license, other.seq, other.head = d.license, d.seq, d.head
	wantCode(t, "license of another device", other.renew(), protocol.CodeUnknownLicense)
	must0(t, b.svc.Freeze(ctx, info.ID, ""))
	wantCode(t, "frozen code", b.device(3).activate(code), protocol.CodeFrozen)
	must0(t, b.svc.Revoke(ctx, info.ID, ""))
	wantCode(t, "revoked code", b.device(3).activate(code), protocol.CodeRevoked)
	if _, err := b.svc.Process(ctx, []byte("{}"), "", ""); codeOf(t, err) != protocol.CodeBadRequest {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := b.svc.Process(ctx, bytes.Repeat([]byte("x"), protocol.MaxRequest+1), "", ""); codeOf(t, err) != protocol.CodeTooLarge {
		t.Errorf("too large: %v", err)
	}
	if _, err := b.svc.Process(ctx, d.request(license.RequestRenew, ""), license.RequestRelease, ""); codeOf(t, err) != protocol.CodeBadRequest {
		t.Errorf("renewal at the address of releases: %v", err)
	}
	forged := d.request(license.RequestRenew, "")
	at := bytes.Index(forged, []byte(`"sig":"`)) + 10
	if forged[at] == 'A' {
		forged[at] = 'B'
	} else {
		forged[at] = 'A'
	}
	if _, err := b.svc.Process(ctx, forged, "", ""); codeOf(t, err) != protocol.CodeBadSignature {
		t.Errorf("forged signature: %v", err)
	}
}

func TestTypedCodes(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	lower := []byte(code)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
		if c == '0' {
			lower[i] = 'o'
		}
		if c == '1' {
			lower[i] = 'l'
		}
	}
	must0(t, d.activate(string(lower)))
}

func TestIdempotencyKeys(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	code, _ := b.code(func(s *CodeSpec) { s.Devices = 3 })
	d := b.device(1)
	request := d.request(license.RequestActivate, code)
	first := must(b.svc.Process(ctx, request, "", "key-1"))(t)
	again := must(b.svc.Process(ctx, request, "", "key-1"))(t)
	if !bytes.Equal(first.License, again.License) {
		t.Error("the same request got another license")
	}
	_, err := b.svc.Process(ctx, d.request(license.RequestActivate, code), "", "key-1")
	wantCode(t, "the same name for another activation", err, protocol.CodeIdempotency)
	if s := protocol.Lookup(protocol.CodeIdempotency).Status; s != http.StatusUnprocessableEntity {
		t.Errorf("status %d", s)
	}
	// Another device may have drawn the same name: it is not the same request.
	must(b.svc.Process(ctx, b.device(2).request(license.RequestActivate, code), "", "key-1"))(t)
	d.take(first)
	renewal := d.request(license.RequestRenew, "")
	d.take(must(b.svc.Process(ctx, renewal, "", "key-2"))(t))
	_, err = b.svc.Process(ctx, d.request(license.RequestRenew, ""), "", "key-2")
	wantCode(t, "the same name for another renewal", err, protocol.CodeIdempotency)
	// A nonce belongs to one body.
	var used string
	original := d.request(license.RequestRelease, "", func(r *license.Request) { used = r.Nonce })
	d.take(must(b.svc.Process(ctx, original, "", ""))(t))
	changed := d.request(license.RequestRelease, "", func(r *license.Request) { r.Nonce, r.Agent = used, "changed/2" })
	_, err = b.svc.Process(ctx, changed, "", "")
	wantCode(t, "the same nonce in another request", err, protocol.CodeIdempotency)
}
