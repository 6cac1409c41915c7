//go:build linux

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Step is one thing that somebody does to the clock of this machine; the status
// is printed after each.
type Step struct {
	Name   string `json:"name"`
	Shift  int64  `json:"shift"`  // seconds by which the wall clock is set
	Freeze int64  `json:"freeze"` // seconds for which it is held where it is
	Kill   bool   `json:"kill"`   // kill -9 of the agent before, a new start after
}

const (
	agentDir = "/run/a"
	vendor   = "/run/m"
)

// clockAttack makes this machine vendor and customer at once, activates a
// license, takes the vendor away and plays with the clock. With a wrong date the
// agent runs before that, and the date is put right while it is not running.
func clockAttack(wrong int64, steps []Step) error {
	if err := loopback(); err != nil {
		return err
	}
	tool := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Env = []string{"PATH=/", "HOME=/", "LICENSE_MERCHANT_DIR=" + vendor, "LICENSE_AGENT_DIR=" + agentDir}
		c.Stdout, c.Stderr = os.Stdout, os.Stdout
		return c
	}
	if err := os.Chmod("/license-merchant", 0o755); err != nil {
		return err
	}
	start := func() (*exec.Cmd, error) {
		a := tool("/license-agent", "run")
		err := a.Start()
		// Ends with 3 while nothing is held; what counts is that it has waited.
		_ = tool("/license-agent", "status", "--wait", "60s").Run()
		return a, err
	}
	if wrong != 0 {
		if err := turn(Step{Shift: wrong}); err != nil {
			return err
		}
		agent, err := start()
		if err != nil {
			return err
		}
		if err := errors.Join(tell("wrong from the start"), agent.Process.Signal(os.Interrupt)); err != nil {
			return err
		}
		if err := errors.Join(agent.Wait(), turn(Step{Shift: -wrong})); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"init", "--issuer", "acme", "--tls", "loopback"},
		{"codes", "add", "--product", "painter", "--valid-days", "30", "--renew", "20d", "--grace", "5d", "--out", "/run/code"},
	} {
		if err := tool("/license-merchant", args...).Run(); err != nil {
			return fmt.Errorf("license-merchant %s: %w", args[0], err)
		}
	}
	merchant := tool("/license-merchant", "serve", "--listen", "127.0.0.1:0", "--address-file", "/run/address")
	if err := merchant.Start(); err != nil {
		return err
	}
	for range 600 {
		if _, err := os.Stat("/run/address"); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	anchor, err := os.ReadFile(filepath.Join(vendor, "anchor.json"))
	if err != nil {
		return err
	}
	anchors := filepath.Join(agentDir, "license-agent", "etc", "anchors")
	if err := errors.Join(os.MkdirAll(anchors, 0o755), os.WriteFile(filepath.Join(anchors, "acme.json"), anchor, 0o644)); err != nil {
		return err
	}
	agent, err := start()
	if err != nil {
		return err
	}
	if wrong != 0 {
		if err := tell("put right, nobody asked yet"); err != nil {
			return err
		}
	}
	if err := tool("/license-agent", "activate", "--code-file", "/run/code", "--yes").Run(); err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	if err := errors.Join(merchant.Process.Kill(), tell("activated")); err != nil {
		return err
	}
	_ = merchant.Wait() // killed
	for _, s := range steps {
		if s.Kill {
			if err := agent.Process.Kill(); err != nil {
				return err
			}
			_ = agent.Wait() // killed
		}
		if err := turn(s); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		if s.Kill {
			if agent, err = start(); err != nil {
				return err
			}
		}
		if err := tell(s.Name); err != nil {
			return err
		}
	}
	return nil
}

// loopback switches lo on.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// turn sets or holds the wall clock.
func turn(s Step) error {
	at := time.Now().Add(time.Duration(s.Shift) * time.Second)
	for began := boottime(); ; time.Sleep(50 * time.Millisecond) {
		ts := unix.NsecToTimespec(at.UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
			return err
		}
		if boottime()-began >= s.Freeze {
			return nil
		}
	}
}

func boottime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return ts.Sec
}

// tell prints the status and the clocks of the machine for the host.
func tell(name string) error {
	c := exec.Command("/license-agent", "status", "--output", "json")
	c.Env = []string{"PATH=/", "HOME=/", "LICENSE_AGENT_DIR=" + agentDir}
	out, err := c.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	b, err := json.Marshal(map[string]any{"name": name, "boot": boottime(), "wall": time.Now().Unix(), "status": json.RawMessage(out)})
	if err != nil {
		return fmt.Errorf("status said %q: %w", out, err)
	}
	fmt.Printf("\n@@CLOCK@@%s@@END@@\n", base64.StdEncoding.EncodeToString(b))
	return nil
}
