package merchant

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
)

func (s *stall) enqueue(kind, goods, key string, wait int64) {
	s.t.Helper()
	must0(s.t, s.svc.change(context.Background(), func(t *tx) error { return t.enqueue(kind, goods, key, t.now+wait, "") }))
}

// Several instances take the work, none of it twice.
func TestQueueSharedByInstances(t *testing.T) {
	s := newStall(t)
	other := s.service(s.db)
	defer other.Close()
	for i := range 250 {
		s.enqueue(jobBeat, "g", fmt.Sprint(i), 0)
	}
	var mu sync.Mutex
	taken := map[string]int{}
	var wg sync.WaitGroup
	for i := range 4 {
		svc := []*Service{s.svc, other}[i%2]
		wg.Go(func() {
			for {
				list, err := svc.claim(context.Background(), 20)
				if err != nil {
					t.Error(err)
				}
				if len(list) == 0 {
					return
				}
				mu.Lock()
				for _, j := range list {
					taken[j.id]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	twice := 0
	for _, n := range taken {
		if n > 1 {
			twice++
		}
	}
	if len(taken) != 250 || twice > 0 {
		t.Errorf("%d of 250 jobs taken, %d of them twice", len(taken), twice)
	}
}

// What a killed worker held is free after its lease, and what it wrote late
// about a job that is no longer its own changes nothing.
func TestQueueLease(t *testing.T) {
	s := newStall(t)
	other := s.service(s.db)
	defer other.Close()
	s.enqueue(jobBeat, "g", "1", 0)
	held := must(s.svc.claim(context.Background(), 10))(t)
	if n := len(must(other.claim(context.Background(), 10))(t)); n != 0 {
		t.Fatalf("%d jobs taken from a living worker", n)
	}
	s.clock.Add(jobLease * time.Second)
	mine := must(other.claim(context.Background(), 10))(t)
	if len(mine) != 1 || mine[0].attempts != 2 {
		t.Fatalf("%+v after the lease, want the job with its second attempt", mine)
	}
	must0(t, s.svc.settleTask(context.Background(), held[0], nil, nil))
	if s.count(`SELECT COUNT(*) FROM jobs`) != 1 {
		t.Error("a worker finished a job that it had lost")
	}
	must0(t, other.settleTask(context.Background(), mine[0], nil, nil))
	if s.count(`SELECT COUNT(*) FROM jobs`) != 0 {
		t.Error("the job is not finished")
	}
}

// slow is a marketplace whose calls take a second each of a clock that only
// tests move, and during which something happens.
type slow struct {
	Marketplace
	mu    sync.Mutex
	calls int
	took  func(calls int)
}

func (m *slow) Heartbeat(ctx context.Context, code string) (koogallery.Heartbeat, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	m.took(m.calls)
	return m.Marketplace.Heartbeat(ctx, code)
}

// A batch takes longer than a lease. What waits in it when the lease is over may
// be taken by another instance, and is then not done twice; what is being done
// is not taken.
func TestQueueSlowMarketplace(t *testing.T) {
	s := newStall(t)
	other := s.service(s.db)
	defer other.Close()
	var codes []string
	for i := range jobBatch {
		code := s.sell(fmt.Sprintf("PLTEST0000000003%02d", i), func(c *koogallerytest.Code) {
			c.Stage, c.Active, c.Expires = koogallerytest.Active, s.clock.Now(), s.clock.Now().AddDate(1, 0, 0)
		})
		g := &goods{id: lookup(s.svc.pepper, code), kind: goodsCode, state: goodsActive, standing: standAlive}
		must0(t, s.svc.change(context.Background(), func(t *tx) error { _, err := t.addGoods(g, code); return err }))
		s.enqueue(jobBeat, g.id, s.today(), 0)
		codes = append(codes, code)
	}
	taken := 0
	s.svc.market.Market = &slow{Marketplace: s.client, took: func(calls int) {
		s.clock.Add(time.Second)
		if calls == jobLease { // the lease of the claim is over
			taken = must(other.WorkDue(context.Background()))(t)
		}
	}}
	must(s.svc.WorkDue(context.Background()))(t)
	if taken == 0 || taken > jobBatch-jobLease {
		t.Errorf("the other instance took %d jobs of %d when the lease was over", taken, jobBatch)
	}
	for _, code := range codes {
		if n := len(s.market.Beats(code)); n != 1 {
			t.Errorf("%d heartbeats for %s", n, code)
		}
	}
	if n := s.count(`SELECT COUNT(*) FROM jobs`); n != 0 {
		t.Errorf("%d jobs are left", n)
	}
}

// Asked for again while it is being done: it is done again.
func TestQueueAskedAgain(t *testing.T) {
	s := newStall(t)
	s.enqueue(jobConfirm, "g", "", 0)
	j := must(s.svc.claim(context.Background(), 10))(t)
	s.enqueue(jobConfirm, "g", "", 0)
	must0(t, s.svc.settleTask(context.Background(), j[0], nil, nil))
	if n := len(must(s.svc.claim(context.Background(), 10))(t)); n != 1 {
		t.Errorf("%d jobs, want the one that was asked for meanwhile", n)
	}
}

// Pauses after failures: they grow, are never below a second nor above the cap,
// and asking again does not undercut them, except for a confirmation.
func TestQueuePauses(t *testing.T) {
	s := newStall(t)
	for attempts := int64(1); attempts < 20; attempts++ {
		longest := int64(0)
		for range 200 {
			p := s.svc.pause(attempts)
			if p < 1 || p > jobRetryCap {
				t.Fatalf("pause %d after %d attempts", p, attempts)
			}
			longest = max(longest, p)
		}
		if want := min(jobRetryBase<<(attempts-1), jobRetryCap) / 2; attempts < 10 && longest < int64(want) {
			t.Errorf("after %d attempts the longest of 200 pauses is %d s", attempts, longest)
		}
	}
	for kind, want := range map[string]int{jobUsage: 0, jobConfirm: 1} {
		s.enqueue(kind, "g", "k", 0)
		j := must(s.svc.claim(context.Background(), 10))(t)
		must0(t, s.svc.change(context.Background(), func(t *tx) error { return t.again(j[0], 500, "away") }))
		s.enqueue(kind, "g", "k", 0)
		if n := len(must(s.svc.claim(context.Background(), 10))(t)); n != want {
			t.Errorf("%s asked for again in a pause: %d taken, want %d", kind, n, want)
		}
	}
}

// Retried for two weeks, then left for a human.
func TestQueueGivesUp(t *testing.T) {
	s, code, d := bought(t)
	s.market.Away(true)
	s.clock.Add(24 * time.Hour)
	must0(t, d.do(license.RequestRenew, "", used(s.today())))
	tries := 0
	for range 4 * 20 {
		s.clock.Add(6 * time.Hour)
		tries += must(s.svc.WorkDue(context.Background()))(t)
	}
	q := must(s.svc.Queue(context.Background()))(t)
	if q.Failed != 3 || q.Waiting != 0 || tries > 3*4*15 || tries < 60 {
		t.Errorf("%+v after %d tries in 20 days", q, tries)
	}
	s.market.Away(false)
	s.enqueue(jobUsage, lookup(s.svc.pepper, code), s.today(), 0) // a new day of use does not wait behind the old
	s.work()
}

// A batch of usage with one bad code: the bad one is found and named, the
// others are reported.
func TestUsageBatchWithOneBadCode(t *testing.T) {
	s := newStall(t)
	var codes []string
	for i := range 12 {
		code := s.sell(fmt.Sprintf("PLTEST0000000002%02d", i))
		codes = append(codes, code)
		must0(t, s.device(i).activate(code))
	}
	bad := codes[5]
	s.market.Sell(koogallerytest.Code{Code: bad, Stage: koogallerytest.Received}) // the marketplace forgot the activation
	s.work()
	for _, code := range codes {
		want := 1
		if code == bad {
			want = 0
		}
		if n := len(s.market.Usage(code)); n != want {
			t.Errorf("%d reports for %s, want %d", n, code, want)
		}
	}
	p := s.trouble(problemUnknown)
	if p == nil || !strings.HasPrefix(p.Subject, "c-") || strings.Contains(fmt.Sprint(*p), bad) {
		t.Fatalf("the bad code is not named by its id: %+v", p)
	}
	if info := must(s.svc.Code(context.Background(), p.Subject))(t); info.Source != "koogallery" {
		t.Errorf("%+v", info)
	}
	if q := must(s.svc.Queue(context.Background()))(t); q.Failed != 1 {
		t.Errorf("%+v, want one job for a human", q)
	}
}

// More devices than one report takes.
func TestUsageOfManyDevices(t *testing.T) {
	s := newStall(t)
	code := s.sell("PLTEST000000000250", func(c *koogallerytest.Code) { c.Product, c.Amount = "OFFI2", 150 })
	must0(t, s.device(1).activate(code))
	id := lookup(s.svc.pepper, code)
	must0(t, s.svc.change(context.Background(), func(t *tx) error {
		for i := range 249 {
			if err := t.used(id, fmt.Sprintf("device-%d", i), []string{"2027-01-15"}); err != nil {
				return err
			}
		}
		return nil
	}))
	s.work()
	seen := map[string]bool{}
	for _, u := range s.market.Usage(code) {
		seen[u] = true
	}
	if len(seen) != 250 || len(s.market.Usage(code)) != 250 {
		t.Errorf("%d reports of %d devices, want 250 of 250", len(s.market.Usage(code)), len(seen))
	}
}

// A call that succeeds and says in some form that a part of it was not taken:
// what failed is never called reported, is named by its code's id, and is told
// again once somebody has put it right; the rest is not held up.
func TestUsageTakenInPart(t *testing.T) {
	const day = "2027-01-15"
	for _, c := range []struct {
		name, members string // with the client's mark, or the code
		code          bool   // the whole code is not taken
		named         bool   // the answer says which client it was
	}{
		{"by id", `"data":{"check_fail_list":[{"id":%q}]}`, false, true},
		{"by id, at the top", `"check_fail_list":[%q]`, false, true},
		{"by id, with a dot", `"data.check_fail_list":[{"id":%q}]`, false, true},
		{"by code", `"data":{"check_fail_list":[%q]}`, true, false},
		{"a count", `"data":{"check_fail_count":1,"about":%q}`, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStall(t)
			ctx := context.Background()
			good, bad := s.sell("PLTEST000000000271"), s.sell("PLTEST000000000272")
			must0(t, s.device(1).activate(good))
			must0(t, s.device(2).activate(bad))
			s.work()
			const mark = "device-050"
			must0(t, s.svc.change(ctx, func(t *tx) error {
				for i := range 120 {
					if err := t.used(lookup(s.svc.pepper, bad), fmt.Sprintf("device-%03d", i), []string{day}); err != nil {
						return err
					}
				}
				return t.used(lookup(s.svc.pepper, good), "device-x", []string{day})
			}))
			told := func(code string) (n int64) {
				return s.count(`SELECT COUNT(*) FROM uses WHERE reported > 0 AND goods = $1 AND day = $2`, lookup(s.svc.pepper, code), day)
			}
			refused := mark
			if c.code {
				refused = bad
			}
			already, alreadyGood := told(bad), told(good)
			s.market.RefuseUsage(fmt.Sprintf(c.members, map[bool]string{false: mark, true: bad}[c.code]), refused)
			s.work()
			want := already // without a name nothing of the code is taken for told
			if c.named {
				want += 119
			}
			if n := told(good); n != alreadyGood+1 {
				t.Errorf("%d of the good code are reported, want %d", n, alreadyGood+1)
			}
			if n := told(bad); n != want {
				t.Errorf("%d of the bad code are reported, want %d", n, want)
			}
			if n := s.count(`SELECT COUNT(*) FROM uses WHERE device = $1 AND reported > 0`, mark); n != 0 {
				t.Error("what was not taken is called reported")
			}
			p := s.trouble(problemBatch)
			if p == nil || len(s.svc.Open()) != 1 || !strings.HasPrefix(p.Subject, "c-") || strings.Contains(fmt.Sprint(*p), bad) {
				t.Fatalf("open are %+v", s.svc.Open())
			}
			if q := must(s.svc.Queue(ctx))(t); q.Failed != 1 || q.Waiting != 0 {
				t.Errorf("%+v, want one job for a human", q)
			}
			s.market.RefuseUsage("")
			must0(t, s.svc.Settle(ctx, problemBatch, p.Subject, "put right"))
			s.work()
			if n := told(bad); n != already+120 || len(s.svc.Open()) != 0 {
				t.Errorf("settled: %d of 120 are reported, open are %q", n-already, s.problems())
			}
		})
	}
}

// The worker by itself: woken by what it has to do, ended by its context.
func TestWork(t *testing.T) {
	s := newStall(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.svc.Work(ctx); close(ended) }()
	code := s.sell("PLTEST000000000260")
	must0(t, s.device(1).activate(code))
	s.clock.Add(time.Hour)
	for range 600 {
		if len(s.market.Usage(code)) > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond) // polls the worker
	}
	stop()
	<-ended
	if n := len(s.market.Usage(code)); n != 1 {
		t.Errorf("%d reports", n)
	}
}

// What the rows of a stolen database show: no code.
func TestGoodsSealed(t *testing.T) {
	s, code, _ := bought(t)
	var sealed, id string
	must0(t, s.db.read.QueryRow(`SELECT id, sealed FROM goods`).Scan(&id, &sealed))
	g := &goods{id: id, sealed: sealed}
	if got := must(s.svc.openGoods(g))(t); got != code {
		t.Errorf("opened %q", got)
	}
	if _, err := s.svc.openGoods(&goods{id: "x" + id, sealed: sealed}); err == nil {
		t.Error("a row of another id was opened")
	}
	for _, broken := range []string{"", "AAAA", sealed[:len(sealed)-8], strings.ToLower(sealed)} {
		if _, err := s.svc.openGoods(&goods{id: id, sealed: broken}); err == nil {
			t.Errorf("opened %q", broken)
		}
	}
	for _, table := range []string{"goods", "codes", "deeds", "jobs", "uses", "problems", "audit", "answers"} {
		rows := must(s.db.read.Query("SELECT * FROM " + table))(t)
		columns := must(rows.Columns())(t)
		for rows.Next() {
			values, to := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				to[i] = &values[i]
			}
			must0(t, rows.Scan(to...))
			if strings.Contains(fmt.Sprintf("%s", values), code) {
				t.Errorf("table %s holds the code", table)
			}
		}
		must0(t, rows.Close())
	}
}
