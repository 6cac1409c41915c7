package service

// Event is the id of an entry in the Windows event log. Monitoring matches on
// these numbers: once published, a number keeps its meaning for ever. They are
// below 1000 because the registered message file, EventCreate.exe, knows the
// ids 1 to 1000 only.
type Event uint32

// The events. Hundreds group them: 1 service, 2 licenses, 3 refusals, 4 contact.
const (
	EventStarted      Event = 100 // the agent answers requests
	EventStopped      Event = 101 // the agent ended as it was asked to
	EventFailed       Event = 102 // the agent could not start or ended by an error
	EventStopTimeout  Event = 103 // the agent did not end in time and was cut off
	EventPhase        Event = 200 // a license changed its phase and still runs
	EventWarning      Event = 201 // a license will stop running unless somebody acts
	EventNotLicensed  Event = 202 // a license stopped running
	EventUnsafeFiles  Event = 300 // state or configuration is open to others; not used
	EventDamage       Event = 301 // a damaged store was put aside
	EventRefusedCalls Event = 302 // callers were refused
	EventContact      Event = 400 // contact with the merchant service again
	EventNoContact    Event = 401 // no contact with the merchant service
)

// Severity of an event as the event log shows it.
type Severity int

// The severities. The zero value is information.
const (
	SeverityInfo Severity = iota
	SeverityWarning
	SeverityError
)

// Severity is fixed per event, so that a number never changes its colour.
func (e Event) Severity() Severity {
	switch e {
	case EventFailed, EventStopTimeout, EventNotLicensed, EventUnsafeFiles:
		return SeverityError
	case EventWarning, EventDamage, EventRefusedCalls, EventNoContact:
		return SeverityWarning
	}
	return SeverityInfo
}
