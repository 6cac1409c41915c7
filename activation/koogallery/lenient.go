package koogallery

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// heartbeatV2 asks with the batch interface. Its request is an analogy with the
// batch activation (license_list), its answer is unknown: a list of states, an
// object with such a list, an object with one member per code and a single
// state are read.
func (c *Client) heartbeatV2(ctx context.Context, code string) (Heartbeat, error) {
	var out struct {
		Data json.RawMessage `json:"data"`
	}
	if err := c.post(ctx, "v2/license/heartbeat", map[string]any{"license_list": []string{code}}, &out); err != nil {
		return Heartbeat{}, err
	}
	members, form := findState(out.Data, code, 0)
	if members == nil {
		return Heartbeat{}, fmt.Errorf("%w: no state of the code in the answer of heartbeat v2", ErrAnswer)
	}
	c.unknown("heartbeat v2", form)
	return c.readHeartbeat(code, members)
}

// findState looks for the object that speaks of a code, at most three levels
// deep, and says in which form it was found.
func findState(raw json.RawMessage, code string, depth int) (map[string]json.RawMessage, string) {
	if depth > 3 {
		return nil, ""
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for _, one := range list {
			if m, form := findState(one, code, depth+1); m != nil {
				return m, "list of " + form
			}
		}
		return nil, ""
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil, ""
	}
	if one, ok := m[code]; ok {
		if inner, form := findState(one, code, depth+1); inner != nil {
			return inner, "member per code: " + form
		}
	}
	if _, ok := m["status"]; ok {
		var name string
		if id, told := m["license_code"]; told && (json.Unmarshal(id, &name) != nil || name != code) {
			return nil, ""
		}
		return m, "object"
	}
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if inner, form := findState(m[n], code, depth+1); inner != nil {
			return inner, "member: " + form
		}
	}
	return nil, ""
}

// mentioned lists the codes of a request that stand anywhere in a part of its
// answer, as text or as the name of a member.
func mentioned(raw json.RawMessage, codes map[string]int) []string {
	found := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if _, ok := codes[v]; ok {
				found[v] = true
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for name, e := range v {
				walk(name)
				walk(e)
			}
		}
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	walk(v)
	list := make([]string, 0, len(found))
	for c := range found {
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}
