// Package embed is the license agent inside a Go program, for products that
// cannot install a service. It keeps the same state, renews by the same rules
// and gives the same verdicts as the service; the state directory can be taken
// over by a service later. It is stable API.
//
// Limits, compared with the service:
//
//   - One process owns a state directory. A second one is refused
//     (store.ErrOwned); programs that run several processes at a time need the
//     service, or one process that answers for the others.
//   - Nothing happens while the program does not run: no renewal, no clock tick.
//     A license must be renewed before renew-by, so the program has to run, with
//     network, at least once in that time.
//   - The program sees as much of the hardware as its user may see. A license
//     that was enrolled by root may ask for more than a user can read.
//   - The store is checked in this process: of some damaged files the process
//     dies (bbolt maps the file into memory), where the service would put the
//     file aside and go on.
//   - Whoever owns the program's memory owns the device key.
//   - Seats count this program and its named users, see Seat. They end with the
//     program, and nothing takes them up again.
package embed

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/platform/clock"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/store"
)

// Config says where the state is and which vendors are trusted.
type Config struct {
	// Dir is the state directory: absolute, private to this user, made when it
	// does not exist (its parent must). Never on a network file system.
	Dir string
	// Anchors are the vendors' trust anchor files, as JSON text.
	Anchors [][]byte
	// Product and Version name the program to the merchant, such as "painter"
	// and "1.2.3".
	Product, Version string
	// SMBIOSFile is a copy of the SMBIOS table for programs that may not read
	// it; see package fingerprint/probe. May be empty.
	SMBIOSFile string
	// Proxy is a URL, "direct", or empty for HTTPS_PROXY.
	Proxy string
	// Language is "en" or "zh-CN" for sentences.
	Language string
	// Log may be nil. No record carries a code, a key or a serial.
	Log *slog.Logger
}

// Agent is an opened instance. It is safe for concurrent use.
type Agent struct {
	daemon *agent.Daemon
	lang   string
	pid    int

	cancel  context.CancelFunc
	done    chan error
	release func() error // what the daemon remembers in
	once    sync.Once
	closed  error
}

// ErrAnchor is returned by Open when a trust anchor is unusable or missing.
var ErrAnchor = errors.New("embed: no usable trust anchor")

// Open loads the state and starts to keep it alive in the background. Call
// Close before the program ends. On a virtual machine whose only network address
// or disk serial was made anew it asks the merchant first, once, and may take 20
// seconds. Errors: ErrAnchor, store.ErrOwned (another
// process uses the directory), securefile and devicekey errors that say which
// file is wrong and what to do.
func Open(cfg Config) (*Agent, error) {
	var anchors []license.Anchor
	for _, b := range cfg.Anchors {
		a, err := license.ParseAnchor(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnchor, err)
		}
		anchors = append(anchors, a)
	}
	if len(anchors) == 0 {
		return nil, ErrAnchor
	}
	dir, err := securefile.Make(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := dir.Close(); err != nil {
		return nil, err
	}
	collector := &collect.Collector{Host: probe.Host{SMBIOSFile: cfg.SMBIOSFile}}
	key, err := devicekey.Places{Machine: func() []string {
		return []string{devicekey.MachineID(), fingerprint.Format(collector.Collect(context.Background())).String}
	}}.Open(cfg.Dir, rand.Reader)
	if err != nil {
		return nil, err
	}
	clk := clock.New()
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	redact := agent.NewRedactor()
	log = slog.New(redact.Handler(log.Handler()))
	st, err := store.Open(cfg.Dir, store.Options{
		MACKey: key.Derive("license-agent store v1"), Now: func() int64 { return clk.Now().Wall },
		Report: func(e store.Event) { log.Warn("store", "event", e.Kind, "file", e.File, "text", e.Text) },
	})
	if err != nil {
		return nil, err
	}
	journal, lines, err := store.OpenJournal(cfg.Dir, clk.Now().BootID)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	settings := configure(cfg, anchors, key, collector, clk, st, redact, log)
	settings.SeatLog = agent.SeatLog{Lines: lines, Append: journal.Append, Replace: journal.Replace}
	return start(settings, api.Language(cfg.Language), func() error { return errors.Join(journal.Close(), st.Close()) })
}

// start keeps an agent alive in the background and returns it when it may
// answer. release is called when it has ended, also after an error.
func start(settings agent.Config, lang string, release func() error) (*Agent, error) {
	d, err := agent.New(settings)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	for _, h := range d.RestoredSeats() {
		h.End() // the program that held it has ended; only the peak of the period lives on
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &Agent{daemon: d, pid: os.Getpid(), lang: lang, cancel: cancel, done: make(chan error, 1), release: release}
	go func() { a.done <- d.Run(ctx) }()
	<-d.Settled()
	return a, nil
}

func configure(cfg Config, anchors []license.Anchor, key *devicekey.Key, collector *collect.Collector, clk clock.Clock, st *store.Store, redact *agent.Redactor, log *slog.Logger) agent.Config {
	name := cfg.Product + "/" + cfg.Version + " license-agent-embed"
	return agent.Config{
		Activation: activation.Config{
			Store: st, Anchors: anchors, Device: signer{key}, Rand: rand.Reader, AgentVersion: name,
			Clock: func() activation.Reading {
				r := clk.Now()
				return activation.Reading{Wall: r.Wall, Boot: r.Boot, BootID: r.BootID}
			},
			Observe: func() fingerprint.Device { return collector.Collect(context.Background()) },
			Issuer: func(issuer string) (activation.Issuer, error) {
				for _, a := range anchors {
					if a.Issuer == issuer {
						return protocol.NewClient(protocol.Config{
							Base: a.Merchant, Roots: a.TLSRoots, Proxy: cfg.Proxy, Agent: name, Language: cfg.Language,
							Now: func() time.Time { return time.Unix(clk.Now().Wall, 0) }, Rand: mrand.Float64,
						})
					}
				}
				return nil, activation.ErrUnknownIssuer
			},
		},
		Version: api.Version{Version: cfg.Version, API: 1, Instance: "embedded", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH},
		KeyTier: key.Tier(), Redact: redact, Log: log, Serial: uint64(max(clk.Now().Wall, 0)) << 20,
	}
}

// Close writes the last tick, ends the background work and releases the state.
// Closing twice is no error.
func (a *Agent) Close() error {
	a.once.Do(func() {
		a.cancel()
		a.closed = errors.Join(<-a.done, a.release())
	})
	return a.closed
}

// Verdict answers whether a product may run now. issuer may be "" when only one
// vendor has the product. An error means that nothing is licensed; a verdict
// whose Runs is false says why. errors.As finds an *api.Error.
func (a *Agent) Verdict(product, issuer string) (api.Verdict, error) {
	x, err := a.daemon.Why(api.KeyRequest{Product: product, Issuer: issuer}, a.lang)
	return x.License.Verdict, a.named(err)
}

// Status lists every license.
func (a *Agent) Status() api.Status { return a.daemon.Status(a.lang) }

// Why explains one verdict completely, with hardware values masked.
func (a *Agent) Why(key api.KeyRequest) (api.Explanation, error) {
	x, err := a.daemon.Why(key, a.lang)
	return x, a.named(err)
}

// Activate redeems an authorization code. Give ctx a deadline of a minute.
func (a *Agent) Activate(ctx context.Context, q api.ActivateRequest) (api.License, error) {
	out, err := a.daemon.Activate(ctx, q, a.lang)
	return out.License, a.named(err)
}

// Renew contacts the merchant now; in the background that happens by itself.
func (a *Agent) Renew(ctx context.Context, key api.KeyRequest) (api.License, error) {
	out, err := a.daemon.Renew(ctx, key, a.lang)
	return out.License, a.named(err)
}

// Release gives the seat back.
func (a *Agent) Release(ctx context.Context, key api.KeyRequest) (api.License, error) {
	out, err := a.daemon.Release(ctx, key, a.lang)
	return out.License, a.named(err)
}

// Request makes a request file for a machine without network.
func (a *Agent) Request(ctx context.Context, q api.OfflineRequest) ([]byte, error) {
	out, err := a.daemon.Request(ctx, q)
	if err != nil {
		return nil, a.named(err)
	}
	return base64.StdEncoding.DecodeString(out.File)
}

// Import takes in the merchant's answer file.
func (a *Agent) Import(ctx context.Context, answer []byte) (api.License, error) {
	out, err := a.daemon.Import(ctx, answer, a.lang)
	return out.License, a.named(err)
}

// Events waits until something after since has happened, or ctx ends.
func (a *Agent) Events(ctx context.Context, since uint64) api.Events {
	return a.daemon.Events(ctx, since)
}

// named gives an error the stable code and the sentence that the local API
// would give it.
func (a *Agent) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", localapi.Explain(err, a.lang), err)
}

// signer makes the device key a license.Signer.
type signer struct{ key *devicekey.Key }

// Public is the public key in the form that licenses carry.
func (s signer) Public() license.PublicKey {
	return license.PublicKey{Alg: s.key.Alg(), Pub: base64.StdEncoding.EncodeToString(s.key.PublicBytes())}
}

// Sign signs with the device key. A disk that does not take the first use is one
// that does not take the license either.
func (s signer) Sign(message []byte) ([]byte, error) {
	sig, err := s.key.Sign(message)
	if errors.Is(err, devicekey.ErrUse) {
		err = fmt.Errorf("%w: %w", activation.ErrStore, err)
	}
	return sig, err
}
