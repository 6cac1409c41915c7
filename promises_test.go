package architecture_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/docs/promise"
)

var updatePromises = flag.Bool("update-promises", false, "take the results in .cache/promises.* over into docs/promises.jsonl and write docs/promises.md")

// row is one promise. The anchor is the failure in somebody else's product, or
// the measure of another project, that it answers to; wanted is the number that
// we set ourselves, at most or at least as its words say.
type row struct{ id, text, anchor, wanted string }

func promises() []row {
	return []row{
		{"P01", "Killing the agent at any instant loses nothing it acknowledged", "bbolt and etcd kill tests", "10,000 kills, 0 lost, reopened within 50 ms"},
		{"P02", "A power cut at any instant leaves an openable, correct store", "bbolt dm-flakey, LazyFS, SQLite crash tests", "10,000 states, 0 bad"},
		{"P03", "A first installation interrupted anywhere starts cleanly next time", "etcd #16596", "500 states, 0 unopenable"},
		{"P04", "No damage to the store file stops the agent", "bbolt #335 to #883, containerd #10666", "9,000 damages of 9 kinds, 0 deaths, no start above 5 s"},
		{"P05", "No silently altered record is ever acted on", "bbolt pages carry no checksum", "20,000 flips, 0 used"},
		{"P06", "Disk full: answers continue, nothing is lost when space returns", "SQLite I/O-error tests", "300 cycles, 0 lost, 0 refused answers"},
		{"P07", "A failed sync never leaves agent and disk telling different stories", "PostgreSQL's fsync reports of 2018", "each of the first 200 syncs, 0 divergences, reopened within 5 s"},
		{"P08", "Exactly one agent owns the store; wrong owner, mode or link is refused", "CVE-2021-41057", "200 racing starts, 20 refusals"},
		{"P09", "No altered license is accepted", "CVE-2020-14515", "every single-bit flip and 10⁸ fuzz runs, 0 accepted"},
		{"P10", "Every language agrees on every verdict", "Wycheproof", "151 and 200 vectors, 100 %"},
		{"P11", "Only the one canonical payload parses", "differences between JSON parsers", "60 hostile payloads refused"},
		{"P12", "A key works only for its purpose", "DSSE and PASETO rationale", "6 kinds × 5 uses, the diagonal only"},
		{"P13", "Keys rotate and are revoked without touching the fleet", "TUF root rules", "12 of 12 steps"},
		{"P14", "A program detects every fake agent without trusting the agent", "KMS emulators", "10 of 10 fakes, in 3 SDKs"},
		{"P15", "Replies cannot be replayed, reordered or moved to another device", "TUF freeze and rollback", "10,000 replies, 0 accepted"},
		{"P16", "Secrets never leak", "CWE-532", "0 places"},
		{"P17", "Two copies are seen by their third further contact; honest agents never", "RFC 9700, WebAuthn counters", "20,000 clones all seen by contact 3; 2·10⁶ honest attempts, 0 false"},
		{"P18", "A restored old store is flagged at its first contact", "vendor practice", "20,000 all flagged; 50 of 50 back"},
		{"P19", "A store copied to another machine answers \"not this device\" off line", "clone schemes of the field", "1,000 machines, 0 valid; 200 drifts, 0 refused"},
		{"P20", "Clock tricks gain at most ten minutes in ninety days", "FlexNet's tolerance of 24 h", "gain of 10 min in 90 d; 500 honest × 90 d, over-charge 8 h"},
		{"P21", "Suspend counts; a wrong future date is healed by one contact", "Go #24595 and #35482", "30 d ± 5 min; 100 of 100 healed"},
		{"P22", "The agent talks only to the right server", "CVE-2025-40801", "14 set-ups, 0 bytes"},
		{"P23", "A hostile endpoint cannot hurt the host", "a compromised merchant", "12 × 100, +8 MiB, 30 s each"},
		{"P24", "The merchant may vanish for the whole grace without one wrong refusal", "the operator's view", "14 d × 1,000 agents, 0 early, exact to a tick"},
		{"P25", "The agent is a polite client", "AWS jitter, SRE budgets", "26 attempts in 24 h, 11 in 1 h (99.9 %); per 10⁶ agents 25/s and 160/s"},
		{"P26", "One code, one seat, exactly", "TS-2025-007", "64 devices × 1,000; 20 retries × 500"},
		{"P27", "One two-core merchant serves 10⁸ agents a day, durably", "1,157 contacts per second", "1,200 renewals/s, new TLS each, p99 100 ms, 0 lost"},
		{"P28", "Marketplace callbacks: never late, never twice, never forged", "KooGallery's rules", "1 s at p99.9; 10,000 forged, 0 acted on"},
		{"P29", "Caller identity is the kernel's, whatever the client calls itself", "CVE-2019-7304", "1,000 of 1,000"},
		{"P30", "Only administrators can change anything", "CVE-2021-44152", "the exact matrix"},
		{"P31", "No browser, container or network can reach the agent", "TS-2022-004, CVE-2020-14519, CVE-2020-15257", "0 listeners; 30 header tricks refused"},
		{"P32", "One user cannot deny licenses to others or cut the agent off", "descriptor exhaustion", "other uid 0 failures, p99 10 ms; outgoing 0 failures"},
		{"P33", "Fast enough to call at every start", "measured, see performance.md", "p50 0.2 ms, p99 5 ms, 5,000/s"},
		{"P34", "No input crashes or bloats the agent", "CVE-2024-44087", "8 targets × 10⁸ runs, 0 panics; 10⁷ requests, 64 MiB"},
		{"P35", "Runs for months without a leak", "soak", "100,000 renewals, 10⁶ checks, +2 MiB, +0, +0"},
		{"P36", "The Linux service is confined and not root", "CVE-2026-3888, CVE-2016-1247", "exposure 1.6, 0 capabilities"},
		{"P37", "The Windows package gives no one more rights", "CVE-2024-0197, CVE-2024-2658, Q240073", "0 findings"},
		{"P38", "Anyone can rebuild what we ship", "reproducible builds", "2 folders, 2 users, 2 days: the same bytes; signed ones too, without the signature"},
		{"P39", "Few, pinned, known dependencies", "OpenSSF Scorecard", "agent 28 modules; SBOM 100 %; builds offline; 0 reachable vulnerabilities in them"},
		{"P40", "Every past defect stays reproducible", "etcd's table of defects", "100 %"},
		{"P41", "A seat ends with its process and with nothing else", "FlexNet heartbeats, CVE-2018-20033", "1,000 kills -9, 0 leaked, 0 double, free within 1 s; restarts of the agent, 0 lost, 0 double"},
	}
}

const recorded = "docs/promises.jsonl"

// tiers are the make targets that results come from, in the order of the table.
func tiers() []string {
	return []string{"test", "prove", "soak", "postgres", "bindings", "e2e", "vm", "wine", "bundle", "container", "repro", "sbom", "defects"}
}

func readResults(t *testing.T, name string) []promise.Line {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []promise.Line
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var r promise.Line
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v: %s", name, err, s.Text())
		}
		all = append(all, r)
	}
	return all
}

// merge keeps the newest line of each promise, tier and test.
func merge(old, fresh []promise.Line) []promise.Line {
	byKey := map[string]promise.Line{}
	for _, r := range append(old, fresh...) {
		byKey[r.ID+" "+r.Tier+" "+r.Package+" "+r.Test] = r
	}
	out := make([]promise.Line, 0, len(byKey))
	for _, r := range byKey {
		out = append(out, r)
	}
	place := func(r promise.Line) string {
		return fmt.Sprintf("%s %02d %s %s", r.ID, slices.Index(tiers(), r.Tier), r.Package, r.Test)
	}
	slices.SortFunc(out, func(a, b promise.Line) int { return strings.Compare(place(a), place(b)) })
	return out
}

// A later result of a test takes the place of an earlier one of the same
// promise and tier; results of other tiers, tests and promises stay.
func TestNewestResultStays(t *testing.T) {
	line := func(id, tier, test, number string) promise.Line {
		return promise.Line{ID: id, Tier: tier, Package: "store", Test: test, Number: number, Control: "c"}
	}
	old := []promise.Line{line("P01", "test", "TestKill", "1"), line("P01", "prove", "TestKill", "2"), line("P02", "test", "TestCut", "3")}
	fresh := []promise.Line{line("P01", "prove", "TestKill", "4"), line("P01", "prove", "TestKill", "5"), line("P01", "prove", "TestOther", "6")}
	var got []string
	for _, r := range merge(old, fresh) {
		got = append(got, r.ID+" "+r.Tier+" "+r.Test+" "+r.Number)
	}
	want := []string{"P01 test TestKill 1", "P01 prove TestKill 5", "P01 prove TestOther 6", "P02 test TestCut 3"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// traceable says whether a result names the commit that it was reached on, as
// git describe prints it. What was changed beside a commit nobody has.
func traceable(r promise.Line) bool {
	return regexp.MustCompile(`^[0-9a-f]{7,40}$`).MatchString(r.Commit)
}

func TestResultsNameTheirCommit(t *testing.T) {
	for commit, want := range map[string]bool{"1a2b3c4": true, "1a2b3c4-dirty": false, "": false, "unknown": false, "-dirty": false} {
		if traceable(promise.Line{Commit: commit}) != want {
			t.Errorf("commit %q: want %v", commit, want)
		}
	}
}

// page renders docs/promises.md.
func page(results []promise.Line) string {
	var b strings.Builder
	b.WriteString("# Promises\n\nGenerated by `make promises` from the results of the tests themselves; do not edit. " +
		"Each row names the make target that reached the number: `make test` (reduced), `make prove` (full numbers within an hour), " +
		"`make soak` (hours), and the suites that need a system of their own. " +
		"To see one row again, run its test in its folder, with `PROVE=1` or `SOAK=1` where the target says so, for example\n\n" +
		"```sh\nPROVE=1 go test -count=1 -v -run '^TestFlippedValues$' ./store\n```\n\n" +
		"A control is the same test with the defence switched off: it has to fail, and the column says how it did. " +
		"Beside the number reached stands the number wanted; what was not reached keeps the number that was. " +
		"The last column is the commit on which it was reached.\n\n")
	b.WriteString("| | promise | answers to | wanted | target | number reached | control | test | commit |\n|---|---|---|---|---|---|---|---|---|\n")
	cell := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ") }
	for _, p := range promises() {
		about := fmt.Sprintf("| %s | %s | %s | %s |", p.id, p.text, p.anchor, p.wanted)
		for _, r := range results {
			if r.ID == p.id {
				fmt.Fprintf(&b, "%s `%s` | %s | %s | `%s` %s | %s |\n", about, r.Tier, cell(r.Number), cell(r.Control), r.Test, r.Package, r.Commit)
				about = fmt.Sprintf("| %s | | | |", p.id)
			}
		}
		if strings.Contains(about, p.text) {
			fmt.Fprintf(&b, "%s – | not shown yet | – | – | – |\n", about)
		}
	}
	return b.String()
}

// TestPromises holds docs/promises.md against the recorded results.
func TestPromises(t *testing.T) {
	results := readResults(t, recorded)
	if *updatePromises {
		files, err := filepath.Glob(".cache/promises.*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			fresh := readResults(t, f)
			for _, r := range fresh {
				if !traceable(r) {
					t.Fatalf("%s: a result without the commit that it was reached on; see the comment of package promise: %+v", f, r)
				}
			}
			if w := stale(fresh, defectLines(t)); w != "" {
				t.Fatalf("%s: %s", f, w)
			}
			results = merge(results, fresh)
		}
		var lines bytes.Buffer
		enc := json.NewEncoder(&lines)
		enc.SetEscapeHTML(false)
		for _, r := range results {
			if err := enc.Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(recorded, lines.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("docs/promises.md", []byte(page(results)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page(results) {
		t.Error("docs/promises.md is not what the recorded results say; run make promises")
	}
	known, shown := map[string]bool{}, map[string]bool{}
	for _, p := range promises() {
		known[p.id] = true
	}
	for _, r := range results {
		if !known[r.ID] || r.Number == "" || r.Control == "" || !slices.Contains(tiers(), r.Tier) {
			t.Errorf("a result that fits no promise: %+v", r)
		}
		if !traceable(r) {
			t.Errorf("nobody can say on which commit this was reached; run its suite again through make, then make promises: %s %s, %s %s", r.ID, r.Tier, r.Test, r.Package)
		}
		shown[r.ID] = true
		if r.Package != "" && strings.HasPrefix(r.Test, "Test") && !defined(t, r.Package, r.Test) {
			t.Errorf("%s: %s is no test of %s any more; run make promises after the suite that shows this promise now", r.ID, r.Test, r.Package)
		}
	}
	for _, w := range untiered(results) {
		t.Error(w)
	}
	if w := stale(results, defectLines(t)); w != "" {
		t.Log(w) // a new line of the table need not wait for all the others
	}
	others := []string{"P28", "P36", "P37", "P38", "P39"} // their suites report as they come
	for id := range known {
		if !shown[id] && !slices.Contains(others, id) {
			t.Errorf("%s has never been shown", id)
		}
	}
}

// untiered names what issue 3 wants in both tiers and has not: each of P01-P09,
// P11-P26 and P29-P35 with a result of make test and one of make prove.
func untiered(results []promise.Line) (wrong []string) {
	for _, span := range [][2]int{{1, 9}, {11, 26}, {29, 35}} {
		for n := span[0]; n <= span[1]; n++ {
			for _, tier := range []string{"test", "prove"} {
				id := fmt.Sprintf("P%02d", n)
				if !slices.ContainsFunc(results, func(r promise.Line) bool { return r.ID == id && r.Tier == tier }) {
					wrong = append(wrong, id+" has no result of make "+tier)
				}
			}
		}
	}
	return wrong
}

// defectLines counts the lines of the table of defects, as .ci/defects does.
func defectLines(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("docs/defects.md")
	if err != nil {
		t.Fatal(err)
	}
	return len(regexp.MustCompile(`(?m)^\| [0-9a-f]{7} \|`).FindAll(b, -1))
}

// stale says whether the result of P40 is about fewer defects than there are.
func stale(results []promise.Line, defects int) string {
	for _, r := range results {
		if want := fmt.Sprintf("%d of %d defects ", defects, defects); r.ID == "P40" && !strings.HasPrefix(r.Number, want) {
			return fmt.Sprintf("P40 is stale: %q, and docs/defects.md has %d lines; run make defects, then make promises", r.Number, defects)
		}
	}
	return ""
}

func TestStaleAndMissingResults(t *testing.T) {
	p40 := []promise.Line{{ID: "P40", Number: "25 of 25 defects with a test"}}
	if stale(p40, 25) != "" || stale(p40, 26) == "" || stale(nil, 26) != "" {
		t.Error("P40 is not compared with the table of defects")
	}
	all := readResults(t, recorded)
	without := slices.DeleteFunc(slices.Clone(all), func(r promise.Line) bool { return r.ID == "P16" && r.Tier == "prove" })
	if got := untiered(without); !slices.Equal(got, []string{"P16 has no result of make prove"}) {
		t.Errorf("without P16 of make prove: %q", got)
	}
}

// defined says whether a folder has a test of this name.
func defined(t *testing.T, folder, test string) bool {
	t.Helper()
	name, _, _ := strings.Cut(test, "/")
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool {
		b, err := os.ReadFile(f)
		return err == nil && bytes.Contains(b, []byte("\nfunc "+name+"("))
	})
}
