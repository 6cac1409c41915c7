//go:build linux

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/installer/e2e/swtpm"
	"licenseagent.example/platform/devicekey"
)

// programCheck is what a program does: it verifies the whole chain down to the
// signature of the device key.
func programCheck(t *testing.T, v *vendor, r *running) error {
	program := client.Checker{
		Anchor: v.anchor, Client: r.client(),
		Observe: func() fingerprint.Device { return probe.Host{SMBIOSFile: filepath.Join(r.dir, "smbios.bin")}.Read() },
	}
	verdict, err := program.Check(t.Context(), "painter")
	if err == nil && !verdict.Runs {
		err = fmt.Errorf("a program is told %s (%s)", verdict.Phase, verdict.Reason)
	}
	return err
}

// proveChip lives through the life of a device key in a TPM with the shipped
// binary and a real merchant: activated, checked by a program, renewed, killed,
// its files put back from a copy, its chip lost.
func proveChip(t *testing.T, bin string) {
	tpm := swtpm.New(t)
	v := newVendor(t, nil)
	dir := v.home("chip")
	c := command{bin: bin, env: []string{"LICENSE_AGENT_TPM=" + tpm.Socket}}
	r := c.start(t, dir)
	r.await()
	code, order := v.code()
	check0(t, r.activate(code))
	if st := value(r.client().Status(t.Context()))(t); st.KeyTier != "tpm" {
		t.Fatalf("tier %q", st.KeyTier)
	}
	if claims := r.holds(v); claims.Device.Key.Alg != license.AlgP256 {
		t.Fatalf("the license is for a key of the kind %q", claims.Device.Key.Alg)
	}
	check := func(r *running) error { return programCheck(t, v, r) }
	check0(t, check(r))
	// The chip goes while the agent runs: whoever needs a signature is told so.
	tpm.Stop()
	for what, ask := range map[string]func() error{"check": func() error { return check(r) }, "renew": r.renew} {
		if told := (*api.Error)(nil); !errors.As(ask(), &told) || told.Code != api.CodeDeviceKey {
			t.Errorf("%s without the chip: %v", what, told)
		}
	}
	if l, ok := r.only(); !ok || l.LastError == nil || l.LastError.Code != api.CodeDeviceKey {
		t.Errorf("who asks for the status later is told: %+v", l.LastError)
	}
	tpm.Start(t)
	check0(t, check(r))
	silentChip(t, v, r, tpm)
	r.kill() // -9
	// An emulator has no resource manager that frees what a dead client left.
	tpm.Stop()
	tpm.Start(t)
	r = c.start(t, dir)
	r.await()
	check0(t, r.renew())
	check0(t, check(r))
	r.stop()
	copied := filepath.Join(t.TempDir(), "copy")
	check0(t, os.Mkdir(copied, 0o700))
	state := filepath.Join(dir, "license-agent", "state")
	copyTree(t, state, copied)
	r = c.start(t, dir)
	r.await()
	check0(t, r.renew())
	r.stop()

	// The older copy is put back, and there is no network.
	putBack := func() {
		check0(t, os.RemoveAll(state))
		check0(t, os.Mkdir(state, 0o700))
		copyTree(t, copied, state)
	}
	putBack()
	v.hooks(func(string) bool { return false }, nil)
	r = c.start(t, dir)
	r.await()
	l, ok := r.only()
	if !ok || !slices.Contains(l.Verdict.Flags, "contested") || l.Verdict.Next != "rebind" || !l.Verdict.Runs {
		t.Fatalf("after old files were put back: %+v", l.Verdict)
	}
	if v.newest(order).License != l.ID || v.forks() != 0 {
		t.Error("the merchant was asked")
	}
	// One step settles it.
	v.hooks(nil, nil)
	_, err := r.client().Rebind(t.Context(), api.RebindRequest{Code: code})
	check0(t, err)
	if l, _ := r.only(); slices.Contains(l.Verdict.Flags, "contested") {
		t.Errorf("after the rebind: %+v", l.Verdict)
	}
	r.stop()

	// Without a TPM a new machine starts all the same and says where its key is.
	bare := v.home("bare")
	missing := filepath.Join(bare, "tpmrm0")
	r = command{bin: bin, env: []string{"LICENSE_AGENT_TPM=" + missing}}.start(t, bare)
	r.await()
	if st := value(r.client().Status(t.Context()))(t); st.KeyTier != "file" || !strings.Contains(r.log.String(), "no TPM at "+missing) {
		t.Errorf("tier %q without a TPM\n%s", st.KeyTier, r.log)
	}
	r.stop()
}

// silentChip lets the chip take commands and answer none, while more programs ask for
// proofs than the agent serves at once. They are told what it is, who needs no
// signature is answered, and when the chip comes back so is everybody.
func silentChip(t *testing.T, v *vendor, r *running, tpm *swtpm.TPM) {
	tpm.Hang(t)
	socket := r.client().Socket
	var programs sync.WaitGroup
	for range 12 {
		programs.Go(func() {
			own := running{t: t, dir: r.dir, asks: &client.Client{Socket: socket}}
			defer own.asks.Close() //nolint:errcheck // it has its answer
			if told := (*api.Error)(nil); !errors.As(programCheck(t, v, &own), &told) || told.Code != api.CodeDeviceKey {
				t.Errorf("a check while the chip is silent: %v", told)
			}
		})
	}
	programs.Wait()
	someone := client.Client{Socket: socket} // who does not wait longer than clients do
	defer someone.Close()                    //nolint:errcheck // the test ends
	for what, ask := range map[string]func() error{
		"status":   func() error { _, err := someone.Status(t.Context()); return err },
		"diagnose": func() error { _, err := someone.Diagnose(t.Context()); return err },
	} {
		if err := ask(); err != nil {
			t.Errorf("%s while the chip is silent: %v", what, err)
		}
	}
	tpm.Resume(t)
	for end := time.Now().Add(20 * time.Second); ; {
		err := programCheck(t, v, r)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a check after the chip came back: %v", err)
		}
	}
}

// proveLostChip swaps the mainboard, and clears the chip: the start ends in
// words, and the way that they name works: the vendor releases the old activation
// and the same code activates the machine again, on a new key.
func proveLostChip(t *testing.T, bin string) {
	for name, c := range map[string]struct {
		lose func(*swtpm.TPM) string
		say  string
	}{
		"swapped": {func(*swtpm.TPM) string { return swtpm.New(t).Socket }, "another mainboard"},
		"cleared": {func(p *swtpm.TPM) string {
			tp := value(linuxudstpm.Open(p.Socket))(t)
			defer tp.Close()
			_, err := tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}.Execute(tp)
			check0(t, err)
			return p.Socket
		}, "was cleared"},
	} {
		tpm, v := swtpm.New(t), newVendor(t, nil)
		dir := v.home(name)
		r := command{bin: bin, env: []string{"LICENSE_AGENT_TPM=" + tpm.Socket}}.start(t, dir)
		r.await()
		code, order := v.code()
		check0(t, r.activate(code))
		check0(t, programCheck(t, v, r))
		r.stop()

		now := command{bin: bin, env: []string{"LICENSE_AGENT_TPM=" + c.lose(tpm)}}
		r = now.start(t, dir)
		if _, ok := <-r.ready; ok {
			t.Fatalf("%s: the agent runs with the key of a chip that is gone", name)
		}
		key := filepath.Join(dir, "license-agent", "state", "device.key")
		for _, words := range []string{"device-key-unusable", c.say, "move " + key + " away"} {
			if !strings.Contains(r.log.String(), words) {
				t.Errorf("%s: not said: %q in\n%s", name, words, r.log)
			}
		}
		r.kill()
		check0(t, os.Rename(key, filepath.Join(dir, "old.key")))
		r = now.start(t, dir)
		r.await()
		if err := r.activate(code); err == nil || !strings.Contains(err.Error(), "code-used-up") {
			t.Fatalf("%s: a second key of one code: %v", name, err)
		}
		check0(t, v.svc.Release(t.Context(), v.newest(order).License, "repaired"))
		check0(t, r.activate(code))
		check0(t, programCheck(t, v, r))
		active := 0
		for _, d := range value(v.svc.Devices(t.Context(), order, 10))(t) {
			if d.Status == "active" {
				active++
			}
		}
		if active != 1 {
			t.Errorf("%s: %d seats after the repair", name, active)
		}
		r.stop()
	}
}

// A counter that cannot be read proves nothing, and is no secret of the life cycle.
func TestCounterThatCannotBeRead(t *testing.T) {
	tpm, dir := swtpm.New(t), filepath.Join(t.TempDir(), "state")
	check0(t, os.Mkdir(dir, 0o700))
	key := value(devicekey.Places{TPM: tpm.Socket}.Open(dir, rand.Reader))(t)
	said := 0
	c := counter(key, func(error) { said++ })
	if n, err := c.Read(); err != nil || n == 0 || said != 0 {
		t.Fatalf("%d %v, said %d times", n, err, said)
	}
	tpm.Stop()
	if _, err := c.Read(); err == nil || said != 1 {
		t.Errorf("%v, said %d times", err, said)
	}
	tpm.Start(t)
	check0(t, key.Close())
}
