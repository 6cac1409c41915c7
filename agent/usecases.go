package agent

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/fingerprint"
)

// A Daemon is what the local API asks.
var _ localapi.Licenses = (*Daemon)(nil)

// Version is what this build is.
func (d *Daemon) Version() api.Version { return d.cfg.Version }

// Serial is the serial of the newest event.
func (d *Daemon) Serial() uint64 { return d.hub.serial.Load() }

// Status lists every license with its verdict at this moment.
func (d *Daemon) Status(lang string) api.Status {
	st := api.Status{
		Instance: d.cfg.Version.Instance, Version: d.cfg.Version.Version, DeviceID: d.life.DeviceID(), KeyTier: d.cfg.KeyTier,
		Time: d.now(), Serial: d.Serial(), Licenses: []api.License{},
	}
	for _, h := range d.life.Held() {
		st.Licenses = append(st.Licenses, d.license(h, lang))
	}
	return st
}

// Check signs a proof for one program. Errors are those of Lifecycle.Check.
func (d *Daemon) Check(product, issuer string, nonce []byte, lang string) (localapi.Checked, error) {
	a, err := d.life.Check(product, issuer, nonce)
	if err != nil {
		return localapi.Checked{}, err
	}
	v, err := d.verdictJSON(a.Verdict, lang)
	return localapi.Checked{License: a.License, KeySet: a.KeySet, Proof: a.Proof, Verdict: v}, err
}

// Reread reads the hardware, for the proof of the next Check.
func (d *Daemon) Reread() {
	if err := d.life.Reread(); err != nil {
		d.log.Error("the observation could not be stored", "error", d.redact.Error(err))
	}
}

// Files returns the envelopes for a check without a nonce.
func (d *Daemon) Files(key api.KeyRequest) (api.Files, error) {
	k, err := d.resolve(key)
	if err != nil {
		return api.Files{}, err
	}
	l, ks, err := d.life.Envelopes(k.Product, k.Issuer)
	if err != nil {
		return api.Files{}, err
	}
	return api.Files{License: base64.StdEncoding.EncodeToString(l), KeySet: base64.StdEncoding.EncodeToString(ks)}, nil
}

// Why explains one verdict.
func (d *Daemon) Why(key api.KeyRequest, lang string) (api.Explanation, error) {
	k, err := d.resolve(key)
	if err != nil {
		return api.Explanation{}, err
	}
	x, err := d.life.Why(k)
	if err != nil {
		return api.Explanation{}, err
	}
	return d.explanation(x, lang), nil
}

// Simulate explains what would be. It changes nothing.
func (d *Daemon) Simulate(q api.SimulateRequest, lang string) (api.Explanation, error) {
	s, ok := scenario(q)
	if !ok {
		return api.Explanation{}, &api.Error{Code: api.CodeBadRequest}
	}
	k, err := d.resolve(api.KeyRequest{Issuer: q.Issuer, Product: q.Product})
	if err != nil {
		return api.Explanation{}, err
	}
	x, err := d.life.Simulate(k, s)
	if err != nil {
		return api.Explanation{}, err
	}
	return d.explanation(x, lang), nil
}

// scenario reads a request; false for what means nothing.
func scenario(q api.SimulateRequest) (activation.Scenario, bool) {
	const century = 100 * 366 * 86400 // beyond it, sums of seconds mean nothing
	const most = 1 << 16              // more values than any machine has
	s := activation.Scenario{Offline: q.Offline, ClockShift: q.Clock, Behind: q.Behind, Contested: q.Contested, Clone: q.Clone}
	ok := q.Offline >= 0 && q.Offline <= century && q.Clock >= -century && q.Clock <= century
	kinds := []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU}
	read := func(names []string) []fingerprint.Kind {
		var out []fingerprint.Kind
		for _, n := range names {
			out = append(out, fingerprint.Kind(n))
			ok = ok && slices.Contains(kinds, fingerprint.Kind(n))
		}
		return out
	}
	s.Replaced, s.Unreadable = read(q.Replace), read(q.Unreadable)
	known := 0
	for _, k := range kinds {
		if n, dropped := q.Drop[string(k)]; dropped {
			known++
			ok = ok && n >= 0 && n <= most
			s.Drop = append(s.Drop, activation.Loss{Kind: k, Count: int(n)})
		}
	}
	return s, ok && known == len(q.Drop)
}

// Events waits for what happens after a serial.
func (d *Daemon) Events(ctx context.Context, since uint64) api.Events { return d.hub.wait(ctx, since) }

// Preview is what an activation would send, and to whom. It is for
// administrators: the string is raw, because that is what is sent.
func (d *Daemon) Preview(_ context.Context, issuer string) (api.Preview, error) {
	anchors := d.cfg.Activation.Anchors
	if len(anchors) == 0 {
		return api.Preview{}, &api.Error{Code: api.CodeNoAnchor}
	}
	if issuer == "" && len(anchors) == 1 {
		issuer = anchors[0].Issuer
	}
	req, err := d.life.Preview(issuer)
	if err != nil {
		return api.Preview{}, err
	}
	p := api.Preview{
		Issuer: req.Issuer, DeviceID: req.Device, Fingerprint: req.Fingerprint, Environment: string(req.Env),
		Agent: req.Agent, Parts: []api.PreviewPart{},
	}
	for _, a := range anchors {
		if a.Issuer == req.Issuer {
			p.Merchant = a.Merchant
		}
	}
	for _, c := range d.life.Device().Components() {
		part := api.PreviewPart{Kind: string(c.Kind), State: string(c.State), Reason: c.Reason}
		for _, v := range c.Values {
			part.Values = append(part.Values, v.Text)
		}
		p.Parts = append(p.Parts, part)
	}
	return p, nil
}

// Activate redeems a code.
func (d *Daemon) Activate(ctx context.Context, q api.ActivateRequest, lang string) (api.Outcome, error) {
	if len(d.cfg.Activation.Anchors) == 0 {
		return api.Outcome{}, &api.Error{Code: api.CodeNoAnchor}
	}
	d.redact.Hide(q.Code)
	h, err := d.life.Activate(ctx, activation.ActivateOptions{Issuer: q.Issuer, Product: q.Product, Code: q.Code, Replace: q.Replace})
	return d.outcome(h, err, lang)
}

// Renew contacts the merchant now.
func (d *Daemon) Renew(ctx context.Context, key api.KeyRequest, lang string) (api.Outcome, error) {
	k, err := d.resolve(key)
	if err != nil {
		return api.Outcome{}, err
	}
	h, err := d.life.Renew(ctx, k)
	return d.outcome(h, err, lang)
}

// Release gives the seat back.
func (d *Daemon) Release(ctx context.Context, key api.KeyRequest, lang string) (api.Outcome, error) {
	k, err := d.resolve(key)
	if err != nil {
		return api.Outcome{}, err
	}
	h, err := d.life.Release(ctx, k)
	return d.outcome(h, err, lang)
}

// Rebind settles a contested seat on this device.
func (d *Daemon) Rebind(ctx context.Context, q api.RebindRequest, lang string) (api.Outcome, error) {
	d.redact.Hide(q.Code)
	k, err := d.resolve(api.KeyRequest{Issuer: q.Issuer, Product: q.Product})
	if err != nil {
		return api.Outcome{}, err
	}
	h, err := d.life.Rebind(ctx, k, q.Code)
	return d.outcome(h, err, lang)
}

// Request makes a request file for a machine without network.
func (d *Daemon) Request(_ context.Context, q api.OfflineRequest) (api.RequestFile, error) {
	if len(d.cfg.Activation.Anchors) == 0 {
		return api.RequestFile{}, &api.Error{Code: api.CodeNoAnchor}
	}
	d.redact.Hide(q.Code)
	key := activation.Key{Issuer: q.Issuer, Product: q.Product}
	if q.Kind != "activate" {
		k, err := d.resolve(api.KeyRequest{Issuer: q.Issuer, Product: q.Product})
		if err != nil {
			return api.RequestFile{}, err
		}
		key = k
	} else if key.Issuer == "" && len(d.cfg.Activation.Anchors) == 1 {
		key.Issuer = d.cfg.Activation.Anchors[0].Issuer
	}
	file, err := d.life.OfflineRequest(q.Kind, activation.RequestOptions{Key: key, Code: q.Code, Replace: q.Replace})
	if err != nil {
		return api.RequestFile{}, err
	}
	return api.RequestFile{Kind: q.Kind, Issuer: key.Issuer, Product: key.Product, File: base64.StdEncoding.EncodeToString(file)}, nil
}

// Import takes in an answer file. What does not verify is a bad file here and
// not a bad merchant: nobody was contacted.
func (d *Daemon) Import(_ context.Context, answer []byte, lang string) (api.Outcome, error) {
	h, err := d.life.Import(answer)
	return d.outcome(h, asFile(err), lang)
}

func (d *Daemon) outcome(h activation.Held, err error, lang string) (api.Outcome, error) {
	if err != nil {
		return api.Outcome{}, d.clean(err)
	}
	return api.Outcome{License: d.license(h, lang)}, nil
}

// resolve completes a key of which parts were left out: the only license that
// fits. A license under way has no product yet and is found by its issuer.
func (d *Daemon) resolve(q api.KeyRequest) (activation.Key, error) {
	h, err := d.find(q)
	return h.Key, err
}

// find is resolve with what is held for the key.
func (d *Daemon) find(q api.KeyRequest) (activation.Held, error) {
	var found []activation.Held
	for _, h := range d.life.Held() {
		if (q.Issuer == "" || q.Issuer == h.Key.Issuer) && (q.Product == "" || q.Product == h.Key.Product) {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return activation.Held{}, fmt.Errorf("%w: %q", activation.ErrNotActivated, q.Product)
	case 1:
		return found[0], nil
	default:
		return activation.Held{}, activation.ErrAmbiguousProduct
	}
}
