//go:build e2e && windows

package wine

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows/registry"

	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/platform/paths"
)

// observations is how often the collection is timed; the best one counts,
// because the machine has other work as well.
const observations = 7

// TestThisMachine is the Windows side of TestChosenMachines: it reads this
// machine's hardware, starts the agent on it, and reports what the agent thinks.
func TestThisMachine(t *testing.T) {
	var o order
	must(t, json.Unmarshal([]byte(given(t, "E2E_ORDER")), &o))
	k, _, err := registry.CreateKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.SET_VALUE|registry.QUERY_VALUE)
	must(t, err)
	defer k.Close()
	must(t, k.SetStringValue("MachineGuid", o.GUID))
	var r report
	r.GUID, _, err = k.GetStringValue("MachineGuid")
	must(t, err)

	var seen struct {
		Fingerprint string `json:"fingerprint"`
		Environment struct {
			Kind string `json:"kind"`
		} `json:"environment"`
		Components []struct {
			Kind   string            `json:"kind"`
			Values []json.RawMessage `json:"values"`
		} `json:"components"`
	}
	until(t, "Wine knows the disk", func() bool {
		out, code := command(t, o.Program, "fingerprint", "--output", "json")
		if code != 0 {
			t.Fatalf("fingerprint: exit %d\n%s", code, out)
		}
		must(t, json.Unmarshal([]byte(out), &seen))
		return !o.Disk || len(seen.Components[1].Values) > 0
	})
	r.Fingerprint, r.Class = seen.Fingerprint, seen.Environment.Kind
	for range observations {
		start := time.Now()
		(&collect.Collector{}).Collect(t.Context())
		r.Collected = append(r.Collected, time.Since(start).Round(100*time.Microsecond))
	}

	layout, err := paths.Under(o.Dir, "")
	must(t, err)
	i := instance{program: o.Program, pipe: layout.Socket, flags: []string{"--dir", o.Dir}}
	if o.Code != "" {
		anchor, err := os.ReadFile(o.Anchor)
		must(t, err)
		must(t, os.MkdirAll(filepath.Join(layout.Config, "anchors"), 0o755))
		must(t, os.WriteFile(filepath.Join(layout.Config, "anchors", "acme.json"), anchor, 0o644))
	}
	stop := i.runs(t)
	defer stop()
	if o.Code != "" {
		i.activate(t, o.Code)
	}
	out, code := i.agent(t, "why", "--output", "json")
	if code != 0 && code != 3 {
		t.Fatalf("why: exit %d\n%s", code, out)
	}
	var why struct {
		License struct {
			Verdict struct {
				Phase string   `json:"phase"`
				Flags []string `json:"flags"`
			} `json:"verdict"`
		} `json:"license"`
		Settled *struct {
			Phase string `json:"phase"`
		} `json:"settled"`
	}
	must(t, json.Unmarshal([]byte(out), &why))
	r.Phase, r.Flags = why.License.Verdict.Phase, why.License.Verdict.Flags
	r.Settled = r.Phase
	if why.Settled != nil {
		r.Settled = why.Settled.Phase
	}
	b, err := json.Marshal(r)
	must(t, err)
	must(t, os.WriteFile(given(t, "E2E_REPORT"), b, 0o644))
}

// runs starts the agent as a program of this user and waits until its pipe can
// be opened.
func (i instance) runs(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, i.program, append(i.flags[:len(i.flags):len(i.flags)], "run")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	must(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	until(t, "the agent answers", func() bool {
		select {
		case err := <-done:
			t.Fatalf("the agent ended: %v", err)
		default:
		}
		timeout := time.Second
		c, err := winio.DialPipe(i.pipe, &timeout)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return func() { cancel(); <-done }
}
