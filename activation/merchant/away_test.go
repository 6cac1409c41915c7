package merchant

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
)

// cable is a Unix socket in front of a PostgreSQL server, which a test can cut.
type cable struct {
	mu    sync.Mutex
	to    string
	cut   bool
	conns map[net.Conn]bool
}

// onCable gives the bed a database URL that leads over a cable.
func (b *bed) onCable() *cable {
	b.t.Helper()
	u := must(url.Parse(b.dsn))(b.t)
	q := u.Query()
	dir := b.t.TempDir()
	c := &cable{to: filepath.Join(q.Get("host"), ".s.PGSQL.5432"), conns: map[net.Conn]bool{}}
	ln := must(net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432")))(b.t)
	b.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go c.carry(in)
		}
	}()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	b.dsn = u.String()
	return c
}

func (c *cable) carry(in net.Conn) {
	out, err := net.Dial("unix", c.to)
	if err != nil {
		_ = in.Close()
		return
	}
	c.mu.Lock()
	if c.cut {
		c.mu.Unlock()
		_, _ = in.Close(), out.Close()
		return
	}
	c.conns[in], c.conns[out] = true, true
	c.mu.Unlock()
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = way[0].Close(), way[1].Close()
		}()
	}
}

// set cuts the cable with everything that is on its way, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if !cut {
		return
	}
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

// breakable returns a switch that takes the database of a bed away and gives it
// back: the cable to PostgreSQL, the right to write to the SQLite file.
func (b *bed) breakable() func(away bool) {
	b.t.Helper()
	if strings.HasPrefix(b.dsn, "postgres") {
		c := b.onCable()
		return c.set
	}
	return func(away bool) {
		value := "0"
		if away {
			value = "1"
		}
		must(b.db.write.Exec("PRAGMA query_only = " + value))(b.t)
	}
}
