package merchant

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// second opens another instance of the service on the same database.
func (b *bed) second() *bed {
	b.t.Helper()
	o := &bed{t: b.t, dir: b.dir, dsn: b.dsn, clock: b.clock, anchor: b.anchor}
	o.open()
	b.t.Cleanup(o.close)
	return o
}

// Instances that start together on an empty database make its schema once.
func TestInstancesStartTogether(t *testing.T) {
	b := &bed{t: t, dir: t.TempDir(), clock: newFakeClock()}
	b.schema()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			d, err := openDatabase(b.dir, b.dsn)
			if err != nil {
				t.Error(err)
				return
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// Two instances answer as one: the seats of a code are given once, a retry at
// the other instance gets the same bytes, and the audit chain has no gap.
func TestInstancesAnswerAsOne(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	others := []*bed{b, b.second(), b.second()}
	rounds := promise.Size(6, 200)
	for round := range rounds {
		code, info := b.code(func(s *CodeSpec) { s.Devices = 2 })
		var wg sync.WaitGroup
		var won atomic.Int64
		for i := range 12 {
			d := b.device(round*100 + i)
			env := d.request(license.RequestActivate, code)
			wg.Go(func() {
				var answers []string
				for try := range 3 { // the same bytes at every instance
					a, err := others[(i+try)%len(others)].svc.Process(ctx, env, "", "")
					if err != nil {
						var r *Refusal
						if !errors.As(err, &r) || r.Code != protocol.CodeUsedUp {
							t.Error(err)
						}
						return
					}
					answers = append(answers, string(a.License))
				}
				won.Add(1)
				if answers[0] != answers[1] || answers[1] != answers[2] {
					t.Error("a retry at another instance got other bytes")
				}
			})
		}
		wg.Wait()
		if won.Load() != 2 || must(b.svc.Code(ctx, info.ID))(t).Used != 2 {
			t.Fatalf("round %d: %d devices hold 2 seats", round, won.Load())
		}
	}
	must(b.svc.VerifyAudit(ctx))(t)
}

// What one instance changes the other knows at once: there is no cache that a
// frozen code could hide in.
func TestInstancesShareEverything(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	o := b.second()
	code, info := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	there := moveTo(o, []*device{d})[0]
	must0(t, o.svc.Freeze(ctx, info.ID, ""))
	must0(t, d.renew())
	if d.state() != license.NoticeSuspended {
		t.Errorf("frozen at the other instance: %s", d.state())
	}
	must0(t, b.svc.Unfreeze(ctx, info.ID, ""))
	there.seq, there.head = d.seq, d.head
	must0(t, there.renew())
	if there.claims == nil {
		t.Errorf("unfrozen here: %s", there.state())
	}
	must(o.svc.RotateKeys(ctx, b.rootDirs(), 0))(t)
	d.seq, d.head = there.seq, there.head
	must0(t, d.renew())
	if d.set.Version != 2 {
		t.Errorf("key set %d after a rotation at the other instance", d.set.Version)
	}
	token, _, err := o.svc.AddToken(ctx, "ann", RoleViewer, 3600)
	must0(t, err)
	must(b.svc.Authenticate(ctx, token))(t)
	must(b.svc.RevokeToken(ctx, "ann"))(t)
	if _, err := o.svc.Authenticate(ctx, token); !errors.Is(err, ErrToken) {
		t.Errorf("a token revoked at the other instance: %v", err)
	}
}

// TestKilledInstance: two processes serve one database; one after the other is
// killed with -9 in the middle of its work. Devices go to whichever answers.
// Nothing that was answered is lost, no honest device looks like a copy, and
// nobody waits: a device is served by the other instance at once.
func TestKilledInstance(t *testing.T) {
	b := newBed(t)
	code, _ := b.code(func(s *CodeSpec) { s.Devices = 8 })
	var devices []*device
	for i := range 8 {
		d := b.device(i)
		must0(t, d.activate(code))
		devices = append(devices, d)
	}
	b.close()
	pair := &processes{t: t, dir: b.dir, dsn: b.dsn}
	for i := range pair.running {
		pair.running[i] = startChild(t, b.dir, b.dsn, "")
	}
	kills := promise.Size(4, 60)
	stop := make(chan struct{})
	var answered atomic.Int64
	var wg sync.WaitGroup
	for i, d := range devices {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				env := d.request(license.RequestRenew, "")
				if !pair.send(d, env, i+n) {
					return
				}
				answered.Add(1)
			}
		})
	}
	for k := range kills {
		for target := answered.Load() + 40 + rand.Int64N(40); answered.Load() < target; {
			time.Sleep(time.Millisecond) // polls the counter of answers
		}
		pair.kill(k % 2)
	}
	close(stop)
	wg.Wait()
	for i := range pair.running {
		pair.running[i].kill(t)
	}
	b.open()
	lost := lostAnswers(b, devices)
	contested := len(must(b.svc.Contested(context.Background(), 100))(t))
	if lost != 0 || contested != 0 {
		t.Fatalf("%d answers lost, %d honest devices contested", lost, contested)
	}
	must(b.svc.VerifyAudit(context.Background()))(t)
	kind := "SQLite"
	if b.dsn != "" {
		kind = "PostgreSQL"
	}
	t.Logf("%s: two processes, %d kills, %d answered renewals: 0 lost, 0 false forks, slowest answer by the other instance %v",
		kind, kills, answered.Load(), time.Duration(pair.slowest.Load()).Round(time.Millisecond))
}

// processes are two instances, of which one may be dead.
type processes struct {
	t       *testing.T
	dir     string
	dsn     string
	mu      sync.RWMutex
	running [2]*child
	slowest atomic.Int64
}

// send gives a request to one instance and, when that is dead, the same bytes to
// the other, until one answers.
func (p *processes) send(d *device, env []byte, first int) bool {
	start := time.Now()
	for try := range 200 {
		p.mu.RLock()
		c := p.running[(first+try)%2]
		p.mu.RUnlock()
		body, err := post(c.client, c.url+protocol.PathRenewals, env, protocol.ContentEnvelope)
		if err != nil {
			continue
		}
		if err := d.follow(body); err != nil {
			p.t.Error(err)
			return false
		}
		if took := int64(time.Since(start)); try > 0 && took > p.slowest.Load() {
			p.slowest.Store(took)
		}
		return true
	}
	p.t.Error("no instance answers")
	return false
}

// kill ends one instance and starts it again.
func (p *processes) kill(i int) {
	p.running[i].kill(p.t)
	c := startChild(p.t, p.dir, p.dsn, "")
	p.mu.Lock()
	p.running[i] = c
	p.mu.Unlock()
}

// Two instances that have the same seats in their batches, in opposite order,
// wait for each other instead of locking each other up. The control leaves the
// order as it came; only PostgreSQL has the row locks for it.
func TestInstancesDoNotLockEachOtherUp(t *testing.T) {
	b := newBed(t)
	o := b.second()
	devices := b.fleet(6)
	// One round: both instances change all seats in one transaction, the second
	// one in the other order; each waits after its first seat for the other.
	round := func(sorted bool) (failed int) {
		var met sync.WaitGroup
		met.Add(2)
		attempt := func(svc *Service, order []int) bool {
			var once sync.Once
			var jobs []*job
			for _, i := range order {
				id, lock, ahead := devices[i].license, "", ""
				if sorted {
					lock, ahead = "seat "+id, id
				}
				jobs = append(jobs, &job{ctx: context.Background(), lock: lock, seat: ahead, run: func(x *tx) error {
					s, err := x.seat(seatByLicense, id)
					if err != nil {
						return err
					}
					if !sorted {
						once.Do(func() { met.Done(); met.Wait() })
					}
					if err := x.audit("test", "touch", id, nil); err != nil {
						return err
					}
					return x.save(s)
				}})
			}
			return svc.attempt(jobs) && jobs[0].err == nil
		}
		var bad atomic.Int64
		var wg sync.WaitGroup
		for svc, order := range map[*Service][]int{b.svc: {0, 1, 2, 3, 4, 5}, o.svc: {5, 4, 3, 2, 1, 0}} {
			wg.Go(func() {
				if !attempt(svc, order) {
					bad.Add(1)
				}
			})
		}
		wg.Wait()
		return int(bad.Load())
	}
	for range promise.Size(10, 200) {
		if n := round(true); n != 0 {
			t.Fatalf("%d of 2 transactions failed", n)
		}
	}
	must(b.svc.VerifyAudit(context.Background()))(t)
	if b.dsn != "" && round(false) == 0 {
		t.Error("unsorted batches did not lock each other up: this test cannot fail")
	}
}
