//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// fate is what befalls a connection.
type fate int

const (
	carried   fate = iota
	unasked        // it breaks before the request is there
	unheard        // it breaks after the merchant has carried the request out
	manyFates      // how many there are
)

// proxy is a bad network between agents and a merchant: it carries TCP, cannot
// look into the TLS, and breaks connections.
type proxy struct {
	to  string
	met [manyFates]atomic.Int64

	mu   sync.Mutex
	luck func() fate
}

// through puts a proxy in front of the merchant, for all agents furnished later.
func (v *vendor) through() *proxy {
	v.t.Helper()
	u := value(url.Parse(v.anchor.Merchant))(v.t)
	ln := value(net.Listen("tcp", "127.0.0.1:0"))(v.t)
	v.t.Cleanup(func() { _ = ln.Close() })
	p := &proxy{to: u.Host, luck: func() fate { return carried }}
	u.Host = ln.Addr().String()
	v.anchor.Merchant = u.String()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.carry(c)
		}
	}()
	return p
}

func (p *proxy) set(luck func() fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.luck = luck
}

// lose breaks two of five connections before and two of five after the request.
func (p *proxy) lose(seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 17))
	p.set(func() fate { return []fate{carried, unasked, unasked, unheard, unheard}[rnd.IntN(5)] })
}

func (p *proxy) carry(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	f := p.luck()
	p.mu.Unlock()
	p.met[f].Add(1)
	if f == unasked {
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	var answered, cut atomic.Bool
	go func() {
		b := make([]byte, 32<<10)
		for {
			n, err := client.Read(b)
			// The server has spoken and the client speaks again: the handshake is
			// over, and what the server says next is no part of it.
			if f == unheard && answered.Load() {
				cut.Store(true)
			}
			if _, failed := server.Write(b[:n]); err != nil || failed != nil {
				_ = server.(*net.TCPConn).CloseWrite()
				return
			}
		}
	}()
	// Until the merchant ends the connection, which it does after its reply.
	for b := make([]byte, 32<<10); ; {
		n, err := server.Read(b)
		answered.Store(true)
		if !cut.Load() {
			if _, failed := client.Write(b[:n]); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err != nil {
			return
		}
	}
}

// station is one machine: an agent process, its directory and its order.
type station struct {
	*running
	c     command
	order string
	met   int // contacts that brought an answer
}

func (s *station) restart(hard bool) {
	s.t.Helper()
	if hard {
		s.kill()
	} else {
		s.stop()
	}
	s.start(s.dir)
}

func (s *station) start(dir string) {
	s.t.Helper()
	s.running = s.c.start(s.t, dir)
	s.await()
}

// contact tries one renewal; the network may lose it.
func (s *station) contact() {
	s.t.Helper()
	if err := s.renew(); err == nil {
		s.met++
	} else if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != api.CodeUnreachable {
		s.t.Errorf("%s: renewing: %v\n%s", s.dir, err, s.log)
	}
}

// meets tries until n contacts have brought an answer.
func (s *station) meets(n int) {
	s.t.Helper()
	for tries := 0; s.met < n; tries++ {
		if tries == 50*n {
			s.t.Fatalf("%s: %d of %d contacts in %d attempts", s.dir, s.met, n, tries)
		}
		s.contact()
	}
}

func (s *station) contested() bool {
	s.t.Helper()
	l, ok := s.only()
	return ok && slices.Contains(l.Verdict.Flags, string(activation.FlagContested))
}

// join starts a process on a machine of its own and activates it.
func (v *vendor) join(t *testing.T, c command) *station {
	t.Helper()
	s := &station{c: c}
	dir := v.home("machine")
	s.running = c.start(t, dir)
	s.await()
	code, order := v.code()
	s.order = order
	for range 50 {
		err := s.activate(code)
		if err == nil {
			return s
		}
		if e := (*api.Error)(nil); !errors.As(err, &e) || e.Code != api.CodeUnreachable {
			t.Fatalf("activating: %v\n%s", err, s.log)
		}
	}
	t.Fatalf("no activation came through\n%s", s.log)
	return nil
}

// stoppedCopy ends the process and copies the machine's disk.
func (s *station) stoppedCopy() string {
	s.t.Helper()
	s.stop()
	dir := filepath.Join(quickDir(s.t), "copy")
	check0(s.t, os.MkdirAll(dir, 0o755))
	copyTree(s.t, s.dir, dir)
	return dir
}

// seenAt starts a second process on a copy of the machine and lets both renew in
// turns. It returns after how many answered contacts of the one that had fewer
// one of them was told, 0 for not within four; see turns.
func (s *station) seenAt() int {
	s.t.Helper()
	dir := s.stoppedCopy()
	other := &station{c: s.c, running: s.running}
	other.start(dir)
	s.start(s.dir)
	s.met = 0
	for min(s.met, other.met) < 4 {
		for _, m := range []*station{s, other} {
			m.contact()
			if m.contested() {
				other.stop()
				return max(1, min(s.met, other.met))
			}
		}
	}
	other.stop()
	return 0
}

// broughtBack restores an older copy of the machine's disk after that many further
// contacts and says whether the first answered contact after that is told.
func (s *station) broughtBack(contacts int) bool {
	s.t.Helper()
	s.meets(s.met + 1) // with no request outstanding; see comeback
	old := s.stoppedCopy()
	s.start(s.dir)
	s.meets(s.met + contacts)
	s.stop()
	check0(s.t, os.RemoveAll(s.dir))
	check0(s.t, os.Rename(old, s.dir))
	s.start(s.dir)
	s.meets(s.met + 1)
	return s.contested()
}

// proveLossy: P17 and P18 with processes of the shipped agent, whose TLS
// connections to the merchant go through a proxy that breaks four of five. The
// controls are the composition that does not write down what it asks, and a
// merchant that accepts one-behind.
func proveLossy(t *testing.T, bin string) {
	v := newVendor(t, nil)
	net := v.through()
	net.lose(18)
	n, beats := promise.Size(3, 24, 200), promise.Size(2, 6)
	var mu sync.Mutex
	copies, seen, latest, old, flagged, contacts := 0, 0, 0, 0, 0, 0
	stations := make([]*station, n)
	crowd(n, func(i int) {
		s := v.join(t, command{bin: bin})
		stations[i] = s
		for beat := range beats {
			s.meets(s.met + 1)
			if (i+beat)%2 == 0 {
				s.restart(beat%2 == 0)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		contacts += s.met
	})
	if t.Failed() {
		return
	}
	if forks := v.forks(); forks != 0 || contacts < n*beats {
		t.Fatalf("%d of %d honest processes are taken for copies (%d contacts)", forks, n, contacts)
	}
	crowd(n, func(i int) {
		s := stations[i]
		switch i % 3 {
		case 0:
			at := s.seenAt()
			mu.Lock()
			defer mu.Unlock()
			copies++
			if at > 0 && at <= 3 {
				seen++
			}
			latest = max(latest, at)
		case 1:
			first := s.broughtBack(1 + i/3%2)
			mu.Lock()
			defer mu.Unlock()
			old++
			if first {
				flagged++
			}
		}
	})
	if seen != copies || flagged != old || v.forks() != copies+old {
		t.Errorf("%d of %d copies seen within 3 contacts, %d of %d restored ones flagged at the first, %d seats contested", seen, copies, flagged, old, v.forks())
	}
	for i, s := range stations {
		if i%3 == 2 && s.contested() {
			t.Errorf("%s is honest and contested", s.dir)
		}
		s.stop()
	}
	broken := []int64{net.met[unasked].Load(), net.met[unheard].Load()}
	if broken[0] == 0 || broken[1] == 0 {
		t.Errorf("the network broke %d connections before and %d after the request", broken[0], broken[1])
	}
	careless := 0
	for range promise.Size(1, 3) {
		careless += forgetful(t)
	}
	if careless == 0 {
		t.Error("control: without write-ahead nobody honest was taken for a copy")
	}
	control := fmt.Sprintf("without the request on disk before it is sent %d of %d honest ones are contested", careless, promise.Size(1, 3))
	promise.Reached(t, "P17", fmt.Sprintf("%d processes of license-agent run over a TCP proxy that broke %d TLS connections before the request and %d after the merchant had carried it out, killed -9 and ended meanwhile: %d of %d copies seen, the last at contact %d; 0 of the %d contested while honest, in %d contacts", n, broken[0], broken[1], seen, copies, latest, n, contacts), control)
	promise.Reached(t, "P18", fmt.Sprintf("license-agent run over the same proxy: %d of %d restored state directories, one or two heartbeats old, flagged at the first contact", flagged, old), oneBehind(restoredUnseen(t)))
}

// forgetful counts the forks of one honest process that keeps no request, whose
// reply is lost and which is then killed.
func forgetful(t *testing.T) int {
	t.Helper()
	v := newVendor(t, nil)
	net := v.through()
	s := v.join(t, command{weak: "forgetful"})
	net.set(func() fate { return unheard })
	s.contact()
	net.set(func() fate { return carried })
	s.restart(true)
	s.contact()
	s.kill()
	return v.forks()
}
