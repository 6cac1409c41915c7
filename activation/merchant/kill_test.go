package merchant

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// killChild names the data directory of a service that TestMain runs instead
// of the tests, killMode how it answers.
const (
	killChild = "MERCHANT_KILL_DIR"
	killMode  = "MERCHANT_KILL_MODE"
	killDSN   = "MERCHANT_KILL_DSN"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killChild); dir != "" {
		if err := serveUntilKilled(dir, os.Getenv(killMode) == "answer-first"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serveUntilKilled serves a data directory and prints its address and
// certificate. With answerFirst it commits each answer only when the next
// request comes: the mistake that the test must be able to see.
func serveUntilKilled(dir string, answerFirst bool) error {
	ctx := context.Background()
	db, err := openDatabase(dir, os.Getenv(killDSN))
	if err != nil {
		return err
	}
	svc, err := New(ctx, Options{DB: db, KeyDir: filepath.Join(dir, "keys"), Clock: newFakeClock().Now, Rand: rand.Reader})
	if err != nil {
		return err
	}
	config := svc.Server()
	if answerFirst {
		config.Handler = &tardy{svc: svc}
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = config
	srv.StartTLS()
	fmt.Println(srv.URL)
	if err := pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin) // until killed, or until the parent is gone
	return err
}

// tardy answers before it commits.
type tardy struct {
	svc  *Service
	mu   sync.Mutex
	open *tx
}

func (h *tardy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := func() error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		if h.open != nil {
			if err := h.open.sql.Commit(); err != nil {
				return err
			}
		}
		sqlTx, err := h.svc.db.write.BeginTx(context.Background(), nil)
		if err != nil {
			return err
		}
		h.open = &tx{beside: beside{context.Background(), sqlTx, h.svc}, now: h.svc.clock().Unix()}
		if err := h.svc.loadKeys(h.open); err != nil {
			return err
		}
		req, err := license.OpenRequest(body)
		if err != nil {
			return err
		}
		device, err := observed(req)
		if err != nil {
			return err
		}
		out, err := h.open.answer(&incoming{req: req, device: device, body: hash(string(body))})
		if err != nil {
			return err
		}
		text, err := protocol.EncodeAnswer(protocol.Answer{License: []byte(out.license), Notice: []byte(out.notice), KeySet: h.open.keys.envelope})
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", protocol.ContentAnswer)
		_, err = w.Write(text)
		return err
	}()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// child is a running service that will be killed.
type child struct {
	cmd    *exec.Cmd
	url    string
	client *http.Client
}

func startChild(t *testing.T, dir, dsn, mode string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(must(os.Executable())(t))}
	c.cmd.Env = append(os.Environ(), killChild+"="+dir, killMode+"="+mode, killDSN+"="+dsn)
	c.cmd.Stderr = os.Stderr
	must(c.cmd.StdinPipe())(t)
	out := must(c.cmd.StdoutPipe())(t)
	must0(t, c.cmd.Start())
	lines := bufio.NewScanner(out)
	var cert string
	for lines.Scan() && lines.Text() != "ready" {
		if c.url == "" {
			c.url = lines.Text()
			continue
		}
		cert += lines.Text() + "\n"
	}
	block, _ := pem.Decode([]byte(cert))
	if block == nil {
		t.Fatal("the service did not start")
	}
	c.client = clientFor(must(x509.ParseCertificate(block.Bytes))(t))
	return c
}

// kill is kill -9.
func (c *child) kill(t *testing.T) {
	t.Helper()
	must0(t, c.cmd.Process.Kill())
	if c.cmd.Wait() == nil {
		t.Fatal("the service ended by itself")
	}
}

// renewUntilKilled lets devices renew until the service is gone: after the
// given number of answers it is killed in the middle of whatever is under way.
// Each device keeps the request that got no answer, as a real one does on disk.
func renewUntilKilled(t *testing.T, c *child, devices []*device, pending [][]byte, answers int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	count := 0
	for i, d := range devices {
		wg.Go(func() {
			for {
				if pending[i] == nil {
					pending[i] = d.request(license.RequestRenew, "")
				}
				body, err := post(c.client, c.url+protocol.PathRenewals, pending[i], protocol.ContentEnvelope)
				if err != nil {
					return
				}
				if err := d.follow(body); err != nil {
					t.Error(err)
					return
				}
				pending[i] = nil
				mu.Lock()
				if count++; count == answers {
					c.kill(t)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if count < answers {
		c.kill(t)
		t.Fatalf("only %d of %d answers before the devices gave up", count, answers)
	}
}

// lostAnswers counts devices that were told a chain position which the
// database does not know.
func lostAnswers(b *bed, devices []*device) int {
	b.t.Helper()
	lost := 0
	for _, d := range devices {
		if must(b.svc.Device(context.Background(), d.license))(b.t).Seq < d.seq {
			lost++
		}
	}
	return lost
}

// TestP27KillNine: whatever was answered survives kill -9, and the retry of
// what was not answered is never taken for a copy.
func TestP27KillNine(t *testing.T) {
	run := func(mode string, n, machines int) (lost, contested, answered int) {
		b := newBed(t)
		code, _ := b.code(func(s *CodeSpec) { s.Devices = 8 })
		var devices []*device
		for i := range machines {
			d := b.device(i)
			must0(t, d.activate(code))
			devices = append(devices, d)
		}
		pending := make([][]byte, len(devices))
		for i := range n {
			b.close()
			c := startChild(t, b.dir, b.dsn, mode)
			answers := 40 + 7*(i%20)
			renewUntilKilled(t, c, devices, pending, answers)
			answered += answers
			b.open()
			lost += lostAnswers(b, devices)
		}
		if mode != "" {
			return lost, 0, answered // the chains are torn, that is the point
		}
		for i, d := range devices {
			if pending[i] != nil {
				a, err := b.svc.Process(context.Background(), pending[i], "", "")
				must0(t, err)
				d.take(a)
			}
			if d.state() != "license" {
				contested++
			}
		}
		must(b.svc.VerifyAudit(context.Background()))(t)
		return lost, contested, answered
	}
	n := promise.Size(3, 100)
	lost, contested, answered := run("", n, 8)
	if lost != 0 || contested != 0 {
		t.Fatalf("%d answers lost, %d honest devices contested", lost, contested)
	}
	// One device in the control: a second one's request would commit the first
	// one's answer, and the loss would depend on timing.
	controlLost, _, _ := run("answer-first", 1, 1)
	if controlLost == 0 {
		t.Fatal("the control that answers before it commits lost nothing: this test cannot fail")
	}
	promise.Reached(t, "P27", fmt.Sprintf("%d kills, %d answered renewals: 0 lost, 0 false forks", n, answered), fmt.Sprintf("answer before commit: %d lost", controlLost))
}
