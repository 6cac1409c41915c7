package fingerprint

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// allResults is every combination of the six results of the four parts.
func allResults(prof Profile) [][]PartResult {
	results := []string{ResultMatch, ResultChanged, ResultAbsent, ResultUnreadable, ResultPlaceholder, ResultNotEnrolled}
	var all [][]PartResult
	for n := range 6 * 6 * 6 * 6 {
		parts := make([]PartResult, 0, 4)
		for _, k := range []Kind{MAC, Disk, Board, CPU} {
			parts = append(parts, PartResult{Kind: k, Result: results[n%6], Weight: prof.Weights.of(k), Strong: k != CPU})
			n /= 6
		}
		all = append(all, parts)
	}
	return all
}

// eachProfile runs a check over the profiles of the presets and some odd ones.
func eachProfile(t *testing.T, check func(t *testing.T, prof Profile)) {
	for name, p := range Presets() {
		t.Run(name+"/physical", func(t *testing.T) { check(t, p.Physical) })
		t.Run(name+"/virtual", func(t *testing.T) { check(t, p.Virtual) })
	}
	odd := map[string]Profile{
		"everything":     {Required: []Kind{Board, CPU, Disk, MAC}, Weights: Weights{1, 1, 1, 1}, Minimum: 100, Floor: 100},
		"board alone":    {Weights: Weights{Board: 1}, Minimum: 1},
		"required disk":  {Required: []Kind{Disk}, Weights: Weights{Board: 5, MAC: 3}, Minimum: 70, Floor: 20},
		"heavy CPU":      {Weights: Weights{1, 1, 1, 1000}, Minimum: 50, Floor: 50},
		"no floor":       {Weights: Weights{3, 3, 2, 1}, Minimum: 50},
		"minimum of one": {Weights: Weights{3, 3, 2, 1}, Minimum: 1, Floor: 0},
	}
	for name, p := range odd {
		t.Run(name, func(t *testing.T) { check(t, p) })
	}
}

func with(parts []PartResult, at int, result string) []PartResult {
	parts = slices.Clone(parts)
	parts[at].Result = result
	return parts
}

func lost(result string) bool {
	return result == ResultChanged || result == ResultAbsent || result == ResultPlaceholder
}

func strongCount(prof Profile, parts []PartResult, test func(string) bool) int {
	n := 0
	for _, p := range parts {
		if p.Kind != CPU && (p.Weight > 0 || prof.requires(p.Kind)) && test(p.Result) {
			n++
		}
	}
	return n
}

// rank orders outcomes from the operator's point of view.
func rank(o Outcome) int { return map[Outcome]int{Different: 0, Indeterminate: 1, Same: 2}[o] }

func TestPolicyIsMonotonic(t *testing.T) {
	eachProfile(t, func(t *testing.T, prof Profile) {
		for _, parts := range allResults(prof) {
			was := judge(prof, parts)
			for i := range parts {
				if parts[i].Result != ResultMatch {
					continue
				}
				for _, r := range []string{ResultChanged, ResultAbsent, ResultPlaceholder} {
					if now := judge(prof, with(parts, i, r)); rank(now.Outcome) > rank(was.Outcome) {
						t.Fatalf("losing %s improves %v: %s to %s", parts[i].Kind, parts, was.Outcome, now.Outcome)
					}
				}
				hidden := judge(prof, with(parts, i, ResultUnreadable))
				if was.Outcome == Same && hidden.Outcome == Different && hidden.StrongMatch {
					t.Fatalf("an unreadable %s turns %v into different", parts[i].Kind, parts)
				}
			}
		}
	})
}

func TestLostPartsCountAlike(t *testing.T) {
	eachProfile(t, func(t *testing.T, prof Profile) {
		for _, parts := range allResults(prof) {
			want := judge(prof, parts)
			for i := range parts {
				if !lost(parts[i].Result) {
					continue
				}
				got := judge(prof, with(parts, i, ResultAbsent))
				if got.Outcome != want.Outcome || got.Matched != want.Matched || got.Available != want.Available {
					t.Fatalf("absent and %s differ in %v", parts[i].Result, parts)
				}
			}
		}
	})
}

func TestWhatEachOutcomeNeeds(t *testing.T) {
	eachProfile(t, func(t *testing.T, prof Profile) {
		seen := map[Outcome]int{}
		for _, parts := range allResults(prof) {
			got := judge(prof, parts)
			seen[got.Outcome]++
			matching := strongCount(prof, parts, func(r string) bool { return r == ResultMatch })
			gone := strongCount(prof, parts, lost)
			if got.StrongMatch != (matching > 0) || got.StrongChanged != (gone > 0) {
				t.Fatalf("%v: flags %v %v", parts, got.StrongMatch, got.StrongChanged)
			}
			switch {
			case got.Outcome == Same && matching == 0:
				t.Fatalf("accepted without a strong part: %v", parts)
			case matching == 0 && gone > 0 && got.Outcome != Different:
				t.Fatalf("no strong part matches, one is lost, and still %s: %v", got.Outcome, parts)
			case got.Outcome == Different && gone == 0 && !prof.requires(CPU):
				t.Fatalf("refused although no strong part is lost: %v", parts)
			}
			for _, p := range parts {
				if prof.requires(p.Kind) && got.Outcome == Same && p.Result != ResultMatch && p.Result != ResultNotEnrolled {
					t.Fatalf("accepted without the required %s: %v", p.Kind, parts)
				}
				if prof.requires(p.Kind) && p.Result == ResultUnreadable && got.Outcome == Different && !got.StrongChanged && gone == 0 && !prof.requires(CPU) {
					t.Fatalf("an unreadable required part alone refuses: %v", parts)
				}
			}
		}
		if seen[Different] == 0 || seen[Same] == 0 || seen[Indeterminate] == 0 {
			t.Fatalf("not all outcomes reached: %v", seen)
		}
	})
}

func TestLeftIsSafeToLose(t *testing.T) {
	eachProfile(t, func(t *testing.T, prof Profile) {
		for _, parts := range allResults(prof) {
			was := judge(prof, parts)
			if was.Outcome != Same {
				continue
			}
			left := min(pointsLeft(prof, parts), max(was.Matched-was.Need, 0))
			for mask := range 16 {
				after, cost := slices.Clone(parts), 0
				for i := range after {
					if mask&(1<<i) != 0 && after[i].Result == ResultMatch {
						after[i].Result = ResultChanged
						cost += after[i].Weight
					}
				}
				if cost > 0 && cost <= left && judge(prof, after).Outcome != Same {
					t.Fatalf("%d points left, but losing %d ends it: %v", left, cost, parts)
				}
			}
		}
	})
}

func TestCompareOnRandomDevices(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	salt := []byte("0123456789abcdef0123456789abcdef")
	outcomes := map[Outcome]int{}
	for range 100 {
		d := randomDevice(r)
		e := Enroll(salt, d)
		text := Format(d)
		parsed, err := Parse(text.String)
		if err != nil {
			t.Fatal(err)
		}
		if text.DroppedDisks+text.DroppedMACs == 0 && len(d.Board.Values) < 2 && len(d.CPU.Values) < 2 {
			if diff := cmp.Diff(e, EnrollParsed(salt, d.Env.Kind, parsed, nil)); diff != "" {
				t.Fatalf("enrolling the string and the observation differ:\n%s", diff)
			}
		}
		for _, p := range e.Parts {
			if len(p.Hashes) == 0 || len(p.Hashes) > MaxHashes || !slices.IsSorted(p.Hashes) {
				t.Fatalf("part %s has %d hashes", p.Kind, len(p.Hashes))
			}
		}
		for name, policy := range Presets() {
			got := Compare(policy, e, d)
			outcomes[got.Outcome]++
			strong := slices.ContainsFunc(e.Parts, func(p Part) bool { return p.Kind != CPU })
			if want := map[bool]Outcome{true: Same, false: Indeterminate}[strong]; got.Outcome != want {
				t.Fatalf("%s: a device compared with itself is %s, want %s", name, got.Outcome, want)
			}
			shuffled := d
			for _, c := range []*Component{&shuffled.MAC, &shuffled.Disk} {
				c.Values = slices.Clone(c.Values)
				r.Shuffle(len(c.Values), func(i, j int) { c.Values[i], c.Values[j] = c.Values[j], c.Values[i] })
			}
			if len(d.MAC.Values) <= MaxHashes && len(d.Disk.Values) <= MaxHashes {
				if diff := cmp.Diff(got, Compare(policy, e, shuffled)); diff != "" {
					t.Fatalf("the order of the values matters:\n%s", diff)
				}
			}
		}
	}
	if outcomes[Same] == 0 || outcomes[Indeterminate] == 0 {
		t.Fatalf("generator too narrow: %v", outcomes)
	}
}

func TestEnrollBoundsAndOrder(t *testing.T) {
	salt := []byte("salt")
	d := Device{Disk: part(Disk)}
	d.Disk.State = OK
	for i := range 40 {
		d.Disk.Values = append(d.Disk.Values, Value{Text: fmt.Sprintf("KQ%02dZ", i), Alt: []string{fmt.Sprintf("ALT%02dZ", i)}})
	}
	e := Enroll(salt, d)
	if len(e.Parts) != 1 || len(e.Parts[0].Hashes) != MaxHashes {
		t.Fatalf("parts %v", e.Parts)
	}
	if !slices.Contains(e.Parts[0].Hashes, Hash(salt, Disk, "kq15z")) || slices.Contains(e.Parts[0].Hashes, Hash(salt, Disk, "KQ16Z")) {
		t.Error("not the first 16 values of the order")
	}
	d.Disk.Values = d.Disk.Values[:10]
	e = Enroll(salt, d)
	if !slices.Contains(e.Parts[0].Hashes, Hash(salt, Disk, "ALT05Z")) || slices.Contains(e.Parts[0].Hashes, Hash(salt, Disk, "ALT06Z")) {
		t.Error("other spellings do not fill the room that values leave")
	}
	salt[0] = 'X'
	if e.Salt[0] != 's' {
		t.Error("Enrolled shares the caller's salt")
	}
}

func TestHashSeparatesKindsAndSalts(t *testing.T) {
	seen := map[string]string{}
	for _, salt := range []string{"", "a", "b"} {
		for _, k := range []Kind{MAC, Disk, Board, CPU} {
			for _, v := range []string{"X7", "X8", "BOARD\nX7"} {
				h := Hash([]byte(salt), k, v)
				if was, dup := seen[h]; dup || len(h) != 64 || strings.ToLower(h) != h {
					t.Errorf("%s/%s/%s gives %s, as %s", salt, k, v, h, was)
				}
				seen[h] = salt + "/" + string(k) + "/" + v
			}
		}
	}
}

func TestCompareIgnoresTheKindThatAComponentClaims(t *testing.T) {
	d := Device{MAC: part(Board, "00:1b:21:3a:4c:5e"), Disk: part(Disk, "S3Z8NB0K"), Board: part(CPU, "CZJ1420RQX")}
	e := Enroll([]byte("s"), d)
	policy, err := Preset(PresetBalanced)
	if err != nil {
		t.Fatal(err)
	}
	got := Compare(policy, e, Device{MAC: part(MAC, "00-1B-21-3A-4C-5E"), Disk: part(MAC, "s3z8nb0k"), Board: part(Board, "CZJ1420RQX")})
	if got.Outcome != Same || got.Matched != 8 {
		t.Errorf("%+v", got)
	}
}
