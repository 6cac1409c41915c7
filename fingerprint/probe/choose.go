package probe

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"licenseagent.example/fingerprint"
)

// candidate is one place where a value might stand, and what stood there.
type candidate struct {
	text   string
	source string
	alt    []string // other spellings of text
	err    error    // set when the place could not be read
	drop   string   // set when a rule leaves it out, whatever it holds
	rank   int      // 0 first; higher ranks are used only when no lower one survives
	first  bool     // sorts before the others (the disk behind the root file system)
	open   bool     // readable without privilege (see chain)
}

// maxRejected bounds the list of candidates that were left out: a container
// host has hundreds of virtual interfaces, and nobody reads that far.
const maxRejected = 32

// prefixUnreadable starts the reason of a candidate that could not be read, so
// that a reader can tell it from one that a rule left out.
const prefixUnreadable = "unreadable: "

// sorter collects what became of the candidates of one part.
type sorter struct {
	kind        fingerprint.Kind
	rejected    []fingerprint.Rejected // had or may have had a value
	ruled       []fingerprint.Rejected // left out by a rule, before any read
	more        int                    // not even listed
	unreadable  string                 // first reason
	placeholder string                 // first reason
}

// reject notes a candidate that is not used.
func (s *sorter) reject(c candidate, reason string) {
	list := &s.rejected
	if c.drop != "" {
		list = &s.ruled
	}
	if len(*list) == maxRejected {
		s.more++
		return
	}
	r := fingerprint.Rejected{Text: clip(c.text), Source: c.source, Reason: reason}
	if strings.HasPrefix(reason, prefixUnreadable) {
		r.State = fingerprint.Unreadable
	}
	*list = append(*list, r)
}

// usable says whether c holds a value that identifies somebody, and notes it if not.
func (s *sorter) usable(c candidate) bool {
	if c.drop == "" && c.err == nil && len(c.text) > fingerprint.MaxValue && len(fingerprint.Canonical(c.text)) > fingerprint.MaxValue {
		c.err = errTooLong
	}
	switch {
	case c.drop != "":
		s.reject(c, c.drop)
	case c.err != nil && absent(c.err), c.err == nil && c.text == "":
		s.reject(c, "absent")
	case c.err != nil:
		reason := why(c.err)
		if s.unreadable == "" {
			s.unreadable = c.source + ": " + reason
		}
		s.reject(c, prefixUnreadable+reason)
	default:
		reason, yes := fingerprint.IsPlaceholder(s.kind, c.text)
		if !yes {
			return true
		}
		if s.placeholder == "" {
			s.placeholder = c.source + ": " + reason
		}
		s.reject(c, "placeholder: "+reason)
	}
	return false
}

// component makes the observation of values and of what was rejected. Nothing
// usable and something unreadable is "unreadable": we do not know, and what we
// do not know has not changed.
func (s *sorter) component(values []fingerprint.Value, none string) fingerprint.Component {
	room := maxRejected - len(s.rejected)
	s.more += max(0, len(s.ruled)-room)
	s.rejected = append(s.rejected, s.ruled[:min(room, len(s.ruled))]...)
	if s.more > 0 {
		s.rejected = append(s.rejected, fingerprint.Rejected{
			Source: "…", Reason: strconv.Itoa(s.more) + " more left out",
		})
	}
	c := fingerprint.Component{Kind: s.kind, Rejected: s.rejected}
	switch {
	case len(values) > 0:
		c.State, c.Values = fingerprint.OK, values
	case s.unreadable != "":
		c.State, c.Reason = fingerprint.Unreadable, s.unreadable
	case s.placeholder != "":
		c.State, c.Reason = fingerprint.Placeholder, s.placeholder
	default:
		c.State, c.Reason = fingerprint.Absent, none
	}
	return c
}

// chain takes the first usable candidate as the value. Usable ones behind it
// that anybody may read become accepted spellings of it: without root they are
// the value, and gaining root later must not look like a change of hardware.
// The others do not: a chassis serial is shared by all blades in the chassis,
// and a service technician writes the old system serial onto a new board.
func chain(kind fingerprint.Kind, candidates []candidate, none string) fingerprint.Component {
	s := sorter{kind: kind}
	var v fingerprint.Value
	for _, c := range candidates {
		switch {
		case !s.usable(c):
		case v.Text == "":
			v = fingerprint.Value{Text: c.text, Source: c.source, Alt: c.alt}
		case strings.EqualFold(c.text, v.Text):
		case c.open:
			v.Alt = append(v.Alt, c.text)
		default:
			s.reject(c, "not needed: "+v.Source+" comes first")
		}
	}
	if v.Text == "" {
		return s.component(nil, none)
	}
	return s.component([]fingerprint.Value{v}, none)
}

// set takes all usable candidates of the lowest rank that has any: those that
// are marked first, then the rest, each sorted (kernel names and bus order
// change between boots), the same value once.
func set(kind fingerprint.Kind, candidates []candidate, rankReason, none string) fingerprint.Component {
	s := sorter{kind: kind}
	kept := make([]candidate, 0, len(candidates))
	for _, c := range candidates {
		if s.usable(c) {
			kept = append(kept, c)
		}
	}
	slices.SortStableFunc(kept, func(a, b candidate) int {
		switch {
		case a.rank != b.rank:
			return cmp.Compare(a.rank, b.rank)
		case a.first != b.first && a.first:
			return -1
		case a.first != b.first:
			return 1
		}
		return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.source, b.source))
	})
	values := make([]fingerprint.Value, 0, len(kept))
	for _, c := range kept {
		if c.rank != kept[0].rank {
			s.reject(c, rankReason)
			continue
		}
		same := slices.IndexFunc(values, func(v fingerprint.Value) bool { return strings.EqualFold(v.Text, c.text) })
		if same >= 0 {
			s.reject(c, "the same value again ("+values[same].Source+")")
			continue
		}
		values = append(values, fingerprint.Value{Text: c.text, Source: c.source, Alt: c.alt})
	}
	return s.component(values, none)
}

// clip keeps a rejected text short enough to be shown.
func clip(s string) string {
	if len(s) <= fingerprint.MaxValue {
		return s
	}
	return strings.ToValidUTF8(s[:fingerprint.MaxValue], "")
}
