package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
)

// What the log says becomes events with stable numbers, and what repeats or can
// be provoked does not fill the event log.
func TestEvents(t *testing.T) {
	var got []string
	log := slog.New(newEvents(slog.DiscardHandler, func(e service.Event, text string) error {
		got = append(got, fmt.Sprintf("%d %s", e, strings.ReplaceAll(text, "\n", " ")))
		return nil
	})).With("instance", "cad")
	for range 3 {
		log.Warn(sayRefused, "error", "anonymous")
		log.Warn(sayFailed, "product", "studio")
	}
	log.Info("something else")
	log.Info(sayContact)
	log.Info(sayContact)
	log.Info(sayAnswers)
	log.Info(sayChanged, "phase", "active", "runs", true)
	log.Info(sayChanged, "phase", "expiring", "runs", true)
	log.Info(sayChanged, "phase", "grace", "runs", true)
	log.Info(sayChanged, "phase", "expired", "runs", false)
	log.Info(sayStopped)
	want := []string{
		"302 " + sayRefused + " instance=cad error=anonymous", "401 " + sayFailed + " instance=cad product=studio",
		"400 " + sayContact + " instance=cad", "100 " + sayAnswers + " instance=cad",
		"200 license changed instance=cad phase=active runs=true", "201 license changed instance=cad phase=expiring runs=true",
		"201 license changed instance=cad phase=grace runs=true", "202 license changed instance=cad phase=expired runs=false",
		"101 " + sayStopped + " instance=cad",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	s := eventState{last: map[service.Event]time.Time{}}
	now := time.Unix(1_800_000_000, 0)
	for i, ok := range []bool{true, false, true} {
		if _, is := s.event(sayDamage, nil, now.Add(time.Duration(i)*(quiet*2/3))); is != ok {
			t.Errorf("damage %d: written %v", i, is)
		}
	}
	for err, want := range map[error]service.Event{
		errors.New("x"): service.EventFailed, service.ErrStopTimeout: service.EventStopTimeout,
		&securefile.Error{Err: securefile.ErrMode}: service.EventUnsafeFiles,
	} {
		if id, text := ending(err, "y"); id != want || text != "license-agent ended: y" {
			t.Errorf("%v: %d %q", err, id, text)
		}
	}
}

// The messages that become events are those that the agent logs.
func TestEventsAreSaid(t *testing.T) {
	var source strings.Builder
	for _, glob := range []string{"*.go", "../../*.go"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") || filepath.Base(f) == "events.go" {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	for name, text := range map[string]string{
		"sayAnswers": sayAnswers, "sayStopped": sayStopped, "sayChanged": sayChanged, "sayDamage": sayDamage,
		"sayRefused": sayRefused, "sayContact": sayContact, "sayFailed": sayFailed,
	} {
		if !strings.Contains(source.String(), `("`+text+`"`) && !strings.Contains(source.String(), "("+name) {
			t.Errorf("nothing logs %q", text)
		}
	}
}
