package activation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"licenseagent.example/activation"
	"licenseagent.example/activation/activationtest"
	"licenseagent.example/fingerprint"
)

// toleranceOf is what a preset says of a machine after a change.
func toleranceOf(t *testing.T, preset string, change func(*fingerprint.Device)) activation.Tolerance {
	t.Helper()
	p, err := fingerprint.Preset(preset)
	if err != nil {
		t.Fatal(err)
	}
	now := activationtest.Hardware("one")
	enrolled := fingerprint.Enroll(make([]byte, 32), now)
	change(&now)
	return activation.ToleranceOf(fingerprint.Compare(p, enrolled, now))
}

func TestToleranceWarnsBeforeTheBreak(t *testing.T) {
	other := activationtest.Hardware("other")
	gone := func(k fingerprint.Kind, s fingerprint.State) fingerprint.Component {
		return fingerprint.Component{Kind: k, State: s, Reason: "test"}
	}
	for _, c := range []struct {
		name, preset   string
		change         func(*fingerprint.Device)
		warn, single   bool
		left           int
		lost, unread   string
		english, china string // part of the sentence
	}{
		{"nothing", "balanced", func(*fingerprint.Device) {}, false, false, 4, "[]", "[]", "every enrolled part matches; five more points and it breaks.", "全部匹配；再失去 5 分即失效。"},
		{"strict, nothing", "strict", func(*fingerprint.Device) {}, false, true, 2, "[]", "[]", "three more points and it breaks; one part can be enough.", "可能失效。"},
		{"disk", "balanced", func(d *fingerprint.Device) { d.Disk = other.Disk }, true, true, 1, "[disk]", "[]", "not as enrolled: disk; two more points and it breaks; one part can be enough.", "与登记时不同：磁盘；再失去 2 分"},
		{"card and CPU", "balanced", func(d *fingerprint.Device) { d.MAC, d.CPU = other.MAC, gone(fingerprint.CPU, fingerprint.Absent) }, true, true, 1, "[mac cpu]", "[]", "network address, CPU", "网卡地址、处理器"},
		{"board hidden", "balanced", func(d *fingerprint.Device) { d.Board = gone(fingerprint.Board, fingerprint.Unreadable) }, true, false, 3, "[]", "[board]", "not readable: board; four more points", "无法读取：主板"},
		{"board and disk", "balanced", func(d *fingerprint.Device) { d.Board, d.Disk = other.Board, other.Disk }, true, false, 0, "[disk board]", "[]", "too few enrolled parts are left", "过少"},
		{"all hidden", "balanced", func(d *fingerprint.Device) {
			*d = fingerprint.Device{Env: d.Env}
			for _, p := range []*fingerprint.Component{&d.MAC, &d.Disk, &d.Board, &d.CPU} {
				p.State = fingerprint.Unreadable
			}
		}, true, false, 0, "[]", "[mac disk board cpu]", "too little can be read to tell", "无法判断"},
	} {
		got := toleranceOf(t, c.preset, c.change)
		if got.Warn != c.warn || got.Single != c.single || got.Left != c.left || fmt.Sprint(got.Lost) != c.lost || fmt.Sprint(got.Unreadable) != c.unread {
			t.Errorf("%s: %+v", c.name, got)
		}
		if en := got.Sentence(activation.English); !strings.Contains(en, c.english) {
			t.Errorf("%s: %q", c.name, en)
		}
		if zh := got.Sentence(activation.Chinese); !strings.Contains(zh, c.china) {
			t.Errorf("%s: %q", c.name, zh)
		}
	}
	// The control for the warning.
	if healthy := toleranceOf(t, "balanced", func(*fingerprint.Device) {}); healthy.Single || healthy.Warn {
		t.Error("a healthy machine warns")
	}
}

func TestToleranceOfAMachineWithoutIdentity(t *testing.T) {
	p, err := fingerprint.Preset("balanced")
	if err != nil {
		t.Fatal(err)
	}
	d := fingerprint.Device{CPU: activationtest.Hardware("one").CPU, Env: fingerprint.Environment{Kind: fingerprint.Virtual}}
	d.MAC.State, d.Disk.State, d.Board.State = fingerprint.Absent, fingerprint.Absent, fingerprint.Absent
	got := activation.ToleranceOf(fingerprint.Compare(p, fingerprint.Enroll(make([]byte, 32), d), d))
	if !got.Unidentified || got.Warn || got.Single {
		t.Errorf("%+v", got)
	}
	if s := got.Sentence("en"); !strings.Contains(s, "no serial of its own") {
		t.Error(s)
	}
}

// The CPU of a virtual machine changes with the host that it runs on: no warning.
func TestToleranceForgetsWhatHasNoPoints(t *testing.T) {
	p, err := fingerprint.Preset("balanced")
	if err != nil {
		t.Fatal(err)
	}
	d := activationtest.Hardware("one")
	d.Env.Kind = fingerprint.Virtual
	e := fingerprint.Enroll(make([]byte, 32), d)
	d.CPU = fingerprint.Component{Kind: fingerprint.CPU, State: fingerprint.OK, Values: []fingerprint.Value{{Text: "1D3A5C7E9B2F4068"}}}
	if got := activation.ToleranceOf(fingerprint.Compare(p, e, d)); got.Warn || len(got.Lost) != 0 {
		t.Errorf("%+v", got)
	}
}

// Dropping N of a set takes the enrolled ones first: the answer is the worst one.
func TestDropIsASet(t *testing.T) {
	w := newWorld(t, activationtest.Offer{Expires: activationtest.Start + 365*days})
	w.machine.Change(func(d *fingerprint.Device) {
		for _, text := range []string{"00:1B:21:00:00:02", "00:1B:21:00:00:03"} {
			d.MAC.Values = append(d.MAC.Values, fingerprint.Value{Text: text, Source: "test"})
		}
	})
	w.start()
	w.activate()
	w.machine.Change(func(d *fingerprint.Device) { // a dock, plugged in after enrolment, comes first
		d.MAC.Values = append([]fingerprint.Value{{Text: "00:1B:21:77:00:01", Source: "dock"}}, d.MAC.Values...)
	})
	if err := w.agent.Observed(); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]string{1: "match", 2: "match", 3: "changed", 4: "absent", 9: "absent", 0: "absent"} {
		x, err := w.agent.Simulate(key(), activation.Scenario{Drop: []activation.Loss{{Kind: fingerprint.MAC, Count: n}}})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(x.Parts, func(p activation.PartView) bool { return p.Kind == fingerprint.MAC })
		if got := x.Parts[i].Result; got != want {
			t.Errorf("drop %d: %s, want %s", n, got, want)
		}
		if x.Parts[i].Result == "match" && !slices.ContainsFunc(x.Parts[i].Digits, func(d string) bool { return slices.Contains(x.Parts[i].Then, d) }) {
			t.Errorf("drop %d matches, but no digits then %q now %q are equal", n, x.Parts[i].Then, x.Parts[i].Digits)
		}
	}
	if got := len(w.agent.Device().MAC.Values); got != 4 {
		t.Errorf("%d addresses after simulating", got)
	}
}

func TestScenarioWords(t *testing.T) {
	s := activation.Scenario{
		Offline: 45 * days, ClockShift: -3 * hour, Behind: true, Contested: true, Clone: true,
		Replaced: []fingerprint.Kind{fingerprint.Disk}, Unreadable: []fingerprint.Kind{fingerprint.Board},
		Drop: []activation.Loss{{Kind: fingerprint.MAC, Count: 2}, {Kind: fingerprint.CPU}},
	}
	en, zh := s.Words("en"), s.Words("zh-CN")
	if len(en) != 9 || len(zh) != 9 {
		t.Errorf("%q %q", en, zh)
	}
	for _, want := range []string{"no contact for 45 days", "put back by 3 hours", "network address × 2", "every CPU", "replaced: disk", "not readable: board"} {
		if !strings.Contains(strings.Join(en, "\n"), want) {
			t.Errorf("%q is not in %q", want, en)
		}
	}
	for i := range zh {
		if zh[i] == en[i] || strings.Contains(en[i]+zh[i], "%!") {
			t.Errorf("%q, %q", en[i], zh[i])
		}
	}
	for seconds, want := range map[int64]string{1: "1 second", 90: "90 seconds", 60: "1 minute", 3600: "1 hour", 86400: "1 day", 90000: "25 hours"} {
		if got := (activation.Scenario{Offline: seconds}).Words("en")[0]; got != "no contact for "+want {
			t.Error(got)
		}
	}
	if got := (activation.Scenario{}).Words("en"); len(got) != 0 {
		t.Errorf("the present assumes %q", got)
	}
}
