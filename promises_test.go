package architecture_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var updatePromises = flag.Bool("update-promises", false, "take the results in .cache/promises.* over into docs/promises.jsonl and write docs/promises.md")

// promise is one row of the table. The anchor is the failure in somebody
// else's product, or the measure of another project, that it answers to.
type promise struct{ id, text, anchor string }

func promises() []promise {
	return []promise{
		{"P01", "Killing the agent at any instant loses nothing it acknowledged", "bbolt and etcd kill tests"},
		{"P02", "A power cut at any instant leaves an openable, correct store", "bbolt dm-flakey, LazyFS, SQLite crash tests"},
		{"P03", "A first installation interrupted anywhere starts cleanly next time", "etcd #16596"},
		{"P04", "No damage to the store file stops the agent", "bbolt #335 to #883, containerd #10666"},
		{"P05", "No silently altered record is ever acted on", "bbolt pages carry no checksum"},
		{"P06", "Disk full: answers continue, nothing is lost when space returns", "SQLite I/O-error tests"},
		{"P07", "A failed sync never leaves agent and disk telling different stories", "PostgreSQL's fsync reports of 2018"},
		{"P08", "Exactly one agent owns the store; wrong owner, mode or link is refused", "CVE-2021-41057"},
		{"P09", "No altered license is accepted", "CVE-2020-14515"},
		{"P10", "Every language agrees on every verdict", "Wycheproof"},
		{"P11", "Only the one canonical payload parses", "differences between JSON parsers"},
		{"P12", "A key works only for its purpose", "DSSE and PASETO rationale"},
		{"P13", "Keys rotate and are revoked without touching the fleet", "TUF root rules"},
		{"P14", "A program detects every fake agent without trusting the agent", "KMS emulators"},
		{"P15", "Replies cannot be replayed, reordered or moved to another device", "TUF freeze and rollback"},
		{"P16", "Secrets never leak", "CWE-532"},
		{"P17", "Two copies are seen by their third further contact; honest agents never", "RFC 9700, WebAuthn counters"},
		{"P18", "A restored old store is flagged at its first contact", "vendor practice"},
		{"P19", "A store copied to another machine answers \"not this device\" off line", "clone schemes of the field"},
		{"P20", "Clock tricks gain at most ten minutes in ninety days", "FlexNet's tolerance of 24 h"},
		{"P21", "Suspend counts; a wrong future date is healed by one contact", "Go #24595 and #35482"},
		{"P22", "The agent talks only to the right server", "CVE-2025-40801"},
		{"P23", "A hostile endpoint cannot hurt the host", "a compromised merchant"},
		{"P24", "The merchant may vanish for the whole grace without one wrong refusal", "the operator's view"},
		{"P25", "The agent is a polite client", "AWS jitter, SRE budgets"},
		{"P26", "One code, one seat, exactly", "TS-2025-007"},
		{"P27", "One two-core merchant serves 10⁸ agents a day, durably", "1,157 contacts per second"},
		{"P28", "Marketplace callbacks: never late, never twice, never forged", "KooGallery's rules"},
		{"P29", "Caller identity is the kernel's, whatever the client calls itself", "CVE-2019-7304"},
		{"P30", "Only administrators can change anything", "CVE-2021-44152"},
		{"P31", "No browser, container or network can reach the agent", "TS-2022-004, CVE-2020-14519, CVE-2020-15257"},
		{"P32", "One user cannot deny licenses to others or cut the agent off", "descriptor exhaustion"},
		{"P33", "Fast enough to call at every start", "measured, see performance.md"},
		{"P34", "No input crashes or bloats the agent", "CVE-2024-44087"},
		{"P35", "Runs for months without a leak", "soak"},
		{"P36", "The Linux service is confined and not root", "CVE-2026-3888, CVE-2016-1247"},
		{"P37", "The Windows package gives no one more rights", "CVE-2024-0197, CVE-2024-2658, Q240073"},
		{"P38", "Anyone can rebuild what we ship", "reproducible builds"},
		{"P39", "Few, pinned, known dependencies", "OpenSSF Scorecard"},
		{"P40", "Every past defect stays reproducible", "etcd's table of defects"},
	}
}

// result is one line that a test writes to the file named by PROMISES_OUT.
type result struct {
	ID      string `json:"id"`
	Tier    string `json:"tier"` // test, prove or soak
	Number  string `json:"number"`
	Control string `json:"control"`
	Test    string `json:"test"`
}

const recorded = "docs/promises.jsonl"

func readResults(t *testing.T, name string) []result {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []result
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var r result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v: %s", name, err, s.Text())
		}
		all = append(all, r)
	}
	return all
}

// merge keeps the newest line of each promise, tier and test.
func merge(old, fresh []result) []result {
	byKey := map[string]result{}
	for _, r := range append(old, fresh...) {
		byKey[r.ID+" "+r.Tier+" "+r.Test] = r
	}
	out := make([]result, 0, len(byKey))
	for _, r := range byKey {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b result) int {
		order := map[string]string{"test": "1", "prove": "2", "soak": "3"}
		return strings.Compare(a.ID+order[a.Tier]+a.Test, b.ID+order[b.Tier]+b.Test)
	})
	return out
}

// page renders docs/promises.md.
func page(results []result) string {
	var b strings.Builder
	b.WriteString("# Promises\n\nGenerated by `make promises` from the results of the tests themselves; do not edit. " +
		"The tiers are `make test` (reduced), `make prove` (full numbers within an hour) and `make soak` (hours). " +
		"A control is the same test with the defence switched off: it has to fail, and the column says how it did. " +
		"A promise without a number has not been shown yet.\n\n" +
		"| | promise | answers to | tier | number reached | control | test |\n|---|---|---|---|---|---|---|\n")
	cell := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ") }
	for _, p := range promises() {
		found := false
		for _, r := range results {
			if r.ID == p.id {
				found = true
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | `%s` |\n", p.id, p.text, p.anchor, r.Tier, cell(r.Number), cell(r.Control), r.Test)
			}
		}
		if !found {
			fmt.Fprintf(&b, "| %s | %s | %s | – | not shown yet | – | – |\n", p.id, p.text, p.anchor)
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
			results = merge(results, readResults(t, f))
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
	known := map[string]bool{}
	for _, p := range promises() {
		known[p.id] = true
	}
	for _, r := range results {
		if !known[r.ID] || r.Number == "" || !slices.Contains([]string{"test", "prove", "soak"}, r.Tier) {
			t.Errorf("a result that fits no promise: %+v", r)
		}
	}
}
