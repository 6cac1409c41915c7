package activation

import (
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Limits of the device rule.
const (
	// DebounceReads is how many worse reads, spread over at least DebounceSpan
	// seconds, it takes before a changed device stops a license while a strong
	// part still matches: one bad SMBIOS read or a docked laptop must not.
	DebounceReads = 3
	// DebounceSpan is the least time between the first and the last of them.
	DebounceSpan = 24 * 3600
	// BlindSpan is how long a machine on which no strong part can be read at
	// all keeps running. It covers a boot race, not a removed permission.
	BlindSpan = 24 * 3600
)

// Decide answers whether this machine may run now. It is pure: every fact is in
// Inputs, and the same Inputs give the same Verdict everywhere (local API, why,
// simulate, metrics, the merchant's support view).
//
// The first rule that applies decides, in this order:
//
//  1. no license                                → unactivated
//  2. revoked by the key set                    → revoked
//  3. newest notice (its seq ≥ the license's)   → revoked (also released), suspended
//  4. clock behind and no tick on disk          → clock-suspect
//  5. before not-before                         → clock-suspect, reason not-yet-valid
//  6. at or past the entitlement end            → expired
//  7. contested, at or past renew-by            → expired (a fork has no grace)
//  8. at or past grace-until                    → expired
//  9. another device (see deviceRule)           → wrong-device
//  10. at or past renew-by                      → grace
//  11. entitlement ends within Warn             → expiring
//  12. otherwise                                → active
//
// Statements of the vendor come before the clock, because no clock error can
// make them untrue; the clock comes before dates, because dates read with a
// clock that is known to be behind prove nothing.
//
// A license is issued for use at once, so not-before in the future is nearly
// always a clock that is wrong; a proof can carry that phase, and no other
// phase without a positive answer fits.
//
// Until is found by asking the same rules again at each date that appears in
// them, so it cannot disagree with them.
func Decide(in Inputs) Verdict {
	r := rule(&in, in.Now)
	v := Verdict{Phase: r.phase, Runs: r.phase.runs(), Reason: r.reason, Next: r.next}
	c := in.License
	if c == nil {
		return v
	}
	v.Flags = flags(&in)
	v.Expires, v.RenewBy, v.GraceUntil = c.Expires, c.RenewBy, c.GraceUntil
	if contested(&in) {
		v.GraceUntil = min(c.RenewBy, c.GraceUntil)
	}
	stop := int64(0)
	for _, t := range [...]int64{c.NotBefore, c.Expires, c.RenewBy, c.GraceUntil, c.Expires - in.Warn, blindEnd(&in)} {
		if t <= in.Now {
			continue
		}
		later := rule(&in, t)
		if later != r && (v.Until == 0 || t < v.Until) {
			v.Until = t
		}
		if !later.phase.runs() && (stop == 0 || t < stop) {
			stop = t
		}
	}
	if v.Runs && stop > 0 {
		v.DaysLeft = (stop - in.Now) / 86400
	}
	return v
}

// runs says whether a program may run in this phase.
func (p Phase) runs() bool {
	switch p {
	case Active, Expiring, Grace:
		return true
	}
	return false
}

// ruling is the part of a verdict that a rule sets.
type ruling struct {
	phase        Phase
	reason, next string
}

// rule applies the list above at one instant.
func rule(in *Inputs, now int64) ruling {
	c := in.License
	if c == nil {
		return ruling{Unactivated, ReasonNotActivated, NextActivate}
	}
	if in.Revoked {
		return ruling{Revoked, ReasonRevokedByKeySet, NextRenew}
	}
	if n := relevant(in); n != nil {
		switch n.State {
		case license.NoticeRevoked:
			return ruling{Revoked, ReasonRevoked, NextContactVendor}
		case license.NoticeReleased:
			return ruling{Revoked, ReasonReleased, NextActivate}
		case license.NoticeSuspended:
			return ruling{Suspended, ReasonSuspended, NextContactVendor}
		}
	}
	switch {
	case in.Clock.Behind:
		return ruling{ClockSuspect, ReasonClockBehind, NextFixClock}
	case now < c.NotBefore:
		return ruling{ClockSuspect, ReasonNotYetValid, NextWait}
	case now >= c.Expires:
		return ruling{Expired, ReasonEntitlementEnded, NextExtend}
	case contested(in) && now >= c.RenewBy:
		return ruling{Expired, ReasonContestedEnded, NextRebind}
	case now >= c.GraceUntil:
		return ruling{Expired, ReasonGraceEnded, NextRenew}
	}
	if r, stops := deviceRule(in, now); stops {
		return r
	}
	switch {
	case now >= c.RenewBy:
		return ruling{Grace, ReasonRenewalOverdue, NextRenew}
	case c.Expires != license.NoEnd && c.Expires-now <= in.Warn:
		return ruling{Expiring, ReasonEntitlementEnds, nextOf(in, NextExtend)}
	}
	return ruling{Active, ReasonValid, nextOf(in, "")}
}

// deviceRule says whether the fingerprint stops the license, and why.
//
// A strong part (board, disk, MAC) that changed while none matches is another
// machine: no grace, or a copied store would run for a day wherever it lands.
// While one still matches, a difference needs DebounceReads reads over
// DebounceSpan, and a device that cannot be determined runs until renew-by: the
// date is set by the last signed contact, so hiding the hardware buys nothing
// beyond what the vendor signed. With nothing strong readable either way the
// limit is BlindSpan, and never past renew-by.
func deviceRule(in *Inputs, now int64) (ruling, bool) {
	d := &in.Comparison
	switch {
	case isSame(in):
		return ruling{}, false
	case stopsAtOnce(*d):
		return ruling{WrongDevice, ReasonOtherDevice, NextActivateHere}, true
	case d.Unidentified():
		// The vendor knew when it signed: no grace, the contact is all there is.
		return ruling{WrongDevice, ReasonUnidentifiedEnded, NextRenew}, now >= in.License.RenewBy
	case !d.StrongMatch:
		return ruling{WrongDevice, ReasonDeviceUnreadable, NextCheckAccess}, now >= blindEnd(in)
	case isDifferent(in):
		bites := in.Worse.Reads >= DebounceReads && in.Worse.Last-in.Worse.First >= DebounceSpan
		return ruling{WrongDevice, ReasonDeviceChanged, NextRebind}, bites
	}
	return ruling{WrongDevice, ReasonIndeterminateEnded, NextCheckAccess}, now >= in.License.RenewBy
}

// blindEnd is the instant at which a device that shows no strong part at all
// stops running. A first such read that nobody wrote down yet is this one.
func blindEnd(in *Inputs) int64 {
	if in.Comparison.Unidentified() {
		return in.License.RenewBy
	}
	first := in.Worse.Blind
	if first == 0 {
		first = in.Now
	}
	return min(first+BlindSpan, in.License.RenewBy)
}

// nextOf names the next step of a license that runs: what would stop it first
// by itself comes first, usual is what the phase alone would say.
func nextOf(in *Inputs, usual string) string {
	switch {
	case contested(in):
		return NextRebind
	case isDifferent(in):
		return NextCheckDevice
	case !isSame(in) && !in.Comparison.Unidentified():
		return NextCheckAccess
	case usual != "":
		return usual
	case in.Clock.Provisional:
		return NextFixClock
	case in.Comparison.Unidentified():
		return NextGiveSerial
	}
	return ""
}

// relevant is the notice if it speaks about the license held and is not older
// than it: the newest statement on the chain wins.
func relevant(in *Inputs) *license.Notice {
	n := in.Notice
	if n == nil || n.License != in.License.ID || n.Seq < in.License.Seq {
		return nil
	}
	return n
}

// contested says whether a fork of the chain is unsettled.
func contested(in *Inputs) bool {
	if in.Contested {
		return true
	}
	n := relevant(in)
	return n != nil && n.State == license.NoticeContested
}

// flags are facts beside the phase; they hold whatever the phase is.
func flags(in *Inputs) []Flag {
	var f []Flag
	if !isSame(in) && !isDifferent(in) {
		f = append(f, FlagIndeterminate)
	}
	if in.Comparison.Drift || isDifferent(in) {
		f = append(f, FlagDrift)
	}
	if contested(in) {
		f = append(f, FlagContested)
	}
	if in.Clock.Provisional {
		f = append(f, FlagProvisionalClock)
	}
	return f
}

// isSame says whether the comparison recognised the device.
func isSame(in *Inputs) bool { return in.Comparison.Outcome == fingerprint.Same }

// isDifferent says whether the comparison found another device. An outcome
// that is neither (also the zero value: nothing was observed yet) is
// indeterminate.
func isDifferent(in *Inputs) bool { return in.Comparison.Outcome == fingerprint.Different }
