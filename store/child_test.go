package store

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"licenseagent.example/activation"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/securefile"
)

// spec tells a child process what to do.
type spec struct {
	Mode  string // one of the cases in child
	Dir   string
	N     int64  // how many commits
	Early bool   // control: acknowledge before the commit
	Go    bool   // control: go on after a failed commit
	Place bool   // control: create under the final name
	Bare  bool   // control: bbolt without the store
	Alone bool   // without a probe process, as an embedded agent
	Key   string // makes the device key first: keyWhole or, for the control, keyInPlace
}

// child is the body of processes that tests start in order to lose them. It
// says what happens line by line on standard output, one write each.
func child(args []string) int {
	var c spec
	if err := json.Unmarshal([]byte(args[0]), &c); err != nil {
		return 99
	}
	o := Options{MACKey: testKey(), Now: testNow}
	o.seams.noFailStop, o.seams.inPlace, o.seams.lockWait = c.Go, c.Place, time.Millisecond
	if self, err := os.Executable(); err == nil {
		o.Probe = probeOf(self)
	}
	switch c.Mode {
	case "loop":
		o.seams.probeTime = patient
		return childLoop(c, o)
	case "trace":
		o.Probe = nil // the probe only reads
		return childTrace(c, o)
	case "eio":
		o.Probe = nil
		return childEIO(c, o)
	case "hold":
		o.seams.probeTime = patient
		return childHold(c, o)
	case "serve":
		o.Report = func(e Event) {
			if e.Kind == EventNoProbe {
				os.Stderr.WriteString(e.Kind + ": " + e.Text + "\n")
			}
		}
		if c.Alone {
			o.Probe = nil
		}
		return childServe(c, o)
	}
	return 98
}

// patient is the time of a probe in tests that are not about a probe that
// hangs: a busy machine must not decide them.
const patient = time.Minute

func say(format string, args ...any) {
	os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
}

// childLoop opens, says what it found, and commits until it is killed.
func childLoop(c spec, o Options) int {
	var n int64
	if c.Early {
		o.seams.early = func() {
			say("ack %d", n)
			time.Sleep(3 * time.Millisecond) // stands for a commit on a slow disk
		}
	}
	start := time.Now()
	s, err := Open(c.Dir, o)
	if err != nil {
		say("error %v", err)
		return 1
	}
	st, err := s.Load()
	if err != nil {
		say("error %v", err)
		return 1
	}
	found, torn := count(st)
	say("open %d %v %d %d", found, torn, time.Since(start).Microseconds(), len(s.Stats().Quarantine))
	for n = found + 1; ; n++ {
		if err := s.Apply(counted(n)); err != nil {
			say("error %v", err)
			return 1
		}
		if !c.Early {
			say("ack %d", n)
		}
	}
}

// childTrace makes N commits on one thread, for strace.
func childTrace(c spec, o Options) int {
	runtime.LockOSThread()
	if err := childKey(c); err != nil {
		say("error %v", err)
		return 1
	}
	s, err := Open(c.Dir, o)
	if err != nil {
		say("failed to open: %v", err)
		if s, err = Open(c.Dir, o); err != nil {
			say("error %v", err)
			return 1
		}
	}
	say("opened")
	for n := int64(1); n <= c.N; n++ {
		if err := s.Apply(counted(n)); err != nil {
			say("error %v", err)
			if _, err := s.Load(); err != nil {
				say("error %v", err)
				return 1
			}
			// The application does again what it was told had failed.
			if err := s.Apply(counted(n)); err != nil {
				say("error %v", err)
				return 1
			}
		}
		say("ack %d", n)
	}
	say("done")
	return 0
}

const (
	keyWhole   = "whole"
	keyInPlace = "in place"
)

// childKey makes the device key beside the store, as an agent does at its first
// start, or writes one under its final name at once.
func childKey(c spec) error {
	if c.Key == "" {
		return nil
	}
	d, err := securefile.Make(c.Dir) // as the program does before anything else
	if err == nil {
		err = d.Close()
	}
	if err != nil {
		return err
	}
	dir := c.Dir
	if c.Key == keyInPlace {
		if dir, err = os.MkdirTemp("", "key"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	k, err := devicekey.Places{Machine: func() []string { return []string{"machine"} }}.Open(dir, rand.Reader)
	if err != nil || c.Key == keyWhole {
		return err
	}
	if err := k.Close(); err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, devicekey.FileName))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(c.Dir, devicekey.FileName), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// childEIO makes up to N commits; at the first failure it says what the store
// tells it then, and dies.
func childEIO(c spec, o Options) int {
	runtime.LockOSThread() // strace counts calls per thread
	s, err := Open(c.Dir, o)
	if err != nil {
		say("openerror")
		if s, err = Open(c.Dir, o); err != nil {
			say("error %v", err)
			return 1
		}
	}
	for n := int64(1); n <= c.N; n++ {
		if s.Apply(counted(n)) == nil {
			say("ack %d", n)
			continue
		}
		st, err := s.Load()
		if err != nil {
			say("error %v", err)
			return 1
		}
		m, torn := count(st)
		say("failed %d", n)
		say("load %d %v", m, torn)
		return 0
	}
	say("end")
	return 0
}

// childHold opens and keeps the store until standard input ends.
func childHold(c spec, o Options) int {
	s, err := Open(c.Dir, o)
	if err != nil {
		say("refused %v", err)
	} else {
		say("owned")
	}
	io.Copy(io.Discard, os.Stdin)
	if s != nil {
		s.Close()
	}
	return 0
}

// childServe starts on each directory it is told, answers and writes.
func childServe(c spec, o Options) int {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		start := time.Now()
		verdict := serveOne(c, o, in.Text())
		say("%d %s", time.Since(start).Milliseconds(), strings.ReplaceAll(verdict, "\n", "; "))
	}
	return 0
}

func serveOne(c spec, o Options, dir string) string {
	if c.Bare {
		return serveBare(filepath.Join(dir, fileDB))
	}
	s, err := Open(dir, o)
	if err != nil {
		return "open: " + err.Error()
	}
	defer s.Close()
	st, err := s.Load()
	if err != nil {
		return "load: " + err.Error()
	}
	if err := s.Apply(activation.Change{Clock: &activation.ClockState{HighWater: 4711}}); err != nil {
		return "apply: " + err.Error()
	}
	b, err := json.Marshal(st)
	if err != nil {
		return err.Error()
	}
	return "served " + strconv.FormatBool(len(s.Stats().Quarantine) > 0) + " " + string(b)
}

// serveBare is what an agent without guard does.
func serveBare(path string) string {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return "open: " + err.Error()
	}
	defer db.Close()
	if err := db.View(checkTx); err != nil {
		return "check: " + err.Error()
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketClock)).Put([]byte("clock"), []byte("x"))
	})
	if err != nil {
		return "write: " + err.Error()
	}
	return "served"
}

// process is a running child.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err tail
}

// tail keeps the beginning of what a process said on standard error.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[:min(len(p), 4096-len(t.b))]...)
	return len(p), nil
}

// command is this binary as a child, behind wrapper (strace) if there is one.
func command(t testing.TB, c spec, wrapper ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(append([]string{}, wrapper...), self, "store-child", string(b))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), noRaceSleep)
	cmd.Stderr = io.Discard // crashes are what these processes are for
	return cmd
}

func start(t testing.TB, c spec) *process {
	t.Helper()
	p := &process{cmd: command(t, c)}
	p.cmd.Stderr = &p.err
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end() })
	return p
}

// line returns the next line, false at the end of the process.
func (p *process) line() (string, bool) {
	s, err := p.out.ReadString('\n')
	return strings.TrimSuffix(s, "\n"), err == nil
}

// end kills the process if it still runs and waits for it.
func (p *process) end() {
	p.in.Close()
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// needRoot ends the test in one sentence where it cannot say anything.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatalf("this proof needs root to %s: run it as root (sudo make test)", what)
	}
}

// strace returns the path of strace.
func strace(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("this proof needs strace: apt-get install strace")
	}
	return path
}
