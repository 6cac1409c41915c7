package collect

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
)

func ok(k fingerprint.Kind, text string) fingerprint.Component {
	return fingerprint.Component{Kind: k, State: fingerprint.OK, Values: []fingerprint.Value{{Text: text, Source: "test x"}}}
}

// healthy is a collector over a machine that answers at once.
func healthy() *Collector {
	return &Collector{
		readNetwork: func() fingerprint.Component { return ok(fingerprint.MAC, "b0:26:28:00:00:01") },
		readDisks:   func() fingerprint.Component { return ok(fingerprint.Disk, "DISK-1A") },
		readFirmware: func() probe.Firmware {
			return probe.Firmware{
				Board: ok(fingerprint.Board, "MB-1A"), CPU: ok(fingerprint.CPU, "BFEBFBFF000206A7"),
				Env: fingerprint.Environment{Kind: fingerprint.Virtual, Name: "kvm", Reason: "test"}, Notes: []string{"of the probe"},
			}
		},
		gather: func(context.Context) facts { return facts{} },
	}
}

// TestCollect joins the parts.
func TestCollect(t *testing.T) {
	d := healthy().Collect(context.Background())
	if got := fingerprint.Format(d).String; got != "B0:26:28:00:00:01|DISK-1A|MB-1A|BFEBFBFF000206A7" {
		t.Errorf("got %s", got)
	}
	if d.Env.Name != "kvm" || !cmp.Equal(d.Notes, []string{"of the probe"}) {
		t.Errorf("environment %+v, notes %q", d.Env, d.Notes)
	}
}

// TestBlocked: a part that blocks is unreadable, the others are read, and only
// one read waits, however often Collect is called.
func TestBlocked(t *testing.T) {
	release := make(chan struct{})
	var started atomic.Int32
	c := healthy()
	free, network, firmware := c.readDisks, c.readNetwork, c.readFirmware
	c.readDisks = func() fingerprint.Component { started.Add(1); <-release; return free() }
	for range 50 {
		// The caller's patience ends once the network was read.
		ctx, cancel := context.WithCancel(context.Background())
		read := make(chan struct{})
		c.readNetwork = func() fingerprint.Component { defer close(read); return network() }
		c.readFirmware = func() probe.Firmware {
			<-read
			<-c.network.last.done
			cancel()
			return firmware()
		}
		d := c.Collect(ctx)
		if d.Disk.State != fingerprint.Unreadable || !strings.Contains(d.Disk.Reason, "no answer in time") {
			t.Fatalf("blocked disk: %+v", d.Disk)
		}
		if d.MAC.State != fingerprint.OK {
			t.Fatalf("the network suffered, too: %+v", d.MAC)
		}
		<-c.firmware.last.done
	}
	if started.Load() != 1 {
		t.Errorf("%d reads were started", started.Load())
	}
	close(release)
	c.readFirmware = firmware
	<-c.disks.last.done
	if d := c.Collect(context.Background()); d.Disk.State != fingerprint.OK || started.Load() != 2 {
		t.Errorf("after the device came back: %+v", d.Disk)
	}
}

// TestPanic: a reader that panics makes its part unreadable.
func TestPanic(t *testing.T) {
	c := healthy()
	c.readNetwork = func() fingerprint.Component { panic("index out of range") }
	c.readFirmware = func() probe.Firmware { return []probe.Firmware{}[len(c.notes)] }
	d := c.Collect(context.Background())
	for _, part := range []fingerprint.Component{d.MAC, d.Board, d.CPU} {
		if part.State != fingerprint.Unreadable || !strings.Contains(part.Reason, "the reader failed") {
			t.Errorf("%s: %+v", part.Kind, part)
		}
	}
	if d.Disk.State != fingerprint.OK {
		t.Errorf("the disk suffered, too: %+v", d.Disk)
	}
}

// TestEnvironmentIsRemembered: when the firmware does not answer, the class of
// machine is the one that was seen before.
func TestEnvironmentIsRemembered(t *testing.T) {
	c := healthy()
	c.Collect(context.Background())
	c.readFirmware = func() probe.Firmware { panic("gone") }
	if d := c.Collect(context.Background()); d.Env.Kind != fingerprint.Virtual {
		t.Errorf("environment %+v", d.Env)
	}
	c = healthy()
	c.readFirmware = func() probe.Firmware { panic("gone") }
	if d := c.Collect(context.Background()); d.Env.Kind != fingerprint.Physical || !strings.Contains(d.Env.Reason, "not known") {
		t.Errorf("environment %+v", d.Env)
	}
}

// TestCancelled: a caller that gives up gets an answer all the same.
func TestCancelled(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := healthy()
	c.readNetwork = func() fingerprint.Component { <-release; return fingerprint.Component{} }
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if d := c.Collect(ctx); d.MAC.State != fingerprint.Unreadable {
		t.Errorf("got %+v", d.MAC)
	}
}

// TestCrossCheckNotes: what the cross-check finds stands in later observations,
// until the next one.
func TestCrossCheckNotes(t *testing.T) {
	c := healthy()
	c.gather = func(context.Context) facts { return facts{Board: "ANOTHER-77X"} }
	notes := c.CrossCheck(context.Background())
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "board: ") || strings.Contains(notes[0], "ANOTHER-77X") {
		t.Fatalf("notes %q", notes)
	}
	want := append([]string{"of the probe"}, notes...)
	notes[0] = "the caller's to change"
	for range 2 {
		if d := c.Collect(context.Background()); !cmp.Equal(d.Notes, want) {
			t.Fatalf("notes of the observation %q, want %q", d.Notes, want)
		}
	}
	c.gather = func(context.Context) facts { return facts{} }
	if notes := c.CrossCheck(context.Background()); len(notes) != 0 {
		t.Errorf("notes %q", notes)
	}
	c.gather = func(context.Context) facts { panic("COM") }
	if notes := c.CrossCheck(context.Background()); len(notes) != 1 || !strings.Contains(notes[0], "COM") {
		t.Errorf("notes %q", notes)
	}
	release := make(chan struct{})
	defer close(release)
	c.gather, c.CrossTimeout = func(context.Context) facts { <-release; return facts{} }, time.Millisecond
	if notes := c.CrossCheck(context.Background()); len(notes) != 1 || !strings.Contains(notes[0], "no answer in time") {
		t.Errorf("notes %q", notes)
	}
	if d := c.Collect(context.Background()); d.Board.State != fingerprint.OK {
		t.Errorf("a hanging cross-check changed the board: %+v", d.Board)
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	c := healthy()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if i%4 == 0 {
				c.CrossCheck(context.Background())
				return
			}
			if d := c.Collect(context.Background()); d.Board.State != fingerprint.OK {
				t.Errorf("%+v", d.Board)
			}
		})
	}
	wg.Wait()
}

// TestLive observes this machine and asks the second sources about it.
func TestLive(t *testing.T) {
	var c Collector
	d := c.Collect(context.Background())
	direct := probe.Host{}.Read()
	if diff := cmp.Diff(direct, d); diff != "" {
		t.Errorf("Collect differs from the probe (-probe +collect):\n%s", diff)
	}
	for _, n := range c.CrossCheck(context.Background()) {
		if runtime.GOOS == "linux" && strings.HasPrefix(n, "cross-check: ") { // Wine's WMI lacks columns
			t.Errorf("a source failed on this machine: %s", n)
		}
		t.Log(n)
	}
}
