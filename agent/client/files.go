package client

import (
	"errors"
	"fmt"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
)

// Files are the envelopes of one license, as the agent's public folder holds them.
type Files struct {
	License []byte
	KeySet  []byte
	Notice  []byte // the vendor's newest statement, empty when there is none
}

// ReadFiles reads one file of the agent's public folder. Nothing is verified
// yet: that is the business of CheckFiles. The error holds an *api.Error
// (errors.As) agent-untrusted, with its sentences in English: there is no Client
// here that says in which language.
func ReadFiles(b []byte) (Files, error) {
	m, err := readMembers(b)
	lic, errLicense := m.text("license")
	ks, errKeySet := m.text("keyset")
	notice, errNotice := m.text("notice")
	err = errors.Join(err, errLicense, errKeySet, errNotice)
	if err != nil || lic == "" || ks == "" {
		return Files{}, new(Client).fail(api.CodeUntrusted, fmt.Errorf("client: not a file of the agent's public folder: %w", errors.Join(err, license.ErrEnvelope)))
	}
	return Files{License: []byte(lic), KeySet: []byte(ks), Notice: []byte(notice)}, nil
}

// CheckFiles verifies license, key set and notice without a fresh proof, for
// programs that cannot use the socket. It is weaker than Check: it shows that
// the vendor issued the license for this machine, not that the agent here holds
// the device key. Errors are those of Check.
func (k *Checker) CheckFiles(product string, f Files) (Verdict, error) {
	c := k.asker()
	now, mono := k.clock()
	checked, err := license.VerifyFiles(k.Anchor, k.options(product, now), f.License, f.KeySet)
	if err != nil {
		return Verdict{}, c.fail(api.CodeUntrusted, err)
	}
	cmp, err := k.compare(checked, license.Hash(f.License), mono)
	if err != nil {
		return Verdict{}, c.fail(api.CodeUntrusted, err)
	}
	// There is no agent here that judges by the whole policy and waits whether a
	// part comes back: less than the minimum of what can be read is too little.
	if cmp.Outcome == fingerprint.Different {
		return Verdict{}, c.fail(api.CodeWrongDevice, errors.New(cmp.Why))
	}
	v := verdict(checked, cmp)
	if !v.Runs {
		v.Message, v.NextStep = c.words(v.Reason)
	}
	if len(f.Notice) > 0 {
		n, err := checked.KeySet.OpenNotice(f.Notice)
		if err != nil {
			return Verdict{}, c.fail(api.CodeUntrusted, err)
		}
		if n.License == checked.Claims.ID && n.Seq >= checked.Claims.Seq && stops(n.State) {
			v.Runs, v.Phase, v.Reason = false, n.State, n.Reason
			v.Message, v.NextStep = c.words(n.State) // the reason is the vendor's own word
		}
	}
	return v, nil
}

// stops says whether a notice ends the right to run.
func stops(state string) bool {
	return state == license.NoticeSuspended || state == license.NoticeRevoked || state == license.NoticeReleased
}
