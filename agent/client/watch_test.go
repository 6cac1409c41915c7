package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

func activateOptions(code, product string) activation.ActivateOptions {
	return activation.ActivateOptions{Code: code, Product: product}
}

// Watch reports at the start, on each change, and again after the agent came
// back; it never spins.
func TestWatch(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "a.sock")
	answers := make(chan api.Events, 8)
	asked := make(chan string, 64)
	var inflight sync.WaitGroup
	serve := func() *http.Server {
		os.Remove(socket)
		ln, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inflight.Add(1)
			defer inflight.Done()
			asked <- r.URL.Query().Get("since") + "/" + r.URL.Query().Get("wait")
			select {
			case e := <-answers:
				json.NewEncoder(w).Encode(e)
			case <-r.Context().Done():
			}
		})}
		go srv.Serve(ln)
		return srv
	}
	srv := serve()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes := make(chan uint64, 8)
	pauses := make(chan time.Duration, 8)
	resume := make(chan struct{})
	c := &Client{Socket: socket}
	ended := make(chan error, 1)
	go func() {
		ended <- c.Watch(ctx, func(e api.Events) error {
			changes <- e.Serial
			if e.Serial == 99 {
				return errors.New("enough")
			}
			return nil
		}, func(d time.Duration) bool {
			select {
			case pauses <- d:
			default:
			}
			<-resume // closed when the next agent listens; further attempts do not wait
			return ctx.Err() == nil
		})
	}()

	answers <- api.Events{Serial: 5}
	if got := <-changes; got != 5 {
		t.Errorf("start: %d", got)
	}
	answers <- api.Events{Serial: 5} // nothing happened while waiting
	answers <- api.Events{Serial: 7, Events: []api.Event{{Serial: 7, Kind: api.EventVerdict}}}
	if got := <-changes; got != 7 {
		t.Errorf("change: %d", got)
	}
	for i, want := range []string{"0/0s", "5/30s", "5/30s"} {
		if got := <-asked; got != want {
			t.Errorf("request %d asked %s, want %s", i, got, want)
		}
	}
	<-asked // the poll that is open now
	srv.Close()
	c.Close()
	inflight.Wait() // or the old agent's handler takes the answer meant for the next
	if d := <-pauses; d != time.Second {
		t.Errorf("first pause %s", d)
	}
	srv = serve()
	defer srv.Close()
	close(resume)
	answers <- api.Events{Serial: 99}
	if got := <-changes; got != 99 {
		t.Errorf("after the restart: %d", got)
	}
	if err := <-ended; err == nil || err.Error() != "enough" {
		t.Errorf("ended with %v", err)
	}
}

// The plain calls carry their arguments and the agent's errors.
func TestCalls(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "a.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Method + " " + r.Host + r.URL.RequestURI() + " " + r.Header.Get("Accept-Language")
		if r.URL.Path == api.PathRelease {
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(api.ErrorBody{Error: *api.NewError(api.CodePermission, api.Chinese)})
			return
		}
		w.Write([]byte("{}"))
	})}
	go srv.Serve(ln)
	defer srv.Close()
	c := &Client{Socket: socket, Language: "zh-CN"}
	ctx, key := t.Context(), api.KeyRequest{Issuer: "acme", Product: "studio"}
	for want, call := range map[string]func() error{
		"GET license-agent/v1/status zh-CN":                             func() error { _, err := c.Status(ctx); return err },
		"GET license-agent/v1/version zh-CN":                            func() error { _, err := c.Version(ctx); return err },
		"GET license-agent/v1/why?issuer=acme&product=studio zh-CN":     func() error { _, err := c.Why(ctx, key); return err },
		"GET license-agent/v1/license?issuer=acme&product=studio zh-CN": func() error { _, err := c.Files(ctx, key); return err },
		"GET license-agent/v1/preview?issuer=acme zh-CN":                func() error { _, err := c.Preview(ctx, "acme"); return err },
		"GET license-agent/v1/metrics zh-CN":                            func() error { _, err := c.Metrics(ctx); return err },
		"GET license-agent/v1/diagnose zh-CN":                           func() error { _, err := c.Diagnose(ctx); return err },
		"POST license-agent/v1/activate zh-CN":                          func() error { _, err := c.Activate(ctx, api.ActivateRequest{}); return err },
		"POST license-agent/v1/renew zh-CN":                             func() error { _, err := c.Renew(ctx, key); return err },
		"POST license-agent/v1/rebind zh-CN":                            func() error { _, err := c.Rebind(ctx, api.RebindRequest{}); return err },
		"POST license-agent/v1/request zh-CN":                           func() error { _, err := c.Request(ctx, api.OfflineRequest{}); return err },
		"POST license-agent/v1/import zh-CN":                            func() error { _, err := c.Import(ctx, api.ImportRequest{}); return err },
		"POST license-agent/v1/simulate zh-CN":                          func() error { _, err := c.Simulate(ctx, api.SimulateRequest{}); return err },
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("%s: got %s, %v", want, got, err)
		}
	}
	if _, err := c.Release(ctx, key); code(err) != api.CodePermission {
		t.Errorf("refusal: %v", err)
	}
	if _, err := (&Client{Instance: "Bad Name"}).Status(ctx); code(err) != api.CodeConfig {
		t.Errorf("bad instance: %v", err)
	}
}
