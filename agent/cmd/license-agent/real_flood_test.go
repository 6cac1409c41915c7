//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/docs/promise"
)

// drowned is what came of a flood: of the other user's requests, and of the
// renewals meanwhile, each on a TLS connection of its own to the merchant.
type drowned struct {
	Requests, Failures int           // as the helpers of agent/localapi print them
	P99                time.Duration // of the requests
	renewals, refused  int
}

// proveFlood: P32 with the agent as it is shipped and a merchant that it renews
// at, while one user takes whatever he can get. The control is the composition
// without the limits of each user.
func proveFlood(t *testing.T, bin string) {
	helper := filepath.Join(enterable(t), "helper")
	build := exec.Command("go", "test", "-c", "-o", helper, "../../localapi")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the helpers of agent/localapi cannot be built: %v\n%s", err, out)
	}
	idle, slow := promise.Size(300, 2000), promise.Size(100, 900)
	least, long := promise.Size(10, 200), time.Duration(promise.Size(0, 10))*time.Second
	few := []string{"prlimit", "--nofile=256"}
	d := drown(t, command{bin: bin, trace: few}, helper, idle, slow, least, long)
	if d.Failures != 0 || d.Requests == 0 || d.refused != 0 || d.renewals < least {
		t.Errorf("the other user: %d of %d requests failed; %d of %d renewals failed", d.Failures, d.Requests, d.refused, d.renewals)
	}
	bad := drown(t, command{weak: "boundless", trace: few}, helper, 300, 0, 0, 0)
	if bad.Failures == 0 || bad.refused == 0 {
		t.Errorf("control: without limits %d of %d requests and %d of %d renewals failed; both should", bad.Failures, bad.Requests, bad.refused, bad.renewals)
	}
	promise.Reached(t, "P32", fmt.Sprintf("license-agent run with 256 descriptors, %d idle and %d half-sent connections, renewed when ended, plus requests without pause by one uid: other uid %d/%d failures, p99 %v; outgoing: %d/%d failures of renewals over TLS",
		idle, slow, d.Failures, d.Requests, d.P99.Round(10*time.Microsecond), d.refused, d.renewals),
		fmt.Sprintf("limits off: %d of %d requests and %d of %d renewals fail", bad.Failures, bad.Requests, bad.refused, bad.renewals))
}

// enterable is a directory that other users can enter.
func enterable(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test acts as several users and needs root: run it with sudo")
	}
	dir := quickDir(t)
	check0(t, os.Chmod(dir, 0o755))
	return dir
}

// drown lets one user flood an agent while another one asks and the agent renews.
func drown(t *testing.T, c command, helper string, idle, slow, least int, long time.Duration) (d drowned) {
	t.Helper()
	v := newVendor(t, nil)
	dir := filepath.Join(enterable(t), "agent")
	v.furnish(dir)
	r := c.start(t, dir)
	r.await()
	code, _ := v.code()
	check0(t, r.activate(code))
	as := func(uid uint32, mode string, env ...string) *exec.Cmd {
		cmd := exec.Command(helper)
		cmd.Env = append([]string{"LOCALAPI_HELPER=" + mode, "LOCALAPI_SOCKET=" + filepath.Join(dir, "license-agent", "run", "agent.sock"), "GORACE=" + os.Getenv("GORACE")}, env...)
		cmd.Dir, cmd.Stderr = "/", os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	flooder := as(65534, "flood", "LOCALAPI_IDLE="+strconv.Itoa(idle), "LOCALAPI_SLOW="+strconv.Itoa(slow))
	stop := value(flooder.StdinPipe())(t)
	said := value(flooder.StdoutPipe())(t)
	check0(t, flooder.Start())
	defer func() {
		_ = stop.Close()
		_ = flooder.Wait()
	}()
	if _, err := io.ReadFull(said, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("the flood did not begin: %v\n%s", err, r.log)
	}
	capState, patience := "on", time.Minute // a busy machine does not decide
	if c.weak != "" {
		capState, patience = "off", 3*time.Second // for what never comes
	}
	honest := as(1000, "honest", "LOCALAPI_ASKS="+strconv.Itoa(promise.Size(40, 400)), "LOCALAPI_LASTS="+long.String(), "LOCALAPI_CAP="+capState)
	if c.weak != "" {
		honest.Env = append(honest.Env, "LOCALAPI_ASKS=2")
	}
	answered := make(chan struct{})
	var out []byte
	var failed error
	go func() {
		defer close(answered)
		out, failed = honest.Output()
	}()
	for busy := true; busy || d.renewals < least; {
		select {
		case <-answered:
			busy = false
		default:
		}
		d.renewals++
		within, cancel := context.WithTimeout(t.Context(), patience)
		if _, err := r.client().Renew(within, api.KeyRequest{}); err != nil {
			d.refused++
		}
		cancel()
	}
	check0(t, failed)
	check0(t, json.Unmarshal(out, &d))
	return d
}
