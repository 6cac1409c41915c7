package localapi

import "time"

// Limits bound what one caller and all callers together may take. A zero
// field means the shipped value (see Default).
type Limits struct {
	PerUser      int           // connections of one user
	Total        int           // connections of all users; the other descriptors of the process stay free for its own work
	Queue        int           // connections that wait for a place, at most Request long; below zero: none may
	QueuePerUser int           // of them, one user's
	Reserve      int           // of Total, only for administrators, so that they can look while users flood
	Seats        int           // connections that are seats or wait for one; they take two descriptors each
	SeatsPerUser int           // of them, one user's
	Body         int64         // bytes of a request body
	ImportBody   int64         // bytes of the body of an import: 256 KiB of answer in base64
	Header       time.Duration // time for the headers
	Request      time.Duration // time for the whole request
	Idle         time.Duration // how long a kept connection may be silent
	Wait         time.Duration // longest long poll
	Action       time.Duration // longest call that talks to the merchant
	Running      int           // requests worked on at the same time
	Rate         float64       // requests per second of one user that keep their place when others wait
	Burst        float64       // requests of one user at once that keep their place when others wait
}

// Default returns the shipped limits.
func Default() Limits {
	return Limits{
		PerUser: 32, Total: 128, Reserve: 8, Queue: 1024, QueuePerUser: 512, Seats: 1024, SeatsPerUser: 512, Body: 16 << 10, ImportBody: 342 << 10,
		Header: 2 * time.Second, Request: 5 * time.Second, Idle: 2 * time.Minute,
		Wait: time.Minute, Action: 2 * time.Minute, Running: 8, Rate: 50, Burst: 100,
	}
}

// ownFiles is how many descriptors the process keeps for itself: files, the
// database, connections to the merchant.
const ownFiles = 64

// For returns the shipped limits for a process that may have so many files
// open: a place and a wait for one take a descriptor, a seat takes two, and
// what the agent needs for itself stays free whatever its callers do.
func For(descriptors int) Limits {
	l := Default()
	free := max(0, descriptors-l.Total-ownFiles)
	l.Queue = max(1, min(l.Queue, free/4))
	l.Seats = max(1, min(l.Seats, (free-l.Queue)/2))
	l.QueuePerUser, l.SeatsPerUser = half(l.Queue), half(l.Seats)
	return l
}

// half is the most that one user may take of what all share.
func half(n int) int { return max(1, n/2) }

// orDefault fills the zero fields.
func (l Limits) orDefault() Limits {
	d := Default()
	fill := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	fill(&l.PerUser, d.PerUser)
	fill(&l.Total, d.Total)
	fill(&l.Reserve, d.Reserve)
	fill(&l.Seats, d.Seats)
	fill(&l.SeatsPerUser, min(d.SeatsPerUser, half(l.Seats)))
	fill(&l.Queue, d.Queue)
	fill(&l.QueuePerUser, min(d.QueuePerUser, half(l.Queue)))
	fill(&l.Running, d.Running)
	for _, p := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&l.Header, d.Header}, {&l.Request, d.Request}, {&l.Idle, d.Idle}, {&l.Wait, d.Wait}, {&l.Action, d.Action}} {
		if *p.v == 0 {
			*p.v = p.def
		}
	}
	if l.Body == 0 {
		l.Body = d.Body
	}
	if l.ImportBody == 0 {
		l.ImportBody = d.ImportBody
	}
	if l.Rate == 0 {
		l.Rate = d.Rate
	}
	if l.Burst == 0 {
		l.Burst = d.Burst
	}
	return l
}
