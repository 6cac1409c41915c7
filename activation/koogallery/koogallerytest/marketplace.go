// Package koogallerytest is a marketplace in the process: as strict as
// KooGallery's documents about signature, clock, host, content type, field
// lengths, batch limits, error codes and the life of a code. Tests run against
// it, and `license-merchant serve --marketplace simulated` lets a vendor try
// things out. It is a simulator, never a marketplace.
package koogallerytest

import (
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"licenseagent.example/activation/koogallery"
)

// Stage is where a code stands in its life.
type Stage string

// The stages of a code.
const (
	Bought   Stage = "bought"
	Received Stage = "received"
	Active   Stage = "active"
	Expired  Stage = "expired"
	Frozen   Stage = "frozen"
	Released Stage = "released"
)

// Code is one sold authorization code.
type Code struct {
	Code     string
	Product  string
	Order    string
	Ordered  time.Time // when it was bought, Sell's time if it is not said
	Amount   int64
	Validity time.Duration // counted from activation
	Stage    Stage
	Active   time.Time
	Expires  time.Time
}

// Call is one accepted request, for tests to look at.
type Call struct {
	Path string
	Body string
	At   time.Time
}

// Marketplace is the simulator. Make one with New; it is safe for concurrent use.
type Marketplace struct {
	keys  koogallery.Credentials
	hosts []string
	now   func() time.Time

	mu       sync.Mutex
	codes    map[string]*Code
	orders   map[string]json.RawMessage
	uploads  map[string][]byte
	calls    []Call
	usage    map[string][]string
	failures []string // error codes to answer next, before anything else
	owed     []*Callback
	orderNo  int
	nonce    int
	session  string
	down     bool
	foreign  map[string][]Form // codes of another seller, and how they are answered
	beats    map[string][]time.Time
	frozen   *Form // what a heartbeat of a frozen code answers, nil: EXPIRED
	reword   func(state map[string]any)
	refused  []string // codes and client marks whose usage is not taken
	refusal  string   // the members of the answer that says so
}

// New makes a marketplace that knows one seller's key pair and answers only
// for the given host names.
func New(keys koogallery.Credentials, now func() time.Time, hosts ...string) *Marketplace {
	return &Marketplace{
		keys: keys, hosts: hosts, now: now,
		codes: map[string]*Code{}, orders: map[string]json.RawMessage{}, uploads: map[string][]byte{}, usage: map[string][]string{},
		foreign: map[string][]Form{}, beats: map[string][]time.Time{}, session: fmt.Sprintf("n%d", now().UnixNano()),
	}
}

// Sell puts a code on the market.
func (m *Marketplace) Sell(c Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Stage == "" {
		c.Stage = Bought
	}
	if c.Ordered.IsZero() {
		c.Ordered = m.now()
	}
	m.codes[c.Code] = &c
}

// Form is a plausible answer of an interface: HTTP status and error code.
type Form struct {
	HTTP int
	Code string
}

// SellElsewhere puts a code of another seller on the market. How the
// marketplace answers for one is not documented: without forms as the current
// error table has it, 200 and 92020001, where the older one has 403
// "unauthorized". The first form is the answer to an activation, the last one
// that to a heartbeat.
func (m *Marketplace) SellElsewhere(code string, forms ...Form) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(forms) == 0 {
		forms = []Form{{http.StatusOK, "92020001"}}
	}
	m.foreign[code] = forms
}

// AnswerFrozen makes the heartbeats of frozen codes answer an error; without it
// they answer EXPIRED. Which of the two is true is not documented.
func (m *Marketplace) AnswerFrozen(f Form) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = &f
}

// RefuseUsage makes reports about some codes and client marks fail, although the
// call succeeds. How that is said is not documented: members is the JSON of the
// answer's further members. Without marks it ends.
func (m *Marketplace) RefuseUsage(members string, marks ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused, m.refusal = marks, members
}

// Reword makes heartbeats say a state in another form: it may change any member
// of the state of a code, and is called for each heartbeat. Nil ends it.
func (m *Marketplace) Reword(change func(state map[string]any)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reword = change
}

// Set moves a code to a stage, as an order or a deadline would.
func (m *Marketplace) Set(code string, s Stage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.codes[code]; c != nil {
		c.Stage = s
	}
}

// Extend moves the end of a code's validity, as a renewal order would.
func (m *Marketplace) Extend(code string, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.codes[code]; c != nil {
		c.Expires = until
		if c.Stage == Expired || c.Stage == Frozen {
			c.Stage = Active
		}
	}
}

// Get returns a copy of a code.
func (m *Marketplace) Get(code string) (Code, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.codes[code]
	if c == nil {
		return Code{}, false
	}
	m.age(c)
	return *c, true
}

// Fail makes the next requests answer these error codes, one each.
func (m *Marketplace) Fail(codes ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = append(m.failures, codes...)
}

// Calls returns the accepted requests so far.
func (m *Marketplace) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// Usage returns the client marks reported for a code.
func (m *Marketplace) Usage(code string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.usage[code])
}

// Beats returns when the state of a code was told.
func (m *Marketplace) Beats(code string) []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.beats[code])
}

// Upload returns what was uploaded for a getLicenseAsync event.
func (m *Marketplace) Upload(event string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.uploads[event]
}

// AddOrder makes an order known to the order query.
func (m *Marketplace) AddOrder(id string, info json.RawMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.orders[id] = info
}

// age ends the validity of an active code when its time has come.
func (m *Marketplace) age(c *Code) {
	if c.Stage == Active && !c.Expires.IsZero() && !m.now().Before(c.Expires) {
		c.Stage = Expired
	}
}

const base = "/api/mkp-openapi-public/global/"

// ServeHTTP answers the open API.
func (m *Marketplace) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := m.now()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if !slices.Contains(m.hosts, r.Host) {
		answer(w, http.StatusNotFound, "APIGW.0101", "the API does not exist on this host")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 12<<20+1))
	if err != nil || len(body) > 12<<20 {
		answer(w, http.StatusRequestEntityTooLarge, "APIGW.0201", "body over 12 MB")
		return
	}
	if why := m.authorize(r, body, now); why != "" {
		answer(w, http.StatusUnauthorized, "APIGW.0301", why)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, Call{Path: r.URL.Path, Body: string(body), At: now})
	if len(m.failures) > 0 {
		code := m.failures[0]
		m.failures = m.failures[1:]
		answer(w, http.StatusInternalServerError, code, "failure ordered by the test")
		return
	}
	path := strings.TrimPrefix(r.URL.Path, base)
	if path == "v1/order/query" && r.Method == http.MethodGet {
		m.order(w, r.URL.Query())
		return
	}
	if r.Method != http.MethodPost {
		answer(w, http.StatusMethodNotAllowed, "95000002", "method not supported")
		return
	}
	if event, ok := strings.CutSuffix(strings.TrimPrefix(path, "v1/market-event/"), "/file"); ok {
		m.upload(w, event, r.Header.Get("Content-Type"), body)
		return
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		answer(w, http.StatusUnsupportedMediaType, "95000003", "Content-Type is not application/json")
		return
	}
	switch path {
	case "v1/license/activate":
		m.activate(w, body)
	case "v2/license/activate":
		m.activateBatch(w, body)
	case "v1/license/heartbeat":
		m.heartbeat(w, body)
	case "v2/license/heartbeat":
		m.heartbeatBatch(w, body)
	case "v2/license/software-usage-info":
		m.reportUsage(w, body)
	default:
		answer(w, http.StatusNotFound, "APIGW.0101", "the API does not exist")
	}
}

// authorize computes the signature anew from what arrived.
func (m *Marketplace) authorize(r *http.Request, body []byte, now time.Time) string {
	stamp, err := time.Parse(koogallery.DateFormat, r.Header.Get("X-Sdk-Date"))
	if err != nil {
		return "X-Sdk-Date missing or malformed"
	}
	if off := now.Sub(stamp); off > 15*time.Minute || off < -15*time.Minute {
		return "request expired"
	}
	auth := r.Header.Get("Authorization")
	_, list, ok := strings.Cut(auth, "SignedHeaders=")
	if !ok {
		return "Authorization malformed"
	}
	list, _, _ = strings.Cut(list, ",")
	headers := map[string]string{}
	for _, name := range strings.Split(list, ";") {
		if name != "host" && name != "x-sdk-date" {
			headers[name] = r.Header.Get(name)
		}
	}
	u := &url.URL{Scheme: "https", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	want, err := koogallery.Sign(m.keys, koogallery.Request{Method: r.Method, URL: u, Headers: headers, Body: body, Date: stamp})
	if err != nil || !hmac.Equal([]byte(want.Authorization), []byte(auth)) {
		return "Incorrect IAM authentication information: verify aksk signature fail"
	}
	return ""
}

func answer(w http.ResponseWriter, status int, code, msg string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error_code":%q,"error_msg":%q}`, code, msg)
}

// decode is strict about what the documents limit and lenient about nothing.
func decode(w http.ResponseWriter, body []byte, v any) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		answer(w, http.StatusBadRequest, "95000004", "body unreadable: "+err.Error())
		return false
	}
	return true
}
