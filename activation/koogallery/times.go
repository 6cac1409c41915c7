package koogallery

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// readTime reads a time in one of the forms that parse knows; zero when it is in
// none of them.
func (c *Client) readTime(about, s string, parse func(string, *time.Location) (time.Time, error)) time.Time {
	if s == "" || s == "null" {
		return time.Time{}
	}
	t, err := parse(s, c.Zone)
	if err != nil {
		c.unknown(about, "time in an unknown form")
	}
	return t
}

// endNames are the names that the end of a code may have in a heartbeat, whose
// documents were never seen that far, without case and underscores: what is
// named first wins where there are several.
func endNames() []string {
	return []string{
		"expiretime", "expirationtime", "expirytime", "expiredtime", "endtime", "expireat", "expiresat",
		"expiredate", "expirationdate", "expirydate", "enddate", "validuntil", "validto", "expires", "expiration", "expiry",
	}
}

// folded is a member's name without case and underscores.
func folded(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "") }

// member is one of an answer.
type member struct{ name, value string }

// readEnd finds the end among the members of a heartbeat, by their folded names.
func (c *Client) readEnd(members map[string]member) time.Time {
	for _, short := range endNames() {
		m := members[short]
		if t := c.readTime("heartbeat."+m.name, m.value, ParseEnd); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// dateForms are the forms of a day without a time.
func dateForms() []string { return []string{time.DateOnly, "2006/01/02", "20060102"} }

// ParseEnd is ParseTime for the end of something: of a day without a time it is
// the end of that day, which a buyer who reads the date expects.
func ParseEnd(s string, zone *time.Location) (time.Time, error) {
	t, err := ParseTime(s, zone)
	if err != nil {
		return t, err
	}
	if zone == nil {
		zone = time.UTC
	}
	for _, form := range dateForms() {
		if day, err := time.ParseInLocation(form, s, zone); err == nil {
			return day.AddDate(0, 0, 1).UTC(), nil
		}
	}
	return t, nil
}

// ParseTime reads the time forms of KooGallery's pages (yyyyMMddHHmmss, the same
// with milliseconds, "yyyy-MM-dd HH:mm:ss z", ISO 8601, UNIX milliseconds) and
// those that are as plausible: UNIX seconds, an offset without a colon, slashes,
// a day alone, which is its first instant. Those that name no zone are of the
// given one, nil is UTC: some pages say UTC, others nothing. It returns ErrAnswer
// for anything else.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
	if zone == nil {
		zone = time.UTC
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		switch len(s) {
		case 10:
			return time.Unix(n, 0).UTC(), nil
		case 13:
			return time.UnixMilli(n).UTC(), nil
		}
	}
	if len(s) == 17 {
		if t, err := time.ParseInLocation(timeFormat+".000", s[:14]+"."+s[14:], zone); err == nil {
			return t.UTC(), nil
		}
	}
	for _, form := range append([]string{
		timeFormat, "2006-01-02 15:04:05 z", "2006-01-02 15:04:05 Z", "2006-01-02 15:04:05", time.RFC3339Nano, "20060102T150405Z",
		"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700",
		"2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05 Z0700", "20060102T150405Z0700", "2006/01/02 15:04:05",
	}, dateForms()...) {
		in := zone
		if strings.ContainsAny(form[len(form)-1:], "zZ") {
			in = time.UTC // a letter that says so
		}
		if t, err := time.ParseInLocation(form, s, in); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: time %q", ErrAnswer, s)
}
