package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/agent/client"
)

// process is the shipped binary with a license, in a directory of its own.
type process struct {
	b      *testing.B
	bin    string
	dir    string
	anchor []byte
	socket string
	cmd    *exec.Cmd
}

// newProcess builds both programs as they are shipped and activates by file, so
// that nothing listens but the agent.
func newProcess(b *testing.B) *process {
	b.Helper()
	p := &process{b: b, bin: b.TempDir()}
	p.dir = filepath.Join(b.TempDir(), "d")
	for name, pkg := range map[string]string{"license-agent": ".", "license-merchant": "../../../activation/cmd/license-merchant"} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(p.bin, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
	}
	merchant := filepath.Join(p.bin, "merchant")
	p.run("license-merchant", nil, "--dir", merchant, "init", "--issuer", "acme", "--threshold", "1-of-1")
	p.run("license-merchant", nil, "--dir", merchant, "codes", "add", "--product", "studio", "--allow-unidentified", "--out", filepath.Join(p.bin, "code"))
	base := filepath.Join(p.dir, "license-agent")
	if err := os.MkdirAll(filepath.Join(base, "etc", "anchors"), 0o755); err != nil {
		b.Fatal(err)
	}
	anchor, err := os.ReadFile(filepath.Join(merchant, "anchor.json"))
	if err != nil {
		b.Fatal(err)
	}
	p.anchor = anchor
	if err := os.WriteFile(filepath.Join(base, "etc", "anchors", "acme.json"), anchor, 0o644); err != nil {
		b.Fatal(err)
	}
	p.socket = filepath.Join(base, "run", "agent.sock")
	p.start()
	b.Cleanup(p.stop)
	req := filepath.Join(p.bin, "req")
	p.run("license-agent", nil, "--dir", p.dir, "request", "--code-file", filepath.Join(p.bin, "code"), "--out", req)
	answer := p.run("license-merchant", nil, "--dir", merchant, "answer", req)
	lic := filepath.Join(p.bin, "lic")
	if err := os.WriteFile(lic, answer, 0o600); err != nil {
		b.Fatal(err)
	}
	p.run("license-agent", nil, "--dir", p.dir, "import", lic)
	return p
}

func (p *process) run(name string, in []byte, args ...string) []byte {
	p.b.Helper()
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.b.Fatalf("%s %v: %v\n%s", name, args, err, stderr.Bytes())
	}
	return out
}

// start returns how long it took from fork to the first answered status.
func (p *process) start() time.Duration {
	p.b.Helper()
	begin := time.Now()
	p.cmd = exec.Command(filepath.Join(p.bin, "license-agent"), "--dir", p.dir, "run")
	if err := p.cmd.Start(); err != nil {
		p.b.Fatal(err)
	}
	c := &client.Client{Socket: p.socket}
	defer c.Close()
	for {
		if _, err := c.Status(context.Background()); err == nil {
			return time.Since(begin)
		}
		if time.Since(begin) > 30*time.Second {
			p.b.Fatal("the agent did not answer within 30 s")
		}
		time.Sleep(time.Millisecond) // polls for the first answer
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// status is a field of /proc/PID/status (proc(5)); kB fields in bytes.
func (p *process) status(field string) float64 {
	p.b.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.b.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				p.b.Fatal(err)
			}
			if strings.HasSuffix(rest, "kB") {
				n *= 1024
			}
			return n
		}
	}
	p.b.Fatalf("no %s in /proc/PID/status", field)
	return 0
}

// switches counts how often any thread of the process gave up the processor.
func (p *process) switches() float64 {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	if err != nil {
		p.b.Fatal(err)
	}
	sum := 0.0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended
		}
		for _, line := range strings.Split(string(b), "\n") {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, _ := strconv.ParseFloat(strings.TrimSpace(rest), 64)
				sum += n
			}
		}
	}
	return sum
}

// BenchmarkProcessStart is from fork to the first answer of an agent that
// holds a license, store guard included; the empty program is the baseline.
func BenchmarkProcessStart(b *testing.B) {
	p := newProcess(b)
	p.stop()
	b.Run("agent", func(b *testing.B) {
		var total time.Duration
		for range b.N {
			total += p.start()
			p.stop()
		}
		b.ReportMetric(float64(total.Microseconds())/1000/float64(b.N), "ms/start")
	})
	b.Run("version-command", func(b *testing.B) {
		for b.Loop() {
			p.run("license-agent", nil, "version")
		}
	})
	p.start()
}

// BenchmarkProcessMemory checks b.N times over 16 kept connections and reports
// the resident memory before and after, and how often the idle process woke up
// in ten seconds.
func BenchmarkProcessMemory(b *testing.B) {
	p := newProcess(b)
	idle := p.status("VmRSS")
	before := p.switches()
	time.Sleep(10 * time.Second) // polls nothing: the idle time itself is measured
	wakes := p.switches() - before
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	b.ResetTimer()
	for w := range 16 {
		wg.Go(func() {
			checker, err := client.NewChecker(p.anchor)
			if err != nil {
				errs <- err
				return
			}
			checker.Client = &client.Client{Socket: p.socket}
			defer checker.Client.Close()
			for range (b.N + 15 - w) / 16 {
				if v, err := checker.Check(context.Background(), "studio"); err != nil || !v.Runs {
					errs <- fmt.Errorf("check: %w %+v", err, v)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	close(errs)
	for err := range errs {
		b.Fatal(err)
	}
	b.ReportMetric(idle/(1<<20), "MiB-idle")
	b.ReportMetric(p.status("VmRSS")/(1<<20), "MiB-after")
	b.ReportMetric(p.status("VmHWM")/(1<<20), "MiB-peak")
	b.ReportMetric(wakes, "wakeups/10s-idle")
}
