package localapi

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/agent/api"
)

// errorLines counts the lines that an operator is alarmed by.
type errorLines struct {
	slog.Handler
	n *atomic.Int64
}

func (e errorLines) Enabled(context.Context, slog.Level) bool { return true }

func (e errorLines) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		e.n.Add(1)
	}
	return nil
}

// A program that asks without pause while the chip of the device key is away does
// not fill the disk with the log, and another error is seen all the same.
func TestErrorsThatAnybodyCausesAreSaidOnceAMinute(t *testing.T) {
	var lines, minutes atomic.Int64
	f := newFake()
	f.err = activation.ErrDevice
	r := start(t, Config{
		Licenses: f, Log: slog.New(errorLines{slog.DiscardHandler, &lines}),
		Now: func() time.Time { return time.Unix(1798963200, 0).Add(time.Duration(minutes.Load()) * time.Minute) },
	})
	ask := func(code string, want int64) {
		t.Helper()
		for range 50 {
			status, body := r.call("POST", api.PathCheck, `{"product":"p","nonce":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`)
			if status != 503 && status != 507 && status != 500 || errorCode(t, body) != code {
				t.Fatalf("%d %s", status, body)
			}
		}
		if n := lines.Load(); n != want {
			t.Errorf("%s: %d lines, want %d", code, n, want)
		}
	}
	ask(api.CodeDeviceKey, 1)
	minutes.Add(1)
	ask(api.CodeDeviceKey, 2)
	f.err = activation.ErrStore
	ask(api.CodeStorage, 3)
	minutes.Add(-10) // the clock is set back
	ask(api.CodeStorage, 4)
}
