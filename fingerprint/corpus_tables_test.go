package fingerprint

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

const (
	corpusDoc       = "../docs/fingerprint-corpus.md"
	collisionSample = 20_000
)

// TestCorpusTables keeps docs/fingerprint-corpus.md honest: the collision
// tables are computed here and must stand in it, and so must the seed. With
// DOC=1 it writes the file, running the long simulations (about ten minutes).
func TestCorpusTables(t *testing.T) {
	pop := readPopulation(t)
	tables := []string{cpuTable(pop), collisionTable(pop)}
	if os.Getenv("DOC") != "" {
		if err := os.WriteFile(corpusDoc, []byte(wholeDoc(pop, tables)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(corpusDoc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range append(tables, fmt.Sprintf("seed %d", simSeed)) {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s is out of date (run this test with DOC=1): it lacks\n%s", corpusDoc, want)
		}
	}
}

// cpuTable is what the recorded machines themselves say about the CPU id.
func cpuTable(pop population) string {
	same, expected := 0.0, 0.0
	for _, n := range pop.cpus.counts {
		share := float64(n) / float64(pop.machines)
		same += share * share
		expected += share * float64(n-1)
	}
	top := float64(pop.cpus.counts[0]) / float64(pop.machines)
	return fmt.Sprintf(`| CPU id among %d recorded machines | |
|---|---|
| two machines drawn at random share it | %.2f %% |
| machines that share the id of a machine drawn at random, on average | %.0f |
| share of the commonest id | %.1f %% |
`, pop.machines, same*100, expected, top*100)
}

// collisionTable counts who shares what, before and after the placeholder rule.
func collisionTable(pop population) string {
	r := rand.New(rand.NewPCG(simSeed, 99))
	raw, clean := map[string]map[string]int{}, map[string]map[string]int{}
	count := func(into map[string]map[string]int, name, value string) {
		if into[name] == nil {
			into[name] = map[string]int{}
		}
		if value != "" {
			into[name][value]++
		}
	}
	names := []string{"addresses", "disks", "board", "CPU", "whole string"}
	for range collisionSample {
		d := pop.draw(r).observe(false)
		all := ""
		for i, c := range d.Components() {
			text := ""
			for _, v := range c.Values {
				text += spell(c.Kind, v.Text) + ","
			}
			count(raw, names[i], text)
			all += text + "|"
		}
		count(raw, names[4], all)
		s := Format(d).String
		for i, text := range strings.Split(s, "|") {
			count(clean, names[i], text)
		}
		count(clean, names[4], strings.Trim(s, "|"))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| of %d simulated machines | have it | share it with another | largest group | after the rule: have it | share it | largest group |\n|---|---|---|---|---|---|---|\n", collisionSample)
	for _, name := range names {
		have, shared, largest := groups(raw[name])
		have2, shared2, largest2 := groups(clean[name])
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", name, have, shared, largest, have2, shared2, largest2)
	}
	return b.String()
}

func groups(values map[string]int) (have, shared, largest int) {
	for _, n := range values {
		have += n
		if n > 1 {
			shared += n
		}
		largest = max(largest, n)
	}
	return have, shared, largest
}

func honestRow(name string, t tallies) string {
	per := func(n int) string { return fmt.Sprintf("%.2f", float64(n)*10_000/float64(t.years)) }
	return fmt.Sprintf("| %s | %d | %s | %s | %s | %s |\n", name, t.years, per(t.wrong), per(t.board), per(t.undetermined), per(t.drifted))
}

func strangerRow(name string, e encounters) string {
	return fmt.Sprintf("| %s | %d | %d | %d | %d | %d | %d | %d |\n", name, e.pairs, e.accepted, e.boardBoth, e.acceptedSeen, e.undetermined, e.strongMatch, e.unbound)
}

const honestHead = "| | machine-years | wrongly refused | refused after a board swap | undetermined > 30 days | change tolerated |\n|---|---|---|---|---|---|\n"

const strangerHead = "| | strangers | accepted | board readable on both | of these accepted | undetermined | refused after a day | nothing to bind to |\n|---|---|---|---|---|---|---|---|\n"

func wholeDoc(pop population, tables []string) string {
	var presets, controls, strangers strings.Builder
	const long, short = 1_000_000, 100_000
	balanced := Presets()[PresetBalanced]
	for _, name := range []string{PresetStrict, PresetBalanced, PresetTolerant} {
		p := Presets()[name]
		presets.WriteString(honestRow(name, simulate(defaultWorld(p), pop, long)))
		strangers.WriteString(strangerRow(name, meetMany(p, pop, long, IsPlaceholder)))
	}
	other := defaultWorld(balanced)
	other.seed++
	presets.WriteString(honestRow(fmt.Sprintf("balanced, seed %d", other.seed), simulate(other, pop, long)))
	for _, name := range []string{PresetStrict, PresetBalanced, PresetTolerant} {
		strangers.WriteString(strangerRow("control: "+name+" without the placeholder rule", meetMany(Presets()[name], pop, short, acceptAll)))
	}
	for _, c := range []struct {
		name   string
		change func(*world)
	}{
		{"1 % of the bad reads look like \"there is none\"", func(w *world) { w.badAsAbsent = 10 }},
		{"contact every 180 days (air gap)", func(w *world) { w.contactEvery = 180 * 24 }},
		{"laptops whose only adapter is the dock", func(w *world) { w.dockOnly = true }},
		{"control: whole strings compared", func(w *world) { w.stringEqual = true }},
		{"control: unreadable counts as absent, no debounce, one look", func(w *world) { w.unreadIsGone, w.debounce, w.oneLook = true, false, true }},
		{"control: roll-forward of lost parts only, the CPU counted", func(w *world) { w.lostOnly = true }},
		{"control: no roll-forward", func(w *world) { w.rollForward = false }},
		{"control: the agent looks once", func(w *world) { w.oneLook = true }},
		{"the merchant is not reached at one such start in ten", func(w *world) { w.unreached = 100 }},
		{"control: the first answer does not wait for the contact", func(w *world) { w.noAsking = true }},
		{"control: a value made anew is not taken over", func(w *world) { w.noTakeOver = true }},
	} {
		w := defaultWorld(balanced)
		c.change(&w)
		controls.WriteString(honestRow(c.name, simulate(w, pop, short)))
	}
	return fmt.Sprintf(docText, simSeed, tables[0], tables[1], honestHead+presets.String(), honestHead+controls.String(), strangerHead+strangers.String())
}
