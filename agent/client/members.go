package client

import (
	"encoding/json"
	"errors"

	"licenseagent.example/agent/api"
)

// members are those of a JSON object by their exact names. The clients in the
// other languages know no others; encoding/json takes a name of a struct in any
// letter case.
type members map[string]json.RawMessage

var errNoObject = errors.New("not a JSON object")

// readMembers reads an object; nil, and null, are none.
func readMembers(text []byte) (members, error) {
	var m members
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, errNoObject
	}
	return m, nil
}

func (m members) has(name string) bool {
	_, there := m[name]
	return there
}

// text is a member that must be a string where it is one: null is as good as missing.
func (m members) text(name string) (string, error) {
	raw, ok := m[name]
	if !ok {
		return "", nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// word is text of what proves nothing: anything but a string is none.
func (m members) word(name string) string {
	s, err := m.text(name)
	if err != nil {
		return ""
	}
	return s
}

// object is a member that proves nothing: anything but an object has no members.
func (m members) object(name string) members {
	o, err := readMembers(m[name])
	if err != nil {
		return nil
	}
	return o
}

// words are a member that is a list, without what is no string.
func (m members) words(name string) (out []string) {
	var list []any
	if json.Unmarshal(m[name], &list) != nil {
		return nil
	}
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// readError is the error that the body of an answer carries.
func readError(body []byte) (*api.Error, bool) {
	all, err := readMembers(body)
	e := all.object("error")
	out := &api.Error{Code: e.word("code"), Cause: e.word("cause"), Message: e.word("message"), Hint: e.word("hint"), RequestID: e.word("request_id")}
	return out, err == nil && out.Code != ""
}
