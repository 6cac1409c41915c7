package fingerprint

// Seen is one part of an observation as salted hashes: enough to compare, to
// explain and to simulate, nothing to read a serial from. It is what a merchant
// keeps of the last contact.
type Seen struct {
	Kind   Kind        `json:"kind"`
	State  State       `json:"state"`
	Reason string      `json:"reason,omitempty"`
	Unread bool        `json:"unread,omitempty"` // beside the values there is something that could not be read
	Values []SeenValue `json:"values,omitempty"`
}

// SeenValue is one value under the salt of a license. Any of its hashes may be
// the enrolled one: they are those of its accepted spellings, that of the string
// form first.
type SeenValue struct {
	Hashes []string `json:"h"`
	Masked string   `json:"-"` // for people at the machine (Mask); it never leaves it
}

// See returns the four settled parts of an observation under a salt, in the
// order of the string form. A CPU id counts in both byte orders: a license may
// have been enrolled from the text of another tool (dmidecode on Linux, WMI on
// Windows).
func See(salt []byte, d Device) []Seen { return see(salt, d, IsPlaceholder) }

func see(salt []byte, d Device, isPlaceholder rule) []Seen {
	h := newHasher(salt)
	out := make([]Seen, 0, 4)
	for _, c := range observed(d, isPlaceholder) {
		s := Seen{Kind: c.Kind, State: c.State, Reason: c.Reason, Unread: c.unread()}
		for _, v := range c.Values {
			one := SeenValue{Masked: Mask(v.Text), Hashes: h.spellings(nil, c.Kind, v.Text)}
			for _, a := range v.Alt {
				one.Hashes = h.spellings(one.Hashes, c.Kind, a)
			}
			s.Values = append(s.Values, one)
		}
		out = append(out, s)
	}
	return out
}

// spellings appends the hashes under which one text is accepted.
func (h hasher) spellings(list []string, k Kind, text string) []string {
	spelled := spell(k, text)
	list = append(list, h.sum(k, spelled))
	if k == CPU && len(spelled) == 16 && isHex(spelled) {
		list = append(list, h.sum(k, reversePairs(spelled)))
	}
	return list
}

// Enrolled reports whether the value is among the enrolled hashes of its part.
func (v SeenValue) Enrolled(hashes []string) bool {
	for _, h := range v.Hashes {
		if indexOf(hashes, h) >= 0 {
			return true
		}
	}
	return false
}

// against settles one part. Something unread beside readable values (one disk
// of two timed out) makes a missing match unreadable, not changed.
func (s Seen) against(enrolled []string) string {
	switch {
	case len(enrolled) == 0:
		return ResultNotEnrolled
	case s.State == Absent:
		return ResultAbsent
	case s.State == Placeholder:
		return ResultPlaceholder
	case s.State != OK:
		return ResultUnreadable
	}
	for _, v := range s.Values {
		if v.Enrolled(enrolled) {
			return ResultMatch
		}
	}
	if s.Unread {
		return ResultUnreadable
	}
	return ResultChanged
}
