package merchant

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// marketMetrics count what passes between this service and the marketplace.
type marketMetrics struct {
	calls           *prometheus.CounterVec
	callSeconds     prometheus.Histogram
	callbacks       *prometheus.CounterVec
	callbackSeconds prometheus.Histogram
	waiting, failed prometheus.Gauge
	late            prometheus.Gauge
	polls           prometheus.Gauge
}

func newMarketMetrics(r *prometheus.Registry) *marketMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &marketMetrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "license_merchant_marketplace_calls_total", Help: "Calls to the marketplace, by call and class of the outcome.",
		}, []string{"call", "class"}),
		callSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "license_merchant_marketplace_call_seconds", Help: "Time of one call to the marketplace.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 12),
		}),
		callbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "license_merchant_marketplace_callbacks_total", Help: "Calls of the marketplace, by activity and result code.",
		}, []string{"activity", "result"}),
		callbackSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "license_merchant_marketplace_callback_seconds", Help: "Time to answer a call of the marketplace.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		waiting: gauge("license_merchant_jobs_waiting", "Jobs that wait to be done after an answer."),
		failed:  gauge("license_merchant_jobs_failed", "Jobs that were given up and that somebody must look at."),
		late:    gauge("license_merchant_jobs_late_seconds", "How long the oldest job has been due."),
		polls:   gauge("license_merchant_notice_polls", "Agents that wait for a notice now."),
	}
	r.MustRegister(m.calls, m.callSeconds, m.callbacks, m.callbackSeconds, m.waiting, m.failed, m.late, m.polls)
	return m
}

// measureEvery is how often, in seconds, the queue is counted.
const measureEvery = 15

// measureQueue brings the gauges of the queue up to date and shares the problems.
func (s *Service) measureQueue(ctx context.Context) {
	now := s.clock().Unix()
	if now-s.measured.Load() < measureEvery {
		return
	}
	s.measured.Store(now)
	if err := s.shareProblems(ctx); err != nil {
		s.log.Debug("problems are shared later", "error", err)
	}
	q, err := s.Queue(ctx)
	if err == nil {
		s.metrics.market.waiting.Set(float64(q.Waiting))
		s.metrics.market.failed.Set(float64(q.Failed))
		late := int64(0)
		if q.Oldest > 0 {
			late = now - q.Oldest
		}
		s.metrics.market.late.Set(float64(late))
	}
}
