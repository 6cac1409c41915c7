package admin

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
)

// A day of support: find, look, freeze, re-bind, release, with the name of the
// token in the audit log.
func TestDayOfSupport(t *testing.T) {
	d := newDesk(t)
	support := d.tokens[merchant.RoleSupport]
	made := d.codes(3, func(n *NewCodes) { n.Note, n.ValidDays = "order-1", 20 })
	id, renewal := d.device(made[0].Code, 1)

	var found merchant.Found
	for _, what := range []string{made[0].Code, strings.ToLower(made[0].Code), made[0].ID, made[0].Hint, strings.TrimPrefix(made[0].Hint, "…"), "order-1"} {
		body, err := json.Marshal(FindRequest{what})
		check(t, err)
		status, text := d.call(d.tokens[merchant.RoleViewer], "POST", PathFind, string(body))
		check(t, json.Unmarshal([]byte(text), &found))
		if status != 200 || len(found.Codes) == 0 {
			t.Errorf("find: %d %s", status, text)
		}
		if strings.Contains(text, made[0].Code) {
			t.Error("an answer holds a code")
		}
	}
	var list Codes
	d.get(PathExpiring+"?days=19", &list)
	if len(list.Codes) != 0 {
		t.Errorf("%d codes end within 19 days, want none", len(list.Codes))
	}
	d.get(PathExpiring+"?days=21", &list)
	if len(list.Codes) != 1 || list.Codes[0].ID != made[0].ID {
		t.Errorf("within 21 days: %+v", list.Codes)
	}

	var dev Device
	d.get("/admin/v1/devices/"+id, &dev)
	if dev.Why.Verdict.Phase != activation.Active || !dev.Why.Verdict.Runs || dev.Device.Contact == 0 || len(dev.Why.Parts) != 4 || len(dev.History) == 0 {
		t.Errorf("device: %+v", dev)
	}
	status, text := d.call(d.tokens[merchant.RoleViewer], "POST", "/admin/v1/devices/"+id+"/simulate", `{"offline":"60d"}`)
	var why merchant.Explanation
	check(t, json.Unmarshal([]byte(text), &why))
	if status != 200 || why.Verdict.Runs || len(why.Assumed) == 0 {
		t.Errorf("60 days without contact: %s", text)
	}

	for _, step := range []struct{ path, want string }{
		{"/admin/v1/codes/" + made[0].ID + "/freeze", `"status":"frozen"`},
		{"/admin/v1/codes/" + made[0].ID + "/freeze", string(CodeState)},
		{"/admin/v1/codes/" + made[0].ID + "/unfreeze", `"status":"active"`},
		{"/admin/v1/devices/" + id + "/rebind", `"open_until":1800604800`},
		{"/admin/v1/devices/" + id + "/release", `"status":"released"`},
		{"/admin/v1/devices/" + id + "/rebind", string(CodeState)},
	} {
		if _, text := d.call(support, "POST", step.path, `{"reason":"call 7"}`); !strings.Contains(text, step.want) {
			t.Errorf("%s: %s", step.path, text)
		}
	}
	status, text = d.call(support, "POST", PathRequestAnswer, string(renewal))
	if status != 200 || !strings.Contains(text, `"notice"`) {
		t.Errorf("answer: %d %s", status, text)
	}
	var code Code
	d.get("/admin/v1/codes/"+made[0].ID, &code)
	if last := code.History[len(code.History)-1]; last.Actor != "support.person" || !strings.Contains(string(last.Detail), "call 7") {
		t.Errorf("history: %+v", last)
	}
	if strings.Contains(d.log.String(), made[0].Code) || strings.Contains(d.log.String(), "WD-000001") || strings.Contains(d.log.String(), support) {
		t.Error("the log holds a code, a serial or a token")
	}
}

// A contested seat is listed, and support's re-bind takes what contacts next.
func TestContestedSeats(t *testing.T) {
	d := newDesk(t)
	made := d.codes(1)
	id, renewal := d.device(made[0].Code, 1)
	_, err := d.svc.Process(context.Background(), renewal, "", "")
	check(t, err)
	_, second := d.device(made[0].Code, 1) // the same machine takes its seat anew: the first renewal is history
	_ = second
	var list Devices
	d.get(PathContested, &list)
	if len(list.Devices) != 0 {
		t.Fatalf("contested before: %+v", list)
	}
	seed := bytes.Repeat([]byte{1}, 32)
	signer, err := license.NewEd25519Signer(seed)
	check(t, err)
	req, err := license.OpenRequest(renewal)
	check(t, err)
	stray := *req
	stray.Nonce = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	env, err := license.SealRequest(stray, signer)
	check(t, err)
	_, err = d.svc.Process(context.Background(), env, "", "")
	check(t, err)
	d.get(PathContested, &list)
	if len(list.Devices) != 1 || list.Devices[0].License != id {
		t.Errorf("contested: %+v", list)
	}
}

// Tampering with any row of the audit log is seen by verify and at the end of
// an export; an honest one ends with its length.
func TestAuditTampering(t *testing.T) {
	d := newDesk(t)
	d.codes(20)
	viewer := d.tokens[merchant.RoleViewer]
	export := func() (rows int, last string) {
		_, text := d.call(viewer, "GET", PathAuditExport, "")
		lines := bufio.NewScanner(strings.NewReader(text))
		for lines.Scan() {
			rows, last = rows+1, lines.Text()
		}
		return rows - 1, last
	}
	var v Verified
	d.get(PathAuditVerify, &v)
	if rows, last := export(); int64(rows) != v.Rows || !strings.HasPrefix(last, `{"verified":`) || v.Rows < 20 {
		t.Fatalf("%d rows verified, %d exported, %s", v.Rows, rows, last)
	}
	db := d.raw()
	var rest Audit
	d.get(PathAudit+"?after=5&limit=3", &rest)
	if len(rest.Rows) != 3 || rest.Rows[0].Seq != 6 {
		t.Errorf("a part of the log: %+v", rest)
	}
	for _, tamper := range []string{
		`UPDATE audit SET detail = '{}' WHERE seq = 7`, `UPDATE audit SET actor = 'nobody' WHERE seq = 7`,
		`DELETE FROM audit WHERE seq = 7`, `DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)`,
		`UPDATE tips SET hash = prev, seq = audit.seq - 1 FROM audit WHERE audit.seq = tips.seq`,
	} {
		check(t, exec(db, "CREATE TABLE kept AS SELECT * FROM audit", "CREATE TABLE tip AS SELECT * FROM tips", tamper))
		status, text := d.call(viewer, "GET", PathAuditVerify, "")
		_, last := export()
		broken := status == http.StatusConflict && codeIn(t, text) == CodeAuditBroken && strings.Contains(last, string(CodeAuditBroken))
		// Cutting the end off with its mark still fits together: against that
		// only an export kept elsewhere helps, as the command says.
		if cut := strings.HasPrefix(tamper, "UPDATE tips"); broken == cut {
			t.Errorf("%s: %d %s; %s", tamper, status, text, last)
		}
		check(t, exec(db, "DELETE FROM audit", "INSERT INTO audit SELECT * FROM kept", "DELETE FROM tips", "INSERT INTO tips SELECT * FROM tip", "DROP TABLE kept", "DROP TABLE tip"))
	}
}

func exec(db *sql.DB, statements ...string) error {
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			return err
		}
	}
	return nil
}

// Tokens are not in the database, and end when they are revoked or old.
func TestTokens(t *testing.T) {
	d := newDesk(t)
	admin := d.tokens[merchant.RoleAdmin]
	_, text := d.call(admin, "POST", PathTokens, `{"name":"ann","role":"support","life":3600}`)
	var made MadeToken
	check(t, json.Unmarshal([]byte(text), &made))
	if status, _ := d.call(made.Token, "GET", PathCodes, ""); status != 200 {
		t.Fatal("a fresh token is refused")
	}
	d.pass(time.Hour)
	if status, _ := d.call(made.Token, "GET", PathCodes, ""); status != 401 {
		t.Error("an old token is taken")
	}
	if _, text = d.call(admin, "GET", PathTokens, ""); strings.Contains(text, "lmt_") || !strings.Contains(text, "ann") {
		t.Errorf("list: %s", text)
	}
	if status, _ := d.call(admin, "POST", PathTokens, `{"name":"ann","role":"viewer","life":3600}`); status != http.StatusConflict {
		t.Errorf("a taken name: %d", status)
	}
	b := d.stored()
	if !bytes.Contains(b, []byte("ann")) {
		t.Error("the token is not stored at all: this test sees nothing")
	}
	if bytes.Contains(b, []byte(made.Token)) || bytes.Contains(b, []byte(admin)) {
		t.Error("the database holds a token")
	}
}

// What is wrong is told by the interface: here a certificate and a key set that
// end soon.
func TestHealth(t *testing.T) {
	d := newDesk(t)
	var h Health
	d.get(PathHealth, &h)
	if h.Status != "ok" || len(h.Problems) != 0 {
		t.Fatalf("at first: %+v", h)
	}
	d.svc.WatchCertificate(d.clock().Add(24 * time.Hour))
	d.get(PathHealth, &h)
	if h.Status != "problems" || len(h.Problems) != 1 || h.Problems[0].Code != "certificate-expires-soon" || h.Problems[0].Next.EN == "" || h.Problems[0].Since != d.clock().Unix() {
		t.Errorf("a certificate that ends tomorrow: %+v", h)
	}
	d.svc.WatchCertificate(d.clock().Add(-time.Hour))
	d.get(PathHealth, &h)
	if len(h.Problems) != 1 || h.Problems[0].Code != "certificate-expired" {
		t.Errorf("a certificate that has ended: %+v", h)
	}
	if !strings.Contains(d.log.String(), `"problem":"certificate-expires-soon"`) || !strings.Contains(d.log.String(), `"msg":"problem solved"`) {
		t.Error("the log does not tell")
	}
}

// A database that does not answer is named, with the next step, by every
// address: nobody's token can be looked up then.
func TestDatabaseAway(t *testing.T) {
	d := newDesk(t)
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, PathHealth, nil)
	r.Header.Set("Authorization", "Bearer "+d.tokens[merchant.RoleViewer])
	w := httptest.NewRecorder()
	d.server.ServeHTTP(w, r)
	var p protocol.Problem
	check(t, json.Unmarshal(w.Body.Bytes(), &p))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || p.Error.Code != CodeUnavailable ||
		!strings.HasSuffix(p.Error.Message, ": the database server does not answer in time") || !strings.Contains(p.Error.Hint, "Look at the database server") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The client in this process and the one over HTTP get the same answers.
func TestLocalIsTheSame(t *testing.T) {
	d := newDesk(t)
	d.codes(2)
	ctx := context.Background()
	local := &Client{Base: "http://local", Transport: d.server.Local()}
	far := &Client{Base: d.http.URL, Token: d.tokens[merchant.RoleAdmin], Transport: http.DefaultTransport}
	a, err := local.Send(ctx, http.MethodGet, PathCodes, "", url.Values{"limit": {"1"}}, nil)
	check(t, err)
	b, err := far.Send(ctx, http.MethodGet, PathCodes, "", url.Values{"limit": {"1"}}, nil)
	check(t, err)
	if !bytes.Equal(a, b) || len(a) < 100 {
		t.Errorf("%s\n%s", a, b)
	}
	var e *Error
	for name, c := range map[string]*Client{"local": local, "far": far} {
		err := c.Call(ctx, http.MethodGet, PathCode, "c-/../x", nil, nil, new(Code))
		if !errors.As(err, &e) || e.Code != CodeNotFound || e.Hint == "" || e.RequestID == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A stream that nobody reads to its end leaves nothing running.
	lines, err := local.Open(ctx, http.MethodGet, PathAuditExport, "", nil, nil)
	check(t, err)
	check(t, lines.Close())
	// A caller in the context of a network request would have to come from net/http.
	far.Token = ""
	if err := far.Call(ctx, http.MethodGet, PathCodes, "", nil, nil, new(Codes)); !errors.As(err, &e) || e.Code != CodeNoToken {
		t.Errorf("without a token: %v", err)
	}
}
