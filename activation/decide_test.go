package activation_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

const (
	hour = 3600
	days = 86400
)

// The dates of base: every boundary is its own instant.
const (
	t0    = int64(1780272000)
	tNbf  = t0
	tRen  = t0 + 30*days
	tGrc  = t0 + 44*days
	tExp  = t0 + 365*days
	tWarn = tExp - 14*days
)

// base is a license that simply runs, one day after it was issued.
func base() activation.Inputs {
	return activation.Inputs{
		Now: t0 + days,
		License: &license.Claims{
			V: 1, Issuer: "acme", ID: "lic-1", Product: "studio", Seq: 5,
			NotBefore: tNbf, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, ServerTime: t0,
		},
		Comparison: same(), Contact: t0, Warn: 14 * days,
	}
}

func same() fingerprint.Comparison {
	return fingerprint.Comparison{Outcome: fingerprint.Same, StrongMatch: true}
}

// Comparisons by what is left of the strong parts.
func different(strongMatch bool) fingerprint.Comparison {
	return fingerprint.Comparison{Outcome: fingerprint.Different, StrongMatch: strongMatch, StrongChanged: true, Drift: true}
}

func indeterminate(strongMatch, strongChanged bool) fingerprint.Comparison {
	return fingerprint.Comparison{Outcome: fingerprint.Indeterminate, StrongMatch: strongMatch, StrongChanged: strongChanged, Drift: strongChanged}
}

func notice(state string, seq int64) *license.Notice {
	return &license.Notice{V: 1, Issuer: "acme", License: "lic-1", Product: "studio", State: state, Seq: seq}
}

// TestDecideBoundaries holds each boundary at one second before, at and after.
func TestDecideBoundaries(t *testing.T) {
	type at struct {
		t      int64
		before string // phase/reason one second before
		after  string // phase/reason at t and one second later
	}
	const (
		active  = "active/valid"
		grace   = "grace/renewal-overdue"
		expired = "expired/entitlement-ended"
	)
	tests := []struct {
		name string
		set  func(*activation.Inputs)
		at   []at
	}{
		{"plain", func(*activation.Inputs) {}, []at{
			{tNbf, "clock-suspect/not-yet-valid", active},
			{tRen, active, grace},
			{tGrc, grace, "expired/grace-ended"},
			{tExp, "expired/grace-ended", expired},
		}},
		{"renewed late in the entitlement", func(in *activation.Inputs) {
			in.License.RenewBy, in.License.GraceUntil = tExp+30*days, tExp+44*days
		}, []at{
			{tWarn, active, "expiring/entitlement-ends-soon"},
			{tExp, "expiring/entitlement-ends-soon", expired},
		}},
		{"grace inside the warning time", func(in *activation.Inputs) {
			in.License.RenewBy, in.License.GraceUntil = tExp-10*days, tExp+4*days
		}, []at{
			{tWarn, active, "expiring/entitlement-ends-soon"},
			{tExp - 10*days, "expiring/entitlement-ends-soon", grace},
			{tExp, grace, expired},
		}},
		{"without end", func(in *activation.Inputs) {
			in.License.Expires, in.License.RenewBy, in.License.GraceUntil = license.NoEnd, license.NoEnd, license.NoEnd
		}, []at{
			{license.NoEnd - 14*days, active, active},
			{license.NoEnd, active, expired},
		}},
		{"contested has no grace", func(in *activation.Inputs) { in.Contested = true }, []at{
			{tRen, active, "expired/contested-ended"},
			{tGrc, "expired/contested-ended", "expired/contested-ended"},
		}},
		{"contested by the newest notice", func(in *activation.Inputs) {
			in.Notice = notice(license.NoticeContested, 6)
		}, []at{{tRen, active, "expired/contested-ended"}}},
		{"indeterminate with a strong match ends at renew-by", func(in *activation.Inputs) {
			in.Comparison = indeterminate(true, false)
		}, []at{{tRen, active, "wrong-device/device-indeterminate"}, {tGrc, "wrong-device/device-indeterminate", "expired/grace-ended"}}},
		{"indeterminate with a strong match and a change", func(in *activation.Inputs) {
			in.Comparison = indeterminate(true, true)
		}, []at{{tRen, active, "wrong-device/device-indeterminate"}}},
		{"nothing readable runs for a day", func(in *activation.Inputs) {
			in.Comparison = indeterminate(false, false)
			in.Worse.Blind = t0 + 2*days
		}, []at{{t0 + 3*days, active, "wrong-device/device-unreadable"}}},
		{"nothing readable never passes renew-by", func(in *activation.Inputs) {
			in.Comparison = indeterminate(false, false)
			in.Worse.Blind = tRen - hour
		}, []at{{tRen, active, "wrong-device/device-unreadable"}}},
		{"another machine at once", func(in *activation.Inputs) { in.Comparison = different(false) }, []at{
			{tRen, "wrong-device/other-device", "wrong-device/other-device"},
			{tGrc, "wrong-device/other-device", "expired/grace-ended"},
		}},
		{"another machine that hides the rest", func(in *activation.Inputs) {
			in.Comparison = indeterminate(false, true)
		}, []at{{tRen, "wrong-device/other-device", "wrong-device/other-device"}}},
		{"changed, held back", func(in *activation.Inputs) {
			in.Comparison = different(true)
			in.Worse = activation.Worse{Reads: 2, First: t0, Last: t0 + 5*days}
		}, []at{{tRen, active, grace}}},
		{"revoked whatever the time", func(in *activation.Inputs) { in.Revoked = true }, []at{
			{tNbf, "revoked/revoked-by-keyset", "revoked/revoked-by-keyset"}, {tExp, "revoked/revoked-by-keyset", "revoked/revoked-by-keyset"},
		}},
		{"suspended whatever the time", func(in *activation.Inputs) { in.Notice = notice(license.NoticeSuspended, 5) }, []at{
			{tRen, "suspended/suspended-by-vendor", "suspended/suspended-by-vendor"}, {tExp, "suspended/suspended-by-vendor", "suspended/suspended-by-vendor"},
		}},
		{"behind whatever the time", func(in *activation.Inputs) { in.Clock.Behind = true }, []at{
			{tNbf, "clock-suspect/clock-behind", "clock-suspect/clock-behind"}, {tExp, "clock-suspect/clock-behind", "clock-suspect/clock-behind"},
		}},
	}
	for _, tt := range tests {
		for _, b := range tt.at {
			for d, want := range map[int64]string{-1: b.before, 0: b.after, 1: b.after} {
				in := base()
				tt.set(&in)
				in.Now = b.t + d
				v := activation.Decide(in)
				if got := string(v.Phase) + "/" + v.Reason; got != want {
					t.Errorf("%s, %+d s of day %d: %s, want %s", tt.name, d, (b.t-t0)/days, got, want)
				}
				if runs := v.Phase == activation.Active || v.Phase == activation.Expiring || v.Phase == activation.Grace; v.Runs != runs {
					t.Errorf("%s: phase %s runs %v", tt.name, v.Phase, v.Runs)
				}
			}
		}
	}
}

func TestDebounceBites(t *testing.T) {
	for _, tt := range []struct {
		reads int
		span  int64
		want  activation.Phase
	}{
		{0, 0, activation.Active},
		{1, 0, activation.Active},
		{2, 24 * hour, activation.Active},
		{3, 24*hour - 1, activation.Active},
		{3, 24 * hour, activation.WrongDevice},
		{3, 24*hour + 1, activation.WrongDevice},
		{2, 90 * days, activation.Active},
		{1000, hour, activation.Active},
	} {
		in := base()
		in.Comparison = different(true)
		in.Worse = activation.Worse{Reads: tt.reads, First: t0, Last: t0 + tt.span}
		in.Now = t0 + tt.span
		if in.Now >= tRen {
			in.License.RenewBy, in.License.GraceUntil = in.Now+days, in.Now+days
		}
		v := activation.Decide(in)
		if v.Phase != tt.want || !slices.Contains(v.Flags, activation.FlagDrift) {
			t.Errorf("%d reads over %d s: %s %v, want %s with drift", tt.reads, tt.span, v.Phase, v.Flags, tt.want)
		}
	}
}

// The worse memory of another outcome must not count against this one.
func TestUnreadableIsNotChanged(t *testing.T) {
	in := base()
	in.Comparison = indeterminate(true, true)
	in.Worse = activation.Worse{Reads: 9, First: t0, Last: t0 + 9*days}
	if v := activation.Decide(in); v.Phase != activation.Active {
		t.Errorf("indeterminate after worse reads: %s", v.Phase)
	}
	in.Comparison = same()
	if v := activation.Decide(in); v.Phase != activation.Active || len(v.Flags) != 0 {
		t.Errorf("same after worse reads: %s %v", v.Phase, v.Flags)
	}
}

func TestOnlyTheNewestNoticeCounts(t *testing.T) {
	for _, tt := range []struct {
		state string
		seq   int64
		lic   string
		want  activation.Phase
	}{
		{license.NoticeSuspended, 4, "lic-1", activation.Active},
		{license.NoticeSuspended, 5, "lic-1", activation.Suspended},
		{license.NoticeSuspended, 6, "lic-1", activation.Suspended},
		{license.NoticeSuspended, 6, "lic-2", activation.Active},
		{license.NoticeRevoked, 6, "lic-1", activation.Revoked},
		{license.NoticeReleased, 6, "lic-1", activation.Revoked},
		{license.NoticeRevoked, 4, "lic-1", activation.Active},
		{license.NoticeActive, 6, "lic-1", activation.Active},
		{license.NoticeContested, 6, "lic-1", activation.Active},
	} {
		in := base()
		in.Notice = notice(tt.state, tt.seq)
		in.Notice.License = tt.lic
		v := activation.Decide(in)
		if v.Phase != tt.want {
			t.Errorf("%s at %d for %s: %s, want %s", tt.state, tt.seq, tt.lic, v.Phase, tt.want)
		}
		if got, want := slices.Contains(v.Flags, activation.FlagContested), tt.state == license.NoticeContested; got != want {
			t.Errorf("%s: contested %v", tt.state, got)
		}
	}
}

// unidentified is a license for a machine that had no serial of its own.
func unidentified() fingerprint.Comparison {
	none := func(k fingerprint.Kind) fingerprint.PartResult {
		return fingerprint.PartResult{Kind: k, Result: fingerprint.ResultNotEnrolled, Strong: true}
	}
	return fingerprint.Comparison{Outcome: fingerprint.Indeterminate, Parts: []fingerprint.PartResult{
		none(fingerprint.MAC), none(fingerprint.Disk), none(fingerprint.Board), {Kind: fingerprint.CPU, Result: fingerprint.ResultMatch},
	}}
}

func TestVerdictOfNothing(t *testing.T) {
	got := activation.Decide(activation.Inputs{Now: t0, Notice: notice(license.NoticeRevoked, 1), Revoked: true, Contested: true})
	want := activation.Verdict{Phase: activation.Unactivated, Reason: activation.ReasonNotActivated, Next: activation.NextActivate}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDatesOfAVerdict(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*activation.Inputs)
		want activation.Verdict
	}{
		{"active", func(*activation.Inputs) {}, activation.Verdict{
			Phase: activation.Active, Runs: true, Reason: "valid", Until: tRen, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, DaysLeft: 43,
		}},
		{"one second less than 43 days", func(in *activation.Inputs) { in.Now++ }, activation.Verdict{
			Phase: activation.Active, Runs: true, Reason: "valid", Until: tRen, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, DaysLeft: 42,
		}},
		{"contested", func(in *activation.Inputs) { in.Contested = true }, activation.Verdict{
			Phase: activation.Active, Runs: true, Flags: []activation.Flag{"contested"}, Reason: "valid", Next: "rebind",
			Until: tRen, Expires: tExp, RenewBy: tRen, GraceUntil: tRen, DaysLeft: 29,
		}},
		{"nothing readable, first seen now", func(in *activation.Inputs) { in.Comparison = fingerprint.Comparison{} }, activation.Verdict{
			Phase: activation.Active, Runs: true, Flags: []activation.Flag{"indeterminate"}, Reason: "valid", Next: "check-hardware-access",
			Until: t0 + 2*days, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, DaysLeft: 1,
		}},
		{"no serial of its own", func(in *activation.Inputs) { in.Comparison = unidentified() }, activation.Verdict{
			Phase: activation.Active, Runs: true, Flags: []activation.Flag{"indeterminate"}, Reason: "valid", Next: "give-serial",
			Until: tRen, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc, DaysLeft: 29,
		}},
		{"no serial of its own and no contact", func(in *activation.Inputs) { in.Comparison, in.Now = unidentified(), tRen }, activation.Verdict{
			Phase: activation.WrongDevice, Flags: []activation.Flag{"indeterminate"}, Reason: "unidentified-machine", Next: "renew-now",
			Until: tGrc, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc,
		}},
		{"every flag", func(in *activation.Inputs) {
			in.Contested, in.Clock.Provisional = true, true
			in.Comparison = indeterminate(true, true)
		}, activation.Verdict{
			Phase: activation.Active, Runs: true, Flags: []activation.Flag{"indeterminate", "drift", "contested", "provisional-clock"},
			Reason: "valid", Next: "rebind", Until: tRen, Expires: tExp, RenewBy: tRen, GraceUntil: tRen, DaysLeft: 29,
		}},
		{"over for good", func(in *activation.Inputs) { in.Now = tExp }, activation.Verdict{
			Phase: activation.Expired, Reason: "entitlement-ended", Next: "extend-entitlement", Expires: tExp, RenewBy: tRen, GraceUntil: tGrc,
		}},
		{"not yet", func(in *activation.Inputs) { in.Now = tNbf - 10 }, activation.Verdict{
			Phase: activation.ClockSuspect, Reason: "not-yet-valid", Next: "wait-for-start", Until: tNbf, Expires: tExp, RenewBy: tRen, GraceUntil: tGrc,
		}},
	} {
		in := base()
		tt.set(&in)
		if d := cmp.Diff(tt.want, activation.Decide(in)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// situations is the product of everything that Decide distinguishes but time.
func situations(yield func(name string, in activation.Inputs)) {
	notices := []*license.Notice{nil, notice(license.NoticeActive, 5), notice(license.NoticeSuspended, 6), notice(license.NoticeRevoked, 5), notice(license.NoticeReleased, 5), notice(license.NoticeContested, 6), notice(license.NoticeSuspended, 4)}
	comparisons := []fingerprint.Comparison{same(), different(true), different(false), indeterminate(true, false), indeterminate(true, true), indeterminate(false, false), indeterminate(false, true), unidentified(), {}}
	worse := []activation.Worse{{}, {Reads: 3, First: t0, Last: t0 + days}, {Reads: 2, First: t0, Last: t0 + days}, {Blind: t0 + 2*days}}
	dates := [][3]int64{{tRen, tGrc, tExp}, {tExp, tExp, tExp}, {tExp + days, tExp + 2*days, tExp}, {tRen, tRen, license.NoEnd}, {tExp - 3*days, tExp - days, tExp}}
	for n, nt := range notices {
		for c, cp := range comparisons {
			for w, ws := range worse {
				for d, dt := range dates {
					for bits := range 16 {
						in := base()
						in.Notice, in.Comparison, in.Worse = nt, cp, ws
						in.License.RenewBy, in.License.GraceUntil, in.License.Expires = dt[0], dt[1], dt[2]
						in.Revoked, in.Contested = bits&1 != 0, bits&2 != 0
						in.Clock.Behind, in.Clock.Provisional = bits&4 != 0, bits&8 != 0
						yield(fmt.Sprint(n, c, w, d, bits), in)
					}
				}
			}
		}
	}
}

// TestUntilIsExact walks every situation from boundary to boundary: the verdict
// holds until Until and not one second longer, days left are those to the
// second at which it stops, and the hard limits hold everywhere.
func TestUntilIsExact(t *testing.T) {
	checked := 0
	situations(func(name string, in activation.Inputs) {
		c := in.License
		points := []int64{c.NotBefore, c.RenewBy, c.GraceUntil, c.Expires, c.Expires - in.Warn, t0 + 3*days}
		for _, p := range points {
			for d := int64(-1); d <= 1; d++ {
				in.Now = p + d
				v := activation.Decide(in)
				checked++
				if v.Runs && (in.Now < c.NotBefore || in.Now >= c.Expires || in.Now >= c.GraceUntil || in.Revoked || in.Clock.Behind) {
					t.Fatalf("%s at %d runs: %+v", name, in.Now, v)
				}
				if v.Runs && !in.Comparison.StrongMatch && in.Comparison.StrongChanged {
					t.Fatalf("%s at %d: another machine runs: %+v", name, in.Now, v)
				}
				for _, q := range append(points, v.Until) {
					for e := int64(-1); e <= 1; e++ {
						if q+e <= in.Now || blindNow(in) {
							continue
						}
						later := in
						later.Now = q + e
						w := activation.Decide(later)
						equal := w.Phase == v.Phase && w.Reason == v.Reason && w.Next == v.Next
						if (v.Until == 0 || later.Now < v.Until) && !equal {
							t.Fatalf("%s: %s/%s holds until %d, but at %d it is %s/%s", name, v.Phase, v.Reason, v.Until, later.Now, w.Phase, w.Reason)
						}
						if later.Now == v.Until && equal {
							t.Fatalf("%s: nothing changes at %d: %+v", name, v.Until, w)
						}
						if v.Runs && !w.Runs && (later.Now-in.Now)/days < v.DaysLeft {
							t.Fatalf("%s: %d days left at %d, but it stops at %d", name, v.DaysLeft, in.Now, later.Now)
						}
					}
				}
			}
		}
	})
	if checked < 100_000 {
		t.Errorf("only %d verdicts checked", checked)
	}
}

// blindNow says whether the limit of a blind device counts from Now itself, so
// that asking later is another question.
func blindNow(in activation.Inputs) bool {
	d := in.Comparison
	return d.Outcome != fingerprint.Same && !d.StrongMatch && !d.StrongChanged && in.Worse.Blind == 0
}
