package merchant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
)

// signedInSeconds signs with a time stamp in seconds, written apart from the
// code under test.
func signedInSeconds(nonce string, at time.Time, body string) url.Values {
	sum := func(text string) string {
		h := hmac.New(sha256.New, []byte(callbackKey))
		h.Write([]byte(text))
		return hex.EncodeToString(h.Sum(nil))
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	return url.Values{"timestamp": {stamp}, "nonce": {nonce}, "signature": {sum(callbackKey + nonce + stamp + sum(body))}}
}

// attack is one call that must not be acted on. Without the defence it is made
// what it pretends to be.
func (s *stall) attack(kind, i int, body []byte, captured url.Values, defended bool) url.Values {
	at, key := s.clock.Now(), callbackKey
	switch kind {
	case 0: // forged: signed with another key
		if defended {
			key = fmt.Sprintf("guess-%d", i)
		}
	case 1: // altered: the signature of another body
		if defended {
			return koogallery.SignCallback(key, nonce(), at, append(slices.Clone(body), ' '))
		}
	case 2: // stale, in either direction and either unit
		if defended {
			at = at.Add([]time.Duration{-61 * time.Second, 61 * time.Second, -24 * time.Hour, 3 * time.Hour}[i/4%4])
		}
		if i/16%2 == 0 {
			return signedInSeconds(nonce(), at, string(body))
		}
	case 3: // replayed: a call that was taken before
		if !defended {
			must(s.db.write.Exec(`DELETE FROM nonces`))(s.t)
		}
		return captured
	}
	return koogallery.SignCallback(key, nonce(), at, body)
}

// P28: forged, altered, stale and replayed calls are not acted on; the time to
// answer is recorded while agents renew.
func TestCallbacksNeverForgedNeverTwice(t *testing.T) {
	n := promise.Size(1200, 10_000)
	acted, times, genuine := attackCallbacks(t, n, true)
	control, _, _ := attackCallbacks(t, 80, false)
	if acted != 0 {
		t.Errorf("%d of %d attacks were acted on", acted, n)
	}
	if control < 80 {
		t.Errorf("control: %d of 80 calls were acted on without the defence: this test sees nothing", control)
	}
	p := func(times []time.Duration, q float64) time.Duration {
		slices.Sort(times)
		return times[int(math.Ceil(q*float64(len(times))))-1].Round(10 * time.Microsecond)
	}
	kind := "SQLite"
	if os.Getenv("MERCHANT_TEST_POSTGRES") != "" {
		kind = "PostgreSQL"
	}
	promise.Reached(t, "P28", fmt.Sprintf("%s: %d forged, altered, stale and replayed callbacks: %d acted on; refused among renewals in p50 %v, p99.9 %v; %d genuine ones between them carried out in p50 %v, p99.9 %v",
		kind, n, acted, p(times, 0.5), p(times, 0.999), len(genuine), p(genuine, 0.5), p(genuine, 0.999)),
		fmt.Sprintf("defences off: %d of 80 acted on", control))
}

func attackCallbacks(t *testing.T, n int, defended bool) (acted int64, refused, genuine []time.Duration) {
	s, code, d := bought(t)
	body := must(json.Marshal(freeze(code)))(t)
	captured := koogallery.SignCallback(callbackKey, "captured", s.clock.Now(), body)
	if a, _ := s.svc.Callback(context.Background(), captured, body); a.Code != resultOK {
		t.Fatal(a)
	}
	s.call(unfreeze(code))
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { // an agent renews all the while
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := s.svc.Process(context.Background(), d.request(license.RequestRenew, ""), "", ""); err != nil {
					return
				}
				d = d.copied()
			}
		}
	})
	for i := range n {
		q := s.attack(i%4, i, body, captured, defended)
		before := time.Now()
		s.svc.Callback(context.Background(), q, body)
		refused = append(refused, time.Since(before))
		if defended && i%5 == 0 {
			order := must(json.Marshal(renewal(code, fmt.Sprintf("CS%d", i), s.clock.Now().Add(time.Duration(9000+i)*time.Hour))))(t)
			q := koogallery.SignCallback(callbackKey, nonce(), s.clock.Now(), order)
			before := time.Now()
			if a, _ := s.svc.Callback(context.Background(), q, order); a.Code != resultOK {
				t.Errorf("a genuine call: %+v", a)
			}
			genuine = append(genuine, time.Since(before))
		}
		if i%100 == 99 || !defended {
			if s.standing() != standAlive {
				acted++
				s.call(unfreeze(code))
			}
		}
	}
	close(stop)
	load.Wait()
	// Nothing slipped through between the looks either.
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	if defended {
		frozen := 0
		for _, r := range must(s.svc.Audit(context.Background(), id, 0, 100000))(t) {
			if r.Action == "market.update" {
				frozen++
			}
		}
		acted += int64(frozen - 2) // the captured call and its unfreeze
	}
	return acted, refused, genuine
}

// P28: duplicate orders have one effect, told at once by many, in either unit.
func TestDuplicateOrdersAtOnce(t *testing.T) {
	s, code, _ := bought(t)
	other := s.service(s.db)
	defer other.Close()
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	orders := promise.Size(10, 100)
	for o := range orders {
		body := must(json.Marshal(renewal(code, fmt.Sprintf("CS%d", o), s.clock.Now().Add(time.Duration(9000+o)*time.Hour))))(t)
		var wg sync.WaitGroup
		for i := range 8 {
			svc := []*Service{s.svc, other}[i%2]
			q := koogallery.SignCallback(callbackKey, nonce(), s.clock.Now(), body)
			if i%4 < 2 {
				q = signedInSeconds(nonce(), s.clock.Now(), string(body))
			}
			wg.Go(func() {
				// The loser of two at once may be told to try again; it does.
				for range 5 {
					if a, _ := svc.Callback(context.Background(), q, body); a.Code == resultOK {
						return
					}
				}
				t.Error("a duplicate was never answered")
			})
		}
		wg.Wait()
	}
	effects := 0
	for _, r := range must(s.svc.Audit(context.Background(), id, 0, 100000))(t) {
		if r.Action == "market.refresh" {
			effects++
		}
	}
	if effects != orders {
		t.Errorf("%d effects of %d orders", effects, orders)
	}
}
