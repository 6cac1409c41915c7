package merchant

import (
	"fmt"
	"slices"
	"strings"
)

// A batch of renewals on a database server: the seats of all of them are locked
// and read by one statement and written by another one, because a statement per
// seat costs the server and this program as much as the rest of a renewal
// without its TLS. SQLite is a function call away and goes on one by one.

// seatsByLicense is seatByLicense for many, locked in an order of its own, the
// same in every instance of the service.
const seatsByLicense = `SELECT ` + seatColumns + `, ` + entitlementColumns + ` FROM activations a JOIN codes c ON c.id = a.code_id
	WHERE a.license_id = ANY($1) ORDER BY a.license_id FOR UPDATE OF a`

// savedColumns is what save writes: the numbers and the texts of seat.saved, in
// its order.
const (
	savedNumbers = `seq prev_seq last_keyset contested rebound rolled renewals contact seen_at open_until epoch uses uses_most told`
	savedTexts   = `parts status reason head prev_head last_nonce last_idem last_body last_license last_notice noticed contest_why last_day agent seen`
)

// saved is the seat as save writes it.
func (s *seat) saved() (numbers []int64, texts []string) {
	return []int64{s.seq, s.prevSeq, s.lastKeySet, s.contested, s.rebound, s.rolled, s.renewals, s.contact, s.seenAt, s.openUntil, s.epoch, s.uses, s.usesMost, s.told},
		[]string{s.parts, s.status, s.reason, s.head, s.prevHead, s.lastNonce, s.lastIdem, s.lastBody, s.lastLicense, s.lastNotice, s.noticed, s.contestWhy, s.lastDay, s.agent, s.seen}
}

// updateSeat writes one seat.
func updateSeat() string {
	var set []string
	for _, c := range strings.Fields(savedNumbers + " " + savedTexts) {
		set = append(set, fmt.Sprintf("%s = $%d", c, len(set)+1))
	}
	return fmt.Sprintf(`UPDATE activations SET %s WHERE license_id = $%d`, strings.Join(set, ", "), len(set)+1)
}

// updateSeats writes many, given a list per column. Lists that are unnested side
// by side in a SELECT give rows in every engine; FROM unnest(a, b) does not.
func updateSeats() string {
	var set, lists []string
	add := func(column, kind string) {
		lists = append(lists, fmt.Sprintf("unnest($%d::%s[]) AS %s", len(lists)+1, kind, column))
	}
	for _, c := range strings.Fields(savedNumbers) {
		set = append(set, c+" = n."+c)
		add(c, "bigint")
	}
	for _, c := range strings.Fields(savedTexts) {
		set = append(set, c+" = n."+c)
		add(c, "text")
	}
	add("license_id", "text")
	return fmt.Sprintf(`UPDATE activations a SET %s FROM (SELECT %s) n WHERE a.license_id = n.license_id`, strings.Join(set, ", "), strings.Join(lists, ", "))
}

// ahead is what a transaction has read and not yet used, and has changed and
// not yet written.
type ahead struct {
	read    map[string]*seat // by license, nil for one that does not exist
	unsaved []seat           // as they were when save was called, each once
}

// readAhead locks and reads the seats of the jobs that are left.
func (t *tx) readAhead(jobs []*job) error {
	t.ahead.read = map[string]*seat{} // also when nothing is read: once for a transaction
	if !t.svc.db.postgres || len(jobs) < 2 {
		return nil
	}
	var ids []string
	for _, j := range jobs {
		if j.seat != "" {
			ids = append(ids, j.seat)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	rows, err := t.query(seatsByLicense, ids)
	if err != nil {
		return fmt.Errorf("merchant: activations: %w", err)
	}
	defer rows.Close()
	for _, id := range ids {
		t.ahead.read[id] = nil
	}
	for rows.Next() {
		s := new(seat)
		if err := rows.Scan(append(s.fields(), s.code.fields()...)...); err != nil {
			return fmt.Errorf("merchant: activations: %w", err)
		}
		t.ahead.read[s.license] = s
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("merchant: activations: %w", err)
	}
	return nil
}

// seatAhead is a seat that was read ahead; it serves once. false: it was not.
func (t *tx) seatAhead(license string) (*seat, bool) {
	s, ok := t.ahead.read[license]
	delete(t.ahead.read, license)
	return s, ok
}

// before is called before every statement that does not run beside. What it may
// look at is written first, and what it may change is not believed afterwards.
func (t *tx) before() error {
	clear(t.ahead.read)
	return t.flush()
}

// save writes a seat: at once, or with others before the transaction ends.
func (t *tx) save(s *seat) error {
	was := func(o seat) bool { return o.license == s.license }
	t.ahead.unsaved = append(slices.DeleteFunc(t.ahead.unsaved, was), *s)
	if t.svc.db.postgres {
		return nil
	}
	return t.flush()
}

// flush writes what is unsaved.
func (t *tx) flush() error {
	list := t.ahead.unsaved
	t.ahead.unsaved = nil
	if len(list) == 0 {
		return nil
	}
	query, args := t.svc.db.saveOne, []any{}
	if len(list) == 1 {
		numbers, texts := list[0].saved()
		for _, n := range numbers {
			args = append(args, n)
		}
		for _, x := range texts {
			args = append(args, x)
		}
		args = append(args, list[0].license)
	} else {
		query, args = t.svc.db.saveMany, columns(list)
	}
	n, err := t.beside.exec(query, args...)
	if err == nil && n != int64(len(list)) {
		err = fmt.Errorf("merchant: activation %s and %d others: %d rows changed", list[0].license, len(list)-1, n)
	}
	return err
}

// columns turns seats into a list per column.
func columns(list []seat) []any {
	var numbers [][]int64
	var texts [][]string
	var ids []string
	for i := range list {
		n, x := list[i].saved()
		if i == 0 {
			numbers, texts = make([][]int64, len(n)), make([][]string, len(x))
		}
		for c := range n {
			numbers[c] = append(numbers[c], n[c])
		}
		for c := range x {
			texts[c] = append(texts[c], x[c])
		}
		ids = append(ids, list[i].license)
	}
	var args []any
	for _, c := range numbers {
		args = append(args, c)
	}
	for _, c := range texts {
		args = append(args, c)
	}
	return append(args, ids)
}
