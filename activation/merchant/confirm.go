package merchant

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

const (
	// confirmAfter is how many seconds after a callback that may have overtaken
	// another one the marketplace is asked for its own word.
	confirmAfter = 2
	// historyLife is how long the callbacks about a code are remembered in their
	// order. The marketplace repeats a call for two hours, and the vendor may send
	// it again by hand when a repair is done.
	historyLife = 7 * day
	// maxHistory bounds the callbacks that are remembered.
	maxHistory = 64
)

// Letters of the history of a code.
const (
	wordFreeze   = "F"
	wordUnfreeze = "U"
	wordRenew    = "R"
	wordUnrenew  = "N"
	wordShorter  = "L" // a renewal until earlier than what is known
)

// confirm notes a callback about a code and has the marketplace asked soon when
// the callback alone does not say how things are now. No use, no call: what is
// clear is taken at its word until the heartbeat of the next day of use.
func (t *tx) confirm(g *goods, word string) error {
	if g.kind != goodsCode {
		return nil // whether instances have a heartbeat is not documented
	}
	history, err := t.history(g, word)
	if err != nil {
		return err
	}
	busy, err := t.asking(g)
	if err != nil || !busy && plain(history, word) {
		return err
	}
	return t.enqueue(jobConfirm, g.id, "", t.now+confirmAfter, "")
}

// plain says whether the newest callback of a history is the newest word, too.
// Calls come late, twice and out of order and carry nothing to order them by: a
// freeze may be the second one, or the first one repeated after its unfreeze.
// Renewals never shorten, so that they may come in any order, as long as none was taken back.
func plain(history, word string) bool {
	switch word {
	case wordRenew:
		return !strings.Contains(history, wordUnrenew)
	case wordUnrenew, wordShorter:
		return false
	}
	switch strings.NewReplacer(wordRenew, "", wordUnrenew, "", wordShorter, "").Replace(history) {
	case wordFreeze, wordUnfreeze, wordFreeze + wordUnfreeze:
		return true
	}
	return false
}

// history appends a word to what was told about a code lately.
func (t *tx) history(g *goods, word string) (string, error) {
	name := t.svc.keyed("history", g.id)
	var told string
	err := t.row(`SELECT result FROM deeds WHERE name = $1 AND created >= $2`, name, t.now-historyLife).Scan(&told)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("merchant: history: %w", err)
	}
	told += word
	told = told[max(0, len(told)-maxHistory):]
	_, err = t.exec(`INSERT INTO deeds (name, goods, result, created) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET result = excluded.result, created = excluded.created`, name, g.id, told, t.now)
	return told, err
}

// asking says whether the marketplace is just being asked about a code: the
// answer may be older than the callback and be taken in after it.
func (t *tx) asking(g *goods) (bool, error) {
	var n int64
	err := t.row(`SELECT COUNT(*) FROM jobs WHERE goods = $1 AND kind IN ($2, $3) AND lease > $4`, g.id, jobBeat, jobConfirm, t.now).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("merchant: jobs: %w", err)
	}
	return n > 0 || g.lease > t.now, nil
}

// askedFor drops what a heartbeat that was asked for at an instant has answered
// besides its own job: a confirmation is that day's heartbeat, and the heartbeat
// of a day confirms the callbacks before it.
func (t *tx) askedFor(j task, asked int64) error {
	if j.kind == jobConfirm {
		_, err := t.exec(`DELETE FROM jobs WHERE id = $1 AND lease <= $2`, jobID(jobBeat, j.goods, t.svc.market.day(asked)), t.now)
		return err
	}
	_, err := t.exec(`DELETE FROM jobs WHERE id = $1 AND lease <= $2 AND updated < $3`, jobID(jobConfirm, j.goods, ""), t.now, asked)
	return err
}
