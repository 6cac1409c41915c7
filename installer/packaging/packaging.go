// Package packaging holds the files that are installed beside the program: the
// service's units and scripts, the default configuration, and what the packages
// run. There is one text of each. The packages ship it as it is, and the
// installer writes it with the names of an instance filled in, so that both
// ways end in the same confinement.
//
// It is not part of the stable API.
package packaging

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"strings"
)

//go:embed files
var files embed.FS

// The files. Their names are those below the directory "files".
const (
	Service  = "license-agent.service"  // systemd.service(5)
	Socket   = "license-agent.socket"   // systemd.socket(5)
	Sysusers = "license-agent.sysusers" // sysusers.d(5)

	// For instances beside the packages' own, by "systemctl enable --now
	// license-agent@NAME.socket". The first two are Text(…, Template()).
	TemplateService = "license-agent@.service"
	TemplateSocket  = "license-agent@.socket"
	TemplateUser    = "license-agent-user@.service"

	// What a machine does whose table of serial numbers cannot be read, systemd.generator(7).
	Generator = "license-agent.generator"

	// Drop-ins for the service, for who wants the device key kept better than in a
	// file: docs/adr/0007-device-key-in-the-tpm.md.
	TPM  = "tpm.conf"
	Seal = "seal.conf"

	Config   = "agent.toml"             // the default configuration
	AppArmor = "license-agent.apparmor" // apparmor.d(5); one for all instances
	OpenRC   = "license-agent.openrc"   // openrc-run(8)
	SysV     = "license-agent.sysv"     // LSB init script
)

// program is the path and the name that the texts are written for.
const (
	program = "/usr/bin/license-agent"
	name    = "license-agent"
)

var (
	// ErrName is returned for a file that does not exist.
	ErrName = errors.New("packaging: no such file")
	// ErrProgram is returned for a program path that a unit or script cannot
	// express without quoting rules that differ from one manager to the next.
	ErrProgram = errors.New("packaging: the path of the program must be absolute and made of letters, digits and /._-")
)

// Names are what differs from instance to instance.
type Names struct {
	Service  string // names user, group and directories: license-agent or license-agent-NAME
	Unit     string // name of the units without suffix; empty means Service
	Instance string // value of --instance, "" for the unnamed instance
	Program  string // absolute path of the program; empty means /usr/bin/license-agent
}

// Template are the names inside a template unit, where systemd puts the
// instance for %i (systemd.unit(5)). Its user is made by a unit of its own.
func Template() Names {
	return Names{Service: name + "-%i", Unit: name + "@%i", Instance: "%i"}
}

// Text returns one file with the names filled in. The zero Names give the text
// exactly as the packages ship it.
func Text(file string, n Names) (string, error) {
	b, err := files.ReadFile(path.Join("files", file))
	if err != nil {
		return "", fmt.Errorf("%w: %q", ErrName, file)
	}
	if n.Service == "" {
		n.Service = name
	}
	if n.Unit == "" {
		n.Unit = n.Service
	}
	if n.Program == "" {
		n.Program = program
	}
	if !plain(n.Program) {
		return "", fmt.Errorf("%w: %q", ErrProgram, n.Program)
	}
	run, also := "run", ""
	if n.Instance != "" {
		run += " --instance " + n.Instance
	}
	if n.Instance == "%i" {
		also = " license-agent-user@%i.service"
	}
	all := Service + " " + TemplateService // of the packages
	if n.Service != name {
		all = n.Unit + ".service"
	}
	// The pairs that keep a text stand for what belongs to the program and not to
	// the instance. strings.Replacer takes the first pair that fits at a place.
	return strings.NewReplacer(
		program+" run", n.Program+" "+run,
		`"`+program+`"`, `"`+n.Program+`"`,
		"daemon="+program, "daemon="+n.Program,
		`command_args="run"`, `command_args="`+run+`"`,
		"-- run >>", "-- "+run+" >>",
		"license-agent run --check", path.Base(n.Program)+" "+run+" --check",
		"man:license-agent", "man:license-agent",
		`"license-agent `, `"license-agent `,
		"of license-agent.", "of license-agent.",
		"=-license-agent\n", "=-license-agent\n",
		"Requires="+Socket, "Requires="+n.Unit+".socket"+also,
		"After="+Socket, "After="+n.Unit+".socket"+also,
		Service+" "+TemplateService, all,
		Socket, n.Unit+".socket",
		Service, n.Unit+".service",
		name, n.Service,
	).Replace(string(b)), nil
}

// plain says whether a path means the same in a unit, in a shell script and in
// a conversation with support.
func plain(p string) bool {
	if !path.IsAbs(p) || path.Clean(p) != p {
		return false
	}
	for _, c := range []byte(p) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/._-", c) >= 0
		if !ok {
			return false
		}
	}
	return true
}
