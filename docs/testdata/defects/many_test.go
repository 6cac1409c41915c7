package localapi

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// Five hundred processes of one user that have connected before one of them asks.
func TestManyAtOnce(t *testing.T) {
	const n = 500
	var accepted atomic.Int64
	r := start(t, Config{Limits: Limits{Header: time.Minute, Request: time.Minute}, Identify: func(net.Conn) (Caller, error) {
		accepted.Add(1)
		return Caller{User: "uid:1000"}, nil
	}})
	var conns []net.Conn
	for range n {
		conns = append(conns, r.dial())
	}
	eventually(t, func() bool { return accepted.Load() == n })
	answered := 0
	for _, c := range conns {
		if status, err := ask(c, bufio.NewReader(c)); err == nil && status == http.StatusOK {
			answered++
		}
		c.Close()
	}
	if answered != n {
		t.Errorf("%d of %d answered", answered, n)
	}
}
