//go:build e2e

package systemd

import (
	"encoding/json"

	"licenseagent.example/agent/api"
)

// status is what the agent says to a program.
func (m *machine) status() api.Status {
	m.t.Helper()
	out, _ := m.try("license-agent", "status", "--output", "json") // not licensed is an error for scripts
	var st api.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
	return st
}
