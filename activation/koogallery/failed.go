package koogallery

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// failures collects what the answer to a usage report says of reports that were
// not taken. Of that only the beginning of a member's name is documented,
// data.check_fail_: anything in a member of such a name is a failure.
type failures struct {
	reports []Usage
	met     bool         // something failed
	hit     map[int]bool // the reports that are named
	count   int64        // how many failed, where that is said
	lost    bool         // something is named that is none of the reports
}

// failedReports reads an answer. known says that the list is all that failed.
func failedReports(answer map[string]json.RawMessage, reports []Usage) (list []Usage, known, met bool) {
	f := failures{reports: reports, hit: map[int]bool{}}
	for name, raw := range answer {
		if name != "error_code" && name != "error_msg" {
			f.search(map[string]any{name: decoded(raw)}, 0)
		}
	}
	if f.lost || len(f.hit) == 0 || f.count > int64(len(f.hit)) {
		return nil, false, f.met
	}
	for i, r := range reports {
		if f.hit[i] {
			list = append(list, r)
		}
	}
	return list, true, f.met
}

// maxNested bounds how deep an answer is read.
const maxNested = 8

// search looks for the members whose name says that they list failures.
func (f *failures) search(v any, depth int) {
	if depth > maxNested {
		return
	}
	switch v := unwrapped(v).(type) {
	case []any:
		for _, e := range v {
			f.search(e, depth+1)
		}
	case map[string]any:
		for name, e := range v {
			if plain := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name)); strings.Contains(plain, "checkfail") {
				f.member(unwrapped(e))
			} else {
				f.search(e, depth+1)
			}
		}
	}
}

// member reads a member that lists failures, counts them, or only says that
// there are some.
func (f *failures) member(v any) {
	if f.blank(v) {
		return
	}
	switch v := v.(type) {
	case bool:
		f.counted(map[bool]int64{true: 1}[v])
	case json.Number:
		f.counted(number(v.String(), 1))
	case string:
		// A count, a list with commas, or a sentence that names nothing.
		for _, s := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
			if !f.named(map[string]bool{s: true}) {
				f.counted(number(s, 1))
			}
		}
	default:
		f.item(v, 0)
	}
}

// blank says that a value names nothing that failed: an empty list, a count of 0.
func (f *failures) blank(v any) bool {
	switch v := unwrapped(v).(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return strings.TrimSpace(v) == "" || v == "0"
	case json.Number:
		return v.String() == "0"
	case []any:
		for _, e := range v {
			switch e.(type) {
			case json.Number, bool: // a position, perhaps
				return false
			}
			if !f.blank(e) {
				return false
			}
		}
	case map[string]any:
		for name, e := range v {
			if f.mentions(map[string]bool{name: true}) || !f.blank(e) {
				return false
			}
		}
	}
	return true
}

func (f *failures) counted(n int64) {
	f.met = f.met || n != 0
	f.count = max(f.count, n)
}

// item reads one failure, or a list of them.
func (f *failures) item(v any, depth int) {
	switch v := unwrapped(v).(type) {
	case nil:
	case []any:
		for _, e := range v {
			f.item(e, depth+1)
		}
	case map[string]any:
		if f.blank(v) {
			return
		}
		f.met = true
		words, inside := map[string]bool{}, false
		for name, e := range v {
			e = unwrapped(e)
			words[name] = true
			switch e := e.(type) {
			case []any, map[string]any:
				inside = true
			default:
				words[word(e)] = true
			}
		}
		switch {
		case f.mentions(words):
			all := map[string]bool{}
			collect(v, all)
			f.named(all)
		case !inside || depth > maxNested:
			f.lost = true
		default: // a list with something around it, such as a count
			for _, e := range v {
				switch e := unwrapped(e).(type) {
				case []any, map[string]any:
					f.item(e, depth+1)
				case json.Number:
					f.counted(number(e.String(), 0))
				}
			}
		}
	default:
		if s := word(v); s != "" && !f.named(map[string]bool{s: true}) {
			f.met, f.lost = true, true
		}
	}
}

func (f *failures) mentions(words map[string]bool) bool {
	for _, r := range f.reports {
		if words[r.Code] || r.ID != "" && words[r.ID] {
			return true
		}
	}
	return false
}

// named marks the reports that some words name: code and id together, or either
// where the other is not named. It says whether any is.
func (f *failures) named(words map[string]bool) bool {
	var both, codes, ids []int
	for i, r := range f.reports {
		code, id := words[r.Code], r.ID != "" && words[r.ID]
		switch {
		case code && id:
			both = append(both, i)
		case code:
			codes = append(codes, i)
		case id:
			ids = append(ids, i)
		}
	}
	found := both
	if len(found) == 0 {
		found = codes
	}
	if len(found) == 0 {
		found = ids
	}
	for _, i := range found {
		f.met, f.hit[i] = true, true
	}
	return len(found) > 0
}

// collect gathers every text of a value, and the names of its members.
func collect(v any, words map[string]bool) {
	switch v := unwrapped(v).(type) {
	case []any:
		for _, e := range v {
			collect(e, words)
		}
	case map[string]any:
		for name, e := range v {
			words[name] = true
			collect(e, words)
		}
	default:
		words[word(v)] = true
	}
}

// word is a text or number as text.
func word(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func number(s string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	return otherwise
}

func decoded(raw []byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// unwrapped reads JSON inside a string, as license_code_info of an activation is.
func unwrapped(v any) any {
	s, ok := v.(string)
	if text := strings.TrimSpace(s); ok && text != "" && strings.ContainsAny(text[:1], "[{\"n") {
		if inner := decoded([]byte(text)); inner != nil || text == "null" {
			return inner
		}
	}
	return v
}
