package packaging

import (
	"debug/pe"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"licenseagent.example/docs/promise"
)

// table reads one of the package's tables: name of the row to its other cells.
func table(t *testing.T, name string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("wix", name+".idt"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	rows := map[string][]string{}
	for _, line := range lines[3:] { // columns, types, keys
		cells := strings.Split(line, "\t")
		if len(cells) != strings.Count(lines[0], "\t")+1 || rows[cells[0]] != nil {
			t.Fatalf("%s: row %q", name, line)
		}
		rows[cells[0]] = cells[1:]
	}
	return rows
}

// The bits of a custom action's type (Windows Installer, "Custom Action Type").
const (
	actionSource   = 0x3f  // what runs: 18 is a program that the package installs, 51 sets a property
	actionIgnore   = 0x40  // a failure is ignored
	actionRollback = 0x100 // with deferred: runs when something later fails
	actionDeferred = 0x400
	actionSystem   = 0x800 // as the system and not as the user
)

// findings are what is wrong with actions and their order: each must run the
// installed program and nothing else, after it is there and before it goes, and
// only an administrator's first installation may name a file.
func findings(actions, order map[string][]string) (out []string) {
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	at := func(name string) int {
		if order[name] == nil {
			add("%s is not in the sequence", name)
			return 0
		}
		n, _ := strconv.Atoi(order[name][1])
		return n
	}
	for name, cells := range actions {
		kind, _ := strconv.Atoi(cells[0])
		if kind == 51 {
			out = append(out, setting(name, cells, order[name])...)
			continue
		}
		if kind&actionSource != 18 || cells[1] != "Program" {
			add("%s does not run the installed program", name)
		}
		if kind&actionDeferred == 0 || kind&actionSystem == 0 || kind&actionIgnore != 0 {
			add("%s is not deferred, not as the system, or may fail unseen", name)
		}
		if !regexp.MustCompile(`^(un)?install --packaged( --purge)? --instance "\[Instance\]"`).MatchString(cells[2]) {
			add("%s runs %q", name, cells[2])
		}
		for _, m := range regexp.MustCompile(`\[(\w+)\]`).FindAllStringSubmatch(cells[2], -1) {
			switch m[1] {
			case "KEEPUNHARDENED", "Instance":
			case "ANCHOR", "MERCHANT":
				if order[name] == nil || order[name][0] != "NOT Installed" {
					add("%s takes %s from whoever starts a repair", name, m[1])
				}
			default:
				add("%s uses the property %s", name, m[1])
			}
		}
		installs, back := strings.HasPrefix(cells[2], "install"), kind&actionRollback != 0
		switch n := at(name); {
		case installs != back && (n < at("InstallFiles") || n < at("InstallServices")):
			add("%s comes before the program", name)
		case installs == back && n > at("StopServices"):
			add("%s comes after the program has gone", name)
		}
	}
	for undo, do := range map[string]string{"AgentUndo": "AgentInstall", "AgentBack": "AgentRemove"} {
		if at(undo) > at(do) {
			add("%s is no way back from %s", undo, do)
		}
	}
	if n := at("RemoveExistingProducts"); n < at("InstallInitialize") || n > at("ProcessComponents") {
		add("the old version is removed outside the transaction")
	}
	return out
}

// setting is what is wrong with an action that sets a property: only the name of
// the instance comes from outside, from the command line at the first installation
// or from the registry, and the program's folder stays below Program Files.
func setting(name string, cells, order []string) (out []string) {
	want := map[string]string{
		"Service": "license-agent-[Instance]", "Arguments": "run --instance [Instance]", "ProductName": "License Agent ([Instance])",
		"AgentFolder": `[ProgramFiles64Folder]license-agent-[Instance]\`,
	}
	property, value := cells[1], cells[2]
	condition := ""
	if order != nil {
		condition = order[0]
	}
	switch {
	case order == nil:
		out = append(out, name+" is not in the sequence")
	case property != "Instance" && value != want[property]:
		out = append(out, fmt.Sprintf("%s sets %s to %q", name, property, value))
	case property != "Instance", value == "@INSTANCE@", value == "[REMEMBERED]" && condition == "REMEMBERED":
	case value != "[INSTANCE]" || condition != "INSTANCE AND NOT Installed":
		out = append(out, fmt.Sprintf("%s takes the instance from %q when %q", name, value, condition))
	}
	return out
}

// The Windows package gives no one more rights: its tables, its source, and the
// program in it.
func TestWindowsPackageGivesNoRights(t *testing.T) {
	actions, order := table(t, "CustomAction"), table(t, "InstallExecuteSequence")
	for _, f := range findings(actions, order) {
		t.Error(f)
	}
	// Control: each of these must be found.
	controls := 0
	for what, change := range map[string]func(a, o map[string][]string){
		"a script":             func(a, _ map[string][]string) { a["AgentInstall"] = []string{"3110", "", "evil()", ""} },
		"from a user's folder": func(a, _ map[string][]string) { a["AgentInstall"] = []string{"3106", "TempFolder", "setup.exe", ""} },
		"as the user": func(a, _ map[string][]string) {
			a["AgentRepair"] = []string{"1042", "Program", a["AgentRepair"][2], ""}
		},
		"failing unseen": func(a, _ map[string][]string) {
			a["AgentInstall"] = []string{"3154", "Program", a["AgentInstall"][2], ""}
		},
		"repair reads a file": func(a, _ map[string][]string) {
			a["AgentRepair"] = []string{"3090", "Program", a["AgentInstall"][2], ""}
		},
		"before the program": func(_, o map[string][]string) { o["AgentInstall"] = []string{"NOT Installed", "3000"} },
		"other commands":     func(a, _ map[string][]string) { a["AgentPurge"] = []string{"3090", "Program", "run", ""} },
		"program elsewhere": func(a, _ map[string][]string) {
			a["SetFolder"] = []string{"51", "AgentFolder", `[CommonAppDataFolder]license-agent-[Instance]\`, ""}
		},
		"another service": func(a, _ map[string][]string) { a["SetService"] = []string{"51", "Service", "[INSTANCE]", ""} },
		"repair chooses":  func(_, o map[string][]string) { o["SetGiven"] = []string{"INSTANCE", "120"} },
		"outside":         func(_, o map[string][]string) { o["RemoveExistingProducts"] = []string{"", "1401"} },
	} {
		a, o := maps.Clone(actions), maps.Clone(order)
		change(a, o)
		if len(findings(a, o)) == 0 {
			t.Errorf("control: %s is not found", what)
		}
		controls++
	}

	b, err := os.ReadFile("wix/license-agent.wxs")
	if err != nil {
		t.Fatal(err)
	}
	public := regexp.MustCompile(`^[A-Z0-9_.]+$`)
	for dec := xml.NewDecoder(strings.NewReader(string(b))); ; {
		token, err := dec.Token()
		if err != nil {
			break
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range e.Attr {
			attr[a.Name.Local] = a.Value
		}
		switch e.Name.Local {
		case "Directory":
			if attr["Id"] != "TARGETDIR" && public.MatchString(attr["Id"]) {
				t.Errorf("folder %s can be chosen on the command line", attr["Id"])
			}
		case "ServiceInstall":
			if attr["Account"] != `NT SERVICE\[Service]` || attr["Interactive"] == "yes" {
				t.Errorf("service %v", attr)
			}
		case "ServiceControl":
			if attr["Start"] != "" || attr["Stop"] != "both" || attr["Remove"] != "uninstall" {
				t.Errorf("service control %v", attr)
			}
		case "Property":
			if attr["Secure"] == "yes" {
				t.Errorf("property %s reaches the system from any user", attr["Id"])
			}
			if (attr["Id"] == "Service" || attr["Id"] == "Arguments") && attr["Value"] == "" {
				t.Errorf("property %s has no value without an instance", attr["Id"])
			}
		case "Package":
			if attr["InstallScope"] != "perMachine" {
				t.Errorf("scope %q", attr["InstallScope"])
			}
		case "CustomAction", "Binary", "Permission", "PermissionEx", "LockPermissions":
			t.Errorf("%s belongs into the reviewed tables", e.Name.Local)
		}
	}
	imports, size := windowsProgram(t)
	if !slices.Equal(imports, []string{"kernel32.dll"}) {
		t.Errorf("the program loads %v", imports)
	}
	promise.Reached(t, "P37", fmt.Sprintf("%d custom actions run only the installed program as the system; imports %v; %.1f MB; per machine, virtual account, no public folder", len(actions), imports, float64(size)/1e6),
		fmt.Sprintf("%d of %d spoiled tables found", controls, controls))
}

// windowsProgram builds the agent for Windows and reads what it loads.
func windowsProgram(t *testing.T) (imports []string, size int64) {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "license-agent.exe")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", exe, "licenseagent.example/agent/cmd/license-agent")
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fi, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Size() > 15<<20 {
		t.Errorf("the program has %d bytes, more than 15 MB", fi.Size())
	}
	f, err := pe.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	symbols, err := f.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		_, dll, _ := strings.Cut(s, ":")
		imports = append(imports, strings.ToLower(dll))
	}
	slices.Sort(imports)
	// Address randomisation with 64 bits, no execution of data.
	const want = pe.IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA | pe.IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE | pe.IMAGE_DLLCHARACTERISTICS_NX_COMPAT
	if h, ok := f.OptionalHeader.(*pe.OptionalHeader64); !ok || h.DllCharacteristics&want != want {
		t.Errorf("header %+v", f.OptionalHeader)
	}
	return slices.Compact(imports), fi.Size()
}
