//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/platform/clock"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/paths"
	"licenseagent.example/store"
)

// world is what a composition in a test may replace. The zero value is what
// wire uses, except that no probe process is started.
type world struct {
	clock   func() activation.Reading
	observe func() fingerprint.Device
	wrap    func(activation.StateStore) activation.StateStore
	issuer  activation.Issuer
	connect func(protocol.Config) (activation.Issuer, error) // instead of protocol.NewClient
	log     *slog.Logger
	serve   bool // open the local socket
	limits  localapi.Limits
}

// composed is the composition of wire in this process: the same parts in the
// same order, with the seams of world.
type composed struct {
	parts
	paths paths.Paths
}

func compose(dir string, w world) (c *composed, err error) {
	c = &composed{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.paths, err = paths.Under(dir, ""); err != nil {
		return c, err
	}
	if err := makeDirs(c.paths, dir); err != nil {
		return c, err
	}
	anchors, err := readAnchors(filepath.Join(c.paths.Config, "anchors"))
	if err != nil {
		return c, err
	}
	key, err := devicekey.Open(c.paths.State, rand.Reader)
	if err != nil {
		return c, err
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	c.store, err = store.Open(c.paths.State, store.Options{
		MACKey: key.Derive("license-agent store v1"), Now: func() int64 { return time.Now().Unix() },
		PublicDir: filepath.Join(c.paths.Runtime, publicDir),
		Report:    func(e store.Event) { w.log.Warn("store", "event", e.Kind, "file", e.File, "text", e.Text) },
	})
	if err != nil {
		return c, err
	}
	if w.clock == nil {
		clk := clock.New()
		w.clock = func() activation.Reading {
			r := clk.Now()
			return activation.Reading{Wall: r.Wall, Boot: r.Boot, BootID: r.BootID}
		}
	}
	if w.observe == nil {
		collector := &collect.Collector{Host: probe.Host{SMBIOSFile: filepath.Join(dir, "smbios.bin")}}
		w.observe = func() fingerprint.Device { return collector.Collect(context.Background()) }
	}
	var memory activation.StateStore = c.store
	if w.wrap != nil {
		memory = w.wrap(memory)
	}
	if w.connect == nil {
		w.connect = func(c protocol.Config) (activation.Issuer, error) { return protocol.NewClient(c) }
	}
	if w.issuer == nil {
		w.issuer, err = w.connect(protocol.Config{
			Base: anchors[0].Merchant, Roots: anchors[0].TLSRoots, Proxy: "direct", Agent: "license-agent/test",
			Now: time.Now, Rand: mrand.Float64, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		})
		if err != nil {
			return c, err
		}
	}
	c.daemon, err = agent.New(agent.Config{
		Activation: activation.Config{
			Store: memory, Anchors: anchors, Device: signer{key}, Clock: w.clock, Rand: rand.Reader, Observe: w.observe,
			Issuer: func(string) (activation.Issuer, error) { return w.issuer, nil }, AgentVersion: "license-agent/test",
		},
		Version: api.Version{Version: "test", API: 1, Instance: "default"}, KeyTier: key.Tier(),
		Process: processInfo(0), Log: w.log, Serial: 1000,
	})
	if err != nil || !w.serve {
		return c, err
	}
	c.server, err = localapi.New(localapi.Config{Licenses: c.daemon, Identify: localapi.FromKernel(nil), Now: time.Now, Log: w.log, Start: 1, Limits: w.limits})
	if err != nil {
		return c, err
	}
	c.listener, err = listen(c.paths, nil, w.log)
	return c, err
}

// The weaknesses: the same agent with one defence switched off.
func weakness(name string) (func(activation.StateStore) activation.StateStore, error) {
	switch name {
	case "none", "greedy", "boundless": // serveWeak sees to the last two
		return nil, nil
	case "early": // acknowledges before the change is on disk
		return func(s activation.StateStore) activation.StateStore { return &early{StateStore: s} }, nil
	case "forgetful": // does not write down what it asks before it asks
		return func(s activation.StateStore) activation.StateStore { return unpending{s} }, nil
	case "deaf": // goes on after a failed write as if it had succeeded
		return func(s activation.StateStore) activation.StateStore { return deaf{s} }, nil
	case "leaky": // keeps something of every change
		return func(s activation.StateStore) activation.StateStore { return &leaky{StateStore: s} }, nil
	case "plain": // keeps its state in a file without seal, mirror or signature
		p, err := openPlain(os.Getenv(plainEnv))
		return func(activation.StateStore) activation.StateStore { return p }, err
	}
	return nil, fmt.Errorf("no such weakness: %q", name)
}

// early writes each change only when the next one comes.
type early struct {
	activation.StateStore
	mu   sync.Mutex
	late *activation.Change
}

func (s *early) Apply(c activation.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late != nil {
		if err := s.StateStore.Apply(*s.late); err != nil {
			return err
		}
	}
	s.late = &c
	return nil
}

type unpending struct{ activation.StateStore }

// Apply keeps no request, but lets the activation in progress keep its record.
func (s unpending) Apply(c activation.Change) error {
	c.Put = slices.Clone(c.Put)
	for i := range c.Put {
		if c.Put[i].Key.Product != "" {
			c.Put[i].Pending = nil
		}
	}
	return s.StateStore.Apply(c)
}

type deaf struct{ activation.StateStore }

func (s deaf) Apply(c activation.Change) error {
	if s.StateStore.Apply(c) != nil {
		_, _ = s.Load() // it has stopped: go on
	}
	return nil
}

type leaky struct {
	activation.StateStore
	mu   sync.Mutex
	kept [][]byte
	open []*os.File
}

func (s *leaky) Apply(c activation.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	b := make([]byte, 32<<10)
	_, _ = rand.Read(b)
	s.kept, s.open = append(s.kept, b), append(s.open, f)
	go func() { select {} }()
	return s.StateStore.Apply(c)
}

// TestRealComposition shows that the composition of these tests is a working
// agent. Started with childEnv it is the process that a control kills: then it
// serves until somebody ends it.
func TestRealComposition(t *testing.T) {
	if name := os.Getenv(childEnv); name != "" {
		check0(t, serveWeak(name, os.Getenv("LICENSE_AGENT_DIR"), os.Stderr))
		return
	}
	t.Parallel()
	v := newVendor(t, nil)
	dir := v.home("one")
	r := command{weak: "none"}.start(t, dir)
	r.await()
	code, _ := v.code()
	check0(t, r.activate(code))
	check0(t, r.renew())
	if c := r.holds(v); c == nil || c.Seq != 2 {
		t.Fatalf("holds %+v, want a license at position 2", c)
	}
	r.stop()
	if _, err := weakness("no such thing"); err == nil {
		t.Error("an unknown weakness is accepted")
	}
}

func serveWeak(name, dir string, stderr io.Writer) error {
	wrap, err := weakness(name)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	w := world{wrap: wrap, log: log, serve: true}
	if name == "greedy" { // reads whatever it is given
		w.connect = newGreedy
	}
	if name == "boundless" { // lets one user take all that there is
		w.limits = localapi.Limits{PerUser: 1 << 30, Total: 1 << 30, Header: time.Hour, Request: time.Hour, Idle: time.Hour}
	}
	c, err := compose(dir, w)
	if err != nil {
		return err
	}
	log.Info(answersNow, "weakness", name)
	return c.run(ctx, func() {})
}
