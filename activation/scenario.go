package activation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"licenseagent.example/fingerprint"
)

// ErrScenario is returned when the text of a scenario cannot be understood.
var ErrScenario = errors.New("activation: scenario")

// ScenarioText is a Scenario as people type it, the same on the device and at
// the vendor.
type ScenarioText struct {
	Offline                   string   // time from now without contact: 36h, 45d
	Clock                     string   // change of the wall clock: -3h, 30d
	Drop                      []string // PART (all its values) or PART=N
	Replace, Unreadable       []string // PART
	Behind, Contested, Cloned bool
}

// Scenario reads it. Parts are nic (or mac), disk, board and cpu. Error:
// ErrScenario, with the option in question.
func (t ScenarioText) Scenario() (Scenario, error) {
	s := Scenario{Behind: t.Behind, Contested: t.Contested, Clone: t.Cloned}
	var err error
	if s.Offline, err = scenarioSeconds(t.Offline); err != nil {
		return s, fmt.Errorf("%w: --offline: %w", ErrScenario, err)
	}
	if s.Offline < 0 {
		return s, fmt.Errorf("%w: --offline %s lies in the past", ErrScenario, t.Offline)
	}
	if s.ClockShift, err = scenarioSeconds(t.Clock); err != nil {
		return s, fmt.Errorf("%w: --clock: %w", ErrScenario, err)
	}
	if s.Replaced, err = scenarioParts("--replace", t.Replace); err != nil {
		return s, err
	}
	if s.Unreadable, err = scenarioParts("--unreadable", t.Unreadable); err != nil {
		return s, err
	}
	for _, text := range t.Drop {
		name, number, counted := strings.Cut(text, "=")
		parts, err := scenarioParts("--drop", []string{name})
		if err != nil {
			return s, err
		}
		l := Loss{Kind: parts[0]}
		if counted {
			n, err := strconv.ParseInt(number, 10, 16)
			if err != nil || n < 1 {
				return s, fmt.Errorf("%w: --drop %s: want PART=N with a number from 1", ErrScenario, text)
			}
			l.Count = int(n)
		}
		if slices.ContainsFunc(s.Drop, func(other Loss) bool { return other.Kind == l.Kind }) {
			return s, fmt.Errorf("%w: --drop names %s twice", ErrScenario, name)
		}
		s.Drop = append(s.Drop, l)
	}
	return s, nil
}

func scenarioParts(option string, names []string) ([]fingerprint.Kind, error) {
	var kinds []fingerprint.Kind
	for _, name := range names {
		switch k := fingerprint.Kind(name); {
		case name == "nic":
			kinds = append(kinds, fingerprint.MAC)
		case k == fingerprint.MAC, k == fingerprint.Disk, k == fingerprint.Board, k == fingerprint.CPU:
			kinds = append(kinds, k)
		default:
			return nil, fmt.Errorf("%w: %s: %q is none of nic, disk, board, cpu", ErrScenario, option, name)
		}
	}
	return kinds, nil
}

// scenarioSeconds reads a duration that may be given in days; "" is none.
func scenarioSeconds(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil {
			return n * 86400, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil {
		return int64(d / time.Second), nil
	}
	return 0, fmt.Errorf("%q is not a duration such as 36h or 40d", text)
}

// In is what Decide is given when the scenario happens to a device whose clock
// was right until now: how a vendor sees it, who has no clock evidence. seen is
// the newest observation; the second result is that of the scenario.
func (s Scenario) In(in Inputs, seen []fingerprint.Seen) (Inputs, []fingerprint.Seen) {
	held := ClockState{HighWater: in.Now, BootID: "scenario", Ticked: true}
	in.Now, in.Clock = held.Believe(Reading{Wall: in.Now + s.Offline + s.ClockShift, Boot: s.Offline, BootID: held.BootID})
	return s.apply(in, seen)
}

// apply does what a scenario does beside the passing of time.
func (s Scenario) apply(in Inputs, seen []fingerprint.Seen) (Inputs, []fingerprint.Seen) {
	// The clock goes on being written while nothing is asked of the merchant.
	in.Clock.Behind = s.Behind
	in.Contested = in.Contested || s.Contested
	if in.License == nil {
		return in, seen
	}
	e, was := enrolled(in.License), in.Comparison.Outcome
	seen = s.Seen(e, seen)
	in.Comparison = fingerprint.CompareSeen(in.License.Device.Policy, e, seen)
	if in.Comparison.Outcome != was {
		in.Worse = Worse{}.After(in.Comparison, in.Now)
	}
	return in, seen
}
