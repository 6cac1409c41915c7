package ipc

import (
	"strconv"
	"strings"
	"testing"
)

// The well-known value that every Windows shows for its module installer.
func TestServiceSID(t *testing.T) {
	const want = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	for _, name := range []string{"TrustedInstaller", "TRUSTEDINSTALLER", "trustedinstaller"} {
		if got := ServiceSID(name); got != want {
			t.Errorf("ServiceSID(%q) = %s", name, got)
		}
	}
	if ServiceSID("license-agent") == ServiceSID("license-agent-cad") {
		t.Error("two instances share an account")
	}
}

// ace is one entry of an SDDL list.
type ace struct{ kind, flags, rights, sid string }

func parseDACL(t *testing.T, sddl string) (protected bool, list []ace) {
	t.Helper()
	owner, rest, ok := strings.Cut(sddl, "D:")
	if !ok || !strings.HasPrefix(owner, "O:S-1-5-") {
		t.Fatalf("%q has no owner or no list", sddl)
	}
	rest, protected = strings.CutPrefix(rest, "P")
	for rest != "" {
		body, more, ok := strings.Cut(strings.TrimPrefix(rest, "("), ")")
		fields := strings.Split(body, ";")
		if !ok || rest[0] != '(' || len(fields) != 6 {
			t.Fatalf("cannot parse %q", rest)
		}
		list = append(list, ace{fields[0], fields[1], fields[2], fields[5]})
		rest = more
	}
	return protected, list
}

// No entry lets anybody but SYSTEM and the agent's account create instances of
// the pipe, change its descriptor or delete it.
func TestPipeSDDLGivesUsersNoServerRights(t *testing.T) {
	const service = "S-1-5-80-1-2-3-4-5"
	protected, list := parseDACL(t, pipeDescriptor(token{sid: "S-1-5-18"}, service))
	if !protected || len(list) != 3 {
		t.Fatalf("protected %v, entries %v", protected, list)
	}
	clients := 0
	for _, e := range list {
		if e.kind != "A" || e.flags != "" {
			t.Errorf("entry %v: only plain allow entries, whose order cannot matter", e)
		}
		if e.sid == "SY" || e.sid == service {
			continue
		}
		clients++
		mask, err := strconv.ParseUint(strings.TrimPrefix(e.rights, "0x"), 16, 32)
		if err != nil || !strings.HasPrefix(e.rights, "0x") {
			t.Fatalf("entry %v: rights must be spelled out, or a generic right hides bit 0x4", e)
		}
		const (
			createInstance = 0x4
			deleteChild    = 0x40
			deleteObject   = 0x10000
			writeDACL      = 0x40000
			writeOwner     = 0x80000
			generic        = 0xf0000000
		)
		if mask&(createInstance|deleteChild|deleteObject|writeDACL|writeOwner|generic) != 0 {
			t.Errorf("entry %v gives a server's right", e)
		}
		if mask != PipeClientAccess {
			t.Errorf("entry %v differs from PipeClientAccess 0x%x", e, PipeClientAccess)
		}
		if e.sid != "BU" {
			t.Errorf("entry %v: only Users may call", e)
		}
	}
	if clients != 1 {
		t.Errorf("%d entries for callers", clients)
	}
}

// The bit that this protects against is in what a careless client asks for.
func TestGenericWriteWouldContainTheBit(t *testing.T) {
	const fileGenericWrite = 0x120116 // winnt.h FILE_GENERIC_WRITE
	if fileGenericWrite&0x4 == 0 || PipeClientAccess&0x4 != 0 {
		t.Error("the reasoning beside PipeClientAccess no longer holds")
	}
	if missing := (0x120089 | 0x120116&^0x4) &^ PipeClientAccess; missing != 0 {
		t.Errorf("clients lack 0x%x of reading and writing", missing)
	}
}

func TestOwnerAllowed(t *testing.T) {
	const pipe = "license-agent-cad"
	service, self, stranger := ServiceSID(pipe), "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
	for _, test := range []struct {
		name, owner string
		expect      []string
		want        bool
	}{
		{"SYSTEM", sidSystem, nil, true},
		{"Administrators", sidAdministrators, nil, true},
		{"the service's account", service, nil, true},
		{"another service's account", ServiceSID("license-agent"), nil, false},
		{"this user", self, nil, true},
		{"another user", stranger, nil, false},
		{"nobody", "", nil, false},
		{"expected", stranger, []string{stranger}, true},
		{"this user, another expected", self, []string{stranger}, false},
		{"the service, another expected", service, []string{stranger}, false},
		{"SYSTEM, another expected", sidSystem, []string{stranger}, true},
	} {
		if got := ownerAllowed(test.owner, pipe, self, test.expect); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// Clients compute the owner from the pipe's name, so a service with a domain
// account must make the pipe the service's and not the account's.
func TestPipeOwnerUnderADomainAccount(t *testing.T) {
	const account = "S-1-5-21-1-2-3-1104"
	service := ServiceSID("license-agent")
	for _, c := range []struct {
		name  string
		self  token
		owner string
		ok    bool
	}{
		{"virtual account", token{sid: service}, service, true},
		{"domain account, as a service", token{sid: account, services: []string{ServiceSID("other"), service}}, service, true},
		{"domain account, without a service (control)", token{sid: account}, account, false},
		{"another service's process (control)", token{sid: account, services: []string{ServiceSID("other")}}, account, false},
	} {
		owner := strings.TrimPrefix(strings.SplitN(pipeDescriptor(c.self, service), "D:", 2)[0], "O:")
		if owner != c.owner {
			t.Errorf("%s: owner %s, want %s", c.name, owner, c.owner)
		}
		if got := ownerAllowed(owner, "license-agent", "S-1-5-21-1-2-3-1001", nil); got != c.ok {
			t.Errorf("%s: a user's client accepts it: %v", c.name, got)
		}
	}
}
