package activation

// Left is when the next tick is due, for simulations that follow the shipped rhythm.
func (s ClockState) Left(r Reading) int64 { return s.left(r) }

// BudgetEvery is the time one token takes to come back.
const BudgetEvery = budgetEvery
