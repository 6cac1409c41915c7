package api

// Explanation answers GET /v1/why and POST /v1/simulate: everything the
// verdict was decided from, fit for a support ticket. Hardware values are
// masked for every caller; nobody has to be trusted with a serial number to
// see why a license holds or not.
type Explanation struct {
	License License    `json:"license"`
	Device  Comparison `json:"device"`
	Clock   Clock      `json:"clock"`
	Contact Contact    `json:"contact"`
	// Worse counts the reads that were worse than the verdict in force. A
	// worse verdict must be seen on three reads over 24 hours before it bites,
	// as long as a strong part still matches.
	Worse Worse `json:"worse"`
	// Settled is the verdict once the same hardware was read three times over
	// a day, when it differs from the one in force; else absent.
	Settled *Verdict `json:"settled,omitempty"`
	// Assumed lists in words what a simulation assumed, empty for GET /v1/why.
	Assumed []string `json:"assumed,omitempty"`
}

// Comparison is the enrolled device against the newest observation. Points
// are the weights of the policy that is signed inside the license.
type Comparison struct {
	Outcome   string `json:"outcome"` // same, different, indeterminate; "" when no license is held
	Why       string `json:"why,omitempty"`
	Parts     []Part `json:"parts"`
	Matched   int    `json:"matched"`
	Available int    `json:"available"`
	Enrolled  int    `json:"enrolled"`
	Need      int    `json:"need"`
	Left      int    `json:"left"` // points that may still be lost before the outcome changes
}

// Part is one of mac, disk, board and cpu. Then holds the first eight digits
// of each enrolled salted hash (the value itself never enters a license), Now
// the values of this machine with the middle hidden, and Digits the digits of
// each of these, to compare with Then; empty where there is no license.
type Part struct {
	Kind   string   `json:"kind"`
	Result string   `json:"result"` // match, changed, absent, unreadable, placeholder, not-enrolled
	State  string   `json:"state"`  // ok, absent, unreadable, placeholder
	Weight int      `json:"weight"`
	Strong bool     `json:"strong"`
	Then   []string `json:"then"`
	Now    []string `json:"now"`
	Digits []string `json:"digits"`
	Reason string   `json:"reason,omitempty"` // why the state is not ok, in words
}

// Clock is the evidence of the time rule. All times are UTC seconds.
type Clock struct {
	Time        int64 `json:"time"` // the time that decides
	Wall        int64 `json:"wall"` // what the machine's clock says
	HighWater   int64 `json:"high_water"`
	Behind      bool  `json:"behind"`
	Provisional bool  `json:"provisional"`
}

// Contact is the state of the conversation with the merchant.
type Contact struct {
	Last      int64  `json:"last,omitempty"` // server time of the last signed answer
	Next      int64  `json:"next,omitempty"`
	Failures  int    `json:"failures,omitempty"`
	LastError *Error `json:"last_error,omitempty"`
	Pending   string `json:"pending,omitempty"`
	Contested bool   `json:"contested,omitempty"`
}

// Worse is the memory of worse reads.
type Worse struct {
	Reads int   `json:"reads"`
	First int64 `json:"first,omitempty"`
	Last  int64 `json:"last,omitempty"`
}

// SimulateRequest asks what would happen if. It changes nothing. Zero values
// mean "as it is now".
type SimulateRequest struct {
	Issuer     string           `json:"issuer,omitempty"`
	Product    string           `json:"product,omitempty"`
	Offline    int64            `json:"offline,omitempty"`    // seconds from now without any contact
	Clock      int64            `json:"clock,omitempty"`      // seconds by which the wall clock is changed
	Drop       map[string]int64 `json:"drop,omitempty"`       // part (mac, disk, board, cpu) → how many of its values are gone, enrolled ones first; 0: all
	Replace    []string         `json:"replace,omitempty"`    // parts whose values are all other ones
	Unreadable []string         `json:"unreadable,omitempty"` // parts that cannot be read
	Behind     bool             `json:"behind,omitempty"`     // the clock is behind and no tick is on disk
	Contested  bool             `json:"contested,omitempty"`  // a fork was seen
	Clone      bool             `json:"clone,omitempty"`      // the state was copied to another machine
}

// Hardware is what is left between a license and "this is another machine". It
// stands in every status, so that somebody is warned before it breaks.
type Hardware struct {
	Outcome    string   `json:"outcome"`    // same, different, indeterminate
	Left       int      `json:"left"`       // points that may still be lost; one more and it may break
	Lost       []string `json:"lost"`       // enrolled parts that are not there any more
	Unreadable []string `json:"unreadable"` // enrolled parts that cannot be read now
	// Warning says that somebody should look before it breaks: a part is lost, or
	// one cannot be read and little can be spared, or the machine is not
	// recognised any more.
	Warning bool   `json:"warning"`
	Message string `json:"message,omitempty"` // in words; empty in events
}
