package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/merchant"
)

// simulator is the marketplace of serve --marketplace simulated: in this
// process, driven over a socket in the data directory, remembered in a file. It
// calls the service back over its own HTTPS address.
type simulator struct {
	market       *koogallerytest.Marketplace
	keys         koogallery.Credentials
	callback     string
	file, socket string
	log          *slog.Logger
	now          func() time.Time

	listener net.Listener
	mu       sync.Mutex // of the file
}

// simulatedOrder is what the command "koogallery simulated" asks for.
type simulatedOrder struct {
	Do      string `json:"do"`
	Code    string `json:"code,omitempty"`
	Product string `json:"product,omitempty"`
	Amount  int64  `json:"amount,omitempty"`
	Days    int64  `json:"days,omitempty"`
}

// simulatedCode is how a code stands on the simulated market.
type simulatedCode struct {
	Code     string   `json:"code"`
	Product  string   `json:"product"`
	Amount   int64    `json:"amount"`
	Stage    string   `json:"stage"`
	Expires  int64    `json:"expires"`
	Checks   int      `json:"checks"`    // heartbeats answered
	Reports  []string `json:"reports"`   // clients whose use was reported
	OwedCall int      `json:"owed_call"` // callbacks that the service has not taken yet
}

// open takes the control socket, before the service says that it is ready.
func (s *simulator) open() (err error) {
	_ = os.Remove(s.socket) // of a run that was killed
	if s.listener, err = net.Listen("unix", s.socket); err != nil {
		return fmt.Errorf("simulated marketplace: %w", err)
	}
	return os.Chmod(s.socket, merchant.PrivateFile)
}

// run serves the control socket and makes the callbacks until ctx ends.
func (s *simulator) run(ctx context.Context, base string, roots *x509.CertPool) error {
	s.log.Warn("the marketplace is simulated: nothing here was bought")
	server := &http.Server{Handler: http.HandlerFunc(s.control), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(s.listener) }() // ends with Close
	defer server.Close()                         //nolint:errcheck // nothing is left to do about it
	client := &http.Client{Timeout: koogallerytest.Patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Time: s.now}}}
	seller := func(ctx context.Context, q url.Values, body []byte) (string, error) {
		return callSeller(ctx, client, base, q, body)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.save()
		case <-tick.C:
			if s.market.Deliver(ctx, s.callback, seller) > 0 {
				if err := s.save(); err != nil {
					s.log.Error("simulated marketplace", "error", err)
				}
			}
		}
	}
}

// callSeller makes one callback over HTTPS.
func callSeller(ctx context.Context, client *http.Client, base string, q url.Values, body []byte) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+merchant.CallbackPath+"?"+q.Encode(), jsonReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	var a merchant.CallbackAnswer
	err = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&a)
	return a.Code, err
}

func (s *simulator) save() error {
	text, err := s.market.Save()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.file + ".new"
	if err := os.WriteFile(next, text, merchant.PrivateFile); err != nil {
		return err
	}
	return os.Rename(next, s.file)
}

// control answers one order of the command.
func (s *simulator) control(w http.ResponseWriter, r *http.Request) {
	var o simulatedOrder
	err := json.NewDecoder(io.LimitReader(r.Body, 64<<10)).Decode(&o)
	var out any
	if err == nil {
		out, err = s.obey(o)
	}
	if err == nil {
		err = s.save()
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		out = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(out) // the command is gone: nothing to do
}

func (s *simulator) obey(o simulatedOrder) (any, error) {
	until := s.now().Add(time.Duration(o.Days) * 24 * time.Hour)
	var err error
	switch o.Do {
	case "sell":
		o.Code = "PL" + rand.Text()
		s.market.Sell(koogallerytest.Code{
			Code: o.Code, Product: o.Product, Order: "CS" + rand.Text()[:12], Amount: o.Amount,
			Validity: time.Duration(o.Days) * 24 * time.Hour, Stage: koogallerytest.Received,
		})
	case "renew":
		err = s.market.Renew(o.Code, until)
	case "freeze":
		err = s.market.Freeze(o.Code)
	case "unfreeze":
		err = s.market.Unfreeze(o.Code)
	case "release":
		err = s.market.Release(o.Code)
	case "show":
	default:
		err = fmt.Errorf("unknown order %q", o.Do)
	}
	if err != nil {
		return nil, err
	}
	c, ok := s.market.Get(o.Code)
	if !ok {
		return nil, errors.New("no such code on the simulated market")
	}
	show := simulatedCode{Code: c.Code, Product: c.Product, Amount: c.Amount, Stage: string(c.Stage), Checks: len(s.market.Beats(c.Code)), Reports: s.market.Usage(c.Code)}
	if !c.Expires.IsZero() {
		show.Expires = c.Expires.Unix()
	}
	for _, call := range s.market.Owed() {
		if !call.Done {
			show.OwedCall++
		}
	}
	return show, nil
}
