//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/activation/license"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/fingerprint"
)

// quietListener is a socket that nobody connects to.
type quietListener chan struct{}

func (l quietListener) Accept() (net.Conn, error) { <-l; return nil, net.ErrClosed }
func (l quietListener) Close() error              { close(l); return nil }
func (l quietListener) Addr() net.Addr            { return &net.UnixAddr{Name: "quiet", Net: "unix"} }

// quietParts is a service that nobody asks.
func quietParts(t *testing.T, d *agent.Daemon) *parts {
	t.Helper()
	server := value(localapi.New(localapi.Config{Licenses: d, Identify: localapi.FromKernel(nil), Now: time.Now}))(t)
	return &parts{daemon: d, server: server, listener: make(quietListener)}
}

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
				p := quietParts(t, boot(c.mac))
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

// toldManager is the socket of a service manager. It is read without waiting,
// because virtual time does not go on while somebody waits for a real socket;
// what was sent is in its queue when the sender goes on.
type toldManager int

func newToldManager(t *testing.T) toldManager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	fd := value(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0))(t)
	t.Cleanup(func() { unix.Close(fd) }) //nolint:errcheck // nothing was written
	check0(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	t.Setenv("NOTIFY_SOCKET", path)
	return toldManager(fd)
}

// kicks counts what the watchdog was fed since the last call.
func (m toldManager) kicks(t *testing.T) (n int) {
	t.Helper()
	for b := make([]byte, 4096); ; {
		size, _, err := unix.Recvfrom(int(m), b, 0)
		if err == unix.EAGAIN {
			return n
		}
		check0(t, err)
		n += strings.Count(string(b[:size]), "WATCHDOG=1")
	}
}

// The service manager's watchdog is fed while the renewal loop turns. While the
// loop is stuck, here in hardware that does not answer, the process and its timers
// go on, and yet nothing is sent: the manager ends it. What counts as stuck is
// tested with the loop, in package agent; this is what run makes of it.
func TestWatchdogOfAStuckLoop(t *testing.T) {
	manager := newToldManager(t)
	t.Setenv("WATCHDOG_USEC", "60000000") // WatchdogSec=60s of the unit
	t.Setenv("WATCHDOG_PID", "")
	synctest.Test(t, func(t *testing.T) {
		machine := activationtest.NewMachine("stuck")
		cfg := machine.Config(activationtest.NewMerchant("acme", machine.Clock.Wall))
		observe, hung, gate := cfg.Observe, false, make(chan struct{}, 1)
		gate <- struct{}{}
		cfg.Observe = func() fingerprint.Device {
			hung = true
			<-gate
			gate <- struct{}{}
			hung = false
			return observe()
		}
		p := quietParts(t, value(agent.New(agent.Config{Activation: cfg, Version: api.Version{Version: "test"}}))(t))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.run(ctx, func() {}) }()
		// minutes lets time pass. The queue of a socket is short, so it is emptied at
		// each step.
		minutes := func(n int) (kicks int) {
			for range 2 * n {
				time.Sleep(30 * time.Second) // polls: virtual time
				synctest.Wait()
				kicks += manager.kicks(t)
			}
			return kicks
		}
		if n := minutes(10); n < 18 || n > 20 {
			t.Errorf("fed %d times in ten minutes, want one in 30 s", n)
		}
		<-gate
		machine.Clock.Advance(7 * 3600) // the hardware is looked at again
		minutes(10)                     // long enough to be called stuck
		if n := minutes(10); n != 0 || !hung {
			t.Errorf("fed %d times while the loop is stuck (%v)", n, hung)
		}
		gate <- struct{}{}
		minutes(2)
		if n := minutes(10); n < 18 {
			t.Errorf("fed %d times in ten minutes when it goes on", n)
		}
		cancel()
		check0(t, <-ended)
	})
}
