package merchant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// poll asks for news as an agent does; change adjusts what is signed.
func (d *device) poll(ctx context.Context, change ...func(*license.Poll)) (int, protocol.News) {
	d.t.Helper()
	p := license.Poll{V: 1, Issuer: "vendor.example", License: d.license, Device: license.DeviceID(d.signer.Public()), Time: d.bed.clock.Now().Unix()}
	for _, c := range change {
		c(&p)
	}
	env := must(license.SealPoll(p, d.signer))(d.t)
	r := httptest.NewRequest(http.MethodGet, protocol.PathNotices(d.license), nil).WithContext(ctx)
	r.Header.Set("Authorization", protocol.SchemePoll+" "+base64.StdEncoding.EncodeToString(env))
	w := httptest.NewRecorder()
	d.bed.svc.Handler().ServeHTTP(w, r)
	var n protocol.News
	if w.Code == http.StatusOK {
		must0(d.t, json.Unmarshal(w.Body.Bytes(), &n))
	}
	return w.Code, n
}

// glance polls and hangs up as soon as the service waits for news.
func (d *device) glance() (int, protocol.News) {
	ctx, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	var status int
	var n protocol.News
	done := make(chan struct{})
	go func() {
		defer close(done)
		status, n = d.poll(ctx)
	}()
	for {
		select {
		case <-done:
			return status, n
		case <-time.After(time.Millisecond): // polls: until it waits
			if d.bed.svc.hub.size() > 0 {
				hangUp()
			}
		}
	}
}

// News that is there already is told at once; after the renewal there is none.
func TestNoticesTellAtOnce(t *testing.T) {
	s, code, d := bought(t)
	if status, n := d.glance(); status != http.StatusOK || n.News {
		t.Errorf("right after the activation: %d %+v", status, n)
	}
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"marketplace freeze", func() { s.call(freeze(code)) }},
		{"marketplace unfreeze", func() { s.call(unfreeze(code)) }},
		{"renewal", func() { s.call(renewal(code, "CS2", s.clock.Now().Add(9000*time.Hour))) }},
		{"vendor freeze", func() { must0(t, s.svc.Freeze(context.Background(), id, "")) }},
		{"vendor unfreeze", func() { must0(t, s.svc.Unfreeze(context.Background(), id, "")) }},
		{"vendor release", func() { must0(t, s.svc.Release(context.Background(), d.license, "")) }},
	} {
		c.do()
		if status, n := d.poll(context.Background()); status != http.StatusOK || !n.News {
			t.Errorf("%s: %d %+v, want news at once", c.name, status, n)
		}
		must0(t, d.renew())
		if _, n := d.glance(); n.News {
			t.Errorf("%s: news again after the device was told", c.name)
		}
	}
}

// Who waits is woken by a change of this instance at once, and of another
// instance when it is looked for.
func TestNoticesWake(t *testing.T) {
	s, code, d := bought(t)
	other := s.service(s.db)
	defer other.Close()
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watched := s.svc // changed below
	watching.Go(func() { watched.WatchNotices(ctx) })
	for i, change := range []func(){
		func() { s.call(freeze(code)) },
		func() { // through the other instance: this one is told by nobody
			mine := s.svc
			s.svc = other
			s.call(unfreeze(code))
			s.svc = mine
		},
	} {
		told := make(chan protocol.News, 1)
		go func() {
			_, n := d.poll(context.Background())
			told <- n
		}()
		for s.bed.svc.hub.size() == 0 {
			time.Sleep(time.Millisecond) // polls: until it waits
		}
		select {
		case n := <-told:
			t.Fatalf("change %d: told %+v before anything changed", i, n)
		default:
		}
		change()
		if n := <-told; !n.News {
			t.Errorf("change %d: woken without news", i)
		}
		must0(t, d.renew())
	}
	stop()
	watching.Wait()
}

// A server that is told to stop does not wait for those who wait: they are
// answered, without news, and Shutdown ends.
func TestNoticesEndWithTheServer(t *testing.T) {
	s, _, d := bought(t)
	server := s.svc.Server()
	answered := make(chan int, 1)
	go func() {
		status, n := d.poll(context.Background())
		if n.News {
			status = 0
		}
		answered <- status
	}()
	for s.svc.hub.size() == 0 {
		time.Sleep(time.Millisecond) // polls: until it waits
	}
	select {
	case status := <-answered:
		t.Fatalf("answered %d before the end", status)
	default:
	}
	must0(t, server.Shutdown(context.Background()))
	if status := <-answered; status != http.StatusOK {
		t.Errorf("answered %d without news", status)
	}
	if status, n := d.poll(context.Background()); status != http.StatusOK || n.News {
		t.Errorf("one that comes later: %d %+v", status, n)
	}
}

// Only the device itself may ask, and only so many at a time.
func TestNoticesRefused(t *testing.T) {
	s, _, d := bought(t)
	if status, _ := d.poll(context.Background(), func(p *license.Poll) { p.License = "lic-other" }); status != http.StatusBadRequest {
		t.Errorf("a poll for another license: %d", status)
	}
	if status, _ := d.poll(context.Background(), func(p *license.Poll) { p.Issuer = "other.example" }); status != http.StatusForbidden {
		t.Errorf("a poll for another vendor: %d", status)
	}
	thief := d.copied()
	thief.signer = s.device(2).signer
	if status, _ := thief.poll(context.Background()); status != http.StatusBadRequest {
		t.Errorf("a poll signed by another key: %d", status)
	}
	lost := d.copied()
	lost.license = "lic-unknown"
	if status, _ := lost.poll(context.Background()); status != http.StatusNotFound {
		t.Errorf("a poll for an unknown license: %d", status)
	}
	for _, header := range []string{"", "Bearer x", protocol.SchemePoll + " %%%", protocol.SchemePoll} {
		r := httptest.NewRequest(http.MethodGet, protocol.PathNotices(d.license), nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		s.svc.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest {
			t.Errorf("Authorization %q: %d", header, w.Code)
		}
	}

	ctx, stop := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	for range s.svc.opts.Notices {
		waiting.Go(func() { d.poll(ctx) })
	}
	for s.svc.hub.size() < s.svc.opts.Notices {
		time.Sleep(time.Millisecond) // polls
	}
	if status, _ := d.poll(context.Background()); status != http.StatusTooManyRequests {
		t.Errorf("one more than the cap: %d, want 429", status)
	}
	stop()
	waiting.Wait()
	if n := s.svc.hub.size(); n != 0 {
		t.Errorf("%d wait after all have gone", n)
	}
	s.svc.opts.Notices = 0
	if status, _ := d.poll(context.Background()); status != http.StatusNotFound {
		t.Errorf("switched off: %d", status)
	}
}
