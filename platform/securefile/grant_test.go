package securefile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// names are the abbreviations of SDDL that the grants use.
func names() map[string]string {
	return map[string]string{"SY": sidSystem, "BA": sidAdministrators, "BU": "S-1-5-32-545"}
}

// parse reads a descriptor as Windows does: owner, protected list, entries.
func parse(t *testing.T, sddl string) accessList {
	t.Helper()
	owner, list, ok := strings.Cut(strings.TrimPrefix(sddl, "O:"), "D:P")
	if !ok {
		t.Fatalf("%s: no owner or no protected list", sddl)
	}
	acl := accessList{owner: names()[owner]}
	for _, text := range strings.Split(strings.Trim(list, "()"), ")(") {
		f := strings.Split(text, ";")
		if len(f) != 6 || f[0] != "A" || f[1] != "OICI" {
			t.Fatalf("%s: entry %q is not a plain one that is handed down", sddl, text)
		}
		mask := uint64(0x1f01ff) // FA
		if f[2] != "FA" {
			var err error
			if mask, err = strconv.ParseUint(f[2], 0, 32); err != nil {
				t.Fatal(err)
			}
		}
		sid := f[5]
		if full := names()[sid]; full != "" {
			sid = full
		}
		acl.entries = append(acl.entries, entry{mask: uint32(mask), sid: sid})
	}
	return acl
}

// What the installer gives is what the agent accepts when it starts, and gives
// nobody but the service and the system a right to change anything.
func TestGrants(t *testing.T) {
	const service = "S-1-5-80-1-2-3-4-5"
	for _, test := range []struct {
		grant           Grant
		name            string
		private, public error // as the agent judges it
		serviceWrites   bool
	}{
		{GrantState, "state", nil, nil, true},
		{GrantConfig, "config", ErrMode, nil, false},
		{GrantPublic, "public", ErrMode, nil, true},
	} {
		acl := parse(t, fmt.Sprintf(string(test.grant), service))
		if acl.owner != sidAdministrators {
			t.Errorf("%s: owner %q", test.name, acl.owner)
		}
		for public, want := range map[bool]error{false: test.private, true: test.public} {
			if err := judge("x", acl, []string{service}, public); !errors.Is(err, want) {
				t.Errorf("%s, public %v: %v, want %v", test.name, public, err, want)
			}
		}
		for _, e := range acl.entries {
			writes := e.mask&^uint32(readMask) != 0
			switch e.sid {
			case sidSystem, sidAdministrators:
			case service:
				if writes != test.serviceWrites {
					t.Errorf("%s: the service writes: %v", test.name, writes)
				}
			default:
				if writes || test.grant == GrantState {
					t.Errorf("%s: %s has 0x%x", test.name, e.sid, e.mask)
				}
			}
		}
	}
	// Control: a list that lets users write is found.
	loose := parse(t, "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;BU)")
	if err := judge("x", loose, []string{service}, true); !errors.Is(err, ErrMode) {
		t.Errorf("control: %v", err)
	}
}
