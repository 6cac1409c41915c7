//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
)

// TestReal runs the proofs that need the agent as it is shipped.
func TestReal(t *testing.T) {
	bin := built(t)
	for _, p := range []struct {
		name string
		run  func(*testing.T, string)
	}{{"Kill", proveKill}, {"FailedSync", proveFailedSync}, {"Damage", proveDamage}, {"DiskFull", proveDiskFull}, {"Chip", proveChip}, {"LostChip", proveLostChip}, {"Soak", proveSoak}, {"Speed", proveSpeed}, {"Hostile", proveHostile}, {"Seats", proveSeats}, {"Flood", proveFlood}, {"Lossy", proveLossy}, {"Race", proveRaces}} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.run(t, bin)
		})
	}
}

// built gives the path of the agent as it is shipped.
func built(t testing.TB) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "license-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("license-agent cannot be built: %v\n%s", err, out)
	}
	return bin
}

// command says how to start an agent.
type command struct {
	bin   string   // the shipped binary
	weak  string   // instead: the composition in this test, with one defence off
	trace []string // what runs it, and options, in front
	env   []string // more settings
}

// running is an agent process.
type running struct {
	t     testing.TB
	cmd   *exec.Cmd
	dir   string
	log   *lockedBuffer
	began time.Time
	ready chan time.Duration // from exec to "answers"; closed when the process has ended
	once  sync.Once
	asks  *client.Client

	programs []*holder // that were started to hold seats
}

const answersNow = "license-agent answers"

// start runs the agent below dir and does not wait for it.
func (c command) start(t testing.TB, dir string) *running {
	t.Helper()
	argv := []string{c.bin, "run"}
	env := []string{
		"LICENSE_AGENT_DIR=" + dir, "LICENSE_AGENT_SMBIOS_FILE=" + filepath.Join(dir, "smbios.bin"),
		"LICENSE_AGENT_LOG_FORMAT=json", "LICENSE_AGENT_PROXY=direct",
	}
	env = append(env, c.env...)
	if c.weak != "" {
		argv = []string{value(os.Executable())(t), "-test.run=^TestRealComposition$", "-test.timeout=30m"}
		env = append(env, childEnv+"="+c.weak, "GORACE=atexit_sleep_ms=0")
	}
	argv = append(append([]string(nil), c.trace...), argv...)
	r := &running{t: t, dir: dir, log: &lockedBuffer{}, ready: make(chan time.Duration, 1)}
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Env = env
	// A group of its own: the agent and what runs it die together.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	pipe := value(r.cmd.StderrPipe())(t)
	r.began = time.Now()
	check0(t, r.cmd.Start())
	go func() {
		defer close(r.ready)
		said := false
		for s := bufio.NewScanner(pipe); s.Scan(); {
			if !said && strings.Contains(s.Text(), answersNow) {
				said = true
				r.ready <- time.Since(r.began)
			}
			r.log.add(s.Text())
		}
	}()
	t.Cleanup(r.kill)
	return r
}

// await waits until the agent answers and returns how long that took. A start
// that ends by itself is a failure.
func (r *running) await() time.Duration {
	r.t.Helper()
	took, ok := <-r.ready
	if !ok {
		r.t.Fatalf("the agent did not start:\n%s", r.log)
	}
	return took
}

// kill is kill -9 of the whole group, and waits for the end.
func (r *running) kill() {
	r.once.Do(func() {
		_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		for range r.ready { // until the pipe is closed
		}
		_ = r.cmd.Wait()
		if r.asks != nil {
			r.asks.Close()
		}
	})
}

// stop ends the agent in order.
func (r *running) stop() {
	r.t.Helper()
	r.once.Do(func() {
		check0(r.t, r.cmd.Process.Signal(syscall.SIGTERM))
		for range r.ready {
		}
		if err := r.cmd.Wait(); err != nil {
			r.t.Fatalf("an orderly stop: %v\n%s", err, r.log)
		}
		if r.asks != nil {
			r.asks.Close()
		}
	})
}

func (r *running) client() *client.Client {
	if r.asks == nil {
		r.asks = &client.Client{Socket: filepath.Join(r.dir, "license-agent", "run", "agent.sock"), Timeout: 90 * time.Second}
	}
	return r.asks
}

// only is the one license of a status answer; ok is false when there is none.
func (r *running) only() (l api.License, ok bool) {
	r.t.Helper()
	st, err := r.client().Status(context.Background())
	if err != nil {
		r.t.Fatalf("status: %v\n%s", err, r.log)
	}
	if len(st.Licenses) != 1 || st.Licenses[0].ID == "" {
		return api.License{}, false
	}
	return st.Licenses[0], true
}

// holds is what the agent holds, verified; nil when it holds nothing.
func (r *running) holds(v *vendor) *license.Claims {
	r.t.Helper()
	if _, ok := r.only(); !ok {
		return nil
	}
	f := value(r.client().Files(context.Background(), api.KeyRequest{}))(r.t)
	c, err := v.claims(value(base64.StdEncoding.DecodeString(f.License))(r.t), value(base64.StdEncoding.DecodeString(f.KeySet))(r.t))
	if err != nil {
		r.t.Fatalf("what the agent holds does not verify: %v", err)
	}
	return c
}

func (r *running) activate(code string) error {
	_, err := r.client().Activate(context.Background(), api.ActivateRequest{Code: code})
	return err
}

func (r *running) renew() error {
	_, err := r.client().Renew(context.Background(), api.KeyRequest{})
	return err
}

// childEnv names the weakness of a composition that runs as a process.
const childEnv = "LICENSE_AGENT_TEST_WEAKNESS"
