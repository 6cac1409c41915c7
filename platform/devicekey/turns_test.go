package devicekey

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

// patience is a clock that the test lets run out.
type patience struct {
	end  chan time.Time
	read chan bool // once for each who begins to wait
}

func (p *patience) after(time.Duration) <-chan time.Time {
	p.read <- true
	return p.end
}

// asked is an answer with its error.
type asked struct {
	n   int
	err error
}

// ask runs inTurn beside the test.
func ask(q *turns, do func() (int, error)) <-chan asked {
	out := make(chan asked, 1)
	go func() {
		n, err := inTurn(q, commandLimit, do)
		out <- asked{n, err}
	}()
	return out
}

// A chip that says nothing keeps nobody: not who has asked it, not who waits for the
// turn, and who comes later not for a moment. When it answers after all it is used
// again.
func TestSilentChipKeepsNobody(t *testing.T) {
	clock := &patience{make(chan time.Time), make(chan bool, 100)}
	q := newTurns(clock.after)
	begun, answer := make(chan bool), make(chan bool)
	first := ask(q, func() (int, error) { close(begun); <-answer; return 1, nil })
	<-begun
	second := ask(q, func() (int, error) { t.Error("the chip was asked a second thing"); return 2, nil })
	<-clock.read
	<-clock.read
	close(clock.end)
	for _, waits := range []<-chan asked{first, second} {
		if got := <-waits; !errors.Is(got.err, ErrChip) || !errors.Is(got.err, errSilent) || got.n != 0 {
			t.Errorf("%+v", got)
		}
	}
	clock.end = nil // whoever waited now would wait for ever
	if got := <-ask(q, func() (int, error) { t.Error("asked while it was silent"); return 3, nil }); !errors.Is(got.err, errSilent) {
		t.Errorf("later: %+v", got)
	}
	close(answer)
	q.busy <- struct{}{} // the command has ended
	<-q.busy
	for { // and says so in the next moment
		if got := <-ask(q, func() (int, error) { return 4, nil }); got == (asked{4, nil}) {
			break
		} else if !errors.Is(got.err, errSilent) {
			t.Fatalf("after it has answered: %+v", got)
		}
	}
}

// Whoever is answered in time gets the answer, also in the moment in which the time
// runs out, and nothing of it is left for the next one.
func TestAnswerAtTheLastMoment(t *testing.T) {
	for range 2000 {
		clock := &patience{make(chan time.Time), make(chan bool, 100)}
		q := newTurns(clock.after)
		got := ask(q, func() (int, error) { close(clock.end); return 1, nil })
		if a := <-got; a.err != nil && !errors.Is(a.err, errSilent) || a.err == nil && a.n != 1 {
			t.Fatalf("%+v", a)
		}
		q.busy <- struct{}{}
		<-q.busy
		for q.late.Load() != nil { // the end of the command takes it back, or the test does not end
			runtime.Gosched()
		}
	}
}

// One command at a time, and everybody gets his own answer.
func TestOneCommandAtATime(t *testing.T) {
	q := newTurns(nil)
	inside, wrong := 0, errors.New("the chip's own error")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			n, err := inTurn(q, time.Minute, func() (int, error) {
				inside++ // the race detector watches
				defer func() { inside-- }()
				if inside != 1 {
					t.Error("two at once")
				}
				if i%2 == 1 {
					return 0, wrong
				}
				return i, nil
			})
			if i%2 == 1 && err != wrong || i%2 == 0 && (err != nil || n != i) {
				t.Errorf("%d: %d, %v", i, n, err)
			}
		})
	}
	wg.Wait()
}
