package merchant

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Guessing limits: an address may send this many wrong codes at once and gets
// one more per interval. 2^120 codes cannot be guessed anyway; the limit keeps
// the database out of the game and makes an attempt visible.
const (
	guessBurst    = 10
	guessInterval = 30 * time.Second
	guessMemory   = 65536 // addresses remembered at most
)

// guesses counts wrong codes per address. The zero value is ready.
type guesses struct {
	mu  sync.Mutex
	bad map[string]guess
}

type guess struct {
	tokens float64
	at     time.Time
}

// address is the unit that is counted: an IPv4 address, or an IPv6 /64, which
// is what one customer gets.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}

// wait returns 0 when the address may try a code, else how long it must wait.
func (g *guesses) wait(addr string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, known := g.bad[addr]
	if !known {
		return 0
	}
	if b = refill(b, now); b.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - b.tokens) * float64(guessInterval)).Round(time.Millisecond)
}

// wrong counts a wrong code.
func (g *guesses) wrong(addr string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bad == nil {
		g.bad = map[string]guess{}
	}
	b, known := g.bad[addr]
	if !known {
		b = guess{tokens: guessBurst, at: now}
		if len(g.bad) >= guessMemory {
			g.forget(now)
		}
	}
	b = refill(b, now)
	b.tokens--
	g.bad[addr] = b
}

// forget makes room. It looks at a few entries only, in the random order of a
// map: a full table must not make every further wrong code expensive. Whoever
// has been quiet goes first, else the last one looked at.
func (g *guesses) forget(now time.Time) {
	looked, victim := 0, ""
	for a, b := range g.bad {
		victim = a
		if looked++; looked == 64 || refill(b, now).tokens >= guessBurst {
			break
		}
	}
	delete(g.bad, victim)
}

func refill(b guess, now time.Time) guess {
	if d := now.Sub(b.at); d > 0 {
		b.tokens = min(guessBurst, b.tokens+float64(d)/float64(guessInterval))
		b.at = now
	}
	return b
}
