package client

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint"
)

// seal signs a proof as an agent that holds the key would.
func seal(t *testing.T, key license.Signer, lic, nonce []byte, product string) []byte {
	t.Helper()
	p, err := license.SealProof(license.Proof{
		V: 1, Nonce: encode(nonce), Product: product, License: license.Hash(lic), Phase: "active", Runs: true, Time: activationtest.Start, Boot: "b",
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(b []byte) string { return wire(b, nil, nil).License }

// TestFakeAgents is promise P14: ten kinds of fake agent are refused although
// the program trusts nothing but the anchor. The control is a program that
// believes the verdict in the answer: every fake that answers at all fools it.
func TestFakeAgents(t *testing.T) {
	w := newWorld(t)
	lic, ks, err := w.agent.Envelopes("studio", "acme")
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 32)
	recorded := w.real(w.agent, nonce, "studio")

	other := activationtest.NewMachine("far away")
	otherAgent := w.activate(other, "CODE-1")
	otherLic, _, err := otherAgent.Envelopes("studio", "acme")
	if err != nil {
		t.Fatal(err)
	}
	twin := activationtest.NewMachine("far away, too")
	twin.Change(func(d *fingerprint.Device) { d.MAC = w.machine.Device().MAC })
	twinAgent := w.activate(twin, "CODE-1")
	forger := activationtest.NewMerchant("acme-forged", w.machine.Clock.Wall)
	forger.AddCode("F", activationtest.Offer{Product: "studio"})
	forged := activationtest.NewMachine("desk")
	forgedAgent, err := forged.Agent(forger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forgedAgent.Activate(t.Context(), activateOptions("F", "")); err != nil {
		t.Fatal(err)
	}
	forgedLic, forgedKS, err := forgedAgent.Envelopes("studio", "acme-forged")
	if err != nil {
		t.Fatal(err)
	}
	w.merchant.AddCode("SHORT", activationtest.Offer{Product: "mesher"})
	mesher, err := w.machine.Agent(w.merchant)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mesher.Activate(t.Context(), activateOptions("SHORT", "mesher")); err != nil {
		t.Fatal(err)
	}
	mesherLic, _, err := mesher.Envelopes("mesher", "acme")
	if err != nil {
		t.Fatal(err)
	}

	fakes := []struct {
		name string
		want string // code of the error; "no" when the answer is a verified no
		fake func(nonce []byte, product string) any
		slow time.Duration
		late int64 // seconds that passed on the program's clock
	}{
		{"replay of a recorded answer", api.CodeUntrusted, func([]byte, string) any { return recorded }, 0, 0},
		{"wrong nonce", api.CodeUntrusted, func(n []byte, p string) any {
			m := append([]byte{n[0] ^ 1}, n[1:]...)
			return w.real(w.agent, m, p)
		}, 0, 0},
		{"proof by another device's key", api.CodeUntrusted, func(n []byte, p string) any {
			return wire(lic, ks, seal(t, other.Key, lic, n, p))
		}, 0, 0},
		{"relayed to a licensed machine elsewhere", api.CodeWrongDevice, func(n []byte, p string) any {
			return wire(otherLic, ks, seal(t, other.Key, otherLic, n, p))
		}, 0, 0},
		{"relayed to a licensed machine with the same address", api.CodeWrongDevice, func(n []byte, p string) any {
			return w.real(twinAgent, n, p)
		}, 0, 0},
		{"old license with a fresh proof", "no", func(n []byte, p string) any {
			return wire(lic, ks, seal(t, w.machine.Key, lic, n, p))
		}, 0, 60 * day},
		{"self-made root", api.CodeUntrusted, func(n []byte, p string) any {
			return wire(forgedLic, forgedKS, seal(t, forged.Key, forgedLic, n, p))
		}, 0, 0},
		{"stripped proof", api.CodeUntrusted, func([]byte, string) any { return wire(lic, ks, nil) }, 0, 0},
		{"license of another product", api.CodeUntrusted, func(n []byte, _ string) any {
			return wire(mesherLic, ks, seal(t, w.machine.Key, mesherLic, n, "mesher"))
		}, 0, 0},
		{"answer after the deadline", api.CodeUntrusted, nil, 6 * time.Second, 0},
		{"garbage", api.CodeAgentAnswer, func([]byte, string) any { return "yes, you are licensed" }, 0, 0},
		{"garbage envelopes", api.CodeUntrusted, func([]byte, string) any { return wire([]byte("{}"), []byte("null"), []byte("[]")) }, 0, 0},
	}
	refused, fooled := 0, 0
	for _, f := range fakes {
		t.Run(f.name, func(t *testing.T) {
			w.mu.Lock()
			w.reply, w.slow = f.fake, f.slow
			w.mu.Unlock()
			w.machine.Clock.Advance(f.late)
			defer w.machine.Clock.Advance(-f.late)
			k := w.newChecker(w.machine)
			v, err := k.Check(t.Context(), "studio")
			switch {
			case v.Runs:
				t.Errorf("the fake was believed: %+v", v)
			case f.want == "no" && (err != nil || v.Reason == ""), f.want != "no" && code(err) != f.want:
				t.Errorf("%v %+v, want %s", err, v, f.want)
			default:
				refused++
			}
			// The control believes what the answer says about itself.
			var naive api.CheckAnswer
			if k.Client.do(t.Context(), http.MethodPost, api.PathCheck, nil, api.CheckRequest{Product: "studio", Nonce: encode(nonce)}, &naive) == nil && naive.Verdict.Runs {
				fooled++
			}
		})
	}
	w.reply, w.slow = nil, 0
	if v, err := w.newChecker(w.machine).Check(t.Context(), "studio"); err != nil || !v.Runs {
		t.Errorf("the real agent is refused: %v", err)
	}
	if fooled < 10 {
		t.Errorf("control: only %d fakes fool a program that believes the answer", fooled)
	}
	promise.Reached(t, "P14", fmt.Sprintf("%d of %d kinds of fake agent refused (Go)", refused, len(fakes)), fmt.Sprintf("a program that believes the answer: %d fooled it", fooled))
}

// Whatever stands at the socket, a call ends with a typed error.
func TestBadEndpoints(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "a.sock")
	k := &Checker{Anchor: newWorld(t).merchant.Anchor(), Client: &Client{Socket: socket, Timeout: 200 * time.Millisecond}}
	check := func() string { _, err := k.Check(t.Context(), "studio"); return code(err) }

	if got := check(); got != api.CodeNotRunning {
		t.Errorf("no socket: %s", got)
	}
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := check(); got != api.CodeWrongOwner {
		t.Errorf("a file in the socket's place: %s", got)
	}
	for name, c := range map[string]struct {
		say  string
		want string
	}{
		"silence":        {"", api.CodeTimeout},
		"half an answer": {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"license\":", api.CodeTimeout},
		"not HTTP":       {"SSH-2.0-OpenSSH_9.9\r\n", api.CodeAgentAnswer},
		"redirect":       {"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n", api.CodeAgentAnswer},
		"10 MiB":         {"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n" + strings.Repeat("x", 2<<20), api.CodeAgentAnswer},
		"endless header": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), api.CodeAgentAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			os.Remove(socket)
			ln, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			done := make(chan struct{})
			defer close(done)
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						buf := make([]byte, 4096)
						conn.Read(buf)
						conn.Write([]byte(c.say))
						<-done
					}()
				}
			}()
			k.Client.Close()
			k.Client.Timeout = 20 * time.Second // only a call that must end by time has little of it
			if c.want == api.CodeTimeout {
				k.Client.Timeout = 200 * time.Millisecond
			}
			if got := check(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
