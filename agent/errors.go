package agent

import (
	"errors"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

// asFile says "the file" where the life cycle says "the merchant's answer".
func asFile(err error) error {
	if errors.Is(err, activation.ErrAnswer) && !errors.Is(err, activation.ErrStore) {
		return fileError{err}
	}
	return err
}

// fileError is an error of an answer that came as a file.
type fileError struct{ error }

// As lets the local API see the code that fits a file.
func (e fileError) As(target any) bool {
	if t, ok := target.(**api.Error); ok {
		*t = &api.Error{Code: api.CodeBadFile}
		return true
	}
	return false
}

// Unwrap keeps the reason for the log.
func (e fileError) Unwrap() error { return e.error }

// clean removes secrets from what the merchant said before it is passed on.
func (d *Daemon) clean(err error) error {
	refused := (*activation.RefusedError)(nil)
	if !errors.As(err, &refused) {
		return err
	}
	out := *refused
	out.Message, out.Hint = d.redact.Text(out.Message), d.redact.Text(out.Hint)
	if errors.Is(err, activation.ErrUnreachable) {
		return errors.Join(activation.ErrUnreachable, &out)
	}
	if errors.Is(err, activation.ErrStore) {
		return err
	}
	return &out
}
