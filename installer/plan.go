// Package installer puts the agent onto a machine that has no package manager
// for it, takes it away again, and changes one version for another.
//
// Everything is a plan: a list of steps that look first whether they are needed,
// that can be printed before anything happens, and that know how to undo
// themselves. A step that fails takes back the ones before it. A run that was
// killed is repaired by the next one, because every step starts by looking and
// every file appears under its name as a whole or not at all. Nothing here uses
// the network.
//
// It is not part of the stable API.
package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Step is one change to the machine.
type Step struct {
	// Text says in one line what Do does. A step without text changes nothing by
	// itself; it remembers something for its Undo.
	Text string
	// Done says whether the machine is already as Do would make it. nil means
	// never.
	Done func(context.Context) (bool, error)
	// Changes are the places that Do makes or removes, for the After of later steps.
	Changes []string
	// After says whether Do is needed, whatever Done says, because steps before it
	// change these places. It is asked by a plan that is only looked at, when they
	// have not been changed yet, and again when they have been. nil means that what
	// goes before makes no difference.
	After func(changed []string) (bool, error)
	// Do makes the change. It may be called again after it was interrupted.
	Do func(context.Context) error
	// Undo takes it back, also when Do failed half-way. nil means that there is no
	// way back; such steps come last.
	Undo func(context.Context) error
}

// Plan is a list of steps in the order in which they are done.
type Plan struct{ Steps []Step }

// Line is one step of a plan for a reader.
type Line struct {
	Text   string `json:"text"`
	Needed bool   `json:"needed"` // false: the machine is so already
}

// Look says for each step whether it is needed, after the steps before it. It
// changes nothing.
func (p Plan) Look(ctx context.Context) ([]Line, error) {
	var out []Line
	var changed []string
	for _, s := range p.Steps {
		if s.Text == "" {
			continue
		}
		needed, err := s.needed(ctx, changed)
		if err != nil {
			return out, fmt.Errorf("%s: %w", s.Text, err)
		}
		if needed {
			changed = append(changed, s.Changes...)
		}
		out = append(out, Line{Text: s.Text, Needed: needed})
	}
	return out, nil
}

func (s Step) needed(ctx context.Context, changed []string) (bool, error) {
	if s.Done == nil {
		return true, nil
	}
	if done, err := s.Done(ctx); err != nil || !done {
		return true, err
	}
	if s.After == nil {
		return false, nil
	}
	return s.After(changed)
}

// after is needed when one of the places is changed before.
func after(places ...string) func([]string) (bool, error) {
	return func(changed []string) (bool, error) {
		return slices.ContainsFunc(places, func(p string) bool { return slices.Contains(changed, p) }), nil
	}
}

// ErrUndone marks a failure after which the machine is as it was before.
var ErrUndone = errors.New("nothing was changed: what had been done was taken back")

// ErrHalfDone marks a failure after which something could not be taken back.
// Running the same command again, or uninstall, goes on from there.
var ErrHalfDone = errors.New("some changes could not be taken back; run the command again, or uninstall")

// Apply does what is needed and says each step to tell as it is done. When a
// step fails, or ctx ends between two steps, the steps of this call are undone
// in reverse order; the error is the step's and ErrUndone or ErrHalfDone.
func (p Plan) Apply(ctx context.Context, tell func(string)) error {
	var begun []Step
	var changed []string
	for _, s := range p.Steps {
		err := ctx.Err()
		if err == nil {
			var needed bool
			if needed, err = s.needed(ctx, changed); err == nil && !needed {
				continue
			}
		}
		if err == nil {
			begun = append(begun, s)
			changed = append(changed, s.Changes...)
			err = s.Do(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Text, undo(ctx, begun, err))
		}
		if s.Text != "" {
			tell(s.Text)
		}
	}
	return nil
}

// undo takes back the begun steps, all of them even if some fail.
func undo(ctx context.Context, begun []Step, cause error) error {
	ctx = context.WithoutCancel(ctx) // an interrupted run must still clean up
	verdict := ErrUndone
	errs := []error{cause}
	for i := len(begun) - 1; i >= 0; i-- {
		s := begun[i]
		if s.Undo == nil {
			verdict = ErrHalfDone
			continue
		}
		if err := s.Undo(ctx); err != nil {
			verdict = ErrHalfDone
			errs = append(errs, fmt.Errorf("taking back %q: %w", s.Text, err))
		}
	}
	return errors.Join(append(errs, verdict)...)
}
