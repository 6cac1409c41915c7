package installer

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// journal records what steps do.
type journal struct{ lines []string }

func (j *journal) step(name string, done bool, doErr, undoErr error) Step {
	return Step{
		Text: name,
		Done: func(context.Context) (bool, error) { return done, nil },
		Do:   func(context.Context) error { j.lines = append(j.lines, "do "+name); return doErr },
		Undo: func(context.Context) error { j.lines = append(j.lines, "undo "+name); return undoErr },
	}
}

func nobody(string) {}

func TestApplyDoesWhatIsNeeded(t *testing.T) {
	var j journal
	var told []string
	p := Plan{[]Step{j.step("a", false, nil, nil), j.step("b", true, nil, nil), j.step("c", false, nil, nil)}}
	lines, err := p.Look(t.Context())
	if err != nil || len(j.lines) != 0 {
		t.Fatalf("Look: %v, did %v", err, j.lines)
	}
	if diff := cmp.Diff([]Line{{"a", true}, {"b", false}, {"c", true}}, lines); diff != "" {
		t.Error(diff)
	}
	if err := p.Apply(t.Context(), func(s string) { told = append(told, s) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"do a", "do c"}, j.lines); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a", "c"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestApplyUndoesInReverse(t *testing.T) {
	broken := errors.New("broken")
	var j journal
	err := Plan{[]Step{j.step("a", false, nil, nil), j.step("b", true, nil, nil), j.step("c", false, nil, nil), j.step("d", false, broken, nil), j.step("e", false, nil, nil)}}.Apply(t.Context(), nobody)
	if !errors.Is(err, broken) || !errors.Is(err, ErrUndone) || errors.Is(err, ErrHalfDone) {
		t.Errorf("%v", err)
	}
	// What was there before (b) is not taken away; d may have been half done.
	if diff := cmp.Diff([]string{"do a", "do c", "do d", "undo d", "undo c", "undo a"}, j.lines); diff != "" {
		t.Error(diff)
	}
}

func TestApplyTellsWhatCannotBeTakenBack(t *testing.T) {
	broken, stuck := errors.New("broken"), errors.New("stuck")
	var j journal
	err := Plan{[]Step{j.step("a", false, nil, nil), j.step("b", false, nil, stuck), j.step("c", false, broken, nil)}}.Apply(t.Context(), nobody)
	if !errors.Is(err, broken) || !errors.Is(err, stuck) || !errors.Is(err, ErrHalfDone) || errors.Is(err, ErrUndone) {
		t.Errorf("%v", err)
	}
	if last := j.lines[len(j.lines)-1]; last != "undo a" {
		t.Errorf("one failure ended the undoing: %v", j.lines)
	}
	one := j.step("no way back", false, nil, nil)
	one.Undo = nil
	if err := (Plan{[]Step{one, j.step("c", false, broken, nil)}}).Apply(t.Context(), nobody); !errors.Is(err, ErrHalfDone) {
		t.Errorf("%v", err)
	}
}

// An interrupted run undoes, although its context has ended.
func TestApplyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var j journal
	first := j.step("a", false, nil, nil)
	undone := false
	first.Do = func(context.Context) error { cancel(); return nil }
	first.Undo = func(ctx context.Context) error { undone = true; return ctx.Err() }
	err := Plan{[]Step{first, j.step("b", false, nil, nil)}}.Apply(ctx, nobody)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUndone) || !undone || len(j.lines) != 0 {
		t.Errorf("%v, undone %v, %v", err, undone, j.lines)
	}
}

func TestLookReportsWhatCannotBeSeen(t *testing.T) {
	blind := errors.New("blind")
	s := Step{Text: "a", Done: func(context.Context) (bool, error) { return false, blind }}
	if _, err := (Plan{[]Step{s}}).Look(t.Context()); !errors.Is(err, blind) {
		t.Errorf("%v", err)
	}
	if err := (Plan{[]Step{s}}).Apply(t.Context(), nobody); !errors.Is(err, blind) {
		t.Errorf("%v", err)
	}
}
