package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/agent/api"
)

// samples are complete values, one per file of testdata. Other languages'
// clients read the same files, so that a renamed member is seen everywhere.
func samples() map[string]any {
	verdict := api.Verdict{
		Phase: "expiring", Runs: true, Flags: []string{"drift"}, Reason: "entitlement-ends-soon",
		Message: "The license ends in 12 days.", Next: "renew-entitlement", NextStep: "Buy an extension.",
		Until: 1800000000, Expires: 1800000000, RenewBy: 1799000000, GraceUntil: 1799900000, DaysLeft: 12,
	}
	refused := &api.Error{Code: api.CodeRefused, Cause: "code-used-up", Message: "All seats are taken.", Hint: "Release one.", RequestID: "7f00000000000001"}
	hardware := api.Hardware{Outcome: "same", Left: 1, Lost: []string{"disk"}, Unreadable: []string{"board"}, Warning: true}
	told := hardware
	told.Message = "not as enrolled: disk; two more points and it breaks."
	license := api.License{
		Issuer: "acme", Product: "painter", Edition: "pro", ID: "lic-1", Seats: 2, SeatsUsed: 1, SeatsQueue: 3, Features: []string{"export", "scripting"},
		Limits: map[string]int64{"max-projects": 10}, Verdict: verdict, Hardware: &told, LastContact: 1798900000, NextContact: 1798990000,
		LastError: refused, Pending: "renew",
	}
	part := api.Part{Kind: "mac", Result: "match", State: "ok", Weight: 2, Strong: true, Then: []string{"1f2e3d4c"}, Now: []string{"00***5E"}, Digits: []string{"1f2e3d4c"}}
	version := api.Version{Version: "1.2.3", API: 1, Instance: "acme", Go: "go1.26.8", OS: "linux", Arch: "amd64"}
	status := api.Status{Instance: "acme", Version: "1.2.3", DeviceID: "dev:00112233445566778899aabbccddeeff", KeyTier: "file", Time: 1798963200, Serial: 7, Licenses: []api.License{license}}
	event := api.Event{Serial: 7, Time: 1798963200, Kind: api.EventVerdict, Issuer: "acme", Product: "painter", Phase: "expiring", Runs: true, Reason: "entitlement-ends-soon"}
	observed := api.Event{Serial: 8, Time: 1798963200, Kind: api.EventObserved, Issuer: "acme", Product: "painter", Phase: "expiring", Runs: true, Reason: "entitlement-ends-soon", Hardware: &hardware}
	count := api.SeatCount{Issuer: "acme", Product: "painter", Total: 2, Used: 1, Waiting: 3, Peak: 2}
	seat := api.Seat{ID: "s-5", Issuer: "acme", Product: "painter", User: "alice", Account: "uid:1000", PID: 4711, Since: 1798963200, Detached: true}
	taken := api.Event{Serial: 9, Time: 1798963200, Kind: api.EventSeats, Issuer: "acme", Product: "painter", Phase: "expiring", Runs: true, Reason: "entitlement-ends-soon", Seats: &count}
	why := api.Explanation{
		License: license,
		Device:  api.Comparison{Outcome: "same", Why: "3 of 3 parts match", Parts: []api.Part{part, {Kind: "board", Result: "unreadable", State: "unreadable", Weight: 3, Strong: true, Then: []string{"aabbccdd"}, Now: []string{}, Digits: []string{}, Reason: "permission denied"}}, Matched: 2, Available: 2, Enrolled: 5, Need: 1, Left: 1},
		Clock:   api.Clock{Time: 1798963200, Wall: 1798963200, HighWater: 1798963100, Behind: true, Provisional: true},
		Contact: api.Contact{Last: 1798900000, Next: 1798990000, Failures: 3, LastError: refused, Pending: "renew", Contested: true},
		Worse:   api.Worse{Reads: 1, First: 1798963000, Last: 1798963100},
		Settled: &verdict,
		Assumed: []string{"no contact for 1 day"},
	}
	return map[string]any{
		"version.json":       version,
		"status.json":        status,
		"check-request.json": api.CheckRequest{Product: "painter", Issuer: "acme", Nonce: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", Reread: true},
		"check-answer.json":  api.CheckAnswer{License: "e30=", KeySet: "e30=", Proof: "e30=", Verdict: verdict},
		"seat-request.json":  api.SeatRequest{Product: "painter", Issuer: "acme", User: "alice", WaitMS: 30000},
		"seat-answer.json":   api.SeatAnswer{Seat: seat, Count: count},
		"seats.json":         api.Seats{Counts: []api.SeatCount{count}, Seats: []api.Seat{seat}},
		"license.json":       api.Files{License: "e30=", KeySet: "e30="},
		"why.json":           why,
		"simulate.json":      api.SimulateRequest{Issuer: "acme", Product: "painter", Offline: 86400, Clock: -3600, Replace: []string{"disk"}, Drop: map[string]int64{"cpu": 0, "mac": 2}, Clone: true, Unreadable: []string{"board"}, Behind: true, Contested: true},
		"preview.json":       api.Preview{Issuer: "acme", Merchant: "https://license.acme.example", DeviceID: "dev:00", Fingerprint: "00:1B:44:11:3A:5E|S3Z|B1|0FCBFBFD00060FB1", Environment: "physical", Parts: []api.PreviewPart{{Kind: "board", State: "absent", Values: []string{"B1"}, Reason: "no DMI table"}}, Agent: "license-agent/1.2.3"},
		"activate.json":      api.ActivateRequest{Issuer: "acme", Product: "painter", Code: "AAAA-BBBB", Replace: true},
		"key.json":           api.KeyRequest{Issuer: "acme", Product: "painter"},
		"rebind.json":        api.RebindRequest{Issuer: "acme", Product: "painter", Code: "AAAA-BBBB"},
		"request.json":       api.OfflineRequest{Kind: "activate", Issuer: "acme", Product: "painter", Code: "AAAA-BBBB", Replace: true},
		"request-file.json":  api.RequestFile{Kind: "activate", Issuer: "acme", Product: "painter", File: "e30="},
		"import.json":        api.ImportRequest{Answer: "e30="},
		"outcome.json":       api.Outcome{License: license},
		"events.json":        api.Events{Serial: 7, Missed: true, Events: []api.Event{event, observed, taken}},
		"error.json":         api.ErrorBody{Error: *refused},
		"diagnose.json": api.Diagnosis{
			Version: version, Status: status, Why: []api.Explanation{why}, Device: []api.Part{part}, Env: "vm", Notes: []string{"ghw and probe differ"},
			Sockets: []string{"unix /run/license-agent/agent.sock"}, Process: api.Process{PID: 42, Started: 1798960000, Goroutines: 9, HeapBytes: 4194304},
			Settings: []api.Setting{{Name: "socket", Value: "/run/license-agent/agent.sock", Source: "default"}}, Inputs: []byte(`[]`), Events: []api.Event{event},
		},
	}
}

// update rewrites the golden files: go test ./agent/api -update
func update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite testdata")
	flag.Parse()
	os.Exit(m.Run())
}

func TestGolden(t *testing.T) {
	for name, v := range samples() {
		file := filepath.Join("testdata", name)
		got, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		if update() {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-file +Go):\n%s", name, diff)
		}
		back := reflect.New(reflect.TypeOf(v))
		dec := json.NewDecoder(bytes.NewReader(want))
		dec.DisallowUnknownFields()
		if err := dec.Decode(back.Interface()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(v, back.Elem().Interface()); diff != "" {
			t.Errorf("%s does not come back as it was (-sent +read):\n%s", name, diff)
		}
	}
}

// A sample that leaves a member empty would not notice its loss.
func TestSamplesFillEveryMember(t *testing.T) {
	filled := map[string]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if !v.Field(i).IsZero() {
					filled[v.Type().Name()+"."+v.Type().Field(i).Name] = true
				}
				walk(v.Field(i))
			}
		}
	}
	for _, v := range samples() {
		walk(reflect.ValueOf(v))
	}
	for _, v := range wire() {
		rt := reflect.TypeOf(v)
		for i := range rt.NumField() {
			if name := rt.Name() + "." + rt.Field(i).Name; !filled[name] {
				t.Errorf("no sample fills %s", name)
			}
		}
	}
}

func TestGoldenFilesHaveSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := samples()[filepath.Base(f)]; !ok {
			t.Errorf("%s belongs to no sample", f)
		}
	}
	if len(files) != len(samples()) {
		t.Errorf("%d files for %d samples", len(files), len(samples()))
	}
}
