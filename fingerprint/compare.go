package fingerprint

// Results of one part, see PartResult.
const (
	ResultMatch       = "match"
	ResultChanged     = "changed"
	ResultAbsent      = "absent"
	ResultUnreadable  = "unreadable"
	ResultPlaceholder = "placeholder"
	ResultNotEnrolled = "not-enrolled"
)

// Compare says whether the observed device is the enrolled one, and why.
//
// A part matches when any enrolled value is still there (set semantics; other
// spellings and the three CPU forms count). What was enrolled and is changed,
// absent or a placeholder now is lost and stays in the denominator, so that
// showing fewer parts never helps; only an unreadable part leaves both sides.
//
//   - Same: at least Minimum percent of the points determined now match, at
//     least one strong part (board, disk, MAC) matches, and every required part
//     that was enrolled matches. CPU alone never accepts, and a CPU that
//     changed alone never blocks.
//   - Indeterminate: nothing strong could be read, a required part is
//     unreadable, less than Floor percent of the enrolled points is readable,
//     or the unreadable points would decide: unreadable is never "changed".
//   - Different: everything else; in particular whenever no strong part
//     matches and at least one is lost, however little is readable (a copied
//     disk image on a machine that shows nothing must not gain time).
//
// The profile is chosen by the class of machine that was enrolled.
func Compare(p Policy, e Enrolled, d Device) Comparison {
	return CompareSeen(p, e, See(e.Salt, d))
}

// CompareSeen is Compare for an observation of which only the hashes under the
// salt of the enrolled device are left.
func CompareSeen(p Policy, e Enrolled, seen []Seen) Comparison {
	prof := p.Profile(e.Env)
	parts := make([]PartResult, 0, len(seen))
	for _, s := range seen {
		parts = append(parts, PartResult{
			Kind:   s.Kind,
			Result: s.against(e.Hashes(s.Kind)),
			Weight: prof.Weights.of(s.Kind),
			Strong: s.Kind != CPU,
		})
	}
	cmp := judge(prof, parts)
	if cmp.Outcome == Same {
		cmp.Left = max(min(pointsLeft(prof, parts), cmp.Matched-cmp.Need), 0)
	}
	return cmp
}

// Profile returns the profile for a class of machine. Containers are held by
// what virtual machines are held by: neither owns its hardware.
func (p Policy) Profile(env EnvKind) Profile {
	if env == Virtual || env == Container {
		return p.Virtual
	}
	return p.Physical
}

func (w Weights) of(k Kind) int {
	switch k {
	case Board:
		return w.Board
	case Disk:
		return w.Disk
	case MAC:
		return w.MAC
	case CPU:
		return w.CPU
	}
	return 0
}

// Hashes returns the enrolled hashes of one part, nil for none.
func (e Enrolled) Hashes(k Kind) []string {
	var all []string
	for _, p := range e.Parts {
		if p.Kind == k {
			all = append(all, p.Hashes...)
		}
	}
	return all
}

// judge applies a profile to the results of the parts.
func judge(prof Profile, parts []PartResult) Comparison {
	t := sumUp(prof, parts)
	cmp := Comparison{
		Parts: parts, Enrolled: t.enrolled, Matched: t.matched,
		Available:   t.enrolled - t.unreadable,
		Need:        percentUp(prof.Minimum, t.enrolled-t.unreadable),
		StrongMatch: t.strongMatch > 0, StrongChanged: t.strongLost > 0, Drift: t.lost,
	}
	var because reason
	cmp.Outcome, because = t.outcome(prof)
	cmp.Why = why(because, t, cmp)
	return cmp
}

// outcome is the whole policy; the order of the cases is part of it.
func (t tally) outcome(prof Profile) (Outcome, reason) {
	available := t.enrolled - t.unreadable
	switch {
	case t.strong == 0:
		return Indeterminate, nothingEnrolled
	case t.strongMatch == 0 && t.strongLost > 0:
		return Different, noStrong
	case t.strongMatch == 0:
		return Indeterminate, nothingReadable
	case t.requiredLost != "":
		return Different, requiredLost
	case t.requiredUnread != "":
		return Indeterminate, requiredUnread
	case available < percentUp(prof.Floor, t.enrolled):
		return Indeterminate, belowFloor
	case t.strongLost == 0 || t.matched >= percentUp(prof.Minimum, available):
		return Same, enough
	case t.matched+t.unreadable >= percentUp(prof.Minimum, t.enrolled):
		return Indeterminate, unreadDecides
	}
	return Different, tooFew
}

// tally sums the parts up.
type tally struct {
	enrolled, matched, unreadable   int // points
	strong, strongMatch, strongLost int // parts
	lost                            bool
	requiredLost, requiredUnread    Kind
}

func sumUp(prof Profile, parts []PartResult) tally {
	var t tally
	for _, p := range parts {
		t.add(p, prof)
	}
	return t
}

// add counts one part. A strong part that the vendor gave no points and does
// not require says nothing: it was taken out of the policy on purpose.
func (t *tally) add(p PartResult, prof Profile) {
	if p.Result == ResultNotEnrolled {
		return
	}
	required := prof.requires(p.Kind)
	strong := p.Strong && (p.Weight > 0 || required)
	t.enrolled += p.Weight
	if strong {
		t.strong++
	}
	switch p.Result {
	case ResultMatch:
		t.matched += p.Weight
		if strong {
			t.strongMatch++
		}
	case ResultUnreadable:
		t.unreadable += p.Weight
		if required {
			t.requiredUnread = p.Kind
		}
	default:
		t.lost = t.lost || p.Weight > 0 || required
		if strong {
			t.strongLost++
		}
		if required {
			t.requiredLost = p.Kind
		}
	}
}

func (p Profile) requires(k Kind) bool {
	for _, r := range p.Required {
		if r == k {
			return true
		}
	}
	return false
}

// percentUp is percent of points, rounded up.
func percentUp(percent, points int) int {
	return (percent*points + 99) / 100
}

// pointsLeft finds the cheapest loss of matching parts that ends Same, by
// trying all of them (at most 2^4), and returns one point less: that many
// points may be lost in any combination. The plain difference between matched
// and needed points overlooks required parts and the last strong one.
func pointsLeft(prof Profile, parts []PartResult) int {
	cheapest := 0
	for _, p := range parts {
		cheapest += p.Weight
	}
	after := make([]PartResult, len(parts))
	for mask := 1; mask < 1<<len(parts); mask++ {
		copy(after, parts)
		cost, possible := 0, true
		for i := range after {
			if mask&(1<<i) == 0 {
				continue
			}
			possible = possible && after[i].Result == ResultMatch
			after[i].Result = ResultChanged
			cost += after[i].Weight
		}
		if !possible || cost >= cheapest {
			continue
		}
		if outcome, _ := sumUp(prof, after).outcome(prof); outcome != Same {
			cheapest = cost
		}
	}
	return max(cheapest-1, 0)
}
