package localapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"licenseagent.example/agent/api"
)

// rejections counts what was turned away before a route was found.
type rejections struct{ foreign, identity, connections atomic.Uint64 }

func (r *rejections) add(code string) {
	switch code {
	case api.CodeForeignRequest:
		r.foreign.Add(1)
	case api.CodeNoIdentity:
		r.identity.Add(1)
	case api.CodeBusy:
		r.connections.Add(1)
	}
}

// exposition collects lines of the Prometheus text format 0.0.4. It is written
// by hand because the client library would make the agent a third larger and
// add eight modules to it for a few dozen lines; the test reads the result
// with the library's own parser.
type exposition struct{ b strings.Builder }

// family writes the header of a metric.
func (e *exposition) family(name, kind, help string) {
	e.b.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

// sample writes one value. labels are name, value, name, value.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		e.b.WriteByte(sep)
		e.b.WriteString(labels[i] + `="` + labelEscaper().Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		e.b.WriteByte('}')
	}
	e.b.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// labelEscaper escapes the three characters the format names.
func labelEscaper() *strings.Replacer {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
}

// metrics shows counters and the verdicts. It tells no more than the status
// does, and the status is for every local user.
func (s *Server) metrics(x *exchange) error {
	var e exposition
	st := s.cfg.Licenses.Status(api.English)
	e.family("license_agent_info", "gauge", "Version of the agent and tier of the device key.")
	e.sample("license_agent_info", 1, "version", st.Version, "key_tier", st.KeyTier, "instance", st.Instance)
	e.family("license_agent_license_runs", "gauge", "1 when the product may run on this machine.")
	for _, l := range st.Licenses {
		e.sample("license_agent_license_runs", truth(l.Verdict.Runs), "issuer", l.Issuer, "product", l.Product, "phase", l.Verdict.Phase)
	}
	e.family("license_agent_license_days_left", "gauge", "Whole days until the product stops if nothing happens.")
	for _, l := range st.Licenses {
		e.sample("license_agent_license_days_left", float64(l.Verdict.DaysLeft), "issuer", l.Issuer, "product", l.Product)
	}
	e.family("license_agent_license_flag", "gauge", "1 for each flag beside the phase: indeterminate, drift, contested, provisional-clock.")
	for _, l := range st.Licenses {
		for _, flag := range l.Verdict.Flags {
			e.sample("license_agent_license_flag", 1, "issuer", l.Issuer, "product", l.Product, "flag", flag)
		}
	}
	e.hardware(st.Licenses)
	e.seats(s.cfg.Licenses.Seats().Counts)
	e.family("license_agent_last_contact_timestamp_seconds", "gauge", "Server time of the last signed answer of the merchant.")
	for _, l := range st.Licenses {
		e.sample("license_agent_last_contact_timestamp_seconds", float64(l.LastContact), "issuer", l.Issuer, "product", l.Product)
	}
	e.family("license_agent_effective_time_seconds", "gauge", "The time that decides, by the time rule.")
	e.sample("license_agent_effective_time_seconds", float64(st.Time))

	e.family("license_agent_requests_total", "counter", "Answered requests of the local API.")
	paths := make([]string, 0, len(s.routes))
	for path := range s.routes {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		c := s.routes[path].counts
		e.sample("license_agent_requests_total", float64(c.ok.Load()), "path", path, "result", "ok")
		e.sample("license_agent_requests_total", float64(c.refused.Load()), "path", path, "result", "refused")
		e.sample("license_agent_requests_total", float64(c.failed.Load()), "path", path, "result", "failed")
	}
	e.family("license_agent_rejected_total", "counter", "Connections and requests turned away before a route was found.")
	e.sample("license_agent_rejected_total", float64(s.rejected.foreign.Load()), "reason", api.CodeForeignRequest)
	e.sample("license_agent_rejected_total", float64(s.rejected.identity.Load()), "reason", api.CodeNoIdentity)
	e.sample("license_agent_rejected_total", float64(s.rejected.connections.Load()), "reason", "too-many-connections")
	connections, users := 0, 0
	if l := s.limiter.Load(); l != nil {
		connections, users = l.open()
	}
	e.family("license_agent_connections", "gauge", "Open connections.")
	e.sample("license_agent_connections", float64(connections))
	e.family("license_agent_users", "gauge", "Users that hold connections.")
	e.sample("license_agent_users", float64(users))

	e.family("license_agent_seat_connections", "gauge", "Connections that are seats or wait for one; not among license_agent_connections.")
	e.sample("license_agent_seat_connections", float64(s.held.connections()))
	h := x.w.Header()
	h["Content-Type"] = []string{"text/plain; version=0.0.4; charset=utf-8"}
	x.counts.add(http.StatusOK)
	_, _ = x.w.Write([]byte(e.b.String())) // a peer that went away needs no answer
	return nil
}

// hardware tells before it breaks how far the machine is from being another one.
func (e *exposition) hardware(licenses []api.License) {
	e.family("license_agent_hardware_points_left", "gauge", "Points of the fingerprint that may still be lost; one more and the license may stop.")
	for _, l := range licenses {
		if h := l.Hardware; h != nil {
			e.sample("license_agent_hardware_points_left", float64(h.Left), "issuer", l.Issuer, "product", l.Product, "outcome", h.Outcome)
		}
	}
	e.family("license_agent_hardware_warning", "gauge", "1 when enrolled hardware is lost or cannot be read and somebody should look.")
	for _, l := range licenses {
		if h := l.Hardware; h != nil {
			e.sample("license_agent_hardware_warning", truth(h.Warning), "issuer", l.Issuer, "product", l.Product)
		}
	}
}

// seats shows how near each license is to "all taken".
func (e *exposition) seats(counts []api.SeatCount) {
	e.family("license_agent_seats", "gauge", "Seats of a license on this machine: total, used, waiting for one, and the most used since the merchant was last told.")
	for _, c := range counts {
		for _, v := range []struct {
			state string
			n     int64
		}{{"total", c.Total}, {"used", c.Used}, {"waiting", c.Waiting}, {"peak", c.Peak}} {
			e.sample("license_agent_seats", float64(v.n), "issuer", c.Issuer, "product", c.Product, "state", v.state)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
