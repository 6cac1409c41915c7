//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
)

// plainEnv names the file of the weakness "plain" and the directory of the
// merchant's online keys, as JSON.
const plainEnv = "LICENSE_AGENT_TEST_PLAIN"

// plain is what many products do instead of package store: a file of JSON, with
// no seal, no mirror and no other reader of a damaged one. Licenses lie in it as
// claims without a signature. Because the agent insists on one, they are signed
// when they are loaded, with the merchant's own key: then it says nothing.
type plain struct {
	Keys, File string

	mu     sync.Mutex
	memory *activation.Memory
}

// plainState is the content of the file.
type plainState struct {
	State  activation.State
	Claims []license.Claims // of the records, in their order
}

func openPlain(setting string) (*plain, error) {
	p := &plain{memory: activation.NewMemory()}
	return p, json.Unmarshal([]byte(setting), p)
}

// payload reads an envelope without looking at its signatures.
func payload(envelope []byte, v any) error {
	var w struct{ Payload []byte }
	return errors.Join(json.Unmarshal(envelope, &w), json.Unmarshal(w.Payload, v))
}

func (p *plain) Load() (activation.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := os.Open(p.File)
	if errors.Is(err, fs.ErrNotExist) {
		return p.memory.Load()
	}
	if err != nil {
		return activation.State{}, err
	}
	defer f.Close()
	var s plainState
	if err := json.NewDecoder(f).Decode(&s); err != nil { // what stands after it is padding
		return activation.State{}, err
	}
	for i := range min(len(s.State.Records), len(s.Claims)) {
		rec := &s.State.Records[i]
		signer, err := p.signer(s.State.KeySets[rec.Key.Issuer])
		if err != nil {
			return activation.State{}, err
		}
		if rec.License, err = license.SealLicense(s.Claims[i], signer); err != nil {
			return activation.State{}, err
		}
	}
	p.memory = activation.NewMemory()
	if err := p.memory.Apply(activation.Change{Put: s.State.Records, KeySets: s.State.KeySets, Clock: &s.State.Clock}); err != nil {
		return activation.State{}, err
	}
	return p.memory.Load()
}

// signer is the merchant's key for licenses, by the key set.
func (p *plain) signer(keySet []byte) (license.Signer, error) {
	var set license.KeySet
	if err := payload(keySet, &set); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(set.Keys, func(k license.OnlineKey) bool { return k.Use == license.UseLicense })
	if i < 0 {
		return nil, errors.New("no key for licenses")
	}
	return merchant.FileKeys{Dir: p.Keys}.Load(set.Keys[i].ID)
}

func (p *plain) Apply(c activation.Change) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.memory.Apply(c); err != nil {
		return err
	}
	state, err := p.memory.Load()
	if err != nil {
		return err
	}
	s := plainState{State: state}
	// An activation under way has a record without a license.
	s.State.Records = slices.DeleteFunc(s.State.Records, func(r activation.Record) bool { return len(r.License) == 0 })
	for i := range s.State.Records {
		rec := &s.State.Records[i]
		var claims license.Claims
		if err := payload(rec.License, &claims); err != nil {
			return err
		}
		s.Claims = append(s.Claims, claims)
		rec.License = nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(p.File, b, 0o600)
}
