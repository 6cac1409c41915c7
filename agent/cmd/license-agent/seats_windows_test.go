package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/store"
)

// seatEnv names the pipe for which this test binary is a program that holds a seat.
const seatEnv = "LICENSE_AGENT_TEST_PIPE"

func TestMain(m *testing.M) {
	if pipe := os.Getenv(seatEnv); pipe != "" {
		hold(pipe)
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "relay" {
		main()
	}
	os.Exit(m.Run())
}

// hold does what a client in any language does: it takes a seat, says "held" or
// the code of the refusal, and ends when its standard input does.
func hold(pipe string) {
	c, err := ipc.Dial(context.Background(), pipe, ipc.DialOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	body := `{"product":"painter"}`
	fmt.Fprintf(c, "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	said := "held"
	if err != nil {
		said = err.Error()
	} else if resp.StatusCode != http.StatusOK {
		var e api.ErrorBody
		_ = json.NewDecoder(resp.Body).Decode(&e)
		said = e.Error.Code
	}
	fmt.Println(said)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// pipeAgent is an agent on a named pipe, of the parts that are shipped; only the
// merchant and the hardware are the tests'.
type pipeAgent struct {
	t        *testing.T
	machine  *activationtest.Machine
	merchant *activationtest.Merchant
	dir      string
	pipe     string
	journal  *store.Journal
	server   *localapi.Server
	asks     *client.Client
	// bare: neither processes nor what an earlier run knew, the control.
	bare bool
}

func newPipeAgent(t *testing.T, bare bool) *pipeAgent {
	m := activationtest.NewMachine("one")
	a := &pipeAgent{t: t, machine: m, merchant: activationtest.NewMerchant("acme", m.Clock.Wall), dir: filepath.Join(t.TempDir(), "state"), bare: bare}
	a.merchant.AddCode("SEATS", activationtest.Offer{Product: "painter", Seats: seatsOfTest})
	p, err := paths.Under(t.TempDir(), "")
	check0(t, err)
	a.pipe = p.Socket
	state, err := securefile.Make(a.dir)
	check0(t, err)
	check0(t, state.Close())
	check0(t, a.begin(func(d *agent.Daemon) error {
		_, err := d.Activate(t.Context(), api.ActivateRequest{Code: "SEATS"}, api.English)
		return err
	}))
	t.Cleanup(a.end)
	return a
}

// begin starts the agent, at first or after end.
func (a *pipeAgent) begin(first func(*agent.Daemon) error) error {
	log := slog.New(slog.NewTextHandler(a.t.Output(), nil))
	var lines [][]byte
	var err error
	if a.journal, lines, err = store.OpenJournal(a.dir, "boot"); err != nil {
		return err
	}
	if a.bare {
		lines = nil
	}
	d, err := agent.New(agent.Config{
		Activation: a.machine.Config(a.merchant), Version: api.Version{Version: "test", API: 1, Instance: "default"}, KeyTier: "file",
		Log: log, SeatLog: agent.SeatLog{Lines: lines, Append: a.journal.Append, Replace: a.journal.Replace},
	})
	if err == nil && first != nil {
		err = first(d)
	}
	if err != nil {
		return err
	}
	c := localapi.Config{Licenses: d, Identify: localapi.FromKernel(nil), Now: time.Now, Log: log, Process: ipc.ProcessOf, Keep: keepSeats(nil, log)}
	if a.bare {
		c.Process = nil
	}
	if a.server, err = localapi.New(c); err != nil {
		return err
	}
	ln, err := ipc.Listen(a.pipe, ipc.Options{Exclusive: true})
	if err != nil {
		return err
	}
	passFirst(a.t, a.pipe)
	resume(a.server, d.RestoredSeats(), nil, nil, log)
	go func() { _ = a.server.Serve(ln) }()
	a.asks = &client.Client{Socket: a.pipe}
	return nil
}

// end is the death of the agent: the pipe ends, what was written stays.
func (a *pipeAgent) end() {
	a.asks.Close()
	_ = a.server.Shutdown(context.Background())
	_ = a.journal.Close()
}

// program is a running holder.
type program struct {
	cmd *exec.Cmd
	in  io.Closer
}

func (a *pipeAgent) start() (*program, string) {
	a.t.Helper()
	self, err := os.Executable()
	check0(a.t, err)
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), seatEnv+"="+a.pipe), os.Stderr
	in, err := cmd.StdinPipe()
	check0(a.t, err)
	out, err := cmd.StdoutPipe()
	check0(a.t, err)
	check0(a.t, cmd.Start())
	a.t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	check0(a.t, err)
	return &program{cmd, in}, strings.TrimSpace(line)
}

func (a *pipeAgent) fill() (all []*program) {
	a.t.Helper()
	for range seatsOfTest {
		p, said := a.start()
		if said != "held" {
			a.t.Fatalf("a program that should get a seat: %s", said)
		}
		all = append(all, p)
	}
	return all
}

// taken lists the processes that hold seats.
func (a *pipeAgent) taken() (pids map[int]int, used int64) {
	a.t.Helper()
	list, err := a.asks.Seats(context.Background())
	check0(a.t, err)
	pids = map[int]int{}
	for _, s := range list.Seats {
		pids[s.PID]++
	}
	for _, c := range list.Counts {
		used += c.Used
	}
	return pids, used
}

// until waits until want seats are used, at most three seconds.
func (a *pipeAgent) until(want int64) (took time.Duration, used int64) {
	a.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // polls
		_, used = a.taken()
		if took = time.Since(began); used == want || took > 3*time.Second {
			return took, used
		}
	}
}

const seatsOfTest = 8

// slain is what came of ending programs without warning.
type slain struct {
	killed, leaked, double, lost, restarts int
	slowest                                time.Duration
}

// round fills all seats, ends the programs without warning, and does the same
// with a restart of the agent between: those that live keep their seats though
// their pipe is gone, and their end is seen.
func (a *pipeAgent) round(s *slain) {
	a.t.Helper()
	all := a.fill()
	if pids, used := a.taken(); used != seatsOfTest || len(pids) != seatsOfTest {
		s.double += seatsOfTest - len(pids)
		a.t.Errorf("%d seats used by %v", used, pids)
	}
	if _, said := a.start(); said != api.CodeSeatsTaken {
		a.t.Errorf("one more: %s", said)
	}
	a.slay(all, 0, s)

	all = a.fill()
	a.end()
	_ = all[0].cmd.Process.Kill()
	_ = all[0].cmd.Wait()
	check0(a.t, a.begin(nil))
	s.restarts++
	pids, used := a.taken()
	for _, p := range all[1:] {
		if pids[p.cmd.Process.Pid] == 0 {
			s.lost++
		}
	}
	s.double += max(0, int(used)-(seatsOfTest-1))
	a.slay(all[1:], 0, s)
}

// slay ends programs as the task manager does and waits for their seats.
func (a *pipeAgent) slay(all []*program, left int64, s *slain) {
	a.t.Helper()
	for _, p := range all {
		check0(a.t, p.cmd.Process.Kill())
		s.killed++
	}
	took, used := a.until(left)
	s.slowest = max(s.slowest, took)
	s.leaked += int(used - left)
	for _, p := range all {
		if err := p.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) && !errors.Is(err, net.ErrClosed) {
			a.t.Error(err)
		}
	}
}

// Seats end with their processes on Windows too, through restarts of the agent.
// The control knows pipes only: a restart loses the seats of all that live.
func TestSeatsOnThePipe(t *testing.T) {
	a, s := newPipeAgent(t, false), slain{}
	for range promise.Size(2, 67) {
		a.round(&s)
	}
	if s.leaked != 0 || s.double != 0 || s.lost != 0 || s.slowest > time.Second {
		t.Errorf("%+v", s)
	}
	b, control := newPipeAgent(t, true), slain{}
	b.round(&control)
	if control.lost != seatsOfTest-1 {
		t.Errorf("control: %+v", control)
	}
	promise.Reached(t, "P41", fmt.Sprintf("Windows: %d programs on the named pipe ended by TerminateProcess: %d leaked, %d double, free again after at most %v; %d restarts of the agent among them: %d lost",
		s.killed, s.leaked, s.double, s.slowest.Round(time.Millisecond), s.restarts, s.lost),
		fmt.Sprintf("pipes only, neither processes nor the last run: %d of %d lost by a restart", control.lost, seatsOfTest-1))
}

// The relay as a process of its own: a program asks through it again and again.
func TestRelayProcess(t *testing.T) {
	a := newPipeAgent(t, false)
	self, err := os.Executable()
	check0(t, err)
	cmd := exec.Command(self, "relay", "--socket", a.pipe)
	in, err := cmd.StdinPipe()
	check0(t, err)
	out, err := cmd.StdoutPipe()
	check0(t, err)
	check0(t, cmd.Start())
	defer cmd.Process.Kill() //nolint:errcheck // it has ended
	answers := bufio.NewReader(out)
	slowest := time.Duration(0)
	for range 500 {
		began := time.Now()
		fmt.Fprint(in, "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n")
		resp, err := http.ReadResponse(answers, nil)
		check0(t, err)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %v", resp.StatusCode, err)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("slowest of 500 answers: %v", slowest)
	check0(t, in.Close())
	check0(t, cmd.Wait())
}

func check0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
