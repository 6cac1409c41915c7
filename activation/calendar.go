package activation

import (
	"fmt"
	"time"
)

// DefaultCalendar is whose days count as days of use when a merchant names no
// other: usage is billed by days of the Chinese calendar.
const DefaultCalendar = "+08:00"

// Calendar reads the offset of a calendar from UTC, such as "-03:00", in
// seconds; "" is DefaultCalendar. Errors wrap ErrAnswer.
func Calendar(text string) (int64, error) {
	if text == "" {
		text = DefaultCalendar
	}
	at, err := time.Parse("-07:00", text)
	if err != nil {
		return 0, fmt.Errorf("%w: the calendar has not the form %q", ErrAnswer, DefaultCalendar)
	}
	_, offset := at.Zone()
	return int64(offset), nil
}

// calendar is how many seconds the days of an entry are ahead of those of UTC.
func (r Record) calendar() int64 {
	offset, err := Calendar(r.Calendar)
	if err != nil { // not taken from an answer: a store that somebody wrote in
		offset, _ = Calendar("")
	}
	return offset
}

// dayOf is the calendar day of an instant, counted from 1970-01-01.
func dayOf(now, calendar int64) int64 { return (now + calendar) / 86400 }

// dayEnd is the first instant of the next calendar day.
func dayEnd(now, calendar int64) int64 { return (dayOf(now, calendar)+1)*86400 - calendar }

// dayText is the day as requests carry it.
func dayText(d int64) string { return time.Unix(d*86400, 0).UTC().Format(time.DateOnly) }
