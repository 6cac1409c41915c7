package agent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

// remembered is how many events are kept for programs that come late.
const remembered = 256

// hub turns changes into events and wakes those who wait for them.
type hub struct {
	serial atomic.Uint64 // of the newest event

	mu     sync.Mutex
	first  uint64 // serial before the oldest event that could ever be asked for
	events []api.Event
	last   map[activation.Key]picture
	wake   chan struct{} // closed and replaced with each event
}

// picture is what is compared to find out that something changed.
type picture struct {
	verdict, license, contact, device string
}

func newHub(serial uint64) *hub {
	h := &hub{first: serial, last: nil, wake: make(chan struct{})}
	h.serial.Store(serial)
	return h
}

func pictureOf(h activation.Held) picture {
	return picture{
		verdict: fmt.Sprint(h.Verdict.Phase, h.Verdict.Reason, h.Verdict.Flags, h.Verdict.Runs, h.Problem),
		license: h.ID,
		contact: fmt.Sprint(h.Contact, h.LastError, h.Pending, h.Contested),
		device:  fmt.Sprint(h.Comparison.Outcome, h.Comparison.Parts, h.Comparison.Left),
	}
}

// update compares with what was published before and returns the new events.
// The first call only sets the beginning.
func (h *hub) update(held []activation.Held, now int64) []api.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := make(map[activation.Key]picture, len(held))
	var fresh []api.Event
	for key := range h.last {
		// An activation that was under way has found its product or failed:
		// news about a contact, not about a license.
		if key.Product == "" && !holds(held, key) {
			fresh = append(fresh, api.Event{Time: now, Kind: api.EventContact, Issuer: key.Issuer})
		}
	}
	for _, l := range held {
		p := pictureOf(l)
		next[l.Key] = p
		old, known := h.last[l.Key]
		if known && old == p {
			continue
		}
		e := api.Event{
			Time: now, Kind: kind(l.Key, old, p, known), Issuer: l.Key.Issuer, Product: l.Key.Product,
			Phase: string(l.Verdict.Phase), Runs: l.Verdict.Runs, Reason: l.Verdict.Reason,
		}
		if e.Kind != api.EventObserved {
			fresh = append(fresh, e)
		}
		// Lost hardware is told besides: the flag that it raises does not say
		// how far it is from breaking, and a second loss raises no flag.
		if e.Kind == api.EventObserved || known && old.device != p.device {
			e.Kind = api.EventObserved
			if l.Claims != nil {
				e.Hardware = hardware(l.Comparison, "")
			}
			fresh = append(fresh, e)
		}
	}
	for key := range h.last {
		if _, still := next[key]; !still && key.Product != "" {
			fresh = append(fresh, api.Event{
				Time: now, Kind: api.EventLicense, Issuer: key.Issuer, Product: key.Product,
				Phase: string(activation.Unactivated), Reason: activation.ReasonNotActivated,
			})
		}
	}
	beginning := h.last == nil
	h.last = next
	if beginning || len(fresh) == 0 {
		return nil
	}
	h.add(fresh)
	return fresh
}

// publish adds an event that is not about a difference between two pictures.
func (h *hub) publish(e api.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.add([]api.Event{e})
}

// add numbers events and wakes those who wait; mu is held.
func (h *hub) add(fresh []api.Event) {
	for i := range fresh {
		fresh[i].Serial = h.serial.Load() + 1 + uint64(i)
	}
	h.events = append(h.events, fresh...)
	if extra := len(h.events) - remembered; extra > 0 {
		h.first = h.events[extra-1].Serial
		h.events = slices.Clone(h.events[extra:])
	}
	h.serial.Store(fresh[len(fresh)-1].Serial)
	close(h.wake)
	h.wake = make(chan struct{})
}

func holds(held []activation.Held, key activation.Key) bool {
	for _, l := range held {
		if l.Key == key {
			return true
		}
	}
	return false
}

// kind names the most important of several differences.
func kind(key activation.Key, old, now picture, known bool) string {
	switch {
	case key.Product == "":
		return api.EventContact
	case !known || old.license != now.license:
		return api.EventLicense
	case old.verdict != now.verdict:
		return api.EventVerdict
	case old.contact != now.contact:
		return api.EventContact
	default:
		return api.EventObserved
	}
}

// since returns the events after a serial and a channel that is closed at the next one.
func (h *hub) since(serial uint64) (api.Events, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := h.serial.Load()
	out := api.Events{Serial: newest, Events: []api.Event{}}
	if serial > newest || serial < h.first {
		out.Missed = serial != 0 // 0 is a program that asks for the first time
		if serial > newest {
			return out, h.wake
		}
	}
	for _, e := range h.events {
		if e.Serial > serial {
			out.Events = append(out.Events, e)
		}
	}
	return out, h.wake
}

// wait returns as soon as there is something after serial, or when ctx ends.
func (h *hub) wait(ctx context.Context, serial uint64) api.Events {
	for {
		out, wake := h.since(serial)
		if len(out.Events) > 0 || out.Missed {
			return out
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return out
		}
	}
}
