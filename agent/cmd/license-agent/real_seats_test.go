//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/activation/merchant"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint/probe"
)

// seatEnv makes this test binary a program that holds a seat:
//
//	bare    the bytes of the protocol, no library: it notices nothing of a restart
//	parent  bare, with a child that has the connection too
//	client  package agent/client
const seatEnv = "LICENSE_AGENT_TEST_SEAT"

// holdSeat is such a program. It prints the code of a refusal or "held", and
// ends when its standard input does.
func holdSeat(mode string) {
	dir := os.Getenv("LICENSE_AGENT_DIR")
	socket := filepath.Join(dir, "license-agent", "run", "agent.sock")
	say := func(err error) {
		text := "held"
		if e := (*api.Error)(nil); errors.As(err, &e) {
			text = e.Code
		} else if err != nil {
			text = err.Error()
		}
		fmt.Println(text)
	}
	switch mode {
	case "client":
		anchor, err := os.ReadFile(filepath.Join(dir, "license-agent", "etc", "anchors", "acme.json"))
		if err != nil {
			say(err)
			return
		}
		k, err := client.NewChecker(anchor)
		if err != nil {
			say(err)
			return
		}
		k.Client, k.Observe = &client.Client{Socket: socket}, probe.Host{SMBIOSFile: filepath.Join(dir, "smbios.bin")}.Read
		_, err = k.Seat(context.Background(), "painter", client.SeatOptions{})
		say(err)
	default:
		c, err := bareSeat(socket)
		if err == nil && mode == "parent" {
			err = share(c)
		}
		say(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// seatRequest asks for a seat in the bytes of the protocol.
func seatRequest() string {
	const body = `{"product":"painter"}`
	return fmt.Sprintf("POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// bareSeat is what a client in any language does.
func bareSeat(socket string) (net.Conn, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, seatRequest()); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var e api.ErrorBody
		return nil, errors.Join(&e.Error, json.NewDecoder(resp.Body).Decode(&e))
	}
	return c, nil
}

// share starts a process that has the connection as well and lives on.
func share(c net.Conn) error {
	f, err := c.(*net.UnixConn).File()
	if err != nil {
		return err
	}
	child := exec.Command("sleep", "600")
	child.ExtraFiles = []*os.File{f}
	return child.Start()
}

// holder is a running program that holds a seat.
type holder struct {
	cmd *exec.Cmd
	in  io.Closer
}

// hold starts a program and returns it with what it said.
func (r *running) hold(mode string) (*holder, string) {
	r.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{seatEnv + "=" + mode, "LICENSE_AGENT_DIR=" + r.dir, "PATH=" + os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0"}
	cmd.Stderr = os.Stderr
	// A group of its own, with its child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in := value(cmd.StdinPipe())(r.t)
	out := value(cmd.StdoutPipe())(r.t)
	check0(r.t, cmd.Start())
	r.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	h := &holder{cmd, in}
	r.programs = append(r.programs, h)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		r.t.Fatalf("a program that takes a seat said nothing: %v\n%s", err, r.log)
	}
	return h, strings.TrimSpace(line)
}

// fill starts a program for each seat.
func (r *running) fill(modes ...string) (out []*holder) {
	r.t.Helper()
	for _, mode := range modes {
		h, said := r.hold(mode)
		if said != "held" {
			r.t.Fatalf("a program of kind %s: %s\n%s", mode, said, r.log)
		}
		out = append(out, h)
	}
	return out
}

// kill is kill -9 of the program alone, not of its child.
func (h *holder) kill() { _ = h.cmd.Process.Signal(syscall.SIGKILL) }

// end kills the child too.
func (h *holder) end() {
	if h.cmd.ProcessState == nil {
		_ = syscall.Kill(-h.cmd.Process.Pid, syscall.SIGKILL)
		_ = h.cmd.Wait()
	}
}

// endAll ends every program that this agent was asked by.
func (r *running) endAll() {
	for _, h := range r.programs {
		h.end()
	}
	r.programs = nil
}

// taken lists the processes that hold seats, and how many are used.
func (r *running) taken() (pids map[int]int, detached int, used int64) {
	r.t.Helper()
	list, err := r.client().Seats(context.Background())
	if err != nil {
		r.t.Fatalf("seats: %v\n%s", err, r.log)
	}
	pids = map[int]int{}
	for _, s := range list.Seats {
		pids[s.PID]++
		if s.Detached {
			detached++
		}
	}
	for _, c := range list.Counts {
		used += c.Used
	}
	return pids, detached, used
}

// until waits until want seats are used, at most three seconds, and says how
// long that took and how many are.
func (r *running) until(want int64) (took time.Duration, used int64) {
	r.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) { // polls
		_, _, used = r.taken()
		if took = time.Since(began); used == want || took > 3*time.Second {
			return took, used
		}
	}
}

const seatsOfTest = 8

// modesOfTest is one program for each seat, of every kind.
func modesOfTest() []string {
	return []string{"bare", "parent", "client", "bare", "parent", "client", "bare", "parent"}
}

// proveSeats kills programs that hold seats, and the agent while they do. The
// control is the composition that knows connections only: neither the process
// behind one, nor what an earlier run knew.
func proveSeats(t *testing.T, bin string) {
	c := command{bin: bin}
	v := newVendor(t, nil)
	r, order := seated(t, c, v)
	k := killHolders(r, promise.Size(2, 125))
	if k.leaked != 0 || k.double != 0 || k.slowest > time.Second {
		t.Errorf("%d leaked, %d double, free again after %v\n%s", k.leaked, k.double, k.slowest, r.log)
	}
	restarts := promise.Size(2, 25)
	lost, twice := 0, 0
	for range restarts {
		var l, d int
		r, l, d = restartAmong(r, c)
		lost, twice = lost+l, twice+d
	}
	if lost != 0 || twice != 0 {
		t.Errorf("%d lost, %d double in %d restarts\n%s", lost, twice, restarts, r.log)
	}
	check0(t, r.renew())
	if d := v.newest(order); d.Uses != seatsOfTest || d.UsesMost != seatsOfTest || d.Seats != seatsOfTest {
		t.Errorf("the merchant knows %d used at once, %d at most, of %d", d.Uses, d.UsesMost, d.Seats)
	}
	r.stop()

	c = command{weak: "none"}
	w, _ := seated(t, c, newVendor(t, nil))
	bad := killHolders(w, 1)
	w, gone, _ := restartAmong(w, c)
	if bad.leaked == 0 || gone == 0 {
		t.Errorf("control: %d leaked, %d lost; both should be more than 0\n%s", bad.leaked, gone, w.log)
	}
	promise.Reached(t, "P41", fmt.Sprintf("%d programs killed -9, a third with a child that keeps the connection: %d leaked, %d double, free again after at most %v; %d kills -9 of the agent among %d holders: %d lost, %d double",
		k.killed, k.leaked, k.double, k.slowest.Round(time.Millisecond), restarts, seatsOfTest, lost, twice),
		fmt.Sprintf("connections only, neither processes nor the last run: %d of %d leaked, %d of %d lost", bad.leaked, bad.killed, gone, seatsOfTest-2))
}

// seated is an agent with a license for seatsOfTest.
func seated(t *testing.T, c command, v *vendor) (r *running, order string) {
	t.Helper()
	codes, infos, err := v.svc.AddCodes(t.Context(), merchant.CodeSpec{Product: "painter", Devices: 1, Seats: seatsOfTest, Policy: "balanced"}, 1)
	check0(t, err)
	r = c.start(t, v.home("agent"))
	r.await()
	check0(t, r.activate(codes[0]))
	return r, infos[0].ID
}

// slain is what came of killing programs.
type slain struct {
	killed, leaked, double int
	slowest                time.Duration
}

// killHolders fills every seat, is refused one more, and kills all at once.
func killHolders(r *running, rounds int) (k slain) {
	r.t.Helper()
	for range rounds {
		holders := r.fill(modesOfTest()...)
		pids, _, used := r.taken()
		if used != seatsOfTest || len(pids) != seatsOfTest {
			r.t.Errorf("%d seats used by %v", used, pids)
		}
		for _, n := range pids {
			k.double += n - 1
		}
		if _, said := r.hold("bare"); said != api.CodeSeatsTaken {
			r.t.Errorf("one more: %s", said)
		}
		for _, h := range holders {
			h.kill()
			k.killed++
		}
		took, left := r.until(0)
		k.slowest = max(k.slowest, took)
		k.leaked += int(left)
		for _, h := range holders {
			h.end()
		}
		r.until(0)
	}
	return k
}

// restartAmong kills the agent while every seat is held, and two of the programs
// before the next one starts.
func restartAmong(r *running, c command) (next *running, lost, twice int) {
	r.t.Helper()
	const living = seatsOfTest - 2
	holders := r.fill(modesOfTest()...)
	r.kill()
	holders[0].kill()
	holders[1].kill() // its child has the connection still
	next = c.start(r.t, r.dir)
	next.await()
	// Those that use the library take their seats up again by themselves.
	for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(time.Millisecond) { // polls
		if pids, detached, used := next.taken(); used == living && detached == living-2 && len(pids) == living {
			break
		}
	}
	pids, _, used := next.taken()
	for _, h := range holders[2:] {
		if pids[h.cmd.Process.Pid] == 0 {
			lost++
		}
	}
	twice = max(0, int(used)-living)
	for range 2 { // the two that are free
		if _, said := next.hold("bare"); said != "held" {
			twice++
		}
	}
	for _, h := range holders[2:] {
		h.kill()
	}
	if _, left := next.until(2); left > 2 {
		twice += int(left) - 2
	}
	for _, h := range holders {
		h.end()
	}
	next.endAll()
	next.until(0)
	return next, lost, twice
}
