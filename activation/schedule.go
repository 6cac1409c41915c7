package activation

import (
	"math"
	"time"
)

// Rhythm of the contacts with the merchant, in seconds. The figures keep 10⁶
// agents at about 12 contacts per second and an outage of hours from ending in
// a stampede.
const (
	// ContactEvery is the usual time between two contacts.
	ContactEvery = 24 * 3600
	// RetryCap bounds the pause after a failure.
	RetryCap = 4 * 3600
	// RetryBase is the pause after the first failure at most.
	RetryBase = 60
	// DeviceEvery is the pause after a request that the device key did not sign.
	DeviceEvery = 600
	// CalmSteps are the doublings that a retry starts with when the license
	// runs for days anyway: a day of use must be told by its evening, not within
	// the minute, and a million offices that find the merchant away together
	// must not ask eight times in their first hour. At five the first pause is
	// half an hour at most, and an outage of eight hours adds no more than the
	// peaks that docs/promises.md names.
	CalmSteps = 5
	// BootSpread spreads contacts that fell due while a machine was off: offices
	// switch on at nine.
	BootSpread = 4 * 3600
	// budgetTokens and budgetEvery are the token bucket of contacts.
	budgetTokens = 10
	budgetEvery  = 1800
)

// NextContact is when to ask again after a success: interval ± 10 %. rand gives
// numbers in [0, 1).
func NextContact(rand func() float64, now, interval int64) int64 {
	return now + max(1, int64(float64(interval)*(0.9+0.2*rand())))
}

// FirstContact is when to ask for the first time after an activation: anywhere
// in the interval, so that a thousand machines activated by one script do not
// come back together.
func FirstContact(rand func() float64, now, interval int64) int64 {
	return now + max(1, int64(float64(interval)*rand()))
}

// BootContact is when to make a contact that fell due while the agent was not
// running. A restart never triggers one by itself, unless renew-by has passed.
func BootContact(rand func() float64, now, renewBy int64) int64 {
	if renewBy > 0 && now >= renewBy {
		return now + 1 + int64(60*rand())
	}
	return now + 60 + int64(float64(BootSpread-60)*rand())
}

// UseContact is when to make the contact that the first check of a calendar day
// asks for: anywhere in what is left of the day, because a marketplace counts
// the days of use by its own calendar. dayEnd is the first instant of the next
// day. Offices that start at nine then spread over the rest of the day.
func UseContact(rand func() float64, now, dayEnd int64) int64 {
	return now + 1 + int64(float64(max(dayEnd-now-useMargin, 60))*rand())
}

// useMargin keeps the contact, its retries and the merchant's own call within the day.
const useMargin = 1800

// Backoff is how many seconds to wait after the given number of failures in a
// row (≥ 1): full jitter over a doubling span, at least one second. A merchant
// that names a time is given that time and as much again at random: jitter
// below it would undercut it, and none would bring everybody back together.
func Backoff(rand func() float64, failures int, retryAfter time.Duration) int64 {
	if s := int64(math.Ceil(retryAfter.Seconds())); s > 0 {
		return s + int64(math.Ceil(float64(s)*rand()))
	}
	span := int64(RetryCap)
	if n := max(failures-1, 0); n < 8 { // 60·2⁸ exceeds the cap
		span = min(span, RetryBase<<n)
	}
	return max(1, int64(float64(span)*rand()))
}

// retry is when to ask again after so many failures in a row: calmly when a
// license runs and need not be renewed for days, renewBy; 0: none runs.
func retry(rand func() float64, now, renewBy int64, failures int, retryAfter time.Duration) int64 {
	if renewBy-now > 2*ContactEvery {
		failures += CalmSteps
	}
	return now + Backoff(rand, failures, retryAfter)
}

// Interval is the usual time between contacts for a license that must be
// renewed at renewBy: a day, or a third of the time that is left, so that two
// attempts may fail.
func contactInterval(now, renewBy int64) int64 {
	return max(60, min(int64(ContactEvery), (renewBy-now)/3))
}

// Budget is a token bucket: ten contacts at once, then one per half hour. It
// bounds an agent whatever goes wrong in the rules above. The zero value is a
// full bucket.
type Budget struct {
	Spent int64 // tokens missing
	At    int64 // instant up to which refilling is booked
}

// Take spends one token at now and returns the instant of the next one.
func (b Budget) Take(now int64) (Budget, int64) {
	if b.Spent > 0 && now > b.At {
		back := min((now-b.At)/budgetEvery, b.Spent)
		b.Spent -= back
		b.At += back * budgetEvery
	}
	if b.Spent == 0 || b.At > now { // full, or the clock was put right
		b.At = now
	}
	b.Spent++
	if b.Spent < budgetTokens {
		return b, now
	}
	return b, b.At + (b.Spent-budgetTokens+1)*budgetEvery
}
