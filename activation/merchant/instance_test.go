package merchant

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

// instanceOf orders an instance and lets its order be queried.
func (s *stall) instanceOf(order, mode, amount string) string {
	s.t.Helper()
	info := `{"orderId":"` + order + `","orderType":"NEW","orderLine":[{"orderLineId":"` + order + `-000001","chargingMode":"` + mode + `",
		"expireTime":"` + s.clock.Now().Add(365*24*time.Hour).UTC().Format("20060102150405") + `","productInfo":[{"productId":"OFFI1","linearValue":"` + amount + `"}],"tomorrow":1}]}`
	s.market.AddOrder(order, json.RawMessage(info))
	a := s.call(map[string]string{"activity": "newInstance", "orderId": order, "orderLineId": order + "-000001", "businessId": "business-" + order})
	if a.Code != resultOK || a.Instance == "" {
		s.t.Fatalf("newInstance: %+v", a)
	}
	s.work()
	return a.Instance
}

func (s *stall) application(instance, event, print string) map[string]string {
	return map[string]string{
		"activity": "getLicenseAsync", "instanceId": instance, "eventId": event, "deviceFingerprint": print,
		"effectiveTime": s.clock.Now().UTC().Format("2006-01-02 15:04:05 z"),
		"expireTime":    s.clock.Now().Add(300 * 24 * time.Hour).UTC().Format("2006-01-02 15:04:05 z"),
	}
}

// getLicenseAsync from the call to the license: a code of our own that only the
// device of the application can redeem.
func TestApplicationForALicense(t *testing.T) {
	s := newStall(t)
	instance := s.instanceOf("CS100", "PERIOD", "5")
	d := s.device(1)
	a := s.call(s.application(instance, "event-1", d.print))
	if a.Code != resultInProgress {
		t.Fatalf("%+v", a)
	}
	s.work()
	code := string(s.market.Upload("event-1"))
	if len(code) != 29 || len(code) > 1024 {
		t.Fatalf("uploaded %d characters", len(code))
	}
	if err := s.device(2).activate(code); codeOf(t, err) != protocol.CodeDeviceMismatch {
		t.Errorf("another device redeemed it: %v", err)
	}
	must0(t, d.activate(code))
	if want := s.clock.Now().Add(299 * 24 * time.Hour).Unix(); d.claims.Expires < want || d.claims.Expires > want+2*day {
		t.Errorf("ends %d, want the application's end", d.claims.Expires)
	}

	// Interrupted transfer: the same application, the same license, one code.
	again := s.call(s.application(instance, "event-1", d.print))
	s.work()
	if again.Code != resultInProgress || string(s.market.Upload("event-1")) != code || s.count(`SELECT COUNT(*) FROM codes`) != 1 {
		t.Errorf("repeated: %s, %d codes", again.Code, s.count(`SELECT COUNT(*) FROM codes`))
	}
	// The instance is frozen, unfrozen, renewed and released: its licenses follow.
	for _, c := range []struct {
		call map[string]string
		told string
	}{
		{map[string]string{"activity": "updateInstanceStatus", "instanceId": instance, "status": "FREEZE"}, license.NoticeSuspended},
		{map[string]string{"activity": "updateInstanceStatus", "instanceId": instance, "status": "UNFREEZE"}, license.NoticeActive},
		{map[string]string{
			"activity": "refreshInstance", "scene": "RENEWAL", "instanceId": instance, "orderId": "CS101", "orderLineId": "CS101-1",
			"expireTime": s.clock.Now().Add(900 * 24 * time.Hour).UTC().Format("20060102150405"),
		}, "license"},
		{map[string]string{"activity": "releaseInstance", "instanceId": instance}, license.NoticeReleased},
	} {
		if a := s.call(c.call); a.Code != resultOK {
			t.Errorf("%s: %+v", c.call["activity"], a)
		}
		must0(t, d.renew())
		if d.state() != c.told {
			t.Errorf("after %s %s: told %s, want %s", c.call["activity"], c.call["status"], d.state(), c.told)
		}
		if c.call["activity"] == "refreshInstance" && d.claims.Expires < s.clock.Now().Add(899*24*time.Hour).Unix() {
			t.Errorf("renewed, but ends %d", d.claims.Expires)
		}
	}
	if a := s.call(s.application(instance, "event-9", d.print)); a.Code != resultDates {
		t.Errorf("application to a released instance: %+v", a)
	}
}

func TestApplicationsRefused(t *testing.T) {
	s := newStall(t)
	instance := s.instanceOf("CS200", "PERIOD", "2")
	d := s.device(1)
	change := func(name, value string) map[string]string {
		m := s.application(instance, "event-x", d.print)
		m[name] = value
		return m
	}
	past := s.clock.Now().Add(-time.Hour).UTC().Format("2006-01-02 15:04:05 z")
	for _, c := range []struct {
		name string
		call map[string]string
		want string
	}{
		{"no fingerprint", change("deviceFingerprint", ""), resultNoDevice},
		{"empty parts", change("deviceFingerprint", "|||"), resultNoDevice},
		{"no end for a period", change("expireTime", ""), resultNoExpiry},
		{"an end that is over", change("expireTime", past), resultDates},
		{"two parts", change("deviceFingerprint", "A|B"), resultParameter},
		{"nothing of its own", change("deviceFingerprint", "|||BFEBFBFF000906EA"), resultParameter},
	} {
		if a := s.call(c.call); a.Code != c.want {
			t.Errorf("%s: %+v, want %s", c.name, a, c.want)
		}
	}
	if n := s.count(`SELECT COUNT(*) FROM codes`); n != 0 {
		t.Errorf("refused applications made %d codes", n)
	}
	for i, want := range []string{resultInProgress, resultInProgress, resultQuota, resultQuota} {
		if a := s.call(s.application(instance, "event-"+string(rune('a'+i)), hardware(i+1))); a.Code != want {
			t.Errorf("application %d of 2: %+v, want %s", i+1, a, want)
		}
	}
}

// A hardware identification code instead of a fingerprint is the id of a device key.
func TestApplicationByDeviceID(t *testing.T) {
	s := newStall(t)
	instance := s.instanceOf("CS300", "ONE_TIME", "")
	d := s.device(1)
	call := s.application(instance, "event-1", license.DeviceID(d.signer.Public()))
	delete(call, "expireTime") // not for a period
	if a := s.call(call); a.Code != resultInProgress {
		t.Fatalf("%+v", a)
	}
	s.work()
	code := string(s.market.Upload("event-1"))
	wantCode(t, "another device key on the same hardware", s.device(1).activate(code), protocol.CodeDeviceMismatch)
	must0(t, d.activate(code))
}

// One order, one instance, however often it is told and whatever the later calls say.
func TestInstancePerOrder(t *testing.T) {
	s := newStall(t)
	first := s.instanceOf("CS400", "PERIOD", "1")
	for _, business := range []string{"business-CS400", "another-business"} {
		a := s.call(map[string]string{"activity": "newInstance", "orderId": "CS400", "orderLineId": "CS400-000001", "businessId": business})
		if a.Code != resultOK || a.Instance != first {
			t.Errorf("repeated with %s: %+v, want instance %s", business, a, first)
		}
	}
	a := s.call(map[string]string{"activity": "newInstance", "orderId": "CS401", "orderLineId": "CS401-000001", "businessId": "business-CS400"})
	if a.Code != resultParameter {
		t.Errorf("another order with the same business id: %+v", a)
	}
	for _, r := range must(s.svc.Audit(context.Background(), "", 0, 100))(t) {
		if strings.Contains(string(r.Detail), first) {
			t.Error("the instance id stands in the audit trail")
		}
	}
}

// An order of a shape that the pages do not show is named, and the instance works on.
func TestOrderOfAnotherShape(t *testing.T) {
	for _, info := range []string{`[]`, `{"orderLine":"x"}`, `{}`, `{"orderLine":[{"productInfo":7}]}`, documentedOrder} {
		for _, id := range []string{"", "OFFI1"} {
			s := newStall(t, func(o *MarketOptions) {
				o.Products = []MarketProduct{{ID: id, Spec: CodeSpec{Product: "painter", Limits: map[string]int64{}}}}
			})
			instance := s.ordered500(info)
			s.work()
			if q := must(s.svc.Queue(context.Background()))(t); q.Waiting != 0 || q.Failed != 0 {
				t.Errorf("%s: %+v", info, q)
			}
			d := s.device(1)
			if a := s.call(s.application(instance, "event-1", d.print)); a.Code != resultInProgress {
				t.Errorf("%s, product %q: %+v", info, id, a)
				continue
			}
			s.work()
			must0(t, d.activate(string(s.market.Upload("event-1"))))
			if p := s.problems(); p != "" && p != problemAnswer {
				t.Errorf("%s, product %q: open are %q", info, id, p)
			}
		}
	}
}

// documentedOrder is an order in exactly the form of the documents, whose lines
// name no product and no quantity.
const documentedOrder = `{"orderId":"CS500","orderType":"NEW","createTime":"20260102030405","orderLine":[{"orderLineId":"CS500-000001",
	"chargingMode":"PERIOD","periodType":"year","periodNumber":1,"expireTime":"20470102030405"}],"buyerInfo":{},"extendParams":[]}`

// ordered500 makes an instance of an order that the marketplace tells in some form.
func (s *stall) ordered500(info string) string {
	s.t.Helper()
	s.market.AddOrder("CS500", json.RawMessage(info))
	a := s.call(map[string]string{"activity": "newInstance", "orderId": "CS500", "orderLineId": "CS500-000001", "businessId": "b"})
	if a.Code != resultOK {
		s.t.Fatalf("newInstance: %+v", a)
	}
	return a.Instance
}

// Where several products may be meant an order that names none is named itself,
// with what to do; somebody who has looked it up says it, on any instance of the
// service, and the next application succeeds.
func TestOrderWithoutAProduct(t *testing.T) {
	const subject = "CS500/CS500-000001"
	ctx := context.Background()
	s := newStall(t)
	instance := s.ordered500(documentedOrder)
	s.work()
	apply := func(event string, machine int, want string) {
		t.Helper()
		if a := s.call(s.application(instance, event, hardware(machine))); a.Code != want {
			t.Errorf("%s: %+v, want %s", event, a, want)
		}
	}
	apply("event-1", 1, resultInternal)
	p := s.trouble(problemOrder)
	if p == nil || p.Subject != subject || len(s.svc.Open()) != 1 || !strings.Contains(p.Next.EN, "codes sale --order") {
		t.Fatalf("open are %+v", s.svc.Open())
	}
	must0(t, s.svc.shareProblems(ctx))
	other := s.service(s.db)
	defer other.Close()
	for _, bad := range []struct {
		which, product string
		want           error
	}{{subject, "OFFI9", ErrInput}, {"CS501/", "OFFI1", ErrNotFound}, {"CS500/CS500-000002", "OFFI1", ErrNotFound}, {"/", "OFFI1", ErrInput}} {
		if _, err := other.SetSale(ctx, bad.which, bad.product, 1, ""); !errors.Is(err, bad.want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if got := must(other.SetSale(By(ctx, "ann"), "CS500/", "OFFI1", 2, "looked up"))(t); got != (Sold{subject, "", "OFFI1", 2}) {
		t.Errorf("set: %+v", got)
	}
	must0(t, s.svc.shareProblems(ctx))
	if len(s.svc.Open()) != 0 || s.count(`SELECT COUNT(*) FROM problems`) != 0 {
		t.Errorf("set, and open are %+v", s.svc.Open())
	}
	apply("event-1", 1, resultInProgress)
	apply("event-2", 2, resultInProgress)
	apply("event-3", 3, resultQuota)
	// What was said wrongly is set right: each license stays one of one device.
	must(other.SetSale(ctx, subject, "OFFI2", 3, ""))(t)
	apply("event-3", 3, resultInProgress)
	for _, c := range must(s.svc.Codes(ctx, "", 9))(t) {
		if c.Devices != 1 || c.Edition != "" {
			t.Errorf("%+v, want one device of the second product", c)
		}
	}
	s.market.AddOrder("CS500", json.RawMessage(documentedOrder))
	again := s.call(map[string]string{"activity": "newInstance", "orderId": "CS500", "orderLineId": "CS500-000002", "businessId": "b2"})
	s.work()
	if _, err := other.SetSale(ctx, "CS500/", "OFFI1", 1, ""); !errors.Is(err, ErrInput) {
		t.Errorf("an order of two lines: %v", err)
	}
	// Released, nobody needs to know any more.
	if a := s.call(s.application(again.Instance, "event-4", hardware(4))); a.Code != resultInternal || s.trouble(problemOrder) == nil {
		t.Fatalf("%+v, open are %+v", a, s.svc.Open())
	}
	if a := s.call(map[string]string{"activity": "releaseInstance", "instanceId": again.Instance}); a.Code != resultOK || len(s.svc.Open()) != 0 {
		t.Errorf("%+v, open are %+v", a, s.svc.Open())
	}
	if a := s.call(s.application(again.Instance, "event-4", hardware(4))); a.Code != resultDates || len(s.svc.Open()) != 0 {
		t.Errorf("%+v, open are %+v", a, s.svc.Open())
	}
}

// While the order has not been asked for yet, nothing is wrong and nothing is
// taken for granted; when it cannot be asked for, the only product is taken.
func TestApplicationBeforeTheOrder(t *testing.T) {
	for _, c := range []struct {
		name   string
		one    bool // product configured
		lasts  bool // the outage
		before string
		after  string
		open   string
	}{
		{"one product, a short outage", true, false, resultInternal, resultInProgress, ""},
		{"one product, a long outage", true, true, resultInternal, resultInProgress, problemAway},
		{"two products, a short outage", false, false, resultInternal, resultInternal, problemOrder},
		{"two products, a long outage", false, true, resultInternal, resultInternal, problemAway},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStall(t, func(o *MarketOptions) {
				if c.one {
					o.Products = o.Products[:1]
				}
			})
			instance := s.ordered500(documentedOrder)
			s.market.Away(true)
			must(s.svc.WorkDue(context.Background()))(t)
			if a := s.call(s.application(instance, "event-1", hardware(1))); a.Code != c.before || s.problems() != problemAway {
				t.Errorf("%+v, open are %q", a, s.problems())
			}
			s.market.Away(c.lasts)
			s.work()
			s.clock.Add(orderWait * time.Second)
			if !c.lasts {
				s.work()
			}
			if a := s.call(s.application(instance, "event-1", hardware(1))); a.Code != c.after || s.problems() != c.open {
				t.Errorf("%+v, open are %q, want %s and %q", a, s.problems(), c.after, c.open)
			}
		})
	}
}

// The upload fails for good: named, kept, and sent again when it is asked for again.
func TestUploadRefused(t *testing.T) {
	s := newStall(t)
	instance := s.instanceOf("CS600", "PERIOD", "1")
	s.call(s.application(instance, "event-1", hardware(1)))
	s.market.Fail("91381038")
	s.work()
	if p := s.trouble(problemUpload); p == nil || p.Subject == "" {
		t.Errorf("a refused upload is not named: %+v", p)
	}
	if q := must(s.svc.Queue(context.Background()))(t); q.Failed != 1 {
		t.Errorf("%+v, want one job for a human", q)
	}
	s.call(s.application(instance, "event-1", hardware(1)))
	s.work()
	if len(s.market.Upload("event-1")) == 0 || s.trouble(problemUpload) != nil {
		t.Error("the repeated application was not uploaded, or is still called refused")
	}
}

// A code that the marketplace says is expired, without an end, does not run,
// and runs again when it is alive.
func TestExpiredWithoutAnEnd(t *testing.T) {
	s := newStall(t)
	s.svc.market.Market = silent{s.svc.market.Market}
	code := s.sell("PLTEST000000000301", func(c *koogallerytest.Code) { c.Validity = 10 * 24 * time.Hour })
	d := s.device(1)
	must0(t, d.activate(code))
	s.clock.Add(11 * 24 * time.Hour)
	must0(t, d.do(license.RequestRenew, "", used(s.today())))
	s.work()
	must0(t, d.renew())
	if d.state() != license.NoticeSuspended || d.notice.Reason != "expired-in-marketplace" {
		t.Errorf("told %s %v after it expired", d.state(), d.notice)
	}
	wantCode(t, "a new device", s.device(2).activate(code), protocol.CodeEnded)
	must0(t, s.market.Renew(code, s.clock.Now().Add(1000*time.Hour)))
	s.deliver()
	must0(t, d.renew())
	if d.claims == nil {
		t.Errorf("told %s after the renewal", d.state())
	}
}
