//go:build postgres && linux

package merchant

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/docs/promise"
)

// quota is a control group whose processes get a share of the processor time of
// the machine and no more (cgroup v1 and v2 of the Linux kernel's admin guide).
type quota struct {
	t     testing.TB
	dir   string
	share float64 // of the processor time of the machine
}

// quotaPeriod is the time over which the kernel gives out a quota, its default.
const quotaPeriod = 100 * time.Millisecond

func newQuota(t testing.TB, share float64) *quota {
	t.Helper()
	root, v2 := "/sys/fs/cgroup/cpu", false
	if text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil && strings.Contains(string(text), "cpu") {
		root, v2 = "/sys/fs/cgroup", true
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0o644) // or it is so already
	}
	dir, err := os.MkdirTemp(root, "merchant-test-")
	if err != nil {
		t.Fatalf("this test limits processor time and needs root and the cpu controller of cgroups: %v", err)
	}
	q := &quota{t: t, dir: dir, share: share}
	t.Cleanup(func() { must0(t, os.Remove(dir)) }) // empty: its processes have ended
	grant := time.Duration(share * float64(runtime.NumCPU()) * float64(quotaPeriod)).Microseconds()
	if v2 {
		q.write("cpu.max", fmt.Sprintf("%d %d", grant, quotaPeriod.Microseconds()))
	} else {
		q.write("cpu.cfs_period_us", strconv.FormatInt(quotaPeriod.Microseconds(), 10))
		q.write("cpu.cfs_quota_us", strconv.FormatInt(grant, 10))
	}
	return q
}

func (q *quota) write(file, text string) {
	q.t.Helper()
	must0(q.t, os.WriteFile(filepath.Join(q.dir, file), []byte(text), 0o644))
}

func (q *quota) hold(c *child) {
	q.t.Helper()
	q.write("cgroup.procs", strconv.Itoa(c.cmd.Process.Pid))
}

// holds says whether a process is in the group.
func (q *quota) holds(c *child) bool {
	q.t.Helper()
	return strings.Contains(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.cmd.Process.Pid)))(q.t)), filepath.Base(q.dir)+"\n")
}

// used is the processor time that a process has had.
func (c *child) used(t testing.TB) time.Duration {
	t.Helper()
	stat := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid)))(t))
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+2:]) // proc(5): utime is field 14, stime 15, f[0] is field 3
	return time.Duration(must(strconv.Atoi(f[11]))(t)+must(strconv.Atoi(f[12]))(t)) * (time.Second / 100)
}

// scaled is what instances achieved.
type scaled struct {
	rate float64
	cpu  time.Duration // of all instances, per renewal
}

// serveLimited lets devices renew n times in all, on kept connections, against
// processes of which number i may use the processor time of quota i.
func serveLimited(t *testing.T, b *bed, devices []*device, n int, quotas ...*quota) scaled {
	t.Helper()
	var running []*child
	var clients []*http.Client
	var had []time.Duration
	start := time.Now()
	for _, q := range quotas {
		c := startChild(t, b.dir, b.dsn, "")
		q.hold(c)
		kept := c.client.Transport.(*http.Transport).Clone()
		kept.DisableKeepAlives, kept.MaxIdleConnsPerHost = false, loadClients
		kept.TLSClientConfig.CurvePreferences = []tls.CurveID{tls.X25519}
		running, clients = append(running, c), append(clients, &http.Client{Transport: kept})
		had = append(had, c.used(t))
	}
	l := drive(t, n, func(w int) error {
		d, i := devices[w], w%len(running)
		resp, err := clients[i].Post(running[i].url+protocol.PathRenewals, protocol.ContentEnvelope, bytes.NewReader(d.request(license.RequestRenew, "")))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %s", resp.StatusCode, body.Bytes())
		}
		return d.follow(body.Bytes())
	})
	s := scaled{rate: l.rate}
	for i, c := range running {
		s.cpu += c.used(t) - had[i]
		if most := time.Duration(float64(time.Since(start)+quotaPeriod) * quotas[i].share * float64(runtime.NumCPU())); !quotas[i].holds(c) || c.used(t)-had[i] > most {
			t.Errorf("instance %d is not limited: %v of processor time, at most %v", i, c.used(t)-had[i], most)
		}
		clients[i].CloseIdleConnections()
		c.kill(t)
	}
	s.cpu /= time.Duration(n)
	return s
}

// Two instances, each with a quarter of the machine's processor time, against
// one. The database server and the load generator have the rest. As everywhere,
// the time decides nothing: it is written down, beside the processor time per
// renewal, which a busy machine changes less. The control gives both instances
// one quarter together.
func TestTwoInstancesScale(t *testing.T) {
	b := newPostgresBed(t)
	devices := activated(t, b)
	b.close()
	n := promise.Size(500, 20_000)
	const quarter = 0.25
	first, second := newQuota(t, quarter), newQuota(t, quarter)
	one := serveLimited(t, b, devices, n, first)
	two := serveLimited(t, b, devices, n, first, second)
	shared := serveLimited(t, b, devices, n, first, first)
	b.open()
	if lost := lostAnswers(b, devices); lost != 0 {
		t.Errorf("%d answers lost", lost)
	}
	promise.Reached(t, "P27", fmt.Sprintf("PostgreSQL, each instance limited to %.0f %% of %d processors, %d renewals: one %.0f/s, two %.0f/s, that is %.2f times; processor time of the instances %v and %v per renewal",
		100*quarter, runtime.NumCPU(), n, one.rate, two.rate, two.rate/one.rate, one.cpu.Round(time.Microsecond), two.cpu.Round(time.Microsecond)),
		fmt.Sprintf("two instances that share one quarter: %.2f times", shared.rate/one.rate))
}
