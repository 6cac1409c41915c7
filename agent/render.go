package agent

import (
	"encoding/json"
	"slices"
	"strings"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
)

// verdict adds the sentences.
func verdict(v activation.Verdict, lang string) api.Verdict {
	out := api.Verdict{
		Phase: string(v.Phase), Runs: v.Runs, Reason: v.Reason, Message: activation.Sentence(v.Reason, lang, v),
		Next: v.Next, NextStep: activation.Sentence(v.Next, lang, v), Until: v.Until, Expires: v.Expires,
		RenewBy: v.RenewBy, GraceUntil: v.GraceUntil, DaysLeft: v.DaysLeft,
	}
	for _, f := range v.Flags {
		out.Flags = append(out.Flags, string(f))
	}
	return out
}

// readyVerdict is a verdict rendered for one language. Verdicts change rarely
// and are part of every answer to a check.
type readyVerdict struct {
	of   activation.Verdict
	lang string
	json []byte
}

// verdictJSON renders a verdict, or gives the rendering of the last one again.
func (d *Daemon) verdictJSON(v activation.Verdict, lang string) ([]byte, error) {
	if last := d.ready.Load(); last != nil && last.lang == lang && sameVerdict(last.of, v) {
		return last.json, nil
	}
	b, err := json.Marshal(verdict(v, lang))
	if err != nil {
		return nil, err
	}
	d.ready.Store(&readyVerdict{of: v, lang: lang, json: b})
	return b, nil
}

func sameVerdict(a, b activation.Verdict) bool {
	if !slices.Equal(a.Flags, b.Flags) {
		return false
	}
	return a.Phase == b.Phase && a.Runs == b.Runs && a.Reason == b.Reason && a.Next == b.Next && a.Until == b.Until &&
		a.Expires == b.Expires && a.RenewBy == b.RenewBy && a.GraceUntil == b.GraceUntil && a.DaysLeft == b.DaysLeft
}

// license is one license as a status shows it.
func (d *Daemon) license(h activation.Held, lang string) api.License {
	out := api.License{
		Issuer: h.Key.Issuer, Product: h.Key.Product, ID: h.ID, Verdict: verdict(h.Verdict, lang),
		LastContact: h.Contact, NextContact: h.NextTry, LastError: d.lastError(h, lang), Pending: h.Pending,
	}
	if c := h.Claims; c != nil {
		out.Hardware = hardware(h.Comparison, lang)
		out.Edition, out.Seats, out.Features = c.Edition, c.Seats, c.Features
		n := d.seats.Count(h.Key)
		out.SeatsUsed, out.SeatsQueue = n.Used, n.Waiting
		if len(c.Limits) > 0 {
			out.Limits = make(map[string]int64, len(c.Limits))
			for _, l := range c.Limits {
				out.Limits[l.Name] = l.Value
			}
		}
	}
	return out
}

// hardware is what may still change. lang "" leaves the sentence out.
func hardware(c fingerprint.Comparison, lang string) *api.Hardware {
	t := activation.ToleranceOf(c)
	out := &api.Hardware{
		Outcome: string(t.Outcome), Left: t.Left, Lost: names(t.Lost), Unreadable: names(t.Unreadable), Warning: t.Warn,
	}
	if lang != "" {
		out.Message = t.Sentence(lang)
	}
	return out
}

func names(kinds []fingerprint.Kind) []string {
	out := []string{}
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}

// lastError gives the remembered text of a failed contact its code again. The
// texts begin or end with those of the sentinels, which are ours.
func (d *Daemon) lastError(h activation.Held, lang string) *api.Error {
	text := h.LastError
	code := ""
	switch {
	case h.Problem != nil:
		code, text = api.CodeDamaged, h.Problem.Error()
	case text == "":
		return nil
	case strings.Contains(text, activation.ErrUnreachable.Error()):
		code = api.CodeUnreachable
	case strings.Contains(text, activation.ErrDevice.Error()):
		code = api.CodeDeviceKey
	case strings.Contains(text, activation.ErrWrongAnswer.Error()):
		code = api.CodeWrongAnswer
	case strings.Contains(text, activation.ErrAnswer.Error()):
		code = api.CodeBadAnswer
	default:
		code = api.CodeRefused
	}
	e := api.NewError(code, lang)
	if code == api.CodeRefused {
		if cause, sentence, ok := strings.Cut(text, ": "); ok {
			e.Cause, e.Message = cause, d.redact.Text(sentence)
		}
	} else {
		e.Message += " (" + d.redact.Text(text) + ")"
	}
	return e
}

// explanation is everything a verdict was decided from.
func (d *Daemon) explanation(x activation.Explanation, lang string) api.Explanation {
	c, in := x.Held.Comparison, x.Inputs
	out := api.Explanation{
		License: d.license(x.Held, lang),
		Device: api.Comparison{
			Outcome: string(c.Outcome), Why: c.Why, Parts: []api.Part{}, Matched: c.Matched, Available: c.Available,
			Enrolled: c.Enrolled, Need: c.Need, Left: c.Left,
		},
		Clock: api.Clock{Time: in.Now, Wall: in.Clock.Wall, HighWater: in.Clock.HighWater, Behind: in.Clock.Behind, Provisional: in.Clock.Provisional},
		Contact: api.Contact{
			Last: x.Held.Contact, Next: x.Held.NextTry, Failures: x.Held.Failures,
			LastError: d.lastError(x.Held, lang), Pending: x.Held.Pending, Contested: x.Held.Contested,
		},
		Worse: api.Worse{Reads: in.Worse.Reads, First: in.Worse.First, Last: in.Worse.Last},
	}
	if x.Assumed != nil {
		out.Assumed = x.Assumed.Words(lang)
	}
	for _, p := range x.Parts {
		out.Device.Parts = append(out.Device.Parts, api.Part{
			Kind: string(p.Kind), Result: p.Result, State: string(p.State), Weight: p.Weight, Strong: p.Strong,
			Then: filled(p.Then), Now: filled(p.Now), Digits: filled(p.Digits), Reason: p.Reason,
		})
	}
	if x.Settled.Phase != x.Held.Verdict.Phase {
		settled := verdict(x.Settled, lang)
		out.Settled = &settled
	}
	return out
}

// filled makes an empty list of a missing one: JSON readers in other languages
// need not handle null.
func filled(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// masked is an observation without what identifies the machine.
func masked(device fingerprint.Device) []api.Part {
	parts := []api.Part{}
	for _, c := range device.Components() {
		p := api.Part{Kind: string(c.Kind), State: string(c.State), Reason: c.Reason, Then: []string{}, Now: []string{}, Digits: []string{}}
		for _, v := range c.Values {
			p.Now = append(p.Now, fingerprint.Mask(v.Text)+" from "+v.Source)
		}
		parts = append(parts, p)
	}
	return parts
}
