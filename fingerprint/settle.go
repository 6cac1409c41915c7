package fingerprint

// Settled applies the rules of this package to what a collector found: values
// that are placeholders, longer than MaxValue or empty move to Rejected,
// duplicates are merged, and the state follows from what is left. Format,
// Enroll and Compare settle every component themselves, so that a collector
// that forgot a rule (or a program that lies about a state) gains nothing.
// The receiver is not changed.
func (c Component) Settled() Component {
	return c.settled(c.Kind, IsPlaceholder)
}

func (c Component) settled(k Kind, isPlaceholder rule) Component {
	out := Component{Kind: k, State: c.State, Reason: c.Reason, Rejected: c.Rejected}
	if c.State != OK {
		if c.State != Absent && c.State != Placeholder {
			out.State = Unreadable // an unknown state must not count as evidence of change
		}
		return out
	}
	out.Rejected = append([]Rejected(nil), c.Rejected...)
	seen := make([]string, 0, len(c.Values))
	for _, v := range c.Values {
		text := spell(k, v.Text)
		if text == "" {
			continue
		}
		if why, ok := refuse(k, text, isPlaceholder); !ok {
			why.Text, why.Source = shorten(v.Text), v.Source
			out.Rejected = append(out.Rejected, why)
			continue
		}
		if at := indexOf(seen, text); at >= 0 {
			out.Values[at].Alt = append(out.Values[at].Alt, usable(k, v.Alt, isPlaceholder)...)
			continue
		}
		v.Alt = usable(k, v.Alt, isPlaceholder)
		seen = append(seen, text)
		out.Values = append(out.Values, v)
	}
	if len(out.Values) == 0 {
		out.State, out.Reason = emptyState(out.Rejected)
	}
	return out
}

// refuse says whether a canonical value may not be used, and as what it counts.
func refuse(k Kind, text string, isPlaceholder rule) (Rejected, bool) {
	if len(text) > MaxValue {
		return Rejected{Reason: "longer than 256 bytes: a misread", State: Unreadable}, false
	}
	if reason, yes := isPlaceholder(k, text); yes {
		return Rejected{Reason: reason, State: Placeholder}, false
	}
	return Rejected{}, true
}

// usable filters other spellings by the same rules.
func usable(k Kind, alt []string, isPlaceholder rule) []string {
	var out []string
	for _, a := range alt {
		if text := spell(k, a); text != "" {
			if _, ok := refuse(k, text, isPlaceholder); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

// emptyState decides what a part without values is worth. Unreadable wins over
// placeholder: the value that could not be read may have been a good one.
func emptyState(rejected []Rejected) (State, string) {
	state, reason := Absent, "no value"
	for _, r := range rejected {
		switch {
		case r.State == Unreadable:
			return Unreadable, r.Reason
		case r.State == Placeholder:
			state, reason = Placeholder, r.Reason
		}
	}
	return state, reason
}

// unread reports whether something in the component exists but was not read.
func (c Component) unread() bool {
	for _, r := range c.Rejected {
		if r.State == Unreadable {
			return true
		}
	}
	return c.State == Unreadable
}

// shorten keeps a misread of 64 KiB out of the JSON form.
func shorten(text string) string {
	if len(text) > MaxValue {
		return text[:MaxValue] + "…"
	}
	return text
}

func indexOf(list []string, s string) int {
	for i := range list {
		if list[i] == s {
			return i
		}
	}
	return -1
}
