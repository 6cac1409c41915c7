package devicekey

import (
	"fmt"
	"sync/atomic"
	"time"
)

// How long callers wait for the chip. A command takes a real one a tenth of a second,
// and a client of the agent gives up after five. At the start keys are made, which
// takes some chips seconds, and nobody waits but the service manager, for a minute.
const (
	commandLimit = 3 * time.Second
	openLimit    = 20 * time.Second
)

// errSilent is returned by a chip that has been asked and says nothing.
var errSilent = fmt.Errorf("%w: it does not answer in time", ErrChip)

// turns lets one command at a time into a chip, a TPM does no more, and lets nobody
// wait for a chip that does not answer. A command cannot be called back: while one
// that nobody waits for any more is under way, whoever comes is told so at once. When
// it ends the chip is used again.
type turns struct {
	after func(time.Duration) <-chan time.Time
	busy  chan struct{}        // full while a command is under way
	late  atomic.Pointer[byte] // the command that nobody waits for, nil for none
}

func newTurns(after func(time.Duration) <-chan time.Time) *turns {
	if after == nil {
		after = time.After
	}
	return &turns{after: after, busy: make(chan struct{}, 1)}
}

// inTurn runs one command and waits for its turn and its end, together no longer than
// limit. do may go on after that, so it writes to nothing that the caller reads.
func inTurn[T any](q *turns, limit time.Duration, do func() (T, error)) (T, error) {
	var none T
	if q.late.Load() != nil {
		return none, errSilent
	}
	end := q.after(limit)
	select {
	case q.busy <- struct{}{}:
	default:
		select {
		case q.busy <- struct{}{}:
		case <-end:
			return none, errSilent
		}
	}
	type answer struct {
		value T
		err   error
	}
	answers, me := make(chan answer, 1), new(byte)
	go func() {
		v, err := do()
		<-q.busy
		answers <- answer{v, err}
		q.late.CompareAndSwap(me, nil)
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-end:
	}
	q.late.Store(me)
	select { // it may have ended before that was noted
	case a := <-answers:
		q.late.CompareAndSwap(me, nil)
		return a.value, a.err
	default:
		return none, errSilent
	}
}
