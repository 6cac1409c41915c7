//go:build postgres

package merchant

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"licenseagent.example/activation/license"
)

// newPostgresBed is newBed for what only a database server has. Such tests are
// built with the tag postgres, which .ci/postgres sets: without it they do not
// exist, and with it they never pass for want of a server.
func newPostgresBed(t testing.TB) *bed {
	t.Helper()
	b := newBed(t)
	if b.dsn == "" {
		t.Fatal("the build tag postgres wants MERCHANT_TEST_POSTGRES: run make postgres")
	}
	return b
}

// An instance that holds a seat and does not go on (stopped, or cut off from the
// network) delays the others no longer than its lease; what it had not committed
// is undone, and it cannot commit it later. The control holds without a lease.
func TestStalledInstance(t *testing.T) {
	b := newPostgresBed(t)
	stall := func(lease time.Duration, d *device) (release func() error) {
		stalled := must(newPostgres(b.dsn, lease))(t)
		hold := must(stalled.write.BeginTx(context.Background(), nil))(t)
		must(hold.Exec(`UPDATE activations SET reason = 'stalled' WHERE license_id = $1`, d.license))(t)
		return func() error { return errors.Join(hold.Commit(), stalled.Close()) }
	}
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	release := stall(300*time.Millisecond, d)
	must0(t, d.renew())
	if d.state() != "license" {
		t.Errorf("after the lease: %s", d.state())
	}
	if err := release(); err == nil {
		t.Error("the stalled instance committed after its lease")
	}
	if got := must(b.svc.Device(context.Background(), d.license))(t); got.Reason == "stalled" {
		t.Error("what the stalled instance wrote is there")
	}

	// The control: with an endless lease the row stays locked until the
	// instance itself lets go, which here is after the other one has given up.
	impatient := must(newPostgres(b.dsn, lease))(t)
	impatient.timeout = time.Second
	svc := must(New(context.Background(), Options{DB: impatient, KeyDir: filepath.Join(b.dir, "keys"), Clock: b.clock.Now, Rand: b.svc.opts.Rand}))(t)
	release = stall(0, d)
	env := d.request(license.RequestRenew, "")
	if _, err := svc.Process(context.Background(), env, "", ""); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a lease: %v; this test cannot fail", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	a := must(svc.Process(context.Background(), env, "", ""))(t)
	d.take(a)
	if d.state() != "license" {
		t.Errorf("afterwards: %s", d.state())
	}
	svc.Close()
	must0(t, impatient.Close())
}

// A server that only reads, as a standby does after a failover, takes no renewal:
// whoever spreads the load must not send agents there.
func TestReadOnlyServerIsNotReady(t *testing.T) {
	b := newPostgresBed(t)
	b.db.write.SetMaxOpenConns(1) // what is set holds for a connection
	for _, step := range []struct {
		name, set, problems string
		ready               int
	}{
		{"a server that writes", `SELECT 1`, "", http.StatusOK},
		{"a server that only reads", `SET default_transaction_read_only = on`, problemDatabase, http.StatusServiceUnavailable},
		{"a server that writes again", `RESET default_transaction_read_only`, "", http.StatusOK},
	} {
		must(b.db.write.Exec(step.set))(t)
		b.probes(step.name, step.ready)
		if got := b.problems(); got != step.problems {
			t.Errorf("%s: problems: %q, want %q", step.name, got, step.problems)
		}
	}
}
