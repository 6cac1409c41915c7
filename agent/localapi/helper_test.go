package localapi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests with real users start this test binary again, on Linux under another uid.
// LOCALAPI_HELPER says what the child does.
func TestMain(m *testing.M) {
	switch os.Getenv("LOCALAPI_HELPER") {
	case "":
		os.Exit(m.Run())
	case "matrix":
		helperMatrix(os.Getenv("LOCALAPI_SOCKET"))
	case "server":
		helperServer() // each system has its own
	case "flood":
		helperFlood(os.Getenv("LOCALAPI_SOCKET"))
	case "honest":
		helperHonest(os.Getenv("LOCALAPI_SOCKET"))
	}
}

// helperMatrix asks every route with every method and prints the statuses.
func helperMatrix(socket string) {
	got := map[string]int{}
	for path, rt := range (&Server{}).table() {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			body := ""
			if method == "POST" {
				body = bodies()[path]
			}
			c, err := dial(socket)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: license-agent\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				fmt.Fprintln(os.Stderr, method, path, rt.method, err)
				os.Exit(1)
			}
			got[method+" "+path] = resp.StatusCode
			c.Close()
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(got)
}

// report is what the helpers of the flood test print.
type report struct {
	Requests int           `json:"requests"`
	Failures int           `json:"failures"`
	P99      time.Duration `json:"p99"`
}

// helperFlood holds as many connections as it gets, dribbles headers and asks
// without pause until its standard input closes.
func helperFlood(socket string) {
	idle, _ := strconv.Atoi(os.Getenv("LOCALAPI_IDLE"))
	slow, _ := strconv.Atoi(os.Getenv("LOCALAPI_SLOW"))
	takes, _ := strconv.Atoi(os.Getenv("LOCALAPI_SEATS"))
	var held []net.Conn
	var opened atomic.Int64
	begin := func(c net.Conn, i int) {
		switch {
		case i >= idle+slow:
			askSeat(c, int(opened.Add(1)))
		case i >= idle:
			fmt.Fprint(c, "GET /v1/status HTTP/1.1\r\nHost: li")
		}
	}
	for i := range idle + slow + takes {
		if c, err := dial(socket); err == nil {
			begin(c, i)
			held = append(held, c)
		}
	}
	fmt.Println("ready")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := dial(socket)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(time.Second))
				if takes > 0 {
					askSeat(c, int(opened.Add(1)))
				}
				_, _ = askOnce(c)
				c.Close()
			}
		})
	}
	// What the agent ends, because headers did not come in time or because it was
	// idle for too long, is there again at once.
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if len(held) == 0 || alive(held[i%len(held)]) {
				continue
			}
			held[i%len(held)].Close()
			if c, err := dial(socket); err == nil {
				begin(c, i%len(held))
				held[i%len(held)] = c
			}
		}
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(stop)
	wg.Wait()
	for _, c := range held {
		c.Close()
	}
}

// alive says whether a connection on which nothing was sent is still there.
func alive(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 512))
	return err == nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// askSeat asks for a seat for a user that nobody else has, and stands in the queue.
func askSeat(c net.Conn, user int) {
	body := fmt.Sprintf(`{"product":"painter","user":"u%d","wait_ms":60000}`, user)
	fmt.Fprintf(c, "POST /v1/seats HTTP/1.1\r\nHost: license-agent\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// helperHonest asks a number of times over new connections, and on until some
// time has passed, and reports.
func helperHonest(socket string) {
	n, _ := strconv.Atoi(os.Getenv("LOCALAPI_ASKS"))
	var r report
	var took []time.Duration
	for start := time.Now(); r.Requests < n || time.Since(start) < lasts(); {
		r.Requests++
		began := time.Now()
		c, err := dial(socket)
		if err != nil {
			r.Failures++
			continue
		}
		_ = c.SetDeadline(time.Now().Add(patience()))
		if status, err := askOnce(c); err != nil || status != 200 {
			r.Failures++
		}
		c.Close()
		took = append(took, time.Since(began))
	}
	if len(took) > 0 {
		r.P99 = percentile(took, 99)
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
}

// lasts is how long a flood goes on at least.
func lasts() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("LOCALAPI_LASTS"))
	return d
}

// patience is how long an honest caller waits for an answer. A busy machine must
// not decide a test; a control need not wait for what never comes.
func patience() time.Duration {
	if os.Getenv("LOCALAPI_CAP") == "off" {
		return 3 * time.Second
	}
	return time.Minute
}

// askOnce is ask with the deadline that the caller has set.
func askOnce(c net.Conn) (int, error) {
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: license-agent\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// child is a helper that says "ready" and ends when its input is closed.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func run(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	c := starting(t, cmd)
	c.ready(t)
	return c
}

func starting(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd: cmd, in: in, out: bufio.NewReader(out)}
}

func (c *child) ready(t *testing.T) {
	t.Helper()
	if line, err := c.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
		t.Fatalf("the helper said %q, %v", line, err)
	}
}

// end closes the input and returns what the helper printed last.
func (c *child) end(t *testing.T) (r report) {
	t.Helper()
	c.in.Close()
	rest, err := io.ReadAll(c.out)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(rest) > 0 {
		if err := json.Unmarshal(rest, &r); err != nil {
			t.Fatalf("%v in %q", err, rest)
		}
	}
	return r
}

// judge asks everything by the child, as the person that it was made for, and
// counts the cells, and those that the access table does not want so.
func judge(t *testing.T, s *Server, child *exec.Cmd, name string, isAdmin bool) (cells int, wrong []string) {
	t.Helper()
	out, err := child.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var got map[string]int
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for path, rt := range s.table() {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			want := http.StatusOK
			switch {
			case method != rt.method:
				want = http.StatusMethodNotAllowed
			case rt.access == admin && !isAdmin:
				want = http.StatusForbidden
			}
			cells++
			if got[method+" "+path] != want {
				wrong = append(wrong, fmt.Sprintf("%s: %s %s: %d, want %d", name, method, path, got[method+" "+path], want))
			}
		}
	}
	return cells, wrong
}
