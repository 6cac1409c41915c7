package localapi

import (
	"encoding/json"
	"expvar"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"licenseagent.example/agent/api"
)

// A poll is answered as soon as something happens, and outlives the deadline
// of ordinary requests.
func TestPollWaitsForTheNextChange(t *testing.T) {
	r := start(t, Config{Limits: Limits{Request: 100 * time.Millisecond}})
	type answer struct {
		status int
		body   string
	}
	got := make(chan answer)
	go func() {
		status, body := r.call("GET", "/v1/events?since=0&wait=20s", "")
		got <- answer{status, body}
	}()
	eventually(t, func() bool { return len(r.fake.names()) == 1 })
	timer := time.NewTimer(300 * time.Millisecond) // three times the ordinary deadline
	defer timer.Stop()
	select {
	case a := <-got:
		t.Fatalf("answered before anything happened: %+v", a)
	case <-timer.C:
	}
	r.fake.serial.Store(5)
	close(r.fake.changed)
	a := <-got
	var e api.Events
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != 200 || e.Serial != 5 || len(e.Events) != 1 {
		t.Errorf("%+v %v", a, err)
	}
}

func TestPollEndsWithAnEmptyList(t *testing.T) {
	r := start(t, Config{})
	status, body := r.call("GET", "/v1/events?since=0&wait=10ms", "")
	if status != http.StatusOK || !strings.Contains(body, `"events":[]`) {
		t.Errorf("%d %s", status, body)
	}
}

// A peer that goes away while it waits frees its place.
func TestPollEndsWhenThePeerGoes(t *testing.T) {
	r := start(t, Config{})
	c := r.dial()
	if _, err := c.Write([]byte("GET /v1/events?since=9&wait=60s HTTP/1.1\r\nHost: license-agent\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(r.fake.names()) == 1 })
	c.Close()
	eventually(t, func() bool { n, _ := r.server.limiter.Load().open(); return n == 0 })
}

// Shutdown does not wait for polls.
func TestShutdownEndsPolls(t *testing.T) {
	r := start(t, Config{})
	c := r.dial()
	if _, err := c.Write([]byte("GET /v1/events?since=9&wait=60s HTTP/1.1\r\nHost: license-agent\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(r.fake.names()) == 1 })
	began := time.Now()
	if err := r.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("shutdown took %v", took)
	}
}

// The status is rendered once for many readers, and again after a change or a second.
func TestStatusIsRenderedOnChange(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	r := start(t, Config{Now: func() time.Time { return at }})
	for range 5 {
		r.call("GET", api.PathStatus, "")
	}
	if n := len(r.fake.names()); n != 1 {
		t.Errorf("rendered %d times for 5 readers", n)
	}
	r.fake.serial.Add(1)
	_, body := r.call("GET", api.PathStatus, "")
	if n := len(r.fake.names()); n != 2 || !strings.Contains(body, `"serial":1`) {
		t.Errorf("after a change: rendered %d times, %s", n, body)
	}
	at = at.Add(statusAge)
	r.call("GET", api.PathStatus, "")
	if n := len(r.fake.names()); n != 3 {
		t.Errorf("after a second: rendered %d times", n)
	}
	at = at.Add(-time.Hour)
	r.call("GET", api.PathStatus, "")
	if n := len(r.fake.names()); n != 4 {
		t.Errorf("after the clock went back: rendered %d times", n)
	}
}

// The hand-written text is read by the reference parser.
func TestMetricsAreInTheFormat(t *testing.T) {
	r := start(t, Config{})
	r.call("GET", api.PathStatus, "")
	r.call("GET", "/v1/status?", "")
	r.call("POST", api.PathStatus, "")
	r.raw("GET /v1/status HTTP/1.1\r\nHost: evil\r\n\r\n")
	status, body := r.call("GET", api.PathMetrics, "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	documented, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range families {
		if !strings.Contains(string(documented), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not describe %s", name)
		}
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		if strings.HasSuffix(name, "_total") != (f.GetType() == dto.MetricType_COUNTER) {
			t.Errorf("%s is a %s", name, f.GetType())
		}
	}
	find := func(name string, labels ...string) float64 {
		for _, m := range families[name].GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			ok := true
			for i := 0; i+1 < len(labels); i += 2 {
				ok = ok && have[labels[i]] == labels[i+1]
			}
			if ok {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		return -1
	}
	for _, c := range []struct {
		got, want float64
		what      string
	}{
		{find("license_agent_requests_total", "path", api.PathStatus, "result", "ok"), 2, "answered"},
		{find("license_agent_requests_total", "path", api.PathStatus, "result", "refused"), 1, "refused"},
		{find("license_agent_rejected_total", "reason", api.CodeForeignRequest), 1, "foreign"},
		{find("license_agent_license_runs", "product", "painter", "phase", "active"), 1, "runs"},
		{find("license_agent_license_days_left", "product", "painter"), 30, "days left"},
		{find("license_agent_users"), 1, "users"},
		{find("license_agent_license_flag", "product", "painter", "flag", "drift"), 1, "flag"},
		{find("license_agent_hardware_points_left", "product", "painter", "outcome", "same"), 1, "points left"},
		{find("license_agent_hardware_warning", "issuer", "acme", "product", "painter"), 1, "warning"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

// Labels come from vendors' product names: nothing in them may break a line.
func TestLabelsAreEscaped(t *testing.T) {
	var e exposition
	e.family("m", "gauge", "h")
	e.sample("m", 1, "product", "a\"b\\c\nd")
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(e.b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got := families["m"].GetMetric()[0].GetLabel()[0].GetValue(); got != "a\"b\\c\nd" {
		t.Errorf("got %q", got)
	}
}

// Nothing of net/http/pprof or expvar hangs on this server: it has no mux.
func TestNoDefaultMux(t *testing.T) {
	r := start(t, Config{})
	expvar.NewInt("localapi-test")
	if status, _ := r.call("GET", "/debug/vars", ""); status != http.StatusNotFound {
		t.Errorf("got %d", status)
	}
}
