//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
)

// quietListener is a socket that nobody connects to.
type quietListener chan struct{}

func (l quietListener) Accept() (net.Conn, error) { <-l; return nil, net.ErrClosed }
func (l quietListener) Close() error              { close(l); return nil }
func (l quietListener) Addr() net.Addr            { return &net.UnixAddr{Name: "quiet", Net: "unix"} }

// The service manager is told "ready" when the contact that comes before the
// first answer has ended, or the wait for it, and not before: what it starts
// next gets an answer. An agent that is stopped meanwhile was never ready.
func TestReadyAfterTheFirstContact(t *testing.T) {
	const sold, remade = "FA:16:3E:1B:72:0C", "FA:16:3E:44:55:66"
	slow := 3 * time.Second
	for _, c := range []struct {
		name string
		mac  string
		lost int           // attempts that do not reach the merchant
		stop time.Duration // when the agent is stopped
		want []string
	}{
		{"nothing to ask", sold, 0, time.Minute, []string{"0s ready"}},
		{"the merchant answers", remade, 0, time.Minute, []string{"0s asked", "3s answered", "3s ready"}},
		{"at the second attempt", remade, 1, time.Minute, []string{"0s asked", "3s lost", "5s asked", "8s answered", "8s ready"}},
		{"it is not there", remade, 99, time.Minute, []string{"0s asked", "3s lost", "5s asked", "8s lost", "12s asked", "15s lost", "20s ready"}},
		{"stopped meanwhile", remade, 99, 4 * time.Second, []string{"0s asked", "3s lost"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				machine := activationtest.NewMachine(c.name)
				merchant := activationtest.NewMerchant("acme", machine.Clock.Wall)
				merchant.AddCode("CODE", activationtest.Offer{})
				boot := func(mac string) *agent.Daemon {
					machine.Lone(mac)
					return value(agent.New(agent.Config{Activation: machine.Config(merchant), Version: api.Version{Version: "test"}}))(t)
				}
				value(boot(sold).Activate(t.Context(), api.ActivateRequest{Code: "CODE"}, api.English))(t)
				began, lost := time.Now(), c.lost
				var saw []string
				see := func(what string) { saw = append(saw, fmt.Sprint(time.Since(began), " ", what)) }
				merchant.Before = func(*license.Request) error {
					see("asked")
					time.Sleep(slow) // stands for a slow merchant
					if lost--; lost >= 0 {
						see("lost")
						return activation.ErrUnreachable
					}
					see("answered")
					return nil
				}
				p := &parts{daemon: boot(c.mac), listener: make(quietListener)}
				p.server = value(localapi.New(localapi.Config{Licenses: p.daemon, Identify: localapi.FromKernel(nil), Now: time.Now}))(t)
				ctx, cancel := context.WithTimeout(t.Context(), c.stop)
				defer cancel()
				check0(t, p.run(ctx, func() { see("ready") }))
				if !slices.Equal(saw, c.want) {
					t.Errorf("%q, want %q", saw, c.want)
				}
			})
		})
	}
}
