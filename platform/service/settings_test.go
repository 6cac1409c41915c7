package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a repair finds in services that others have installed or changed.
func TestDiffers(t *testing.T) {
	def := Definition{Name: "license-agent", Executable: `C:\Program Files\license-agent\license-agent.exe`, Arguments: []string{"run"}}
	const line = `"C:\Program Files\license-agent\license-agent.exe" run`
	good := Settings{CommandLine: line, Account: `NT SERVICE\license-agent`, Automatic: true, Own: true}
	with := func(change func(*Settings)) Settings { s := good; change(&s); return s }
	for name, test := range map[string]struct {
		now  Settings
		want []string
	}{
		"as installed":                      {good, nil},
		"account in other letters":          {with(func(s *Settings) { s.Account = `nt service\LICENSE-AGENT` }), nil},
		"unquoted, as an MSI makes it":      {with(func(s *Settings) { s.CommandLine = `C:\Program Files\license-agent\license-agent.exe run` }), []string{"command line"}},
		"an older version, as the system":   {with(func(s *Settings) { s.Account = "LocalSystem" }), []string{"account"}},
		"LocalSystem with a dot":            {with(func(s *Settings) { s.Account = `.\LocalSystem` }), []string{"account"}},
		"LocalService":                      {with(func(s *Settings) { s.Account = `NT AUTHORITY\LocalService` }), []string{"account"}},
		"the account of another service":    {with(func(s *Settings) { s.Account = `NT SERVICE\other` }), []string{"account"}},
		"no account":                        {with(func(s *Settings) { s.Account = "" }), []string{"account"}},
		"a domain account stays":            {with(func(s *Settings) { s.Account = `CORP\svc-license` }), nil},
		"a managed service account stays":   {with(func(s *Settings) { s.Account = `CORP\license$` }), nil},
		"a user principal name stays":       {with(func(s *Settings) { s.Account = "svc-license@corp.example" }), nil},
		"a local account stays":             {with(func(s *Settings) { s.Account = `.\license` }), nil},
		"disabled":                          {with(func(s *Settings) { s.Automatic = false }), []string{"start at boot"}},
		"in a shared process":               {with(func(s *Settings) { s.Own = false }), []string{"process of its own"}},
		"another program and another owner": {Settings{CommandLine: `C:\ProgramData\evil.exe`, Account: "LocalSystem"}, []string{"command line", "account", "start at boot", "process of its own"}},
	} {
		if diff := cmp.Diff(test.want, differs(test.now, def)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	def.User = `CORP\fixed`
	if keepAccount(`CORP\other`, def) || !keepAccount(`corp\FIXED`, def) {
		t.Error("a definition that names the account is not followed")
	}
}
