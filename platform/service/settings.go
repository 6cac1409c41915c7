package service

import "strings"

// Settings are what the Windows service manager holds for a service, as far as
// every manager can tell it.
type Settings struct {
	CommandLine string // program and arguments
	Account     string // as it is written there: "LocalSystem", `NT SERVICE\\x`, `DOMAIN\\user`
	Automatic   bool   // starts at boot
	Own         bool   // has a process of its own
}

// account is the one the service gets on Windows: a virtual account of the
// service's own unless the definition names one.
func (def Definition) account() string {
	if def.User != "" {
		return def.User
	}
	return serviceAuthority + def.Name
}

// serviceAuthority begins the name of every virtual account.
const serviceAuthority = `NT SERVICE\`

// keepAccount says whether the account that the service has now stays: the
// right one, or one that an administrator has chosen, such as a domain account.
// The system's own accounts are not kept: older versions and other installers
// choose them, and they may do more than the agent needs.
func keepAccount(now string, def Definition) bool {
	if strings.EqualFold(now, def.account()) {
		return true
	}
	domain, user, qualified := strings.Cut(now, `\`)
	switch {
	case def.User != "", now == "", strings.EqualFold(now, "LocalSystem"):
		return false
	case !qualified:
		return strings.Contains(now, "@") // user@domain
	case strings.EqualFold(domain, "NT AUTHORITY"), strings.EqualFold(domain, "NT SERVICE"), strings.EqualFold(user, "LocalSystem"):
		return false
	}
	return true
}

// differs compares what the manager holds with what Install would make.
func differs(now Settings, def Definition) []string {
	var out []string
	if now.CommandLine != commandLine(def.Executable, def.Arguments) {
		out = append(out, "command line")
	}
	if !keepAccount(now.Account, def) {
		out = append(out, "account")
	}
	if !now.Automatic {
		out = append(out, "start at boot")
	}
	if !now.Own {
		out = append(out, "process of its own")
	}
	return out
}
