//go:build linux

package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/fingerprint"
	"licenseagent.example/platform/ipc"
)

// hasty gives its first answer at once, as the agent did before.
type hasty struct{ localapi.Licenses }

func (hasty) Settled() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// serve answers programs on a socket like the service; it is not running yet.
func (b *bench) serve(licenses localapi.Licenses) *client.Checker {
	b.t.Helper()
	socket := filepath.Join(b.t.TempDir(), "s")
	ln, err := ipc.Listen(socket, ipc.Options{})
	b.must(err)
	s, err := localapi.New(localapi.Config{Licenses: licenses, Now: time.Now, Identify: localapi.FromKernel(nil), Process: ipc.ProcessOf})
	b.must(err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	b.t.Cleanup(func() { b.must(errors.Join(s.Shutdown(context.Background()), <-done)) })
	return &client.Checker{
		Anchor: b.anchor, Client: &client.Client{Socket: socket, Timeout: time.Minute},
		Observe: func() fingerprint.Device { return b.under.Collect(context.Background()) },
		Clock:   func() (int64, time.Duration) { return b.now, time.Duration(b.now) * time.Second },
	}
}

// run keeps the agent alive; the function that it returns stops it.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.daemon.Run(ctx) }()
	return func() {
		b.t.Helper()
		cancel()
		b.must(<-done)
	}
}

// ask is what a program and an operator are told: the answer to a check that
// the program verifies itself, and the status.
func ask(k *client.Checker) string {
	v, err := k.Check(context.Background(), "painter")
	var e *api.Error
	check := fmt.Sprint(v.Phase, " ", v.Runs)
	if errors.As(err, &e) {
		check = e.Code
	}
	st, err := k.Client.Status(context.Background())
	if err != nil || len(st.Licenses) != 1 {
		return fmt.Sprint(check, ", ", err)
	}
	return check + ", " + st.Licenses[0].Verdict.Phase
}

// A virtual machine that comes back with a new address and nothing else to know
// it by has an answer that is not no: nobody is answered until the contact has
// ended. The control answers before it.
func TestContactComesBeforeTheFirstAnswer(t *testing.T) {
	v := newVendor(t, nil)
	for _, c := range []struct {
		name, want string
		control    bool
	}{
		{"shipped", "active true, active", false},
		{"control: it answers at once", "agent-wrong-device, wrong-device", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := v.machine(t).onDisk()
			b.boot("vm-kvm", bare()...)
			b.activate("balanced")
			sold := b.claims().ID
			underWay, let, contacts := make(chan struct{}), make(chan struct{}), 0
			b.before = func() {
				if contacts++; contacts == 1 {
					close(underWay)
					<-let
				}
			}
			b.boot("vm-kvm", remade("fa:16:3e:44:55:66")...)
			k := b.serve(b.daemon)
			if c.control {
				k = b.serve(hasty{b.daemon})
			}
			serial := b.daemon.Serial()
			defer b.run()()
			<-underWay
			answer := make(chan string, 1)
			go func() { answer <- ask(k) }()
			if c.control {
				if got := <-answer; got != c.want {
					t.Errorf("before the contact has ended: %s, want %s", got, c.want)
				}
				close(let)
				<-b.daemon.Settled()
				return
			}
			select {
			case <-b.daemon.Settled():
				t.Error("answers are given while the contact is under way")
			default:
			}
			close(let)
			if got := <-answer; got != c.want {
				t.Errorf("the first answer: %s, want %s", got, c.want)
			}
			for _, e := range b.daemon.Events(canceled(), serial).Events {
				if !e.Runs {
					t.Errorf("an event says no: %+v", e)
				}
			}
			if got := b.claims().ID; got != sold || contacts != 1 {
				t.Errorf("license %s after %d contacts, sold was %s", got, contacts, sold)
			}
		})
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A copy without network gains a wait and no answer: for twenty seconds it is
// told nothing, then no, however often it is started from the same copy.
func TestCopyGainsNothingByTheWait(t *testing.T) {
	v := newVendor(t, nil)
	b := v.machine(t)
	b.boot("vm-kvm", bare()...)
	b.activate("balanced")
	stolen, err := b.memory.Load()
	b.must(err)
	attempts := 0
	b.down, b.before = true, func() { attempts++ }
	start := func(settles time.Duration, contacts int) {
		t.Helper()
		attempts = 0
		synctest.Test(t, func(t *testing.T) {
			b.boot("vm-kvm", remade("fa:16:3e:44:55:66")...)
			began := time.Now()
			stop := b.run()
			for settled := false; !settled; {
				if c, err := b.daemon.Check("painter", "", make([]byte, 32), ""); err != nil || bytes.Contains(c.Verdict, []byte(`"runs":true`)) {
					t.Fatalf("%v after the start: %s, %v", time.Since(began), c.Verdict, err)
				}
				select {
				case <-b.daemon.Settled():
					settled = true
				case <-time.After(time.Second): // virtual time
				}
			}
			if took := time.Since(began); took != settles || attempts != contacts {
				t.Errorf("it settled after %v and %d contacts, want %v and %d", took, attempts, settles, contacts)
			}
			b.wants("off line", "wrong-device", "other-device", "drift")
			stop()
		})
	}
	start(20*time.Second, 4)
	start(0, 0) // a second start has asked already
	for range 3 {
		b.memory = activation.NewMemory()
		b.must(b.memory.Apply(activation.Change{Put: stolen.Records, KeySets: stolen.KeySets, Clock: &stolen.Clock}))
		start(20*time.Second, 4)
	}
}

// With network the merchant decides: a copy that comes after its original is
// refused, and one that comes first is found out by the original's next contact.
func TestCopyThatAsksFirst(t *testing.T) {
	v := newVendor(t, nil)
	b := v.machine(t)
	settle := func(changes ...string) {
		b.boot("vm-kvm", changes...)
		stop := b.run()
		<-b.daemon.Settled()
		stop()
	}
	load := func() activation.State {
		s, err := b.memory.Load()
		b.must(err)
		return s
	}
	put := func(s activation.State) {
		b.memory = activation.NewMemory()
		b.must(b.memory.Apply(activation.Change{Put: s.Records, KeySets: s.KeySets, Clock: &s.Clock}))
	}
	var refused *activation.RefusedError
	settle(bare()...)
	b.activate("balanced")
	copied := load()
	b.must(b.renew()) // the original is one step further
	original := load()
	put(copied)
	settle(remade("fa:16:3e:44:55:66")...)
	b.wants("a copy that comes late", "wrong-device", "other-device", "drift")

	put(original)
	b.boot("vm-kvm", bare()...)
	if err := b.renew(); err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	b.wants("the original is told", "active", "valid", "contested")

	b = v.machine(t)
	settle(bare()...)
	b.activate("balanced")
	copied = load()
	settle(remade("fa:16:3e:44:55:66")...)
	b.wants("a copy that comes first", "active", "valid")
	put(copied)
	b.boot("vm-kvm", bare()...)
	if err := b.renew(); !errors.As(err, &refused) || refused.Code != string(protocol.CodeDeviceMismatch) {
		t.Errorf("the original afterwards: %v", err)
	}
	info, err := v.svc.Device(context.Background(), b.claims().ID)
	if b.must(err); info.Contested == 0 {
		t.Error("nobody notices the copy")
	}
}
