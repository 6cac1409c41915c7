package merchant

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the counters of one service, in a registry of its own.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	contested prometheus.Counter
	throttled prometheus.Counter
	batch     prometheus.Histogram
	seconds   prometheus.Histogram

	problems       *prometheus.GaugeVec
	databaseErrors prometheus.Counter
	certificate    prometheus.Gauge
	keySet         prometheus.Gauge
	market         *marketMetrics
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "license_merchant_requests_total",
			Help: "Requests answered, by kind and by error code (ok for none).",
		}, []string{"kind", "result"}),
		contested: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "license_merchant_contested_total",
			Help: "Seats marked as contested: a copy of a device's state was seen.",
		}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "license_merchant_throttled_total",
			Help: "Requests refused because their address sent too many wrong codes.",
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "license_merchant_commit_requests",
			Help: "Requests that shared one durable commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "license_merchant_request_seconds",
			Help: "Time from reading a request to having its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
	m.problems = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "license_merchant_problem",
		Help: "1 while something is wrong that an operator should put right, by the code that log and admin API use.",
	}, []string{"code"})
	for _, p := range Problems() {
		m.problems.WithLabelValues(p.Code).Set(0)
	}
	m.databaseErrors = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "license_merchant_database_errors_total",
		Help: "Transactions that failed because the database was not there.",
	})
	m.certificate = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "license_merchant_certificate_end_seconds",
		Help: "UTC second at which the TLS certificate ends.",
	})
	m.keySet = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "license_merchant_keyset_end_seconds",
		Help: "UTC second at which the published key set ends.",
	})
	m.registry.MustRegister(m.requests, m.contested, m.throttled, m.batch, m.seconds, m.problems, m.databaseErrors, m.certificate, m.keySet)
	m.market = newMarketMetrics(m.registry)
	return m
}

// Metrics serves the counters in Prometheus' text form. It belongs on a
// listener that only the operator reaches.
func (s *Service) Metrics() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
}
