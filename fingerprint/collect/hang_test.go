package collect

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe"
)

// TestHangs: whatever hangs, alone or all together, an observation takes the
// time limit and no more (in virtual time), says so, and reads what does not
// hang. The cross-check, where WMI hangs, ends too.
func TestHangs(t *testing.T) {
	const network, disks, firmware = 1, 2, 4
	for hung := 1; hung <= network|disks|firmware; hung++ {
		synctest.Test(t, func(t *testing.T) {
			c, release := healthy(), make(chan struct{})
			defer close(release)
			if hung&network != 0 {
				c.readNetwork = func() fingerprint.Component { <-release; return fingerprint.Component{} }
			}
			if hung&disks != 0 {
				c.readDisks = func() fingerprint.Component { <-release; return fingerprint.Component{} }
			}
			if hung&firmware != 0 {
				c.readFirmware = func() probe.Firmware { <-release; return probe.Firmware{} }
			}
			began := time.Now()
			d := c.Collect(context.Background())
			if took := time.Since(began); took != DefaultTimeout {
				t.Errorf("%03b hangs: it took %v", hung, took)
			}
			for _, p := range []struct {
				fingerprint.Component
				by int
			}{{d.MAC, network}, {d.Disk, disks}, {d.Board, firmware}, {d.CPU, firmware}} {
				want := fingerprint.OK
				if hung&p.by != 0 {
					want = fingerprint.Unreadable
				}
				if p.State != want || want != fingerprint.OK && !strings.Contains(p.Reason, "no answer in time") {
					t.Errorf("%03b hangs: %s is %s (%s), want %s", hung, p.Kind, p.State, p.Reason, want)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, release := healthy(), make(chan struct{})
		defer close(release)
		c.gather = func(context.Context) facts { <-release; return facts{} }
		began := time.Now()
		notes := c.CrossCheck(context.Background())
		if took := time.Since(began); took != 2*DefaultCrossTimeout {
			t.Errorf("the cross-check took %v", took)
		}
		if len(notes) != 1 || !strings.Contains(notes[0], "no answer in time") {
			t.Errorf("notes %q", notes)
		}
	})
}
