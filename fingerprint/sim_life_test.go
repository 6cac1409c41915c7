package fingerprint

import (
	"math/rand/v2"
	"slices"
)

// world is what the simulation of honest machines assumes. The debounce and the
// roll-forward belong to the agent and the merchant; the model here is a small
// local one: a worse verdict bites at once when no strong part matches and one
// is lost, else after 3 reads over 24 hours.
type world struct {
	policy       Policy
	rollForward  bool // drift is re-enrolled at the next contact, one part per 30 days
	debounce     bool
	unreadIsGone bool // control: an unreadable part is reported as absent
	stringEqual  bool // control: the whole string must be equal
	contactEvery int  // hours between contacts
	badAsAbsent  int  // per mille of bad reads that look like "there is none"
	oneLook      bool // control: the agent does not read again before it acts at once; otherwise one bad read in ten persists
	noTakeOver   bool // control: the merchant does not take over a virtual machine's only value that was made anew
	noAsking     bool // control: the first answer does not wait for the contact that takes such a value over
	unreached    int  // per mille of those starts at which the merchant is not reached while answers wait
	lostOnly     bool // control: roll-forward replaces lost parts only and counts the CPU as one
	dockOnly     bool // laptops whose only network adapter is the dock
	virtualOnly  bool // no physical machines
	seed         uint64
}

func defaultWorld(p Policy) world {
	return world{policy: p, rollForward: true, debounce: true, contactEvery: 24, unreached: 20, seed: simSeed}
}

// tallies counts machine-years by the worst thing that happened in them.
type tallies struct {
	years        int
	wrong        int // refused although no board was replaced
	board        int // refused after a board was replaced: self-service re-bind
	undetermined int // could not be told for more than 30 days
	drifted      int // something changed and was tolerated
	changes      int
	badReads     int
}

func (t *tallies) add(o tallies) {
	t.years += o.years
	t.wrong += o.wrong
	t.board += o.board
	t.undetermined += o.undetermined
	t.drifted += o.drifted
	t.changes += o.changes
	t.badReads += o.badReads
}

const hoursPerYear = 8760

// event is something that happens to a machine at an hour of its life.
type event struct {
	hour int
	what string // "change", "bad-read", "kernel", "migration"
	n    int    // a random number for the event's own choices
}

// lifeEvents draws the events of one year. They never depend on verdicts, so
// that all policies see the same lives.
func lifeEvents(r *rand.Rand, m machine, year int) []event {
	at := func(hour int, what string) event { return event{year*hoursPerYear + hour, what, r.IntN(1 << 30)} }
	events := []event{at(r.IntN(hoursPerYear), "change")}
	boots := map[string]int{"laptop": 365, "desktop": 365, "server": 12, "vm": 24, "micro-vm": 365}[m.class]
	for i := range boots {
		if r.IntN(200) == 0 {
			events = append(events, at(i*hoursPerYear/boots, "bad-read"))
		}
	}
	for range 6 {
		if perMille(r, 200) { // every kernel update reorders; a fifth are played
			events = append(events, at(r.IntN(hoursPerYear), "kernel"))
		}
	}
	if m.env() == Virtual {
		events = append(events, at(r.IntN(hoursPerYear), "migration"), at(r.IntN(hoursPerYear), "migration"))
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.hour - b.hour })
	return events
}

// life is one machine with the license that it holds.
type life struct {
	world
	pop       population
	m         machine
	ref       Enrolled
	refText   string
	salt      []byte
	rolled    int // hour of the last roll-forward
	rebound   int // hour of the last re-bind
	drift     int // hour since which drift waits for a contact, -1: none
	boardSwap bool
	lockUntil int // the SMBIOS table is unreadable until this hour
	year      tallies
}

// live plays n years and returns the counts.
func live(w world, pop population, r *rand.Rand, years int) tallies {
	m := pop.draw(r)
	for w.virtualOnly && m.env() != Virtual {
		m = pop.draw(r)
	}
	if w.dockOnly {
		m = pop.laptop(r)
		m.macs, m.dockMAC = nil, newMAC(r)
	}
	l := life{world: w, pop: pop, m: m, salt: []byte{byte(r.IntN(256)), byte(r.IntN(256))}, drift: -1, rolled: -hoursPerYear, rebound: -hoursPerYear}
	l.enroll()
	var total tallies
	for y := range years {
		l.year = tallies{years: 1}
		for _, e := range lifeEvents(r, l.m, y) {
			l.contact(e.hour)
			l.play(e)
		}
		for _, n := range []*int{&l.year.wrong, &l.year.board, &l.year.undetermined, &l.year.drifted} {
			*n = min(*n, 1)
		}
		total.add(l.year)
	}
	return total
}

func (l *life) enroll() {
	d := l.observe(l.m.dockMAC != "" && len(l.m.macs) == 0, 0)
	l.ref, l.refText = Enroll(l.salt, d), Format(d).String
	l.drift, l.boardSwap = -1, false
}

// observe reads the machine; while locked the SMBIOS values cannot be read.
func (l *life) observe(docked bool, hour int) Device {
	d := l.m.observe(docked)
	if hour < l.lockUntil {
		d.Board = Component{Kind: Board, State: Unreadable}
	}
	return d
}

func (l *life) play(e event) {
	pick := rand.New(rand.NewPCG(uint64(e.n), 9))
	switch e.what {
	case "change":
		l.year.changes++
		l.change(pick)
		if pick.IntN(200) == 0 { // the boot after the change may be a bad one
			l.badRead(pick, e.hour)
		}
	case "bad-read":
		l.badRead(pick, e.hour)
		return
	case "kernel":
		pick.Shuffle(len(l.m.disks), func(i, j int) { l.m.disks[i], l.m.disks[j] = l.m.disks[j], l.m.disks[i] })
		pick.Shuffle(len(l.m.macs), func(i, j int) { l.m.macs[i], l.m.macs[j] = l.m.macs[j], l.m.macs[i] })
		if perMille(pick, 1) { // a lock-down hides the table until the next update
			l.lockUntil = e.hour + 60*24
		}
	case "migration":
		l.m.cpu = l.pop.newCPU(pick)
	}
	l.settle(e.hour)
}

// settle judges the state that lasts: both with and without the dock.
func (l *life) settle(hour int) {
	for _, docked := range l.docking() {
		d := l.observe(docked, hour)
		cmp := l.compare(d)
		switch {
		case cmp.Outcome == Different:
			l.refuse(cmp, d, hour)
			return
		case cmp.Outcome == Indeterminate && l.lockUntil-hour > 30*24:
			l.year.undetermined++
		case cmp.Drift:
			l.year.drifted++
		}
	}
	l.notice(hour)
}

// docking is what a day of the machine looks like.
func (l *life) docking() []bool {
	if l.m.dockMAC == "" {
		return []bool{false}
	}
	return []bool{true, false}
}

func (l *life) compare(d Device) Comparison {
	if l.stringEqual {
		if Format(d).String == l.refText {
			return Comparison{Outcome: Same, StrongMatch: true}
		}
		return Comparison{Outcome: Different, StrongMatch: true}
	}
	if l.unreadIsGone {
		for _, c := range []*Component{&d.MAC, &d.Disk, &d.Board, &d.CPU} {
			if c.State == Unreadable {
				c.State = Absent
			}
		}
	}
	return Compare(l.policy, l.ref, d)
}

// refuse counts a refusal by its cause and lets the operator re-bind. A virtual
// machine whose only value was made anew is not refused where the contact takes
// it over before the first answer is given.
func (l *life) refuse(cmp Comparison, d Device, hour int) {
	switch {
	case l.boardSwap:
		l.year.board++
	case l.takenOver(cmp, d, hour):
		l.year.drifted++
	default:
		l.year.wrong++
	}
	l.rebound = hour
	l.enroll()
}

// takenOver says whether the merchant is asked before the first answer, is
// reached and enrols the machine anew: it shows something to know it by, and the
// last re-bind is a month ago. A merchant that is asked every 180 days only is
// not reached.
func (l *life) takenOver(cmp Comparison, d Device, hour int) bool {
	if !l.ref.Remade(cmp) || l.noAsking || l.contactEvery > 24 {
		return false
	}
	away := rand.New(rand.NewPCG(l.seed, uint64(hour)<<16|uint64(l.salt[0])<<8|uint64(l.salt[1])))
	if perMille(away, l.unreached) {
		return false
	}
	return !l.noTakeOver && hour-l.rebound >= 30*24 && Enroll(l.salt, d).Identified()
}

// badRead is one observation in which one part cannot be read. It is read again
// within the hour, so that it bites only where nothing waits for a second look.
func (l *life) badRead(pick *rand.Rand, hour int) {
	l.year.badReads++
	d := l.observe(pick.IntN(24) < 9, hour)
	var there []*Component
	for _, c := range []*Component{&d.MAC, &d.Disk, &d.Board, &d.CPU} {
		if c.State == OK {
			there = append(there, c)
		}
	}
	c := there[pick.IntN(len(there))]
	*c = Component{Kind: c.Kind, State: Unreadable}
	if perMille(pick, l.badAsAbsent) {
		c.State = Absent
	}
	cmp := l.compare(d)
	atOnce := !l.debounce || !cmp.StrongMatch && cmp.StrongChanged
	if !l.oneLook && pick.IntN(10) > 0 {
		return
	}
	if cmp.Outcome == Different && atOnce {
		l.refuse(cmp, d, hour)
	}
}

// contact rolls the reference forward at the first contact after the drift
// began, at least 30 days after the last roll: one changed part only.
func (l *life) contact(now int) {
	if !l.rollForward || l.drift < 0 {
		return
	}
	next := func(hour int) int { return (hour/l.contactEvery + 1) * l.contactEvery }
	at, limit := next(l.drift), 0
	if due := next(max(l.drift, l.rolled+30*24)); due <= now {
		at, limit = due, 1
	}
	if at > now {
		return
	}
	d := l.observe(at%48 < 24, at) // the dock may be there or not
	if Compare(l.policy, l.ref, d).Outcome != Same {
		return
	}
	var kinds []Kind
	if l.ref, kinds = l.roll(d, limit); len(kinds) > 0 {
		l.rolled = at
	}
	l.drift = -1
	l.notice(at)
	if l.drift < 0 {
		l.boardSwap = false
	}
}

// roll is Roll, or the control that is less than it.
func (l *life) roll(d Device, limit int) (Enrolled, []Kind) {
	if !l.lostOnly {
		return Roll(l.ref, d, limit)
	}
	out, fresh := Enrolled{Env: l.ref.Env, Salt: l.ref.Salt, Parts: slices.Clone(l.ref.Parts)}, Enroll(l.salt, d)
	for _, p := range Compare(l.policy, l.ref, d).Parts {
		if p.Result == ResultChanged && limit > 0 {
			i := slices.IndexFunc(out.Parts, func(q Part) bool { return q.Kind == p.Kind })
			j := slices.IndexFunc(fresh.Parts, func(q Part) bool { return q.Kind == p.Kind })
			out.Parts[i] = fresh.Parts[j]
			return out, []Kind{p.Kind}
		}
	}
	return out, nil
}

// notice remembers that something waits for a contact.
func (l *life) notice(hour int) {
	for _, docked := range l.docking() {
		d := l.observe(docked, hour)
		after, kinds := l.roll(d, 1)
		if l.drift < 0 && (len(kinds) > 0 || !slices.EqualFunc(after.Parts, l.ref.Parts, samePart)) {
			l.drift = hour
		}
	}
}

func samePart(a, b Part) bool { return a.Kind == b.Kind && slices.Equal(a.Hashes, b.Hashes) }

// change is the one hardware change of a year.
func (l *life) change(r *rand.Rand) {
	if l.m.env() == Virtual {
		l.changeVirtual(r)
		return
	}
	replace := func(list []string, with string) {
		if len(list) > 0 {
			list[r.IntN(len(list))] = with
		}
	}
	switch n := r.IntN(100); {
	case n < 35:
		replace(l.m.disks, newSerial(r, "S"))
	case n < 50:
		replace(l.m.macs, newMAC(r))
	case n < 60:
		l.m.cpu = l.pop.newCPU(r)
	case n < 70: // a new board brings its network adapters and often a new CPU
		l.m.board, l.boardSwap = l.pop.newBoard(r), true
		for i := range l.m.macs {
			l.m.macs[i] = newMAC(r)
		}
		if perMille(r, 300) {
			l.m.cpu = l.pop.newCPU(r)
		}
	case n < 85:
		l.m.disks = append(l.m.disks, newSerial(r, "S"))
	case n < 95:
		l.m.macs = append([]string{newMAC(r)}, l.m.macs...)
	case l.m.dockMAC != "": // another dock
		l.m.dockMAC = newMAC(r)
	}
}

// changeVirtual: what administrators change in a configuration.
func (l *life) changeVirtual(r *rand.Rand) {
	switch n := r.IntN(100); {
	case n < 30 && len(l.m.disks) > 0:
		l.m.disks[0] = newSerial(r, "S")
	case n < 60:
		l.m.macs[r.IntN(len(l.m.macs))] = newVMMAC(r)
	case n < 80:
		l.m.cpu = l.pop.newCPU(r)
	default:
		l.m.disks = append(l.m.disks, newSerial(r, "S"))
	}
}
