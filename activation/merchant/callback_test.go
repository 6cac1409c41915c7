package merchant

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

func freeze(code string) map[string]string {
	return map[string]string{"activity": "updateLicenseCodeStatus", "license": code, "status": "FREEZE"}
}

func unfreeze(code string) map[string]string {
	return map[string]string{"activity": "updateLicenseCodeStatus", "license": code, "status": "UNFREEZE"}
}

func renewal(code, order string, ends time.Time) map[string]string {
	return map[string]string{
		"activity": "refreshLicenseCode", "scene": "RENEWAL", "orderId": order, "orderLineId": order + "-000001",
		"license": code, "expireTime": ends.UTC().Format("20060102150405"),
	}
}

// bought is a stall with one activated code.
func bought(t *testing.T, change ...func(*MarketOptions)) (*stall, string, *device) {
	t.Helper()
	s := newStall(t, change...)
	code := s.sell("PLTEST000000000001")
	d := s.device(1)
	must0(t, d.activate(code))
	return s, code, d
}

// standing is what the service believes of its only code.
func (s *stall) standing() string {
	s.t.Helper()
	return must(s.svc.Codes(context.Background(), "", 1))(s.t)[0].Market
}

func (s *stall) ends() int64 {
	s.t.Helper()
	return must(s.svc.Codes(context.Background(), "", 1))(s.t)[0].Expires
}

// What is missing, too long or unknown is refused as a parameter and changes nothing.
func TestCallbackFields(t *testing.T) {
	s, code, _ := bought(t)
	later := s.clock.Now().Add(9000 * time.Hour)
	long := strings.Repeat("x", 65)
	with := func(m map[string]string, name, value string) map[string]string {
		m[name] = value
		return m
	}
	instance := map[string]string{"activity": "newInstance", "orderId": "CS1", "orderLineId": "CS1-1", "businessId": "b1"}
	apply := func() map[string]string {
		return map[string]string{"activity": "getLicenseAsync", "instanceId": "b1", "effectiveTime": "2026-01-02 03:04:05 z", "eventId": "e1"}
	}
	for _, c := range []struct {
		name string
		call map[string]string
		want string
	}{
		{"no activity", map[string]string{"license": code}, resultParameter},
		{"unknown activity", map[string]string{"activity": "expireLicense"}, resultParameter},
		{"freeze without code", freeze(""), resultParameter},
		{"freeze of a code too long", freeze(long), resultParameter},
		{"unknown status", with(freeze(code), "status", "MELT"), resultParameter},
		{"status too long", with(freeze(code), "status", strings.Repeat("F", 33)), resultParameter},
		{"unknown code", freeze("PLUNKNOWN"), resultUnknown},
		{"renewal without scene", with(renewal(code, "CS2", later), "scene", ""), resultParameter},
		{"renewal of an unknown scene", with(renewal(code, "CS2", later), "scene", "GIFT"), resultParameter},
		{"renewal without order", with(renewal(code, "CS2", later), "orderId", ""), resultParameter},
		{"renewal without line", with(renewal(code, "CS2", later), "orderLineId", ""), resultParameter},
		{"renewal without end", with(renewal(code, "CS2", later), "expireTime", ""), resultParameter},
		{"renewal until soon", with(renewal(code, "CS2", later), "expireTime", "soon"), resultParameter},
		{"renewal with a product too long", with(renewal(code, "CS2", later), "productId", long), resultParameter},
		{"release with an order too long", map[string]string{"activity": "releaseLicenseCode", "license": code, "orderId": long}, resultParameter},
		{"instance without order", with(map[string]string{"activity": "newInstance", "businessId": "b"}, "orderLineId", "l"), resultParameter},
		{"instance", instance, resultOK},
		{"status of an unknown instance", map[string]string{"activity": "updateInstanceStatus", "instanceId": "b9", "status": "FREEZE"}, resultUnknown},
		{"application without event", with(apply(), "eventId", ""), resultParameter},
		{"application without time", with(apply(), "effectiveTime", ""), resultParameter},
		{"application with a fingerprint too long", with(apply(), "deviceFingerprint", strings.Repeat("A", 1025)), resultParameter},
		{"application of an unknown instance", with(apply(), "instanceId", "b9"), resultUnknown},
	} {
		if a := s.call(c.call); a.Code != c.want {
			t.Errorf("%s: %s %q, want %s", c.name, a.Code, a.Message, c.want)
		} else if strings.Contains(a.Message, code) {
			t.Errorf("%s: the answer repeats the code", c.name)
		}
	}
	if s.standing() != standAlive || s.ends() == later.Unix() {
		t.Errorf("refused calls had an effect: %s, ends %d", s.standing(), s.ends())
	}
}

// A test call is answered as a real one would be, and changes nothing.
func TestCallbackTestFlag(t *testing.T) {
	s, code, _ := bought(t)
	later := s.clock.Now().Add(9000 * time.Hour)
	before := s.ends()
	rows := s.count(`SELECT COUNT(*) FROM goods`) + s.count(`SELECT COUNT(*) FROM deeds`) + s.count(`SELECT COUNT(*) FROM codes`)
	calls := []map[string]string{
		freeze(code), renewal(code, "CS9", later), freeze("PLNEVERSEEN"),
		{"activity": "releaseLicenseCode", "license": code},
		{"activity": "newInstance", "orderId": "CS1", "orderLineId": "CS1-1", "businessId": "b1"},
		{"activity": "refreshInstance", "instanceId": "b1", "scene": "RENEWAL", "orderId": "o", "orderLineId": "l", "expireTime": "20300101000000"},
		{"activity": "updateInstanceStatus", "instanceId": "b1", "status": "FREEZE"},
		{"activity": "releaseInstance", "instanceId": "b1"},
		{"activity": "getLicenseAsync", "instanceId": "b1", "effectiveTime": "2026-01-02 03:04:05 z", "eventId": "e1"},
	}
	for _, c := range calls {
		c["testFlag"] = "1"
		a := s.call(c)
		if a.Code != resultOK {
			t.Errorf("%s: %s %s", c["activity"], a.Code, a.Message)
		}
		if c["activity"] == "newInstance" && a.Instance != "b1" {
			t.Errorf("newInstance answered without an instance id")
		}
	}
	if a := s.call(map[string]string{"activity": "updateLicenseCodeStatus", "testFlag": "1", "license": code}); a.Code != resultParameter {
		t.Errorf("a test call without its members: %s, want %s", a.Code, resultParameter)
	}
	after := s.count(`SELECT COUNT(*) FROM goods`) + s.count(`SELECT COUNT(*) FROM deeds`) + s.count(`SELECT COUNT(*) FROM codes`)
	if s.standing() != standAlive || s.ends() != before || rows != after {
		t.Errorf("test calls had an effect: %s, ends %d, %d rows before, %d after", s.standing(), s.ends(), rows, after)
	}
	// The control: the same call without the flag acts.
	if a := s.call(freeze(code)); a.Code != resultOK || s.standing() != standFrozen {
		t.Errorf("a real freeze: %s, %s", a.Code, s.standing())
	}
}

// One order has one effect, however often and however late it is told.
func TestCallbackOrdersOnce(t *testing.T) {
	s, code, _ := bought(t)
	first, second := s.clock.Now().Add(9000*time.Hour), s.clock.Now().Add(18000*time.Hour)
	for range 3 {
		if a := s.call(renewal(code, "CS2", first)); a.Code != resultOK {
			t.Fatal(a)
		}
	}
	if n := len(s.actions(must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID)); s.ends() != first.Unix() || n != 2 {
		t.Errorf("ends %d after three times one order, %d audit rows", s.ends(), n)
	}
	s.call(renewal(code, "CS3", second))
	s.call(renewal(code, "CS2", first))
	s.call(renewal(code, "CS1b", first)) // an older order, told only now
	if s.ends() != second.Unix() {
		t.Errorf("a late renewal shortened the end to %d, want %d", s.ends(), second.Unix())
	}
	back := renewal(code, "CS4", first)
	back["scene"] = "UNSUBSCRIBE_RENEWAL_PERIOD"
	s.call(back)
	if s.ends() != first.Unix() {
		t.Errorf("ends %d after the renewal was taken back, want %d", s.ends(), first.Unix())
	}
	// The same order in another form of the same time: 17 digits, as one page shows.
	odd := renewal(code, "CS5", second)
	odd["expireTime"] += "123"
	if a := s.call(odd); a.Code != resultOK || s.ends() != second.Unix() {
		t.Errorf("17 digits: %s, ends %d", a.Code, s.ends())
	}
}

// A time that names no zone is of the one that was configured.
func TestCallbackTimesInAZone(t *testing.T) {
	beijing := time.FixedZone("+08:00", 8*3600)
	s, code, _ := bought(t, func(o *MarketOptions) { o.Zone = beijing })
	ends := s.clock.Now().Add(9000 * time.Hour)
	s.call(renewal(code, "CS2", ends.Add(8*time.Hour))) // the hands of a clock in Beijing
	if s.ends() != ends.Unix() {
		t.Errorf("ends %d, want %d", s.ends(), ends.Unix())
	}
}

// After a release nothing comes back to life.
func TestCallbackReleaseIsFinal(t *testing.T) {
	s, code, d := bought(t)
	s.call(map[string]string{"activity": "releaseLicenseCode", "license": code})
	for _, c := range []map[string]string{unfreeze(code), freeze(code), {"activity": "releaseLicenseCode", "license": code}, renewal(code, "CS7", s.clock.Now().Add(time.Hour))} {
		if a := s.call(c); a.Code != resultOK {
			t.Errorf("%s after the release: %s", c["activity"], a.Code)
		}
		if s.standing() != standReleased {
			t.Fatalf("%s undid the release", c["activity"])
		}
	}
	s.work()
	if s.standing() != standReleased { // the marketplace itself still says ALIVE
		t.Error("a heartbeat undid the release")
	}
	must0(t, d.renew())
	if d.state() != license.NoticeReleased {
		t.Errorf("the device was told %s", d.state())
	}
}

// The vendor's own freeze is not ended by the marketplace.
func TestCallbackLeavesTheVendorsFreeze(t *testing.T) {
	s, code, d := bought(t)
	id := must(s.svc.Codes(context.Background(), "", 1))(t)[0].ID
	must0(t, s.svc.Freeze(context.Background(), id, "chargeback"))
	s.call(freeze(code))
	s.call(unfreeze(code))
	must0(t, d.renew())
	if d.state() != license.NoticeSuspended || d.notice.Reason != "frozen-by-vendor" {
		t.Errorf("told %s %v, want the vendor's freeze", d.state(), d.notice)
	}
	must0(t, s.svc.Unfreeze(context.Background(), id, "paid"))
	must0(t, d.renew())
	if d.claims == nil {
		t.Errorf("told %s after both freezes ended", d.state())
	}
}

// A code that was never activated here, with the setting that keeps it.
func TestCallbackKeepsUnknownCodes(t *testing.T) {
	s := newStall(t, func(o *MarketOptions) { o.KeepUnknown, o.Thaw = true, ThawNever })
	code := s.sell("PLTEST000000000077")
	if a := s.call(freeze(code)); a.Code != resultOK {
		t.Fatalf("%s %s", a.Code, a.Message)
	}
	wantCode(t, "activation of a code frozen before", s.device(1).activate(code), protocol.CodeFrozen)
	s.call(unfreeze(code))
	must0(t, s.device(1).activate(code))
	s.call(map[string]string{"activity": "releaseLicenseCode", "license": "PLTEST000000000078"})
	before := s.calls("license/activate")
	wantCode(t, "activation of a code released before", s.device(2).activate("PLTEST000000000078"), protocol.CodeRevoked)
	if s.calls("license/activate") != before {
		t.Error("the marketplace was asked about a code that it had released")
	}
}

// How the handler behaves as an HTTP address.
func TestCallbackOverHTTP(t *testing.T) {
	s, code, _ := bought(t, func(o *MarketOptions) { o.BodySign = true })
	send := func(method string, body []byte, query url.Values) (*httptest.ResponseRecorder, CallbackAnswer) {
		t.Helper()
		w := httptest.NewRecorder()
		s.svc.Handler().ServeHTTP(w, httptest.NewRequest(method, CallbackPath+"?"+query.Encode(), strings.NewReader(string(body))))
		var a CallbackAnswer
		must0(t, json.Unmarshal(w.Body.Bytes(), &a))
		return w, a
	}
	body := must(json.Marshal(freeze(code)))(t)
	sign := func(b []byte) url.Values { return koogallery.SignCallback(callbackKey, nonce(), s.clock.Now(), b) }
	for _, c := range []struct {
		name, method string
		body         []byte
		query        url.Values
		want         string
	}{
		{"GET", http.MethodGet, nil, sign(nil), resultParameter},
		{"no signature", http.MethodPost, body, nil, resultParameter},
		{"no JSON", http.MethodPost, []byte("x"), sign([]byte("x")), resultParameter},
		{"a list", http.MethodPost, []byte("[]"), sign([]byte("[]")), resultParameter},
		{"null", http.MethodPost, []byte("null"), sign([]byte("null")), resultParameter},
		{"too large", http.MethodPost, []byte(strings.Repeat(" ", maxCallback+1)), sign(nil), resultParameter},
		{"good", http.MethodPost, body, sign(body), resultOK},
	} {
		w, a := send(c.method, c.body, c.query)
		if w.Code != http.StatusOK || a.Code != c.want {
			t.Errorf("%s: HTTP %d, %s, want 200 and %s", c.name, w.Code, a.Code, c.want)
		}
		if got := w.Header().Get("Body-Sign"); got != koogallery.BodySign(callbackKey, w.Body.Bytes()) {
			t.Errorf("%s: Body-Sign %q does not sign the answer", c.name, got)
		}
		if kind := w.Header().Get("Content-Type"); kind != "application/json" {
			t.Errorf("%s: Content-Type %q", c.name, kind)
		}
	}
	plain, _, _ := bought(t)
	w := httptest.NewRecorder()
	plain.svc.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, CallbackPath, nil))
	if w.Header().Get("Body-Sign") != "" {
		t.Error("signed although nobody asked for it")
	}
}

// A service without a callback key takes no call, whatever it is signed with.
func TestCallbackWithoutKey(t *testing.T) {
	s, code, _ := bought(t, func(o *MarketOptions) { o.CallbackKey = "" })
	body := must(json.Marshal(freeze(code)))(t)
	a, _ := s.svc.Callback(context.Background(), koogallery.SignCallback("", nonce(), s.clock.Now(), body), body)
	if a.Code != resultAuth || s.standing() != standAlive {
		t.Errorf("%s, %s", a.Code, s.standing())
	}
}

// The nonce of a call is used up for all instances and after a restart, and a
// call that failed for our reasons may come again with it.
func TestCallbackNonceSurvives(t *testing.T) {
	s, code, _ := bought(t)
	body := must(json.Marshal(freeze(code)))(t)
	query := koogallery.SignCallback(callbackKey, "once", s.clock.Now(), body)
	bad := must(json.Marshal(freeze("")))(t)
	s.svc.Callback(context.Background(), koogallery.SignCallback(callbackKey, "once", s.clock.Now(), bad), bad)
	if a, _ := s.svc.Callback(context.Background(), query, body); a.Code != resultOK {
		t.Fatalf("the nonce of a malformed call was used up: %s", a.Code)
	}
	s.call(unfreeze(code))
	other := s.service(s.db)
	defer other.Close()
	for i, svc := range []*Service{s.svc, other} {
		if a, _ := svc.Callback(context.Background(), query, body); a.Code != resultAuth {
			t.Errorf("instance %d took a replay: %s", i, a.Code)
		}
	}
	s.bed.close()
	s.bed.open()
	if a, _ := s.svc.Callback(context.Background(), query, body); a.Code != resultAuth || s.standing() != standAlive {
		t.Errorf("after a restart a replay was taken: %s", a.Code)
	}
	// A day later the nonce is forgotten and its time stamp is long stale.
	s.clock.Add(49 * time.Hour)
	s.svc.housekeep(context.Background())
	if n := s.count(`SELECT COUNT(*) FROM nonces WHERE seen < $1`, s.clock.Now().Unix()-nonceLife); n != 0 {
		t.Errorf("%d old nonces are kept", n)
	}
	if a, _ := s.svc.Callback(context.Background(), query, body); a.Code != resultParameter {
		t.Errorf("a stale call: %s", a.Code)
	}
}

// Every form that the pages allow is taken: either unit of the time stamp,
// either case of the signature, the body as sent or as the sample signs it.
func TestCallbackForms(t *testing.T) {
	s, code, _ := bought(t)
	var log bytes.Buffer
	s.svc.log = slog.New(slog.NewJSONHandler(&log, nil))
	unsorted := fmt.Sprintf(`{ "status":"FREEZE", "license":%q, "note":null, "activity":"updateLicenseCodeStatus" }`, code)
	sorted := fmt.Sprintf(`{"activity":"updateLicenseCodeStatus","license":%q,"status":"FREEZE"}`, code)
	for _, c := range []struct {
		name         string
		body, signed string
		seconds      bool
		lower        bool
		off          time.Duration
		want         string
	}{
		{"milliseconds, raw", unsorted, unsorted, false, false, 0, resultOK},
		{"milliseconds, canonical", unsorted, sorted, false, true, 0, resultOK},
		{"seconds, raw, lower case", sorted, sorted, true, true, 0, resultOK},
		{"seconds, canonical", unsorted, sorted, true, false, 0, resultOK},
		{"59 s late", sorted, sorted, false, false, -59 * time.Second, resultOK},
		{"59 s early", sorted, sorted, true, false, 59 * time.Second, resultOK},
		{"61 s late", sorted, sorted, true, false, -61 * time.Second, resultParameter},
		{"61 s early", sorted, sorted, false, false, 61 * time.Second, resultParameter},
		{"another body signed", sorted, unsorted + " ", false, false, 0, resultAuth},
	} {
		s.call(unfreeze(code))
		n, at := nonce(), s.clock.Now().Add(c.off)
		q := koogallery.SignCallback(callbackKey, n, at, []byte(c.signed))
		if c.seconds {
			q = signedInSeconds(n, at, c.signed)
		}
		if c.lower {
			q.Set("signature", strings.ToLower(q.Get("signature")))
		}
		a, _ := s.svc.Callback(context.Background(), q, []byte(c.body))
		acted := s.standing() == standFrozen
		if a.Code != c.want || acted != (c.want == resultOK) {
			t.Errorf("%s: %s, acted on: %v, want %s", c.name, a.Code, acted, c.want)
		}
	}
	for _, body := range []string{"raw", "canonical"} {
		for _, unit := range []string{"milliseconds", "seconds"} {
			if n := strings.Count(log.String(), `"body":"`+body+`","timestamp":"`+unit+`"`); n != 1 {
				t.Errorf("the log names %s body and %s %d times, want once", body, unit, n)
			}
		}
	}
}
