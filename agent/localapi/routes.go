package localapi

import (
	"net/http"
	"sync/atomic"

	"licenseagent.example/agent/api"
)

// access says who may call a route. The zero value is no decision at all, and
// New refuses a table that contains it.
type access int

const (
	undecided access = iota
	anyone           // every caller with an identity
	admin            // callers with Caller.Admin
)

// String is the name used in openapi.yaml.
func (a access) String() string {
	switch a {
	case anyone:
		return "anyone"
	case admin:
		return "admin"
	default:
		return "undecided"
	}
}

// pace says how long a route may take.
type pace int

const (
	quick pace = iota // Limits.Request; takes a turn at the gate
	poll              // Limits.Wait; waits without a turn
	hold              // as long as the caller wants; takes a turn by itself
	slow              // Limits.Action; talks to the merchant, without a turn
)

// route is one row of the access table.
type route struct {
	method string
	access access
	pace   pace
	serve  func(*exchange) error
	counts *counts
}

// counts are the answers of one route by hundreds of the status: 2xx, 4xx, 5xx.
type counts struct{ ok, refused, failed atomic.Uint64 }

func (c *counts) add(status int) {
	switch {
	case status < 400:
		c.ok.Add(1)
	case status < 500:
		c.refused.Add(1)
	default:
		c.failed.Add(1)
	}
}

// table is every route there is. The order of columns is the order of the
// decisions: method, who, how long.
func (s *Server) table() map[string]*route {
	get, post := http.MethodGet, http.MethodPost
	return map[string]*route{
		api.PathVersion:  {method: get, access: anyone, serve: s.version},
		api.PathStatus:   {method: get, access: anyone, serve: s.status},
		api.PathCheck:    {method: post, access: anyone, serve: s.check},
		api.PathFiles:    {method: get, access: anyone, serve: s.files},
		api.PathWhy:      {method: get, access: anyone, serve: s.why},
		api.PathSimulate: {method: post, access: anyone, serve: s.simulate},
		api.PathMetrics:  {method: get, access: anyone, serve: s.metrics},
		api.PathHolders:  {method: get, access: anyone, serve: s.holders},
		api.PathSeats:    {method: post, access: anyone, pace: hold, serve: s.seat},
		api.PathEvents:   {method: get, access: anyone, pace: poll, serve: s.events},
		api.PathPreview:  {method: get, access: admin, serve: s.preview},
		api.PathActivate: {method: post, access: admin, pace: slow, serve: s.activate},
		api.PathRenew:    {method: post, access: admin, pace: slow, serve: s.renew},
		api.PathRelease:  {method: post, access: admin, pace: slow, serve: s.release},
		api.PathRebind:   {method: post, access: admin, pace: slow, serve: s.rebind},
		api.PathRequest:  {method: post, access: admin, serve: s.request},
		api.PathImport:   {method: post, access: admin, serve: s.importAnswer},
		api.PathDiagnose: {method: get, access: admin, pace: slow, serve: s.diagnose},
	}
}
