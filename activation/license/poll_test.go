package license

import (
	"bytes"
	"errors"
	"testing"
)

func goodPoll(s Signer) Poll {
	return Poll{V: 1, Issuer: "acme", License: "lic-1", Device: DeviceID(s.Public()), Time: 1_800_000_000}
}

func TestPoll(t *testing.T) {
	for name, s := range map[string]Signer{"ed25519": edSigner(t, "device"), "p256": newP256Signer(t, "tpm device")} {
		env, err := SealPoll(goodPoll(s), s)
		if err != nil {
			t.Fatal(name, err)
		}
		p, err := OpenPoll(s.Public(), env)
		if err != nil || *p != goodPoll(s) {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		if _, err := OpenPoll(edSigner(t, "other").Public(), env); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: another key: %v", name, err)
		}
		for i := range env {
			bad := bytes.Clone(env)
			bad[i] ^= 1
			if q, err := OpenPoll(s.Public(), bad); err == nil && *q != *p {
				t.Fatalf("%s: byte %d changed the meaning", name, i)
			}
		}
	}
}

func TestPollLimits(t *testing.T) {
	s := edSigner(t, "device")
	for name, change := range map[string]func(*Poll){
		"version":       func(p *Poll) { p.V = 2 },
		"no issuer":     func(p *Poll) { p.Issuer = "" },
		"issuer":        func(p *Poll) { p.Issuer = "Not A Name" },
		"no license":    func(p *Poll) { p.License = "" },
		"no device":     func(p *Poll) { p.Device = "" },
		"negative time": func(p *Poll) { p.Time = -1 },
	} {
		p := goodPoll(s)
		change(&p)
		if _, err := SealPoll(p, s); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	p := goodPoll(s)
	p.Device = DeviceID(edSigner(t, "other").Public())
	env, err := SealPoll(p, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPoll(s.Public(), env); !errors.Is(err, ErrDevice) {
		t.Errorf("another device's name: %v", err)
	}
}

// A poll is worth nothing as anything else, and nothing else as a poll.
func TestPollIsItsOwnKind(t *testing.T) {
	fx := newFixtureFor(t, edSigner(t, "device"))
	key := fx.device.Public()
	env, err := SealPoll(goodPoll(fx.device), fx.device)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenProof(key, env); err == nil {
		t.Error("a poll was taken as a proof")
	}
	if _, err := OpenRequest(env); err == nil {
		t.Error("a poll was taken as a request")
	}
	for name, other := range map[string][]byte{"license": fx.licenseEnv, "notice": fx.noticeEnv} {
		if _, err := OpenPoll(key, other); err == nil {
			t.Errorf("a %s was taken as a poll", name)
		}
	}
}
