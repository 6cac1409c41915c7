package activation

// Retry is when an agent asks again after failures, for simulations.
func Retry(rand func() float64, now, renewBy int64, failures int) int64 {
	return retry(rand, now, renewBy, failures, 0)
}

// Plan is the contact of a day of use as an agent keeps it, for simulations of
// machines in UTC.
type Plan struct{ p *usePlan }

// NewPlan is that of a machine that was not used yet, in a simulation whose
// first day is 0.
func NewPlan() Plan {
	p := new(usePlan)
	p.told.Store(-1)
	return Plan{p}
}

// Check is the first check of a day; regular is when the regular contact is due.
func (u Plan) Check(rand func() float64, now, regular int64) {
	u.p.mark(rand, now, dayOf(now, 0), dayEnd(now, 0), regular)
}

// Answered is the plan after an answer to a request that told everything.
func (u Plan) Answered() Plan { return Plan{u.p.answered(false)} }

// Next is the next contact.
func (u Plan) Next(now, regular, renewBy int64, failures int) int64 {
	return u.p.next(now, regular, renewBy, failures)
}

// Left is when the next tick is due, for simulations that follow the shipped rhythm.
func (s ClockState) Left(r Reading) int64 { return s.left(r) }

// BudgetEvery is the time one token takes to come back.
const BudgetEvery = budgetEvery
