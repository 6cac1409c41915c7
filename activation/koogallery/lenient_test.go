package koogallery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
)

// answering is a client of a server that says one thing to everything.
func answering(t *testing.T, status int, body string) (*koogallery.Client, *[]string) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(srv.Close)
	var met []string
	return &koogallery.Client{
		Host: srv.Listener.Addr().String(), HTTP: srv.Client(), Now: time.Now,
		Unknown: func(about, member string) { met = append(met, about+" "+member) },
	}, &met
}

// Heartbeat v2 was never published: every plausible answer is read, what it
// looked like is told, and anything else is an unreadable answer.
func TestHeartbeatV2Forms(t *testing.T) {
	const state = `{"license_code":"PL1","status":"ALIVE","expire_time":"20270102030405"}`
	const other = `{"license_code":"PL2","status":"RELEASED"}`
	for data, want := range map[string]string{
		state:                           "object",
		`[` + state + `]`:               "list of object",
		`[` + other + `,` + state + `]`: "list of object",
		`{"license_list":[` + other + `,` + state + `]}`:         "member: list of object",
		`{"PL1":{"status":"ALIVE","end_time":"20270102030405"}}`: "member per code: object",
		`{"total":1,"infos":{"list":[` + state + `]}}`:           "member: member: list of object",
		other:                     "",
		`[]`:                      "",
		`{}`:                      "",
		`"ALIVE"`:                 "",
		`null`:                    "",
		`[[[[[` + state + `]]]]]`: "",
	} {
		c, met := answering(t, 200, `{"error_code":"92020000","error_msg":"success","data":`+data+`}`)
		c.HeartbeatV2 = true
		h, err := c.Heartbeat(context.Background(), "PL1")
		if want == "" {
			if !errors.Is(err, koogallery.ErrAnswer) {
				t.Errorf("%s: %+v %v, want an unreadable answer", data, h, err)
			}
			continue
		}
		if err != nil || h.Status != koogallery.Alive || h.Expires.Unix() != 1798859045 {
			t.Errorf("%s: %+v %v", data, h, err)
		}
		if len(*met) == 0 || (*met)[0] != "heartbeat v2 "+want {
			t.Errorf("%s: told %q, want the form %q", data, *met, want)
		}
	}
}

// Against the simulator, which answers v2 with a list.
func TestHeartbeatV2(t *testing.T) {
	b, ctx := start(t), context.Background()
	b.HeartbeatV2 = true
	b.market.Sell(koogallerytest.Code{Code: "PL1", Stage: koogallerytest.Received, Validity: time.Hour})
	if _, err := b.Heartbeat(ctx, "PL1"); koogallery.ClassOf(err) != koogallery.NotActivated {
		t.Errorf("before the activation: %v", err)
	}
	if _, err := b.Activate(ctx, "PL1", time.Time{}); err != nil {
		t.Fatal(err)
	}
	if h, err := b.Heartbeat(ctx, "PL1"); err != nil || h.Status != koogallery.Alive || h.Code != "PL1" {
		t.Errorf("%+v %v", h, err)
	}
	if calls := b.market.Calls(); !strings.HasSuffix(calls[len(calls)-1].Path, "/v2/license/heartbeat") {
		t.Errorf("asked %s", calls[len(calls)-1].Path)
	}
}

// A heartbeat may name more than the documents show.
func TestHeartbeatMayNameTheSale(t *testing.T) {
	c, met := answering(t, 200, `{"error_code":"92020000","data":{"status":"ALIVE","product_id":"OFFI1","order_id":"CS1","amount":7,"mood":"good"}}`)
	h, err := c.Heartbeat(context.Background(), "PL1")
	if err != nil || h.Product != "OFFI1" || h.Order != "CS1" || h.Amount != 7 {
		t.Errorf("%+v %v", h, err)
	}
	if len(*met) != 1 || (*met)[0] != "heartbeat mood" {
		t.Errorf("told %q, want the unknown member", *met)
	}
}

// The end of a code in a heartbeat: its name and form are not documented.
func TestHeartbeatEnds(t *testing.T) {
	const at, day = 1798859045, 1798848000 + 24*3600
	for members, want := range map[string]int64{
		`"expire_time":"20270102030405"`:                                     at,
		`"expireTime":1798859045`:                                            at,
		`"expire_time":1798859045000`:                                        at,
		`"expire_time":"1798859045"`:                                         at,
		`"expire_time":"2027-01-02T11:04:05.000+0800"`:                       at,
		`"end_time":"2027/01/02 03:04:05"`:                                   at,
		`"expireDate":"2027-01-02"`:                                          day,
		`"expire_date":"20270102"`:                                           day,
		`"Expiration_Time":20270102030405`:                                   at,
		`"expireDate":"2027-01-02","expireTime":"20270102030405"`:            at,
		`"expired_time":"","expire_time":null,"end_date":"2027-01-02"`:       day,
		`"expire_time":"never","expiry_time":"2027-01-02 03:04:05"`:          at,
		`"expired":false,"expire_days":30,"expire_notice":"2027-01-01"`:      0,
		`"expire_time":"never"`:                                              0,
		`"validUntil":"2027-01-02 03:04:05","effectiveDate":"2026-01-02"`:    at,
		`"activateTime":"20260102030405","license_code":"PL1","amount":"12"`: 0,
	} {
		c, _ := answering(t, 200, `{"error_code":"92020000","data":{"status":"ALIVE",`+members+`}}`)
		h, err := c.Heartbeat(context.Background(), "PL1")
		if got := max(0, h.Expires.Unix()); err != nil || got != want {
			t.Errorf("%s: ends %d, want %d (%v)", members, got, want, err)
		}
	}
	c, met := answering(t, 200, `{"error_code":"92020000","data":{"status":"ALIVE","expire_time":"never"}}`)
	if _, err := c.Heartbeat(context.Background(), "PL1"); err != nil || strings.Join(*met, " ") != "heartbeat.expire_time time in an unknown form" {
		t.Errorf("told %q, want the form (%v)", *met, err)
	}
}

// A status in any case, and in the words of KooGallery's other interfaces.
func TestHeartbeatStatusWords(t *testing.T) {
	for word, want := range map[string]koogallery.Status{
		"ALIVE": koogallery.Alive, "alive": koogallery.Alive, " Alive ": koogallery.Alive, "NORMAL": koogallery.Alive, "unfreeze": koogallery.Alive,
		"expired": koogallery.Expired, "Released": koogallery.Released, "freeze": koogallery.Frozen, "Frozen": koogallery.Frozen,
		"In_Service": "In_Service",
	} {
		c, _ := answering(t, 200, `{"error_code":"92020000","data":{"status":"`+word+`"}}`)
		if h, err := c.Heartbeat(context.Background(), "PL1"); err != nil || h.Status != want {
			t.Errorf("%s: %s %v, want %s", word, h.Status, err, want)
		}
	}
}

// A usage report that was taken in part: the member's name and shape are not
// documented, so the codes are looked for wherever they stand.
func TestUsageTakenInPart(t *testing.T) {
	reports := []koogallery.Usage{{Code: "PL1", ID: "a"}, {Code: "PL2", ID: "b"}}
	for data, want := range map[string]string{
		`{"check_fail_list":["PL2"]}`:                           "PL2",
		`{"check_fail_licenses":[{"license":"PL2","why":"x"}]}`: "PL2",
		`{"check_fail_map":{"PL1":"x","PL2":"y"}}`:              "PL1 PL2",
		`{"check_fail_list":[]}`:                                "",
		`{"check_fail_list":null}`:                              "",
		`{"taken_not":["PL2"]}`:                                 "PL2",
		`{"check_fail_count":0,"check_fail_list":[]}`:           "",
		`{"check_fail_info":{"total":0,"list":[]}}`:             "",
		`"{\"check_fail_list\":[]}"`:                            "",
		`{}`:                                                    "",
		`null`:                                                  "",
	} {
		c, _ := answering(t, 200, `{"error_code":"92020000","error_msg":"success","data":`+data+`}`)
		err := c.ReportUsage(context.Background(), reports)
		var e *koogallery.Error
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", data, err)
		case want != "" && (!errors.As(err, &e) || e.Class != koogallery.BadCodeInSet || strings.Join(e.Codes, " ") != want):
			t.Errorf("%s: %v, want the codes %s", data, err, want)
		case want != "" && strings.Contains(err.Error(), "PL"):
			t.Errorf("the error text repeats a code: %v", err)
		}
	}
}

// Whatever form a failure takes: which reports it was, and "?" when something
// failed and the answer does not say what.
func TestUsageFailureForms(t *testing.T) {
	reports := []koogallery.Usage{{Code: "PL1", ID: "dev-1"}, {Code: "PL1", ID: "dev-2"}, {Code: "PL2", ID: "dev-2"}, {Code: "PL3", ID: "33"}, {Code: "PL4", Active: 5}}
	for members, want := range map[string]string{
		`"data":{"check_fail_list":[{"id":"dev-1"}]}`:                                         "PL1/dev-1",
		`"data":{"check_fail_list":[{"id":"dev-2"}]}`:                                         "PL1/dev-2 PL2/dev-2",
		`"data":{"check_fail_list":[{"id":33}]}`:                                              "PL3/33",
		`"data":{"check_fail_list":[{"license":"PL1","software_usage_Info":{"id":"dev-2"}}]}`: "PL1/dev-2",
		`"data":{"check_fail_list":[{"license":"PL1","id":"dev-2"},"PL4"]}`:                   "PL1/dev-2 PL4/",
		`"data":{"check_fail_list":[{"license":"PL3","id":"another"}]}`:                       "PL3/33",
		`"data":{"check_fail_count":1,"check_fail_list":["PL4"]}`:                             "PL4/",
		`"data":{"check_fail_info":{"total":1,"list":["PL4"]}}`:                               "PL4/",
		`"data":{"check_fail_licenses":"PL3,PL4"}`:                                            "PL3/33 PL4/",
		`"data":{"check_fail_map":{"PL4":null}}`:                                              "PL4/",
		`"data":{"checkFailList":["PL4"]}`:                                                    "PL4/",
		`"data":[{"check_fail_list":["PL4"]}]`:                                                "PL4/",
		`"data":{"result":{"check_fail_list":["PL4"]}}`:                                       "PL4/",
		`"check_fail_list":[{"id":"dev-1"}]`:                                                  "PL1/dev-1",
		`"data.check_fail_list":["PL4"]`:                                                      "PL4/",
		`"data":"{\"check_fail_list\":[{\"id\":\"dev-1\"}]}"`:                                 "PL1/dev-1",
		`"data":{"check_fail_list":"[{\"id\":\"dev-1\"}]"}`:                                   "PL1/dev-1",
		`"data":{"check_fail_count":2,"check_fail_list":["PL4"]}`:                             "?",
		`"data":{"check_fail_count":3}`:                                                       "?",
		`"data":{"check_fail_num":"3"}`:                                                       "?",
		`"data":{"check_fail_flag":true}`:                                                     "?",
		`"data":{"check_fail_msg":"not all were taken"}`:                                      "?",
		`"data":{"check_fail_list":["PL9"]}`:                                                  "?",
		`"data":{"check_fail_list":["PL4",{"id":"another"}]}`:                                 "?",
		`"data":{"check_fail_list":[0]}`:                                                      "?",
		`"data":{"check_fail_count":0}`:                                                       "",
		`"data":{"check_fail_num":"0","check_fail_msg":"","check_fail_flag":false}`:           "",
		`"data":{"check_fail_list":[null]}`:                                                   "",
		`"data":"{}","check_fail_list":[]`:                                                    "",
	} {
		c, _ := answering(t, 200, `{"error_code":"92020000","error_msg":"success",`+members+`}`)
		err := c.ReportUsage(context.Background(), reports)
		got := ""
		var e *koogallery.Error
		if errors.As(err, &e) && e.Class == koogallery.BadCodeInSet {
			var list []string
			for _, r := range e.Reports {
				list = append(list, r.Code+"/"+r.ID)
			}
			if got = strings.Join(list, " "); got == "" {
				got = "?"
			}
			if strings.Contains(err.Error(), "PL") || strings.Contains(err.Error(), "dev-") {
				t.Errorf("%s: the error text repeats what was sent: %v", members, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", members, err)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
}

// The code decides, never the status.
func TestStatusNeverDecides(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   koogallery.Class
	}{
		{500, `{"error_code":"92020000","data":{"status":"ALIVE"}}`, koogallery.Success},
		{401, `{"error_code":"92020005"}`, koogallery.UnknownCode},
		{200, `{"error_code":"92020001"}`, koogallery.Ambiguous},
		{500, `{"error_code":"92020001"}`, koogallery.Ambiguous},
		{403, `{"error_code":"92020001"}`, koogallery.Ambiguous},
		{401, `{"error_code":"92020001"}`, koogallery.Ambiguous},
		{200, `{"error_code":"92020002"}`, koogallery.Refused},
		{400, `{"error_code":"95000001"}`, koogallery.Refused},
		{400, `{"error_code":"95000004"}`, koogallery.Refused},
		{405, `{"error_code":"95000002"}`, koogallery.Refused},
		{415, `{"error_code":"95000003"}`, koogallery.Refused},
		{200, `{"error_code":"92020003"}`, koogallery.AlreadyActive},
		{200, `{"error_code":"92020004"}`, koogallery.NotReceived},
		{200, `{"error_code":"92020011"}`, koogallery.NotActivated},
		{200, `{"error_code":"92020020"}`, koogallery.BadCodeInSet},
		{200, `{"error_code":"92029876"}`, koogallery.Retry},
		{504, `{"error_code":"APIGW.0201","error_msg":"backend timeout"}`, koogallery.Retry},
		{401, `{"error_code":"APIGW.0301"}`, koogallery.Unauthorized},
		{406, `{"resultCode":"MKT.0250"}`, koogallery.Throttled},
		{200, `{"error_code":"91381033"}`, koogallery.Refused},
		{200, `{"error_code":"91381036"}`, koogallery.Retry}, // "internal", among the refusals of an upload
	} {
		client, _ := answering(t, c.status, c.body)
		_, err := client.Heartbeat(context.Background(), "PL1")
		if got := koogallery.ClassOf(err); got != c.want {
			t.Errorf("HTTP %d %s: %s, want %s (%v)", c.status, c.body, got, c.want, err)
		}
	}
}

func TestUploadLimits(t *testing.T) {
	b, ctx := start(t), context.Background()
	for name, err := range map[string]error{
		"no event":   b.UploadString(ctx, "", "x"),
		"long event": b.UploadString(ctx, strings.Repeat("e", 65), "x"),
		"no text":    b.UploadString(ctx, "e", ""),
		"no name":    b.UploadFile(ctx, "e", "", []byte("x")),
		"long name":  b.UploadFile(ctx, "e", strings.Repeat("n", 1025), []byte("x")),
		"no content": b.UploadFile(ctx, "e", "n", nil),
	} {
		if !errors.Is(err, koogallery.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(b.market.Calls()); n != 0 {
		t.Errorf("%d calls were sent", n)
	}
}
