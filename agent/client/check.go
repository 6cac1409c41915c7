package client

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/platform/clock"
)

// Verdict is what Check has verified. Everything in it ends in the vendor's
// root keys, except Flags, Message and NextStep, which are the agent's words;
// where the agent says yes and this package's own time rule no, and in a verdict
// on files, Message and NextStep are this package's.
type Verdict struct {
	Runs       bool   // the answer
	Phase      string // the agent's: active, expiring, grace, suspended, …; by the own time rule and from files: valid, valid-stale, not-valid
	Flags      []string
	Reason     string // stable code, when Runs is false also from this package's own time rule
	Message    string
	NextStep   string
	Edition    string
	Features   []string
	Limits     map[string]int64
	Seats      int64
	Expires    time.Time // entitlement end
	RenewBy    time.Time
	GraceUntil time.Time
	License    string // license id
	KeySet     int64  // version of the vendor's key set; see Checker.MinKeySet
	Device     fingerprint.Comparison
}

// Has says whether the license grants a feature.
func (v Verdict) Has(feature string) bool {
	for _, f := range v.Features {
		if f == feature {
			return true
		}
	}
	return false
}

// ReasonAgent is the reason that only this package gives: the agent, with a
// valid proof, says no; see Phase.
const ReasonAgent = "agent-says-no"

// Checker asks whether a product may run and verifies the answer by itself. It
// keeps what was verified once, so that only the proof is verified per call.
// It is safe for concurrent use.
type Checker struct {
	// Anchor is the vendor's trust anchor, compiled into the program. Needed.
	Anchor license.Anchor
	// Client asks the agent; nil means a zero Client.
	Client *Client
	// Observe reads this machine with what this process may read; nil means
	// fingerprint/probe. It is called at most once per Reread.
	Observe func() fingerprint.Device
	// Reread is how long an observation is used; 0 means an hour.
	Reread time.Duration
	// Clock is the program's own clock: UTC seconds, and a monotonic reading;
	// nil means the machine's.
	Clock func() (wall int64, mono time.Duration)
	// Rand is where nonces come from; nil means crypto/rand.
	Rand io.Reader
	// MinKeySet is the highest Verdict.KeySet that the program remembers from earlier
	// runs; 0 for none. A Checker remembers by itself what it has verified.
	MinKeySet int64
	// KeySetTolerance is how many seconds past its expiry a key set is still accepted;
	// 0 means 400 days.
	KeySetTolerance int64

	mu       sync.Mutex
	client   *Client
	device   *fingerprint.Device
	readAt   time.Duration
	compared string // hash of the license that was compared with device
	result   fingerprint.Comparison
	newest   int64 // highest key set version verified
	known    map[verified]*license.Checked
	answers  map[string]*answer // the last one of each product
	buffers  sync.Pool          // for the text of an answer
}

// verified names a license and a key set that were verified together.
type verified struct{ license, keySet, product string }

// NewChecker makes a Checker for the vendor's trust anchor, given as the JSON
// text of the anchor file. The error holds an *api.Error (errors.As) with the
// code anchor, its sentences in English.
func NewChecker(anchor []byte) (*Checker, error) {
	a, err := license.ParseAnchor(anchor)
	if err != nil {
		return nil, new(Client).failBy(api.CodeAnchor, license.Code(err), err)
	}
	return &Checker{Anchor: a}, nil
}

// Check asks for a fresh proof for a product and verifies the whole chain in
// this order, failing closed: the key set by the root keys of the anchor, the
// license by the key set, the proof by the device key in the license and over
// the nonce just drawn, this machine's fingerprint as the program itself reads
// it, and the time.
//
// A genuine answer that says no is not an error: look at Verdict.Runs. An error
// holds an *api.Error (errors.As) with one of the codes agent-not-running,
// agent-timeout, agent-wrong-owner, agent-no-access, agent-bad-answer,
// agent-untrusted, agent-wrong-device, not-activated, ambiguous-product; nothing
// is licensed then. It ends within the Client's Timeout or with ctx.
func (k *Checker) Check(ctx context.Context, product string) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, k.asker().timeout()) // for both questions
	defer cancel()
	v, other, err := k.ask(ctx, product, false)
	if other {
		// By readings that may be old, the agent's older than this program's: both
		// read again before that is believed.
		k.mu.Lock()
		k.device = nil
		k.mu.Unlock()
		v, other, err = k.ask(ctx, product, true)
	}
	if other {
		return Verdict{}, k.asker().fail(api.CodeWrongDevice, errors.New(v.Device.Why))
	}
	return v, err
}

// ask is one question; other says that the answer is that of another machine.
func (k *Checker) ask(ctx context.Context, product string, reread bool) (v Verdict, other bool, err error) {
	c := k.asker()
	nonce := make([]byte, 32)
	if _, err := io.ReadFull(k.random(), nonce); err != nil {
		return Verdict{}, false, fmt.Errorf("client: no random nonce: %w", err)
	}
	_, asked := k.clock()
	// The parameter is the issuer of the anchor: an instance may hold licenses
	// of several vendors for products of the same name.
	in := api.CheckRequest{Product: product, Issuer: k.Anchor.Issuer, Nonce: base64.StdEncoding.EncodeToString(nonce), Reread: reread}
	raw, ok := k.buffers.Get().(*[]byte)
	if !ok {
		raw = new([]byte)
	}
	defer k.buffers.Put(raw)
	if err := c.do(ctx, http.MethodPost, api.PathCheck, nil, in, raw); err != nil {
		return Verdict{}, false, err
	}
	now, arrived := k.clock()
	out, proof, err := k.lastAnswer(product).read(*raw)
	if err != nil {
		return Verdict{}, false, c.fail(api.CodeAgentAnswer, err)
	}
	opts := k.options(product, now)
	opts.Nonce, opts.Asked, opts.Arrived = nonce, time.Unix(0, int64(asked)), time.Unix(0, int64(arrived))
	checked, err := k.verify(opts, out, proof)
	if err != nil {
		return Verdict{}, false, c.fail(api.CodeUntrusted, err)
	}
	cmp, err := k.compare(checked, out.licenseHash, arrived)
	if err != nil {
		return Verdict{}, false, c.fail(api.CodeUntrusted, err)
	}
	v = verdict(checked, cmp)
	v.Flags = out.flags
	if checked.Proof.Runs && !v.Runs {
		v.Message, v.NextStep = c.words(v.Reason)
	} else {
		v.Phase, v.Message, v.NextStep = checked.Proof.Phase, out.message, out.nextStep
	}
	if !v.Runs && v.Reason == "" {
		v.Reason = ReasonAgent
	}
	return v, otherMachine(cmp, checked.Proof.Missing), nil
}

// options are those of every check.
func (k *Checker) options(product string, now int64) license.CheckOptions {
	k.mu.Lock()
	defer k.mu.Unlock()
	return license.CheckOptions{Product: product, Now: now, KeySetTolerance: k.KeySetTolerance, MinKeySet: max(k.MinKeySet, k.newest)}
}

// verify checks an answer; license and key set only when they are other bytes
// than the last time. Nothing is remembered before it is verified.
func (k *Checker) verify(opts license.CheckOptions, a *answer, proof []byte) (checked *license.Checked, err error) {
	key := verified{a.licenseHash, a.keySetHash, opts.Product}
	k.mu.Lock()
	known := k.known[key]
	k.mu.Unlock()
	if known != nil {
		checked, err = known.WithProof(opts, a.licenseHash, proof)
	} else {
		checked, err = license.VerifyCheck(k.Anchor, opts, a.license, a.keySet, proof)
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// A handful of products at most; forgetting all of them costs one verification each.
	if k.known == nil || known == nil && len(k.known) >= maxKnown {
		k.known, k.answers = map[verified]*license.Checked{}, map[string]*answer{}
	}
	k.known[key], k.answers[opts.Product] = checked, a
	return checked, nil
}

// maxKnown is how many products are remembered.
const maxKnown = 16

// lastAnswer is the last one for a product that was verified, or an empty one.
func (k *Checker) lastAnswer(product string) *answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.answers[product]; a != nil {
		return a
	}
	return &answer{}
}

// otherMachine says whether a comparison refuses the machine. At least the policy's
// minimum of what this process can read must match, and what it cannot read is no
// evidence. The exception is a machine with replaced parts, for which the agent,
// which reads everything, decides or waits: it names in its proof what is missing
// on its own machine, and one that runs elsewhere does not miss what is lost here.
// It has no say while no strong part matches.
func otherMachine(cmp fingerprint.Comparison, missing []fingerprint.Kind) bool {
	short := cmp.StrongChanged && cmp.Matched < cmp.Need
	if cmp.Outcome != fingerprint.Different && !short {
		return false
	}
	return !cmp.StrongMatch || slices.ContainsFunc(cmp.Parts, func(p fingerprint.PartResult) bool {
		return p.Lost() && !slices.Contains(missing, p.Kind)
	})
}

func verdict(r *license.Checked, cmp fingerprint.Comparison) Verdict {
	limits := make(map[string]int64, len(r.Claims.Limits))
	for _, l := range r.Claims.Limits {
		limits[l.Name] = l.Value
	}
	return Verdict{
		Runs: r.Runs, Phase: string(r.State), Reason: r.Reason,
		Edition: r.Claims.Edition, Features: r.Claims.Features, Limits: limits, Seats: r.Claims.Seats, License: r.Claims.ID, KeySet: r.KeySet.Version,
		Expires: time.Unix(r.Claims.Expires, 0).UTC(), RenewBy: time.Unix(r.Claims.RenewBy, 0).UTC(), GraceUntil: time.Unix(r.Claims.GraceUntil, 0).UTC(),
		Device: cmp,
	}
}

// compare holds this machine against the license, once per license and reading.
func (k *Checker) compare(checked *license.Checked, hash string, mono time.Duration) (fingerprint.Comparison, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newest = max(k.newest, checked.KeySet.Version)
	reread := k.Reread
	if reread == 0 {
		reread = time.Hour
	}
	if k.device == nil || mono-k.readAt >= reread {
		observe := k.Observe
		if observe == nil {
			observe = probe.Host{}.Read
		}
		d := observe()
		k.device, k.readAt, k.compared = &d, mono, ""
	}
	if k.compared == hash {
		return k.result, nil
	}
	device := checked.Claims.Device
	salt, err := base64.StdEncoding.DecodeString(device.Salt)
	if err != nil {
		return fingerprint.Comparison{}, err
	}
	enrolled := fingerprint.Enrolled{Env: device.Env, Salt: salt, Parts: device.Parts}
	k.result, k.compared = fingerprint.Compare(device.Policy, enrolled, *k.device), hash
	return k.result, nil
}

func (k *Checker) asker() *Client {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client == nil {
		k.client = k.Client
		if k.client == nil {
			k.client = &Client{}
		}
	}
	return k.client
}

func (k *Checker) random() io.Reader {
	if k.Rand != nil {
		return k.Rand
	}
	return rand.Reader
}

func (k *Checker) clock() (int64, time.Duration) {
	if k.Clock != nil {
		return k.Clock()
	}
	c := clock.New()
	return c.Now().Wall, c.SinceBoot()
}
