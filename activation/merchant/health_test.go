package merchant

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// logBuffer is a log that a test reads while the service writes.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

// logging opens the service of a bed again with a log.
func (b *bed) logging() *logBuffer {
	b.t.Helper()
	log := new(logBuffer)
	b.close()
	b.db = must(openDatabase(b.dir, b.dsn))(b.t)
	b.svc = must(New(context.Background(), Options{
		DB: b.db, KeyDir: filepath.Join(b.dir, "keys"), Clock: b.clock.Now, Rand: rand.Reader,
		Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}))(b.t)
	return log
}

// metricsText is what Prometheus reads.
func (b *bed) metricsText() string {
	w := httptest.NewRecorder()
	b.svc.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// open lists the codes of the problems that are known.
func (b *bed) problems() string {
	var list []string
	for _, p := range b.svc.Open() {
		if p.Message.EN == "" || p.Message.ZH == "" || p.Next.EN == "" || p.Next.ZH == "" || p.Since == 0 {
			b.t.Errorf("not a whole problem: %+v", p)
		}
		list = append(list, p.Code)
	}
	return strings.Join(list, " ")
}

// probes asks what supervisors and load balancers ask: /healthz says that the
// process answers, /readyz that requests would be.
func (b *bed) probes(when string, wantReady int) {
	b.t.Helper()
	for path, want := range map[string]int{protocol.PathHealth: http.StatusOK, protocol.PathReady: wantReady} {
		w := httptest.NewRecorder()
		b.svc.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want || w.Code != http.StatusOK && !strings.Contains(w.Body.String(), `"unavailable"`) {
			b.t.Errorf("%s: %s answers %d %s, want %d", when, path, w.Code, w.Body, want)
		}
	}
}

// What ends with time is told before and after, in log, metric and list, and is
// closed when it was put right.
func TestProblemsOfTime(t *testing.T) {
	b := newBed(t)
	log := b.logging()
	ctx := context.Background()
	b.svc.WatchCertificate(b.clock.Now().Add(30 * 24 * time.Hour))
	b.svc.Check(ctx)
	if got := b.problems(); got != "" {
		t.Fatalf("at first: %s", got)
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"ten days later", func() { b.clock.Add(10 * 24 * time.Hour) }, problemCertificateDay},
		{"a month later", func() { b.clock.Add(30 * 24 * time.Hour) }, problemCertificate},
		{"renewed", func() { b.svc.WatchCertificate(b.clock.Now().Add(400 * 24 * time.Hour)) }, ""},
		{"near the end of the key set", func() { b.clock.Add(330 * 24 * time.Hour) }, problemKeysSoon},
		{"past it", func() { b.clock.Add(40 * 24 * time.Hour) }, problemKeys},
		{"published", func() {
			b.svc.WatchCertificate(b.clock.Now().Add(400 * 24 * time.Hour))
			must(b.svc.PublishKeys(ctx, b.rootDirs(), nil))(t)
		}, ""},
	} {
		step.do()
		b.svc.Check(ctx)
		if got := b.problems(); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
		ready := http.StatusOK
		if step.want == problemKeys { // nothing can be signed
			ready = http.StatusServiceUnavailable
		}
		b.probes(step.name, ready)
		text := b.metricsText()
		for _, p := range Problems() {
			value := " 0"
			if strings.Contains(" "+step.want+" ", " "+p.Code+" ") {
				value = " 1"
			}
			if !strings.Contains(text, `license_merchant_problem{code="`+p.Code+`"}`+value+"\n") {
				t.Errorf("%s: the metric of %s is not%s", step.name, p.Code, value)
			}
		}
	}
	for _, code := range []string{problemCertificateDay, problemCertificate, problemKeysSoon, problemKeys} {
		if !strings.Contains(log.String(), `"problem":"`+code+`"`) || !strings.Contains(log.String(), `"next":`) {
			t.Errorf("the log does not name %s with a next step", code)
		}
	}
	if n := strings.Count(log.String(), `"problem":"`+problemKeysSoon+`","detail"`); n != 1 {
		t.Errorf("%s is in the log %d times, want once", problemKeysSoon, n)
	}
}

// A database that goes away in the middle of a transaction: the request is
// answered with "unavailable, try again", log, metric and list say what to do,
// and when it is back the same request is answered and nothing is lost.
func TestDatabaseGoesAway(t *testing.T) {
	b := newBed(t)
	set := b.breakable()
	log := b.logging()
	code, _ := b.code()
	d := b.device(1)
	must0(t, d.activate(code))
	handler := b.svc.Handler()
	send := func(env []byte) (int, string, []byte) {
		r := httptest.NewRequest("POST", protocol.PathRenewals, bytes.NewReader(env))
		r.Header.Set("Content-Type", protocol.ContentEnvelope)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code, w.Header().Get("Retry-After"), w.Body.Bytes()
	}
	sqlite, errs := b.dsn == "", "2"
	if !sqlite {
		errs = "3" // and the token
	}
	err := b.svc.change(context.Background(), func(x *tx) error {
		if err := x.audit("test", "half", "x", nil); err != nil {
			return err
		}
		if _, err := x.exec(`UPDATE codes SET note = 'half'`); err != nil {
			return err
		}
		if sqlite { // the one connection is in use: take it away from inside
			if _, err := x.exec(`PRAGMA query_only = 1`); err != nil {
				return err
			}
		} else {
			set(true)
		}
		_, err := x.exec(`UPDATE codes SET note = 'whole'`)
		return err
	})
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("a transaction that was cut: %v", err)
	}
	if _, err := b.svc.Authenticate(context.Background(), "lmt_x"); !sqlite && !errors.Is(err, ErrUnavailable) {
		t.Errorf("a token while it is away: %v", err)
	}
	env := d.request(license.RequestRenew, "")
	status, after, body := send(env)
	if status != 503 || after == "" || !strings.Contains(string(body), `"unavailable"`) {
		t.Errorf("while it is away: %d, Retry-After %q, %s", status, after, body)
	}
	if got := b.problems(); got != problemDatabase {
		t.Errorf("problems: %q", got)
	}
	if text := b.metricsText(); !strings.Contains(text, `license_merchant_problem{code="database-unavailable"} 1`) || !strings.Contains(text, "license_merchant_database_errors_total "+errs) {
		t.Error("the metrics do not tell")
	}
	if !strings.Contains(log.String(), `"problem":"database-unavailable"`) || !strings.Contains(log.String(), "Look at the database server") {
		t.Errorf("the log does not tell: %s", log.String())
	}
	b.probes("while it is away", http.StatusServiceUnavailable) // counts errors, too
	set(false)
	b.probes("when it is back", http.StatusOK)
	status, _, body = send(env)
	if status != 200 {
		t.Fatalf("when it is back: %d %s", status, body)
	}
	d.take(must(protocol.DecodeAnswer(body))(t))
	if got := b.problems(); got != "" || d.state() != "license" {
		t.Errorf("when it is back: %q, %s", got, d.state())
	}
	must(b.svc.VerifyAudit(context.Background()))(t)
	if note := must(b.svc.Codes(context.Background(), "", 1))(t)[0].Note; note != "" {
		t.Errorf("half a transaction stayed: %q", note)
	}
}

// Errors are sorted by what they mean, and the words hold nothing of a URL.
func TestWhatAwayMeans(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		away bool
	}{
		"nothing":       {nil, false},
		"a mistake":     {errors.New("no such column"), false},
		"not found":     {ErrNotFound, false},
		"ended":         {io.EOF, true},
		"no answer":     {context.DeadlineExceeded, true},
		"wrapped twice": {errors.Join(errors.New("x"), io.ErrUnexpectedEOF), true},
	} {
		if got := away(c.err) != ""; got != c.away {
			t.Errorf("%s: away %v", name, got)
		}
	}
	if _, err := OpenPostgres(context.Background(), "postgres://merchant:secret@/x?host=/nonexistent&connect_timeout=1"); !errors.Is(err, ErrUnavailable) || strings.Contains(err.Error(), "secret") {
		t.Errorf("no server there: %v", err)
	}
	if _, err := OpenPostgres(context.Background(), "postgres://merchant:secret@[/x"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no URL: %v", err)
	}
}
