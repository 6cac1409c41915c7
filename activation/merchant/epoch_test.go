package merchant

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// A head is ours for its license and position and for no other, and nobody can
// change one digit of it.
func TestHeadsAreOurs(t *testing.T) {
	b := newBed(t)
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	if !b.svc.issued(d.license, d.seq, d.head) {
		t.Fatal("a head just issued is not ours")
	}
	for name, is := range map[string]bool{
		"another position": b.svc.issued(d.license, d.seq+1, d.head), "another license": b.svc.issued("lic-other", d.seq, d.head),
		"nothing": b.svc.issued(d.license, d.seq, ""), "no digits": b.svc.issued(d.license, d.seq, strings.Repeat("x", 64)),
		"short": b.svc.issued(d.license, d.seq, d.head[:62]), "long": b.svc.issued(d.license, d.seq, d.head+"00"),
	} {
		if is {
			t.Errorf("%s counts as ours", name)
		}
	}
	for i := range d.head {
		for _, digit := range "0123456789abcdef" {
			changed := d.head[:i] + string(digit) + d.head[i+1:]
			if changed != d.head && b.svc.issued(d.license, d.seq, changed) {
				t.Fatalf("digit %d changed to %c and still ours", i, digit)
			}
		}
	}
	// The copy that was told of the fork stands beside the chain.
	twin := d.copied()
	must0(t, d.renew())
	must0(t, twin.renew())
	if twin.state() != license.NoticeContested || b.svc.issued(twin.license, twin.seq, twin.head) {
		t.Errorf("the copy (%s) stands at a position of ours", twin.state())
	}
}

// backup writes a backup and returns it.
func (b *bed) backup() []byte {
	b.t.Helper()
	var out bytes.Buffer
	must(b.svc.Backup(context.Background(), &out, true))(b.t)
	return out.Bytes()
}

// restored is a bed on a database and key directory made from a backup, on the
// same kind of database.
func (b *bed) restored(backup []byte) *bed {
	b.t.Helper()
	r := &bed{t: b.t, dir: b.t.TempDir(), clock: b.clock, anchor: b.anchor, opts: b.opts}
	for _, d := range []string{"keys", "root"} {
		must0(b.t, os.MkdirAll(filepath.Join(r.dir, d), 0o700))
	}
	r.schema()
	must(r.restore(backup))(b.t)
	r.open()
	b.t.Cleanup(r.close)
	return r
}

func (b *bed) restore(backup []byte) (BackupInfo, error) {
	ctx, keys := context.Background(), filepath.Join(b.dir, "keys")
	if b.dsn != "" {
		return RestorePostgres(ctx, b.dsn, bytes.NewReader(backup), keys)
	}
	return RestoreSQLite(ctx, filepath.Join(b.dir, "merchant.db"), bytes.NewReader(backup), keys)
}

// fleet is n devices that renewed a few times.
func (b *bed) fleet(n int) []*device {
	b.t.Helper()
	code, _ := b.code(func(s *CodeSpec) { s.Devices = int64(n) })
	var list []*device
	for i := range n {
		d := b.device(i)
		must0(b.t, d.activate(code))
		for range i % 3 {
			must0(b.t, d.renew())
		}
		list = append(list, d)
	}
	return list
}

// moveTo lets devices talk to another service.
func moveTo(b *bed, devices []*device) []*device {
	var list []*device
	for _, d := range devices {
		c := d.copied()
		c.bed = b
		list = append(list, c)
	}
	return list
}

// TestRestoredDatabase: after a restore devices that are ahead of the database
// are accepted once by the position of their last signed reply. Without an
// epoch, the control, every one of them looks like a copy.
func TestRestoredDatabase(t *testing.T) {
	b := newBed(t)
	n := promise.Size(24, 2500) // of which four in five are ahead
	devices := b.fleet(n)
	backup := b.backup()
	ahead := 0
	var pending [][]byte
	for i, d := range devices { // life goes on: 0 to 4 contacts that the backup does not know
		for range i % 5 {
			must0(t, d.renew())
		}
		if i%5 > 0 {
			ahead++
		}
		if i%5 == 3 { // an answer that never arrives
			env := d.request(license.RequestRenew, "")
			must(b.svc.Process(context.Background(), env, "", ""))(t)
			pending = append(pending, env)
			continue
		}
		pending = append(pending, nil)
	}
	run := func(epoch bool) (forks int, r *bed, list []*device) {
		r = b.restored(backup)
		list = moveTo(r, devices)
		if epoch {
			must(r.svc.OpenEpoch(context.Background(), "test"))(t)
		}
		for i, d := range list {
			if pending[i] != nil {
				a, err := r.svc.Process(context.Background(), pending[i], "", "")
				must0(t, err)
				d.take(a)
			} else {
				must0(t, d.renew())
			}
			if d.state() != "license" {
				forks++
			}
		}
		must(r.svc.VerifyAudit(context.Background()))(t)
		return forks, r, list
	}
	forks, r, list := run(true)
	if forks != 0 {
		t.Fatalf("%d of %d devices look like copies after a restore with an epoch", forks, n)
	}
	reaccepted := 0
	for _, d := range list {
		must0(t, d.renew()) // and they go on as ever
		if d.state() != "license" {
			t.Fatal("the second contact after a restore is refused")
		}
	}
	must(r.svc.WalkAudit(context.Background(), func(row AuditRow) error {
		if row.Action == "seat.reaccept" {
			reaccepted++
		}
		return nil
	}))(t)
	if reaccepted != ahead {
		t.Errorf("%d re-accepted, %d were ahead", reaccepted, ahead)
	}
	if len(r.svc.Open()) != 0 {
		t.Errorf("problems after a good restore: %v", r.svc.Open())
	}
	control, r, _ := run(false)
	if control != ahead {
		t.Fatalf("without an epoch %d of %d devices that are ahead look like copies: this test cannot fail", control, ahead)
	}
	if p := r.svc.Open(); len(p) != 1 || p[0].Code != problemBehind {
		t.Errorf("a database that went back unnoticed: %v", p)
	}
	t.Logf("%s", fmt.Sprintf("%d devices, %d ahead of the backup: 0 look like copies; without an epoch %d", n, ahead, control))
}

// An epoch opens the door once for each seat: two copies that are both ahead are
// told apart as ever, and what was made up is not accepted at all.
func TestEpochStillSeesCopies(t *testing.T) {
	b := newBed(t)
	devices := b.fleet(3)
	backup := b.backup()
	d, liar, quiet := devices[0], devices[1], devices[2]
	must0(t, d.renew())
	older := d.copied() // ahead of the backup, behind the original
	must0(t, d.renew())
	r := b.restored(backup)
	must(r.svc.OpenEpoch(context.Background(), "test"))(t)
	list := moveTo(r, []*device{d, older, liar, quiet})

	must0(t, list[1].renew())
	if list[1].state() != "license" {
		t.Fatalf("the first to contact is %s", list[1].state())
	}
	must0(t, list[0].renew())
	if list[0].state() != license.NoticeContested {
		t.Errorf("the second copy is %s, want contested", list[0].state())
	}
	made := list[2]
	made.seq, made.head = made.seq+5, strings.Repeat("ab", 32)
	must0(t, made.renew())
	if made.state() != license.NoticeContested {
		t.Errorf("a made-up position is %s, want contested", made.state())
	}
	// One that contacts at the very position of the backup uses its turn up too.
	still := list[3]
	copied := quiet.copied()
	must0(t, copied.renew()) // at the old service: a copy that went ahead there
	must0(t, still.renew())
	copied.bed = r
	must0(t, copied.renew())
	if still.state() != "license" || copied.state() != license.NoticeContested {
		t.Errorf("original %s, copy ahead %s", still.state(), copied.state())
	}
}

// A re-bind by support takes what contacts next as it stands, once and for a
// while.
func TestRebindBySupport(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	d := b.fleet(1)[0]
	twin := d.copied()
	must0(t, d.renew())
	must0(t, twin.renew())
	must0(t, d.renew())
	if d.state() != license.NoticeContested {
		t.Fatalf("the original is %s", d.state())
	}
	must0(t, b.svc.Rebind(By(ctx, "ann"), d.license, "call"))
	must0(t, d.renew())
	if d.state() != license.NoticeActive {
		t.Errorf("after the re-bind: %s", d.state())
	}
	must0(t, twin.renew())
	if twin.state() != license.NoticeContested {
		t.Errorf("the copy after it: %s", twin.state())
	}

	// The whole machine was exchanged: its key and store moved to another one.
	must0(t, b.svc.Rebind(ctx, d.license, "new machine"))
	d.print = hardware(77)
	must0(t, d.renew())
	if d.claims == nil {
		t.Fatalf("new hardware after a re-bind: %s", d.state())
	}
	must0(t, d.renew())
	if d.state() != "license" {
		t.Errorf("and then: %s", d.state())
	}

	// An invitation ends, and is not for a seat that is gone.
	must0(t, b.svc.Rebind(ctx, d.license, ""))
	b.clock.Add((RebindWindow + 1) * 1e9)
	d.print = hardware(78)
	wantCode(t, "after the window", d.renew(), "device-mismatch")
	must0(t, b.svc.Release(ctx, d.license, ""))
	if err := b.svc.Rebind(ctx, d.license, ""); err == nil {
		t.Error("a released seat was re-bound")
	}
	if err := b.svc.Rebind(ctx, "lic-none", ""); err == nil {
		t.Error("nothing was re-bound")
	}
	if !slices.Contains(b.actions(d.license), "seat.rebind-open") {
		t.Error("the audit log does not tell")
	}
}
