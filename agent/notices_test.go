package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
)

// desk is the merchant's side of the notices.
type desk struct {
	key   *chip // nil: the device key that every rig has
	mu    sync.Mutex
	asked []time.Time
	do    func(n int) (bool, error)
}

// chip is a device key that may be away. Who asks it without end gets it back, so
// that a test ends.
type chip struct {
	license.Signer
	away  atomic.Bool
	asked atomic.Int64
}

func (c *chip) Sign(message []byte) ([]byte, error) {
	if c.asked.Add(1) < 1000 && c.away.Load() {
		return nil, fmt.Errorf("%w: nobody there", activation.ErrDevice)
	}
	return c.Signer.Sign(message)
}

func (d *desk) notices(ctx context.Context, issuer, licenseID string, poll []byte) (bool, error) {
	d.mu.Lock()
	d.asked = append(d.asked, time.Now())
	n := len(d.asked)
	do := d.do
	d.mu.Unlock()
	if issuer != "acme" || licenseID == "" || len(poll) == 0 {
		return false, fmt.Errorf("asked %q %q with %d bytes", issuer, licenseID, len(poll))
	}
	if do != nil {
		return do(n)
	}
	select { // held open
	case <-time.After(50 * time.Second):
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (d *desk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.asked)
}

// run runs a rig with notices for some time on a clock of its own.
func (d *desk) run(t *testing.T, activated bool, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := start(t, func(c *Config) {
			c.Notices, c.Uniform = d.notices, func() float64 { return 0.5 }
			c.Boot = func() int64 { return int64(time.Since(began)/time.Second) + 1000 }
			if d.key != nil {
				d.key.Signer = c.Activation.Device
				c.Activation.Device = d.key
			}
		})
		if activated {
			r.activate()
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.daemon.Run(ctx) }()
		f(r)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A chip that does not sign the question is asked rarely, and the questions go on
// when it is back.
func TestNoticesWithoutTheDeviceKey(t *testing.T) {
	d := &desk{key: &chip{}}
	d.run(t, true, func(*rig) {
		pass(time.Minute)
		d.key.away.Store(true)
		was := d.key.asked.Load()
		pass(10 * time.Hour)
		if n := d.key.asked.Load() - was; n < 2 || n > 100 {
			t.Errorf("asked for %d signatures in ten hours", n)
		}
		d.key.away.Store(false)
		before := d.count()
		pass(2 * time.Hour)
		if d.count() == before {
			t.Error("no question since the chip is back")
		}
	})
}

// News makes the agent renew within seconds, and it goes on asking.
func TestNoticeRenewsAtOnce(t *testing.T) {
	d := &desk{}
	d.run(t, true, func(r *rig) {
		pass(10 * time.Second)
		renewed := 0
		r.merchant.Before = func(req *license.Request) error {
			if req.Kind == license.RequestRenew {
				renewed++
			}
			return nil
		}
		r.merchant.SetState(code, license.NoticeSuspended)
		d.mu.Lock()
		before := len(d.asked)
		d.do = func(n int) (bool, error) {
			if n == before+1 {
				return true, nil
			}
			pass(50 * time.Second)
			return false, nil
		}
		d.mu.Unlock()
		pass(60 * time.Second) // the question that was open ends
		if renewed != 1 || r.phase() != string(activation.Suspended) {
			t.Errorf("%d renewals, phase %s", renewed, r.phase())
		}
		if d.count() < before+2 {
			t.Error("it does not ask again")
		}
	})
}

// A service that always says "news" costs ten renewals, then one per half hour.
func TestNoticeStreamIsBounded(t *testing.T) {
	d := &desk{do: func(int) (bool, error) { return true, nil }}
	d.run(t, true, func(*rig) {
		pass(2 * time.Hour)
		if n := d.count(); n < 10 || n > 15 {
			t.Errorf("asked %d times in two hours of constant news, want 10 and one per half hour", n)
		}
	})
}

// Failures rest longer and longer, never shorter than the service asks, and a
// service that does not offer notices is asked once in an hour or two.
func TestNoticeFailuresRest(t *testing.T) {
	for name, c := range map[string]struct {
		err         error
		least, most int
	}{
		"unreachable":  {activation.ErrUnreachable, 8, 20},
		"too many":     {fmt.Errorf("%w: %w", activation.ErrUnreachable, &activation.RefusedError{Code: "rate-limited", Status: 429, RetryAfter: 20 * time.Minute}), 6, 13},
		"switched off": {&activation.RefusedError{Code: "not-found", Status: 404}, 2, 5},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			d := &desk{do: func(int) (bool, error) { return false, c.err }}
			d.run(t, true, func(r *rig) {
				pass(4 * time.Hour)
				if n := d.count(); n < c.least || n > c.most {
					t.Errorf("asked %d times in four hours, want %d to %d", n, c.least, c.most)
				}
				if r.phase() != string(activation.Active) {
					t.Errorf("phase %s", r.phase())
				}
			})
		})
	}
}

// Nobody is asked before there is a license, nor after it was released; a new
// one is asked about at once.
func TestNoticeFollowsTheLicenses(t *testing.T) {
	d := &desk{}
	d.run(t, false, func(r *rig) {
		pass(time.Hour)
		if n := d.count(); n != 0 {
			t.Errorf("asked %d times without a license", n)
		}
		r.activate()
		pass(5 * time.Second)
		if n := d.count(); n != 1 {
			t.Errorf("asked %d times after the activation, want 1", n)
		}
		if _, err := r.daemon.life.Release(t.Context(), r.daemon.life.Held()[0].Key); err != nil {
			t.Error(err)
		}
		pass(time.Minute)
		before := d.count()
		pass(time.Hour)
		if n := d.count(); n != before {
			t.Errorf("asked %d times after the release", n-before)
		}
	})
}

// pass lets the time of a test's own clock go by.
func pass(d time.Duration) { <-time.After(d) }
