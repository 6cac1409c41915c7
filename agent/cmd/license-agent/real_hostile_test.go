//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/activation/protocol/protocoltest"
	"licenseagent.example/docs/promise"
)

// hostile lets the merchant's address answer with one behaviour; nil: the
// merchant answers again.
func (v *vendor) hostile(b *protocoltest.Behaviour) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.turned = b
}

// takeOver serves a behaviour on a connection whose request was read, until the
// client leaves.
func takeOver(w http.ResponseWriter, r *http.Request, b *protocoltest.Behaviour) {
	_, _ = io.Copy(io.Discard, r.Body)
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	if b.Serve(c) == nil && b.Silent {
		_, _ = io.Copy(io.Discard, c)
	}
}

// files lists what is below dir.
func files(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	check0(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		fmt.Fprintln(&b, path)
		return err
	}))
	return b.String()
}

// greedy is the client of an agent without a limit for what it reads; all else
// goes by the one that is shipped.
type greedy struct {
	*protocol.Client
	http *http.Client
	base string
}

func newGreedy(cfg protocol.Config) (activation.Issuer, error) {
	c, err := protocol.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cfg.Roots))
	return &greedy{Client: c, base: cfg.Base, http: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}}, nil
}

func (g *greedy) Send(ctx context.Context, request []byte, idempotencyKey string) (activation.Answer, error) {
	req, err := license.OpenRequest(request)
	if err != nil {
		return activation.Answer{}, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, g.base+protocol.Path(req.Kind), bytes.NewReader(request))
	if err != nil {
		return activation.Answer{}, err
	}
	post.Header.Set("Content-Type", protocol.ContentEnvelope)
	post.Header.Set(protocol.HeaderIdempotency, idempotencyKey)
	resp, err := g.http.Do(post)
	if err != nil {
		return activation.Answer{}, fmt.Errorf("%w: %w", activation.ErrUnreachable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return activation.Answer{}, fmt.Errorf("%w: %w", activation.ErrUnreachable, err)
	}
	a, err := protocol.DecodeAnswer(body)
	if err != nil {
		return activation.Answer{}, fmt.Errorf("%w: %w", activation.ErrAnswer, err)
	}
	return a, nil
}

// peak is the most memory that the process ever had in residence, in KiB.
func (r *running) peak() (kib int) {
	r.t.Helper()
	status := string(value(os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid)))(r.t))
	_, rest, _ := strings.Cut(status, "VmHWM:")
	_, err := fmt.Sscanf(rest, "%d", &kib)
	check0(r.t, err)
	return kib
}

// swollen is by how many KiB an agent without that limit grows when a hostile
// endpoint announces 64 MiB.
func swollen(t *testing.T, v *vendor) int {
	t.Helper()
	dir := v.home("greedy")
	code, _ := v.code()
	r := command{weak: "greedy"}.start(t, dir)
	defer r.kill()
	r.await()
	check0(t, r.activate(code))
	before := r.occupies()
	list := protocoltest.Behaviours(protocol.ContentAnswer, v.anchor.Merchant)
	i := slices.IndexFunc(list, func(b protocoltest.Behaviour) bool { return b.Name == "64 MiB announced" })
	v.hostile(&list[i])
	defer v.hostile(nil)
	if err := r.renew(); err == nil {
		t.Error("control: the agent calls 64 MiB of nothing a renewal")
	}
	return r.peak() - before.rss
}

// P23 on the shipped binary: whatever stands at the merchant's address, the
// agent keeps its size, its license, its files and its place in the chain.
func proveHostile(t *testing.T, bin string) {
	v := newVendor(t, nil)
	dir := v.home("agent")
	code, order := v.code()
	r := command{bin: bin}.start(t, dir)
	r.await()
	check0(t, r.activate(code))
	before, had := r.occupies(), files(t, dir)
	seq := v.newest(order).Seq
	tried, slow, silent := 0, time.Duration(0), time.Duration(0)
	behaviours := protocoltest.Behaviours(protocol.ContentAnswer, v.anchor.Merchant)
	for round := range promise.Size(1, 100) {
		for i := range behaviours {
			b := &behaviours[i]
			if b.Silent && (promise.Tier() == "test" || round > 0) {
				continue // half a minute each: the agent waits as long as it is allowed to
			}
			v.hostile(b)
			began := time.Now()
			err := r.renew()
			took := time.Since(began)
			tried++
			if err == nil {
				t.Errorf("%s: the agent calls this a renewal", b.Name)
			}
			if b.Silent {
				silent = max(silent, took)
			} else {
				slow = max(slow, took)
			}
			if l, ok := r.only(); !ok || !l.Verdict.Runs {
				t.Fatalf("%s: the license is gone: %+v\n%s", b.Name, l, r.log)
			}
		}
	}
	const most = 8 << 10
	grown := r.peak() - before.rss
	if grown > most {
		t.Errorf("grew by %d KiB, at most 8 MiB", grown)
	}
	if now := files(t, dir); now != had {
		t.Errorf("files before:\n%safter:\n%s", had, now)
	}
	children := value(os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", r.cmd.Process.Pid)))(t)
	if len(bytes.Fields(children)) != 0 {
		t.Errorf("children: %s", children)
	}
	v.hostile(nil)
	check0(t, r.renew())
	if c := r.holds(v); c == nil || c.Seq != seq+1 || v.forks() != 0 {
		t.Errorf("after it all the agent holds %+v, %d forks; want position %d", c, v.forks(), seq+1)
	}
	unbounded := swollen(t, v)
	if unbounded <= most {
		t.Errorf("control: without a limit for the body the agent grows by %d KiB only", unbounded)
	}
	waited := ""
	if silent = silent.Round(time.Second); silent > 0 {
		waited = ", silent ones given up after " + silent.String()
	}
	if silent > 30*time.Second {
		t.Errorf("waited %v for a silent endpoint, at most 30 s", silent)
	}
	promise.Reached(t, "P23", fmt.Sprintf("license-agent run: %d contacts with %d hostile endpoints: resident memory %+d KiB at its peak, license, files and place in the chain unchanged, refused within %v%s",
		tried, len(behaviours), grown, slow.Round(time.Millisecond), waited),
		fmt.Sprintf("the agent with a client without a limit for the body: %+d KiB for 64 MiB announced", unbounded))
}
