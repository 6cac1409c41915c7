//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

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

// greedy is what a client that reads what it is given takes from the hostile
// endpoint, up to 64 MiB.
func greedy(t *testing.T, v *vendor) (read int64) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(v.anchor.TLSRoots))
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer c.CloseIdleConnections()
	resp := value(c.Post(v.anchor.Merchant, "text/plain", nil))(t)
	defer resp.Body.Close()
	return value(io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<20)))(t)
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
	var after footprint
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
		after = after.worst(r.occupies())
	}
	v.hostile(&behaviours[0])
	taken := greedy(t, v)
	if taken < 64<<20 {
		t.Errorf("control: the endless body ended after %d bytes", taken)
	}
	if grown := after.rss - before.rss; grown > 8<<10 {
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
	waited := ""
	if silent = silent.Round(time.Second); silent > 0 {
		waited = ", silent ones given up after " + silent.String()
	}
	if silent > 30*time.Second {
		t.Errorf("waited %v for a silent endpoint, at most 30 s", silent)
	}
	promise.Reached(t, "P23", fmt.Sprintf("license-agent run: %d contacts with %d hostile endpoints: resident memory %+d KiB, license, files and place in the chain unchanged, refused within %v%s",
		tried, len(behaviours), after.rss-before.rss, slow.Round(time.Millisecond), waited),
		"a client that reads what it is given takes more than "+strconv.FormatInt(taken>>20, 10)+" MiB")
}
