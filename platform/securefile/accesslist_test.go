package securefile

import (
	"errors"
	"testing"
)

// The decision about Windows access lists, on every system.
func TestJudge(t *testing.T) {
	const (
		self     = "S-1-5-80-1-2-3-4-5"
		alice    = "S-1-5-21-1-2-3-1001"
		everyone = "S-1-1-0"
		users    = "S-1-5-32-545"
		full     = 0x1f01ff
		modify   = 0x1301bf
		read     = 0x1200a9
		addFile  = 0x2
	)
	allow := func(sid string, mask uint32) entry { return entry{sid: sid, mask: mask} }
	good := []entry{allow(sidSystem, full), allow(sidAdministrators, full), allow(self, full)}
	with := func(owner string, more ...entry) accessList {
		return accessList{owner: owner, entries: append(append([]entry{}, good...), more...)}
	}
	for _, test := range []struct {
		name            string
		acl             accessList
		private, public error
	}{
		{"as created", with(self), nil, nil},
		{"made by the installer", with(sidSystem), nil, nil},
		{"made by an administrator", with(sidAdministrators), nil, nil},
		{"made by the module installer", with(sidInstaller), nil, nil},
		{"owned by a user", with(alice), ErrOwner, ErrOwner},
		{"owned by nobody", with(""), ErrOwner, ErrOwner},
		{"no list", accessList{owner: self, null: true}, ErrMode, ErrMode},
		{"empty list", accessList{owner: self}, nil, nil},
		{"users may read", with(self, allow(users, read)), ErrMode, nil},
		{"everyone may read", with(self, allow(everyone, read)), ErrMode, nil},
		{"users may read by a generic right", with(self, allow(users, 0x80000000)), ErrMode, nil},
		{"users may modify", with(self, allow(users, modify)), ErrMode, ErrMode},
		{"users may add files, as in ProgramData", with(self, allow(users, addFile)), ErrMode, ErrMode},
		{"everyone has everything", with(self, allow(everyone, full)), ErrMode, ErrMode},
		{"everyone has generic all", with(self, allow(everyone, 0x10000000)), ErrMode, ErrMode},
		{"everyone may write by a generic right", with(self, allow(everyone, 0x40000000)), ErrMode, ErrMode},
		{"a user may change the list", with(self, allow(alice, 0x40000)), ErrMode, ErrMode},
		{"a user may take it", with(self, allow(alice, 0x80000)), ErrMode, ErrMode},
		{"a user may delete it", with(self, allow(alice, 0x10000)), ErrMode, ErrMode},
		{"a user may delete what is in it", with(self, allow(alice, 0x40)), ErrMode, ErrMode},
		{"creator owner for what is inside", with(self, allow(sidCreatorOwner, full)), nil, nil},
		{"inherit only", with(self, entry{sid: users, mask: modify, flags: aceInheritOnly | 0x3}), nil, nil},
		{"owner rights", with(self, allow(sidOwnerRights, read)), nil, nil},
		{"users are denied", with(self, entry{kind: 1, sid: users, mask: full}), nil, nil},
		{"denied and then allowed", with(self, entry{kind: 1, sid: users, mask: full}, allow(users, modify)), ErrMode, ErrMode},
		{"a user without rights", with(self, allow(alice, 0)), nil, nil},
	} {
		for public, want := range map[bool]error{false: test.private, true: test.public} {
			if err := judge(`C:\x`, test.acl, []string{self}, public); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s, public %v: %v, want %v", test.name, public, err, want)
			}
		}
	}
}

// A service that an administrator has given a domain account: the lists name
// the service, and its identity is in the token beside the account.
func TestJudgeUnderADomainAccount(t *testing.T) {
	const (
		account = "S-1-5-21-1-2-3-1104"
		service = "S-1-5-80-1-2-3-4-5"
		full    = 0x1f01ff
	)
	acl := accessList{owner: sidAdministrators, entries: []entry{{sid: sidSystem, mask: full}, {sid: sidAdministrators, mask: full}, {sid: service, mask: full}}}
	if err := judge(`C:\x`, acl, []string{service, account}, false); err != nil {
		t.Errorf("as the service: %v", err)
	}
	if err := judge(`C:\x`, acl, []string{account}, false); !errors.Is(err, ErrMode) {
		t.Errorf("control, the account without the service: %v", err)
	}
	for sid, want := range map[string]bool{service: true, "S-1-5-80-0": false, "S-1-5-8": false, account: false, "S-1-5-800-1": false} {
		if isService(sid) != want {
			t.Errorf("isService(%s) = %v", sid, !want)
		}
	}
}

// What the installer asks before it gives an existing directory a new list.
func TestJudgeOwner(t *testing.T) {
	const alice = "S-1-5-21-1-2-3-1001"
	for owner, want := range map[string]error{sidSystem: nil, sidAdministrators: nil, sidInstaller: nil, "S-1-5-21-1-2-3-500": nil, alice: ErrOwner, "": ErrOwner, "S-1-5-32-545": ErrOwner} {
		err := judgeOwner(`C:\ProgramData\license-agent`, owner, func(sid string) bool { return trustedSID(sid, "S-1-5-21-1-2-3-500") })
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", owner, err, want)
		}
	}
}
