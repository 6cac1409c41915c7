package fingerprint

import (
	"slices"
	"sort"
)

// Roll brings a reference up to date with an observation that Compare called
// Same, so that honest changes years apart do not add up to a refusal. At most
// limit strong parts change; the kinds that did are returned in the order in
// which they were taken: parts that are lost and show another value now are
// replaced, then parts that were not enrolled and are readable now are added,
// then sets that still match take in their new values (a second disk, before
// the first one fails). What is absent, unreadable or a placeholder now stays
// enrolled. The CPU follows freely and is not counted: it is a model code, and a
// virtual machine that migrates must not use up its allowance by it.
//
// The caller bounds how often this happens (one part per 30 days unless the
// vendor allows more): a license could otherwise walk from machine to machine
// plank by plank, and each of the three steps is such a plank.
func Roll(e Enrolled, d Device, limit int) (Enrolled, []Kind) {
	var steps []step
	out := Enrolled{Env: e.Env, Salt: slices.Clone(e.Salt)}
	for _, now := range Enroll(e.Salt, d).Parts {
		if s, ok := nextStep(e.Hashes(now.Kind), now); ok && !(now.Kind == CPU && sameCPU(e, d)) {
			steps = append(steps, s)
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return a.rank - b.rank })
	taken := map[Kind]Part{}
	var kinds []Kind
	for _, s := range steps {
		if strong := s.part.Kind != CPU; strong && len(kinds) < limit {
			kinds = append(kinds, s.part.Kind)
		} else if strong {
			continue
		}
		taken[s.part.Kind] = s.part
	}
	for _, k := range [...]Kind{MAC, Disk, Board, CPU} {
		part, ok := taken[k]
		if !ok {
			part = Part{Kind: k, Hashes: slices.Clone(e.Hashes(k))}
		}
		if len(part.Hashes) > 0 {
			out.Parts = append(out.Parts, part)
		}
	}
	return out, kinds
}

// step is one change of a reference; the lowest rank is the most urgent.
type step struct {
	rank int
	part Part
}

// nextStep says how one part would roll.
func nextStep(was []string, now Part) (step, bool) {
	shared := slices.ContainsFunc(now.Hashes, func(h string) bool { return slices.Contains(was, h) })
	switch merged := merge(now.Hashes, was); {
	case len(was) == 0:
		return step{1, now}, true
	case !shared:
		return step{0, now}, true
	case !slices.Equal(merged, was):
		return step{2, Part{Kind: now.Kind, Hashes: merged}}, true
	}
	return step{}, false
}

// merge adds enrolled hashes to the present ones up to MaxHashes, sorted: what
// is there now is worth more than what was there once.
func merge(now, was []string) []string {
	out := slices.Clone(now)
	for _, h := range was {
		if len(out) < MaxHashes && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	sort.Strings(out)
	return out
}

// sameCPU reports whether the CPU matches in another spelling, which is no change.
func sameCPU(e Enrolled, d Device) bool {
	seen := See(e.Salt, Device{CPU: d.CPU})
	return seen[len(seen)-1].against(e.Hashes(CPU)) == ResultMatch
}
