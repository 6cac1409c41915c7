package localapi

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
	"licenseagent.example/platform/ipc"
)

// public is a directory that every user can enter, with the test binary in it.
func public(t *testing.T) (dir, binary string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test acts as several users and needs root: run it with sudo")
	}
	dir = t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "helper")
	if err := os.WriteFile(binary, self, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, binary
}

// as prepares a child under another user.
func as(binary, mode, socket string, uid, gid uint32, groups []uint32, env ...string) *exec.Cmd {
	cmd := exec.Command(binary)
	cmd.Env = append([]string{"LOCALAPI_HELPER=" + mode, "LOCALAPI_SOCKET=" + socket, "GORACE=" + os.Getenv("GORACE")}, env...)
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}, Pdeathsig: syscall.SIGKILL}
	return cmd
}

const adminGroup = 54321

// person is one real user of the matrix.
type person struct {
	name     string
	uid, gid uint32
	groups   []uint32
	admin    bool
}

// matrix asks everything as everybody and counts the cells, and those that the
// access table does not want so.
func matrix(t *testing.T, dir, binary string, identify func(net.Conn) (Caller, error)) (cells int, wrong []string) {
	t.Helper()
	s, err := New(Config{Licenses: newFake(), Now: time.Now, Identify: identify})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent.sock")
	ln, err := ipc.Listen(socket, ipc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(ln) }()
	for _, who := range []person{
		{"root", 0, 0, nil, true},
		{"primary group", 1001, adminGroup, nil, true},
		{"group", 1001, 1001, []uint32{7, adminGroup}, true},
		{"user", 1000, 1000, []uint32{7}, false},
		{"nobody", 65534, 65534, nil, false},
	} {
		n, bad := judge(t, s, as(binary, "matrix", socket, who.uid, who.gid, who.groups), who.name, who.admin)
		cells, wrong = cells+n, append(wrong, bad...)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	return cells, wrong
}

// P30: who may do what, with real users and the identity that the product uses.
// The control believes everybody to be an administrator.
func TestP30MatrixOfUsers(t *testing.T) {
	dir, binary := public(t)
	cells, wrong := matrix(t, dir, binary, FromKernel([]uint32{adminGroup}))
	for _, cell := range wrong {
		t.Error(cell)
	}
	_, open := matrix(t, dir, binary, root)
	if len(open) == 0 {
		t.Error("control: with everybody an administrator every cell is right")
	}
	promise.Reached(t, "P30", fmt.Sprintf("%d cells (routes × methods × 5 kinds of user with real uids), all as the access table says", cells),
		fmt.Sprintf("kernel's identity not asked: %d cells wrong", len(open)))
}

// helperServer is an agent with few descriptors that also keeps talking to the
// outside, as a renewal does.
func helperServer() {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
	}
	fail(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 256, Max: 256}))
	licenses := newFake()
	licenses.total = 16
	cfg := Config{Licenses: licenses, Now: time.Now, Identify: FromKernel(nil), Process: ipc.ProcessOf, Limits: For(256)}
	if os.Getenv("LOCALAPI_CAP") == "off" { // the control: no defence
		cfg.Limits = Limits{PerUser: 1 << 30, Total: 1 << 30, Seats: 1 << 30, SeatsPerUser: 1 << 30, Header: time.Hour, Idle: time.Hour}
	}
	s, err := New(cfg)
	fail(err)
	ln, err := ipc.Listen(os.Getenv("LOCALAPI_SOCKET"), ipc.Options{})
	fail(err)
	go func() { fail(s.Serve(ln)) }()
	fmt.Println("ready")
	var r report
	least, _ := strconv.Atoi(os.Getenv("LOCALAPI_OUTGOING"))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(os.Getenv("LOCALAPI_ROOTS")))
	// A new connection each time, as a renewal makes it.
	outside := http.Client{Timeout: patience(), Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	stop := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(stop) }()
	for {
		select {
		case <-stop:
			if r.Requests >= least {
				_ = json.NewEncoder(os.Stdout).Encode(r)
				return
			}
		default:
		}
		r.Requests++
		resp, err := outside.Get(os.Getenv("LOCALAPI_OUTSIDE"))
		if err != nil {
			r.Failures++
		} else {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		select {
		case <-stop:
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// flood runs one honest user beside one that takes whatever it can get.
func flood(t *testing.T, dir, binary, capState string, idle, slow, takes, asks int) (honest, outgoing report) {
	t.Helper()
	outside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer outside.Close()
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: outside.Certificate().Raw})
	least, long := 0, "0s"
	if capState == "on" {
		// At full numbers past the limit on headers and some times the number of
		// descriptors: what the flood holds is ended and taken anew meanwhile.
		least, long = promise.Size(10, 200), fmt.Sprint(promise.Size(0, 10), "s")
	}
	socket := filepath.Join(dir, capState+".sock")
	server := run(t, as(binary, "server", socket, 0, 0, nil, "LOCALAPI_CAP="+capState, "LOCALAPI_OUTSIDE="+outside.URL, "LOCALAPI_ROOTS="+string(roots), "LOCALAPI_OUTGOING="+strconv.Itoa(least)))
	flooder := run(t, as(binary, "flood", socket, 65534, 65534, nil, "LOCALAPI_IDLE="+strconv.Itoa(idle), "LOCALAPI_SLOW="+strconv.Itoa(slow), "LOCALAPI_SEATS="+strconv.Itoa(takes)))
	out, err := as(binary, "honest", socket, 1000, 1000, nil, "LOCALAPI_ASKS="+strconv.Itoa(asks), "LOCALAPI_CAP="+capState, "LOCALAPI_LASTS="+long).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &honest); err != nil {
		t.Fatal(err)
	}
	outgoing = server.end(t) // may go on for a while, and the flood with it
	flooder.end(t)
	return honest, outgoing
}

// P32: one user floods with idle connections, half-sent headers and requests;
// another user and the agent's own outgoing connections must not notice. The
// control switches the caps off and must show failures.
func TestP32FloodByOneUser(t *testing.T) {
	dir, binary := public(t)
	idle, slow, asks := promise.Size(300, 2000), promise.Size(100, 900), promise.Size(40, 400)
	honest, outgoing := flood(t, dir, binary, "on", idle, slow, 0, asks)
	if honest.Failures != 0 || honest.Requests == 0 {
		t.Errorf("the other user: %d of %d requests failed", honest.Failures, honest.Requests)
	}
	if outgoing.Failures != 0 || outgoing.Requests == 0 {
		t.Errorf("outgoing: %d of %d connections failed", outgoing.Failures, outgoing.Requests)
	}
	badHonest, badOutgoing := flood(t, dir, binary, "off", 300, 0, 0, 2)
	if badHonest.Failures == 0 || badOutgoing.Failures == 0 {
		t.Errorf("control: without the caps %d of %d requests and %d of %d outgoing connections failed; both should", badHonest.Failures, badHonest.Requests, badOutgoing.Failures, badOutgoing.Requests)
	}
	promise.Reached(t, "P32", fmt.Sprintf("%d idle and %d half-sent connections, renewed when ended, plus requests without pause by one uid, 256 descriptors: other uid %d/%d failures, p99 %v; outgoing TLS exchanges %d/%d failures",
		idle, slow, honest.Failures, honest.Requests, honest.P99.Round(10*time.Microsecond), outgoing.Failures, outgoing.Requests),
		fmt.Sprintf("caps off: %d of %d requests and %d of %d outgoing connections fail", badHonest.Failures, badHonest.Requests, badOutgoing.Failures, badOutgoing.Requests))
}

// P32: one user takes every seat, fills the queue and goes on asking for more.
// Another user's checks and the agent's own outgoing connections must not notice.
func TestP32FloodOfSeats(t *testing.T) {
	dir, binary := public(t)
	takes, asks := promise.Size(300, 2000), promise.Size(40, 400)
	honest, outgoing := flood(t, dir, binary, "on", 0, 0, takes, asks)
	if honest.Failures != 0 || honest.Requests == 0 || outgoing.Failures != 0 || outgoing.Requests == 0 {
		t.Errorf("the other user: %d of %d requests failed; outgoing: %d of %d", honest.Failures, honest.Requests, outgoing.Failures, outgoing.Requests)
	}
	bad, badOutgoing := flood(t, dir, binary, "off", 0, 0, 300, 2)
	if bad.Failures == 0 || badOutgoing.Failures == 0 {
		t.Errorf("control: without the caps %d of %d requests and %d of %d outgoing connections failed; both should", bad.Failures, bad.Requests, badOutgoing.Failures, badOutgoing.Requests)
	}
	promise.Reached(t, "P32", fmt.Sprintf("one uid takes all seats, asks for %d more and goes on asking, 256 descriptors: other uid %d/%d failures, p99 %v; outgoing TLS exchanges %d/%d failures",
		takes, honest.Failures, honest.Requests, honest.P99.Round(10*time.Microsecond), outgoing.Failures, outgoing.Requests),
		fmt.Sprintf("caps off: %d of %d requests and %d of %d outgoing connections fail", bad.Failures, bad.Requests, badOutgoing.Failures, badOutgoing.Requests))
}
