package koogallerytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const stampForm = "20060102150405"

func effectOK(s string) bool {
	if s == "" {
		return true
	}
	_, err := time.Parse(stampForm, s)
	return err == nil
}

func (m *Marketplace) activate(w http.ResponseWriter, body []byte) {
	var in struct {
		License string `json:"license"`
		Effect  string `json:"real_effect_time"`
	}
	if !decode(w, body, &in) {
		return
	}
	if in.License == "" || len(in.License) > 64 || !effectOK(in.Effect) {
		answer(w, http.StatusBadRequest, "95000001", "request parameter invalid")
		return
	}
	if forms := m.foreign[in.License]; forms != nil {
		answer(w, forms[0].HTTP, forms[0].Code, "another seller's code")
		return
	}
	c, code := m.start(in.License, in.Effect)
	if code != "" {
		answer(w, http.StatusOK, code, "activation refused")
		return
	}
	info, err := json.Marshal(map[string]any{
		"status": "ALIVE", "expire_time": c.Expires.UTC().Format(stampForm), "product_id": c.Product, "order_id": c.Order, "amount": c.Amount,
	})
	if err != nil {
		answer(w, http.StatusOK, "92020001", err.Error())
		return
	}
	success(w, map[string]string{"license_code_info": string(info)})
}

// early says that software took effect before it was ordered.
func (c *Code) early(effect string) bool {
	at, err := time.Parse(stampForm, effect)
	return err == nil && at.Before(c.Ordered.Truncate(time.Second))
}

// start activates one code or names the error code.
func (m *Marketplace) start(code, effect string) (*Code, string) {
	c := m.codes[code]
	if c == nil {
		return nil, "92020005"
	}
	switch {
	case c.Stage == Bought:
		return nil, "92020004"
	case c.Stage != Received:
		return nil, "92020003"
	case c.early(effect):
		return nil, "92020002"
	}
	c.Stage, c.Active = Active, m.now()
	if c.Expires.IsZero() {
		c.Expires = c.Active.Add(c.Validity)
	}
	return c, ""
}

func (m *Marketplace) activateBatch(w http.ResponseWriter, body []byte) {
	var in struct {
		List   []string `json:"license_list"`
		Effect string   `json:"real_effect_time"`
	}
	if !decode(w, body, &in) {
		return
	}
	if len(in.List) == 0 || len(in.List) > 100 || !effectOK(in.Effect) {
		answer(w, http.StatusBadRequest, "95000001", "1 to 100 codes")
		return
	}
	// Whether good codes of a bad batch are activated is not documented; the
	// harder answer is all or nothing.
	for _, code := range in.List {
		if c := m.codes[code]; c == nil || c.Stage != Received {
			answer(w, http.StatusOK, "92020020", "invalid license code exists")
			return
		} else if c.early(in.Effect) {
			answer(w, http.StatusOK, "92020002", "real_effect_time is before the order")
			return
		}
	}
	for _, code := range in.List {
		m.start(code, in.Effect)
	}
	answer(w, http.StatusOK, "92020000", "success")
}

func (m *Marketplace) heartbeat(w http.ResponseWriter, body []byte) {
	var in struct {
		License string `json:"license"`
		Info    *struct {
			Account string `json:"thirdPartyAccount"`
			IP      string `json:"ip"`
		} `json:"heartbeatInfo"`
	}
	if !decode(w, body, &in) {
		return
	}
	if in.License == "" || len(in.License) > 64 || in.Info != nil && (in.Info.Account == "" || len(in.Info.Account) > 256 || len(in.Info.IP) > 32) {
		answer(w, http.StatusBadRequest, "95000001", "request parameter invalid")
		return
	}
	if state := m.stateOf(w, in.License); state != nil {
		success(w, state)
	}
}

// stateOf is what a heartbeat says of one code; nil when an error was answered.
// That a frozen code is EXPIRED, and the name of the end, are assumptions: the
// documents do not say.
func (m *Marketplace) stateOf(w http.ResponseWriter, code string) map[string]any {
	if forms := m.foreign[code]; forms != nil {
		last := forms[len(forms)-1]
		answer(w, last.HTTP, last.Code, "another seller's code")
		return nil
	}
	c := m.codes[code]
	if c == nil {
		answer(w, http.StatusOK, "92020005", "code does not exist")
		return nil
	}
	m.age(c)
	status := map[Stage]string{Active: "ALIVE", Expired: "EXPIRED", Frozen: "EXPIRED", Released: "RELEASED"}[c.Stage]
	if status == "" || c.Active.IsZero() {
		answer(w, http.StatusOK, "92020011", "code has not been activated")
		return nil
	}
	if c.Stage == Frozen && m.frozen != nil {
		answer(w, m.frozen.HTTP, m.frozen.Code, "of a frozen code")
		return nil
	}
	m.beats[code] = append(m.beats[code], m.now())
	state := map[string]any{
		"license_code": c.Code, "status": status,
		"activate_time": c.Active.UTC().Format(stampForm), "expire_time": c.Expires.UTC().Format(stampForm),
	}
	if m.reword != nil {
		m.reword(state)
	}
	return state
}

// heartbeatBatch is v2, whose tables were never published: the request is that
// of the batch activation, the answer a list of what v1 answers.
func (m *Marketplace) heartbeatBatch(w http.ResponseWriter, body []byte) {
	var in struct {
		List []string `json:"license_list"`
	}
	if !decode(w, body, &in) {
		return
	}
	if len(in.List) == 0 || len(in.List) > 100 {
		answer(w, http.StatusBadRequest, "95000001", "1 to 100 codes")
		return
	}
	var list []map[string]any
	for _, code := range in.List {
		state := m.stateOf(w, code)
		if state == nil {
			return
		}
		list = append(list, state)
	}
	success(w, list)
}

func (m *Marketplace) reportUsage(w http.ResponseWriter, body []byte) {
	var in struct {
		List []struct {
			License string `json:"license"`
			Info    []struct {
				ID     *string `json:"id"`
				Active *int    `json:"active_num"`
			} `json:"software_usage_Info"`
		} `json:"usage_info"`
	}
	if !decode(w, body, &in) {
		return
	}
	bad := len(in.List) == 0 || len(in.List) > 100
	for _, u := range in.List {
		bad = bad || u.License == "" || len(u.License) > 64 || len(u.Info) == 0 || len(u.Info) > 100
		for _, i := range u.Info {
			bad = bad || (i.ID == nil) == (i.Active == nil) || i.ID != nil && (*i.ID == "" || len(*i.ID) > 256) || i.Active != nil && (*i.Active < 0 || *i.Active > 999_999_999)
		}
	}
	if bad {
		answer(w, http.StatusBadRequest, "95000001", "exactly one of id and active_num in 1 to 100 reports of 1 to 100 codes")
		return
	}
	for _, u := range in.List {
		c := m.codes[u.License]
		if c == nil {
			answer(w, http.StatusOK, "92020005", "code does not exist")
			return
		}
		if c.Active.IsZero() {
			answer(w, http.StatusOK, "92020011", "code has not been activated")
			return
		}
	}
	refused := false
	for _, u := range in.List {
		for _, i := range u.Info {
			mark := ""
			if i.ID != nil {
				mark = *i.ID
			} else {
				mark = fmt.Sprintf("active_num=%d", *i.Active)
			}
			if slices.Contains(m.refused, mark) || slices.Contains(m.refused, u.License) {
				refused = true
				continue
			}
			m.usage[u.License] = append(m.usage[u.License], mark)
		}
	}
	if refused {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"error_code":"92020000","error_msg":"success",%s}`, m.refusal)
		return
	}
	answer(w, http.StatusOK, "92020000", "success")
}

func (m *Marketplace) order(w http.ResponseWriter, q url.Values) {
	id := q.Get("orderId")
	info, ok := m.orders[id]
	w.Header().Set("Content-Type", "application/json")
	if id == "" || len(id) > 64 || len(q.Get("orderLineId")) > 64 {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"resultCode":"MKT.0199","resultMsg":"orderId of 1 to 64, orderLineId of at most 64 characters"}`)
		return
	}
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"resultCode":"MKT.0101","resultMsg":"order does not exist"}`)
		return
	}
	fmt.Fprintf(w, `{"resultCode":"MKT.0000","resultMsg":"success","orderInfo":%s}`, info)
}

func (m *Marketplace) upload(w http.ResponseWriter, event, contentType string, body []byte) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || event == "" || len(event) > 64 {
		answer(w, http.StatusBadRequest, "CBC.0101", "multipart/form-data is needed")
		return
	}
	form, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(4 << 20)
	if err != nil || len(form.Value["isvUpdateFileReq"]) != 1 {
		answer(w, http.StatusBadRequest, "CBC.0101", "the part isvUpdateFileReq is needed")
		return
	}
	var in struct {
		Type       string `json:"type"`
		Characters string `json:"characters"`
		Name       string `json:"file_name"`
		SHA256     string `json:"sha256"`
	}
	if !decode(w, []byte(form.Value["isvUpdateFileReq"][0]), &in) {
		return
	}
	switch {
	case in.Type == "CHARACTERS" && in.Characters != "" && len(in.Characters) <= 1024:
		m.uploads[event] = []byte(in.Characters)
	case in.Type == "FILE" && (in.Name == "" || len(in.Name) > 1024):
		answer(w, http.StatusBadRequest, "CBC.0101", "a file needs file_name of at most 1024 characters")
		return
	case in.Type == "FILE" && len(form.File["file"]) == 1:
		f, err := form.File["file"][0].Open()
		if err != nil {
			answer(w, http.StatusBadRequest, "CBC.0101", "file unreadable")
			return
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		sum := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(sum[:]) != in.SHA256 {
			answer(w, http.StatusOK, "91381037", "License format wrong")
			return
		}
		m.uploads[event] = data
	default:
		answer(w, http.StatusBadRequest, "CBC.0101", "type is CHARACTERS or FILE")
		return
	}
	answer(w, http.StatusOK, "CBC.0000", "success")
}

func success(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	// Encoding strings and numbers cannot fail; a lost connection is the client's to see.
	_ = json.NewEncoder(w).Encode(map[string]any{"error_code": "92020000", "error_msg": "success", "data": data, "member_of_tomorrow": 1})
}
