package api

// SeatRequest takes a seat: one of the concurrent uses that the license allows
// on this machine (its signed claim seats). The connection it is sent on stays
// open after the answer and is the seat: it ends when either side closes it or
// when the process that opened it ends, whatever way. Nothing more is sent on
// it.
//
// A seat is counted once per process, or once per User of one account when that
// is given: several connections of one process, or of one named user, share one
// seat.
type SeatRequest struct {
	Product string `json:"product"`
	Issuer  string `json:"issuer,omitempty"`
	// User is the named user that the seat is for, in the program's own terms:
	// at most 128 bytes of UTF-8 without control characters. Empty: the seat is
	// for the process.
	User string `json:"user,omitempty"`
	// WaitMS is how long to wait in the queue when all seats are taken, in
	// milliseconds, at most MaxSeatWaitMS; 0 answers at once. Accounts that
	// hold fewer seats are served first, and among them who came first.
	WaitMS int64 `json:"wait_ms,omitempty"`
}

// MaxSeatWaitMS is the longest wait for a seat: an hour.
const MaxSeatWaitMS = 3_600_000

// MaxSeatUser is the longest SeatRequest.User in bytes.
const MaxSeatUser = 128

// SeatAnswer says that the seat is taken. It proves nothing: a program checks
// (POST /v1/check) after it has the seat, and compares Count.Total with the
// seats claim of the verified license.
type SeatAnswer struct {
	Seat  Seat      `json:"seat"`
	Count SeatCount `json:"count"`
}

// Seat is one holder. Two holders with the same ID share one seat.
type Seat struct {
	ID      string `json:"id"`
	Issuer  string `json:"issuer"`
	Product string `json:"product"`
	User    string `json:"user,omitempty"` // the named user; shown to administrators and to the same account
	Account string `json:"account"`        // "uid:1000" or a Windows SID, as the kernel says
	PID     int    `json:"pid,omitempty"`  // 0 when the kernel does not say, as across containers
	Since   int64  `json:"since"`
	// Detached says that the agent was started anew and knows this holder by
	// its process only: the seat ends with the process, or is the same again
	// when the process asks for it.
	Detached bool `json:"detached,omitempty"`
}

// SeatCount is the state of the seats of one license.
type SeatCount struct {
	Issuer  string `json:"issuer"`
	Product string `json:"product"`
	Total   int64  `json:"total"`
	Used    int64  `json:"used"`
	Waiting int64  `json:"waiting"` // requests in the queue
	Peak    int64  `json:"peak"`    // most used at once since the merchant was last told
}

// Seats answers GET /v1/seats/list.
type Seats struct {
	Counts []SeatCount `json:"counts"`
	Seats  []Seat      `json:"seats"`
}
