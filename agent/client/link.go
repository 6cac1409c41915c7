package client

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"licenseagent.example/agent/api"
)

// The conversation with the agent is one request and one answer at a time on a
// connection that is kept. net/http's Transport does that with two goroutines
// for each connection, and their hand-overs cost a third of a check.

const (
	maxLinks   = 16               // kept connections of one Client
	linkIdle   = 30 * time.Second // how long one is kept without use
	maxHeaders = 16 << 10         // bytes before the body of an answer
)

// link is one connection.
type link struct {
	conn  net.Conn
	limit *io.LimitedReader
	br    *bufio.Reader
	idle  *time.Timer
}

// links are the connections on which nothing is under way.
type links struct {
	mu   sync.Mutex
	kept []*link
}

// take returns a kept connection, nil when there is none.
func (p *links) take() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.kept) > 0 {
		l := p.kept[len(p.kept)-1]
		p.kept = p.kept[:len(p.kept)-1]
		if l.idle.Stop() {
			return l
		}
		l.conn.Close() //nolint:errcheck // its time is over
	}
	return nil
}

func (p *links) keep(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.kept) >= maxLinks {
		l.conn.Close() //nolint:errcheck // there are enough
		return
	}
	if l.idle == nil {
		l.idle = time.AfterFunc(linkIdle, func() { l.conn.Close() }) //nolint:errcheck // its time is over
	} else {
		l.idle.Reset(linkIdle)
	}
	p.kept = append(p.kept, l)
}

func (p *links) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.kept {
		l.idle.Stop()
		l.conn.Close() //nolint:errcheck // it is given up
	}
	p.kept = nil
}

func (c *Client) connect(ctx context.Context) (*link, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	limit := &io.LimitedReader{R: conn}
	return &link{conn: conn, limit: limit, br: bufio.NewReaderSize(limit, 8<<10)}, nil
}

// request is the text of a request.
func (c *Client) request(method, path, query string, body []byte) []byte {
	b := make([]byte, 0, 256+len(body))
	b = append(append(append(b, method...), ' '), path...)
	if query != "" {
		b = append(append(b, '?'), query...)
	}
	b = append(b, " HTTP/1.1\r\nHost: "+api.Host+"\r\n"...)
	if c.Language != "" {
		b = append(append(append(b, "Accept-Language: "...), api.Language(c.Language)...), "\r\n"...)
	}
	if body != nil {
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n"...)
	}
	return append(append(b, "\r\n"...), body...)
}

// exchange sends one request and reads the whole answer into out. ends says
// that the connection cannot be used again; silent that the agent hung up
// before it said anything, so that a request that changes nothing may be sent
// once more.
func (c *Client) exchange(ctx context.Context, l *link, method string, request []byte, out any) (ends, silent bool, err error) {
	deadline, _ := ctx.Deadline()
	if err := l.conn.SetDeadline(deadline); err != nil {
		return true, true, c.transport(err)
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a connection that is gone needs none
		defer func() {
			if !stop() {
				ends = true // its deadline lies in the past
			}
		}()
	}
	said := false
	fail := func(err error) (bool, bool, error) {
		if ctx.Err() == context.Canceled {
			err = context.Canceled
		}
		return true, !said && hungUp(err), c.transport(err)
	}
	if _, err := l.conn.Write(request); err != nil {
		return fail(err)
	}
	l.limit.N = maxHeaders
	if _, err := l.br.Peek(1); err != nil {
		return fail(err)
	}
	said = true
	resp, err := http.ReadResponse(l.br, &http.Request{Method: method})
	if err != nil {
		return fail(err)
	}
	l.limit.N = maxAnswer + 1
	err = c.read(resp, out)
	var e *api.Error
	broken := err != nil && (!errors.As(err, &e) || e.Code == api.CodeAgentAnswer || e.Code == api.CodeTimeout)
	return broken || resp.Close || l.br.Buffered() > 0, false, err
}
