package agent

import (
	"context"
	"encoding/json"
	"strings"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

// Diagnose collects what a support engineer needs. It carries the inputs of
// every verdict, so that the verdict can be reproduced, without enrolled
// hashes, salts and the device key: a salted hash of a serial number can be
// searched for.
func (d *Daemon) Diagnose(_ context.Context, lang string) (api.Diagnosis, error) {
	out := api.Diagnosis{
		Version: d.cfg.Version, Status: d.Status(lang), Why: []api.Explanation{}, Notes: []string{}, Sockets: []string{},
		Settings: d.cfg.Settings, Events: []api.Event{},
	}
	device := d.life.Device()
	out.Device, out.Env = masked(device), string(device.Env.Kind)+" "+device.Env.Name
	if notes := d.cross.Load(); notes != nil {
		out.Notes = append(out.Notes, *notes...)
	}
	if d.cfg.Sockets != nil {
		out.Sockets = d.cfg.Sockets()
	}
	if d.cfg.Process != nil {
		out.Process = d.cfg.Process()
	}
	if out.Settings == nil {
		out.Settings = []api.Setting{}
	}
	inputs := []activation.Inputs{}
	for _, h := range d.life.Held() {
		x, err := d.life.Why(h.Key)
		if err != nil {
			continue // it was removed meanwhile
		}
		out.Why = append(out.Why, d.explanation(x, lang))
		inputs = append(inputs, stripped(x.Inputs))
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		return api.Diagnosis{}, err
	}
	out.Inputs = text
	events, _ := d.hub.since(0)
	out.Events = events.Events
	return redacted(d.redact, out)
}

// stripped removes from the inputs what the verdict does not depend on once
// the comparison is made.
func stripped(in activation.Inputs) activation.Inputs {
	if in.License != nil {
		c := *in.License
		c.Device.Parts, c.Device.Salt, c.Nonce, c.Head = nil, "", "", ""
		in.License = &c
	}
	if in.Notice != nil {
		n := *in.Notice
		n.Nonce, n.Head = "", ""
		in.Notice = &n
	}
	return in
}

// redacted runs the whole document through the redactor, as text: whatever
// field a secret may have reached, it does not leave.
func redacted(r *Redactor, d api.Diagnosis) (api.Diagnosis, error) {
	raw := r.Text(string(d.Inputs))
	d.Inputs = nil
	text, err := json.Marshal(d)
	if err != nil {
		return api.Diagnosis{}, err
	}
	var out api.Diagnosis
	if err := json.NewDecoder(strings.NewReader(r.Text(string(text)))).Decode(&out); err != nil {
		return api.Diagnosis{}, err
	}
	out.Inputs = []byte(raw)
	return out, nil
}
