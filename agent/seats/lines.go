package seats

import (
	"encoding/json"

	"licenseagent.example/activation"
)

// entry is one line of what is kept for the next start.
type entry struct {
	Take *Holder `json:"take,omitempty"`
	End  string  `json:"end,omitempty"`
	Peak *peak   `json:"peak,omitempty"`
}

type peak struct {
	Key activation.Key `json:"key"`
	N   int64          `json:"n"`
}

// maxLines is how many lines may be appended before they are written anew.
const maxLines = 8192

// keep writes one line; mu is held. Once a line could not be written, or half
// of it was, as on a full disk, everything is written anew until that succeeds:
// a holder whose line is missing would be unknown to the next start.
func (t *Table) keep(e entry) {
	if t.cfg.Append == nil {
		return
	}
	var err error
	if !t.behind {
		var line []byte
		if line, err = json.Marshal(e); err == nil {
			err = t.cfg.Append(line)
		}
	}
	t.lines++
	if t.behind || err != nil || t.lines >= maxLines {
		t.lines = 0
		err = t.rewrite()
		t.behind = err != nil
	}
	if err != nil && t.cfg.Failed != nil {
		t.cfg.Failed(err)
	}
}

// rewrite keeps only what still holds; mu is held.
func (t *Table) rewrite() error {
	var lines [][]byte
	add := func(e entry) error {
		line, err := json.Marshal(e)
		lines = append(lines, line)
		return err
	}
	for k, p := range t.pools {
		if err := add(entry{Peak: &peak{Key: k, N: p.peak}}); err != nil {
			return err
		}
		for _, s := range p.seats {
			for h := range s.holders {
				if err := add(entry{Take: &h.Holder}); err != nil {
					return err
				}
			}
		}
	}
	return t.cfg.Replace(lines)
}

// restore reads lines into the table. A line that means nothing, as a damaged
// disk may leave it, is passed over: the seat is taken again by whoever lives.
func (t *Table) restore(lines [][]byte) []*Held {
	known := map[string]*Held{}
	var order []string
	for _, line := range lines {
		var e entry
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		switch {
		case e.Take != nil && e.Take.ID != "":
			if known[e.Take.ID] == nil {
				order = append(order, e.Take.ID)
			}
			known[e.Take.ID] = &Held{Holder: *e.Take, table: t}
		case e.End != "":
			delete(known, e.End)
		case e.Peak != nil:
			p := t.pool(e.Peak.Key)
			p.peak = max(0, e.Peak.N)
			p.later = p.peak
		}
	}
	var out []*Held
	for _, id := range order {
		h := known[id]
		if h == nil {
			continue
		}
		h.Detached = true
		p := t.pool(h.Key)
		name := h.counted(h.ID)
		s := p.seats[name]
		if s == nil {
			s = &seat{id: h.Seat, account: h.Account, holders: map[*Held]struct{}{}}
			p.seats[name] = s
		}
		s.holders[h] = struct{}{}
		p.peak = max(p.peak, int64(len(p.seats)))
		out = append(out, h)
	}
	return out
}

// Attached says that the holder is known by its connection again.
func (h *Held) Attached() {
	h.table.mu.Lock()
	h.Detached = false
	h.table.mu.Unlock()
}
