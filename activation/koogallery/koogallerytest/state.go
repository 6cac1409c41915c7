package koogallerytest

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
)

// state is what survives a restart of a program that simulates a marketplace.
type state struct {
	Codes   []Code              `json:"codes"`
	Owed    []*Callback         `json:"owed"`
	OrderNo int                 `json:"order_no"`
	Usage   map[string][]string `json:"usage"`
}

// Save encodes codes, debts and usage.
func (m *Marketplace) Save() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := state{Owed: m.owed, OrderNo: m.orderNo, Usage: m.usage}
	for _, c := range m.codes {
		s.Codes = append(s.Codes, *c)
	}
	return json.MarshalIndent(s, "", "  ")
}

// Load replaces the state by what Save wrote.
func (m *Marketplace) Load(text []byte) error {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.codes, m.owed, m.orderNo = map[string]*Code{}, s.Owed, s.OrderNo
	for _, c := range s.Codes {
		m.codes[c.Code] = &c
	}
	if s.Usage != nil {
		m.usage = s.Usage
	}
	return nil
}

// Codes lists the codes on the market.
func (m *Marketplace) Codes() []Code {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []Code{}
	for _, c := range m.codes {
		m.age(c)
		list = append(list, *c)
	}
	return list
}

// Transport makes the marketplace reachable inside the process, for programs
// that simulate it without a network. The host must be one of the market's own.
func (m *Marketplace) Transport() http.RoundTripper { return transport{m} }

// errDown is what a client sees while the marketplace is away.
var errDown = errors.New("koogallerytest: the marketplace is away")

type transport struct{ m *Marketplace }

// RoundTrip answers a request without a connection.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	t.m.mu.Lock()
	down := t.m.down
	t.m.mu.Unlock()
	if down {
		return nil, errDown
	}
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.Host = r.URL.Host
	t.m.ServeHTTP(w, in)
	return w.Result(), nil
}

// Away takes the marketplace off the net, or brings it back.
func (m *Marketplace) Away(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = away
}
