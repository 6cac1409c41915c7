package merchant

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/activation/license"
)

// sticks puts each root key of a bed on a medium of its own.
func (b *bed) sticks() []string {
	b.t.Helper()
	var list []string
	for i, name := range []string{"root-1.pem", "root-2.pem", "root-3.pem"} {
		dir := filepath.Join(b.t.TempDir(), string(rune('a'+i)))
		must0(b.t, os.Mkdir(dir, 0o700))
		must0(b.t, os.Rename(filepath.Join(b.dir, "root", name), filepath.Join(dir, name)))
		list = append(list, dir)
	}
	return list
}

// travel writes a draft to a file and reads it back, as people carry it.
func travel(t *testing.T, d KeyDraft) KeyDraft {
	t.Helper()
	return must(ParseKeyDraft(must(json.MarshalIndent(d, "", "  "))(t)))(t)
}

// The ceremony: drafted on the server, signed where each root key is, imported.
// Fewer signatures than the threshold publish nothing; the same key twice counts
// once.
func TestOfflineCeremony(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	sticks := b.sticks()
	d := must(b.svc.DraftRotation(ctx, 0))(t)
	if _, err := b.svc.ImportKeySet(ctx, travel(t, d)); !errors.Is(err, ErrRoots) {
		t.Errorf("unsigned: %v", err)
	}
	for range 2 {
		d = travel(t, d)
		must0(t, d.Sign(sticks[:1]))
	}
	if d.SignedBy() != 1 {
		t.Errorf("one key signed twice counts %d times", d.SignedBy())
	}
	if _, err := b.svc.ImportKeySet(ctx, travel(t, d)); !errors.Is(err, ErrRoots) {
		t.Errorf("one of two: %v", err)
	}
	d = travel(t, d)
	must0(t, d.Sign(sticks[2:]))
	p := must(b.svc.ImportKeySet(ctx, travel(t, d)))(t)
	if p.Version != 2 || p.SignedBy != 2 || len(p.Keys) != 6 {
		t.Errorf("published %+v", p)
	}
	if _, err := b.svc.ImportKeySet(ctx, travel(t, d)); err == nil {
		t.Error("the same draft was imported twice")
	}
	code, _ := b.code()
	dev := b.device(1)
	must0(t, dev.activate(code))
	if dev.set.Version != 2 {
		t.Errorf("devices get key set %d", dev.set.Version)
	}
	if got := b.actions("vendor.example"); !slices.Contains(got, "keys.publish") {
		t.Errorf("audit: %v", got)
	}
}

// Nobody signs anything but what he is shown, and nothing but what was asked for
// is imported.
func TestDraftsThatLie(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	sticks := b.sticks()
	stranger := must(throwaway(b.svc.opts.Rand))(t).Public()
	evil := license.OnlineKey{ID: license.KeyID(stranger), Use: license.UseLicense, Alg: stranger.Alg, Pub: stranger.Pub, NotBefore: 1}

	// A key that the draft does not speak of is in the summary all the same.
	d := must(b.svc.DraftKeySet(ctx, nil))(t)
	d.Set.Keys = append(d.Set.Keys, evil)
	slices.SortFunc(d.Set.Keys, func(x, y license.OnlineKey) int { return strings.Compare(x.ID, y.ID) })
	if !strings.Contains(strings.Join(d.Summary(), "\n"), evil.ID) {
		t.Error("the summary hides a key")
	}
	must0(t, d.Sign(sticks))
	if _, err := b.svc.ImportKeySet(ctx, travel(t, d)); !errors.Is(err, ErrState) {
		t.Errorf("a foreign key was imported: %v", err)
	}

	// The signed part says something else than the draft.
	honest := must(b.svc.DraftKeySet(ctx, nil))(t)
	honest.Envelope = d.Envelope
	if err := honest.Sign(sticks[:1]); !errors.Is(err, ErrInput) {
		t.Errorf("signed something that was not shown: %v", err)
	}
	if _, err := b.svc.ImportKeySet(ctx, travel(t, honest)); !errors.Is(err, ErrState) {
		t.Errorf("imported something that was not shown: %v", err)
	}

	// Signatures of another vendor's roots.
	other := newBed(t)
	foreign := must(b.svc.DraftKeySet(ctx, nil))(t)
	if err := foreign.Sign(other.rootDirs()); !errors.Is(err, ErrRoots) {
		t.Errorf("another vendor's roots: %v", err)
	}

	// Something changed since the draft was made.
	old := must(b.svc.DraftKeySet(ctx, nil))(t)
	must0(t, old.Sign(sticks))
	must(b.svc.RotateKeys(ctx, sticks, 0))(t)
	if _, err := b.svc.ImportKeySet(ctx, travel(t, old)); !errors.Is(err, ErrState) {
		t.Errorf("an old draft: %v", err)
	}
	for _, text := range []string{"", "{}", "[]", `{"license_merchant_key_draft":2}`, `{"license_merchant_key_draft":1,"envelope":{`} {
		if _, err := ParseKeyDraft([]byte(text)); !errors.Is(err, ErrInput) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A draft changes nothing until it is imported, and a discarded one leaves no
// key behind.
func TestDraftChangesNothing(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	files := func() int { return len(must(os.ReadDir(filepath.Join(b.dir, "keys")))(t)) }
	before, rows := files(), must(b.svc.VerifyAudit(ctx))(t)
	d := must(b.svc.DraftRotation(ctx, 3600))(t)
	if files() != before+3 {
		t.Errorf("%d key files, want 3 new ones", files()-before)
	}
	must0(t, b.svc.Discard(d))
	if files() != before || must(b.svc.VerifyAudit(ctx))(t) != rows {
		t.Error("something is left of a discarded draft")
	}
	var n int
	must0(t, b.db.read.QueryRow(`SELECT COUNT(*) FROM keys`).Scan(&n))
	if n != 3 {
		t.Errorf("%d keys in the database, want 3", n)
	}
	if err := b.svc.FindRoots(ctx, []string{t.TempDir()}); !errors.Is(err, ErrRoots) {
		t.Errorf("no roots: %v", err)
	}
}

// Taking a key back says so in capitals, and after a restore key sets get
// numbers that no device has seen with another content.
func TestSummaryAndNumbers(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	p := must(b.svc.RotateKeys(ctx, b.rootDirs(), 0))(t)
	d := must(b.svc.DraftKeySet(ctx, p.Keys[:1]))(t)
	text := strings.Join(d.Summary(), "\n")
	for _, want := range []string{"TAKES BACK the online key " + p.Keys[0], "Publishes key set 3 of vendor.example", "2 of 3 root keys must sign it; 0 have.", "Keeps the online key"} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary lacks %q:\n%s", want, text)
		}
	}
	must(b.svc.OpenEpoch(ctx, "test"))(t)
	if p := must(b.svc.PublishKeys(ctx, b.rootDirs(), nil))(t); p.Version != versionsPerEpoch {
		t.Errorf("after a restore the key set has number %d", p.Version)
	}
	if p := must(b.svc.PublishKeys(ctx, b.rootDirs(), nil))(t); p.Version != versionsPerEpoch+1 {
		t.Errorf("and then %d", p.Version)
	}
}
