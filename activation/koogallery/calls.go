package koogallery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	jsonType   = "application/json"
	timeFormat = "20060102150405"
	maxBatch   = 100
)

// Status is the state of a code as the heartbeat names it.
type Status string

// The documented values, and the one for frozen codes, which is not documented.
// Anything else is handed on as it came.
const (
	Alive    Status = "ALIVE"
	Expired  Status = "EXPIRED"
	Released Status = "RELEASED"
	Frozen   Status = "FREEZE"
)

// readStatus reads a status in any case, and the words that KooGallery's other
// interfaces have for the same states: one of them in a heartbeat must not be
// taken for news.
func readStatus(s string) Status {
	switch word := Status(strings.ToUpper(strings.TrimSpace(s))); word {
	case Alive, Expired, Released, Frozen:
		return word
	case "NORMAL", "UNFREEZE":
		return Alive
	case "FROZEN":
		return Frozen
	}
	return Status(s)
}

// Info is what an activation tells. Expires is an estimate: the heartbeat decides.
type Info struct {
	Status  Status
	Expires time.Time // zero when absent or unreadable
	Product string
	Order   string
	Amount  int64 // pricing quantity: the number of seats; 0 when absent
}

// Heartbeat is the state of a code.
type Heartbeat struct {
	Code      string
	Status    Status
	Activated time.Time // zero when absent
	Expires   time.Time // zero when absent: the member's name is not documented
	// Product, Order and Amount are not documented here either; empty when absent.
	Product string
	Order   string
	Amount  int64
}

// Usage is one report; exactly one of ID and Active is set.
type Usage struct {
	Code   string
	ID     string // client mark, such as a device id, at most 256 characters
	Active int    // or the day's number of active clients
}

// Activate activates one code (v1). effect is the moment the software takes
// effect, zero to leave it out. AlreadyActive on a repetition means: confirm by
// Heartbeat.
func (c *Client) Activate(ctx context.Context, code string, effect time.Time) (Info, error) {
	if err := checkCode(code); err != nil {
		return Info{}, err
	}
	in := map[string]string{"license": code}
	if !effect.IsZero() {
		in["real_effect_time"] = effect.UTC().Format(timeFormat)
	}
	var out struct {
		Data struct {
			Info json.RawMessage `json:"license_code_info"`
		} `json:"data"`
	}
	if err := c.post(ctx, "v1/license/activate", in, &out); err != nil {
		return Info{}, err
	}
	return c.readInfo(out.Data.Info), nil
}

// readInfo reads the JSON text inside a string that the documents show, and the
// plain object that other interfaces use. What cannot be read stays zero: the
// heartbeat is what counts.
func (c *Client) readInfo(raw json.RawMessage) Info {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		if len(raw) > 0 {
			c.unknown("license_code_info", "unreadable")
		}
		return Info{}
	}
	str := func(name string) string {
		var s string
		if json.Unmarshal(m[name], &s) == nil {
			return s
		}
		return string(m[name])
	}
	info := Info{Status: readStatus(str("status")), Product: str("product_id"), Order: str("order_id")}
	info.Expires = c.readTime("license_code_info.expire_time", str("expire_time"), ParseEnd)
	var n json.Number
	if json.Unmarshal([]byte(str("amount")), &n) == nil {
		info.Amount, _ = n.Int64()
	}
	return info
}

// ActivateBatch activates up to 100 codes at once (v2). Whether the good codes
// of a batch with a bad one are activated is not documented: after
// BadCodeInSet ask for each by itself.
func (c *Client) ActivateBatch(ctx context.Context, codes []string, effect time.Time) error {
	if len(codes) == 0 || len(codes) > maxBatch {
		return fmt.Errorf("%w: %d codes, 1 to %d are allowed", ErrArgument, len(codes), maxBatch)
	}
	for _, code := range codes {
		if err := checkCode(code); err != nil {
			return err
		}
	}
	in := map[string]any{"license_list": codes}
	if !effect.IsZero() {
		in["real_effect_time"] = effect.UTC().Format(timeFormat)
	}
	return c.post(ctx, "v2/license/activate", in, nil)
}

// Heartbeat asks for the state of one code (v1). The expiry member is not
// documented; the plausible names are read and anything met is reported.
func (c *Client) Heartbeat(ctx context.Context, code string) (Heartbeat, error) {
	if err := checkCode(code); err != nil {
		return Heartbeat{}, err
	}
	if c.HeartbeatV2 {
		return c.heartbeatV2(ctx, code)
	}
	var out struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if err := c.post(ctx, "v1/license/heartbeat", map[string]string{"license": code}, &out); err != nil {
		return Heartbeat{}, err
	}
	return c.readHeartbeat(code, out.Data)
}

func (c *Client) readHeartbeat(code string, data map[string]json.RawMessage) (Heartbeat, error) {
	h := Heartbeat{Code: code}
	ends := map[string]member{}
	for name, raw := range data {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		switch short := folded(name); short {
		case "licensecode":
			if s != code {
				return Heartbeat{}, fmt.Errorf("%w: heartbeat of another code", ErrAnswer)
			}
		case "status":
			h.Status = readStatus(s)
		case "activatetime":
			h.Activated = c.readTime("heartbeat.activate_time", s, ParseTime)
		case "productid":
			h.Product = s
		case "orderid":
			h.Order = s
		case "amount":
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				h.Amount = n
			}
		default:
			if slices.Contains(endNames(), short) {
				ends[short] = member{name, s}
			} else {
				c.unknown("heartbeat", name)
			}
		}
	}
	h.Expires = c.readEnd(ends)
	if h.Status == "" {
		return Heartbeat{}, fmt.Errorf("%w: heartbeat without a status", ErrAnswer)
	}
	return h, nil
}

// ReportUsage reports use of up to 100 codes (v2).
func (c *Client) ReportUsage(ctx context.Context, reports []Usage) error {
	type mark struct {
		ID     string `json:"id,omitempty"`
		Active *int   `json:"active_num,omitempty"`
	}
	type entry struct {
		License string `json:"license"`
		Info    []mark `json:"software_usage_Info"` // capital I, as documented
	}
	byCode := map[string]int{}
	var list []entry
	for _, r := range reports {
		if err := checkCode(r.Code); err != nil {
			return err
		}
		if (r.ID == "") == (r.Active == 0) || len(r.ID) > 256 || r.Active < 0 || r.Active > 999_999_999 {
			return fmt.Errorf("%w: usage needs exactly one of a client mark (≤ 256 characters) and a number of clients", ErrArgument)
		}
		i, ok := byCode[r.Code]
		if !ok {
			i = len(list)
			byCode[r.Code] = i
			list = append(list, entry{License: r.Code})
		}
		m := mark{ID: r.ID}
		if r.ID == "" {
			m.Active = &r.Active
		}
		list[i].Info = append(list[i].Info, m)
		if len(list[i].Info) > maxBatch {
			return fmt.Errorf("%w: more than %d reports for one code", ErrArgument, maxBatch)
		}
	}
	if len(list) == 0 || len(list) > maxBatch {
		return fmt.Errorf("%w: usage of %d codes, 1 to %d are allowed", ErrArgument, len(list), maxBatch)
	}
	var out map[string]json.RawMessage
	if err := c.post(ctx, "v2/license/software-usage-info", map[string]any{"usage_info": list}, &out); err != nil {
		return err
	}
	for name, raw := range out {
		if name != "error_code" && name != "error_msg" && string(raw) != "null" {
			c.unknown("software-usage-info", name)
		}
	}
	failed, known, met := failedReports(out, reports)
	if !met {
		// Another name, but codes of the request that are repeated.
		bad := mentioned(out["data"], byCode)
		failed = slices.DeleteFunc(slices.Clone(reports), func(r Usage) bool { return !slices.Contains(bad, r.Code) })
		met, known = len(bad) > 0, len(bad) > 0
	}
	if !met {
		return nil
	}
	e := &Error{
		Code: "check_fail", HTTP: 200, Class: BadCodeInSet,
		Hint: "the marketplace says that it did not take some of the usage; report the codes one by one to find why",
	}
	if known {
		e.Reports = failed
		for _, r := range failed {
			e.Codes = append(e.Codes, r.Code)
		}
		slices.Sort(e.Codes)
		e.Codes = slices.Compact(e.Codes)
	}
	return e
}

// Order asks for an order, which a new instance's callback only names. The
// answer is returned as it came: its shape depends on the kind of goods.
func (c *Client) Order(ctx context.Context, order, line string) (json.RawMessage, error) {
	if order == "" || len(order) > 64 || len(line) > 64 {
		return nil, fmt.Errorf("%w: order id of 1 to 64 characters", ErrArgument)
	}
	q := url.Values{"orderId": {order}}
	if line != "" {
		q.Set("orderLineId", line)
	}
	var out struct {
		Order json.RawMessage `json:"orderInfo"`
	}
	if err := c.call(ctx, "GET", "v1/order/query", q, jsonType, nil, &out); err != nil {
		return nil, err
	}
	return out.Order, nil
}

// UploadString returns a license string for a getLicenseAsync event, at most
// 1,024 characters.
func (c *Client) UploadString(ctx context.Context, event, text string) error {
	if len(text) == 0 || len(text) > 1024 {
		return fmt.Errorf("%w: license string of %d characters, 1 to 1024 are allowed; upload it as a file", ErrArgument, len(text))
	}
	return c.upload(ctx, event, map[string]string{"type": "CHARACTERS", "characters": text}, "", nil)
}

// UploadFile returns a license file for a getLicenseAsync event.
func (c *Client) UploadFile(ctx context.Context, event, name string, data []byte) error {
	if name == "" || len(name) > 1024 || len(data) == 0 {
		return fmt.Errorf("%w: a license file needs a name of 1 to 1024 characters and a content", ErrArgument)
	}
	sum := sha256.Sum256(data)
	return c.upload(ctx, event, map[string]string{"type": "FILE", "file_name": name, "sha256": hex.EncodeToString(sum[:])}, name, data)
}

// upload sends multipart/form-data. How its body enters the signature is not
// documented: the hash is over the bytes as sent, as for every other call,
// unless UnsignedUploads says otherwise.
func (c *Client) upload(ctx context.Context, event string, fields map[string]string, name string, data []byte) error {
	if event == "" || len(event) > 64 {
		return fmt.Errorf("%w: event id of 1 to 64 characters", ErrArgument)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	head := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="isvUpdateFileReq"`}, "Content-Type": {jsonType}}
	part, err := w.CreatePart(head)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(part).Encode(fields); err != nil {
		return err
	}
	if data != nil {
		file, err := w.CreateFormFile("file", name)
		if err != nil {
			return err
		}
		if _, err := file.Write(data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.call(ctx, "POST", "v1/market-event/"+url.PathEscape(event)+"/file", nil, w.FormDataContentType(), body.Bytes(), nil)
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, "POST", path, nil, jsonType, body, out)
}

func checkCode(code string) error {
	if code == "" || len(code) > 64 {
		return fmt.Errorf("%w: an authorization code has 1 to 64 characters", ErrArgument)
	}
	return nil
}
