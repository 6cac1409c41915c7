package securefile

import (
	"fmt"
	"slices"
	"strings"
)

// accessList is a Windows security descriptor as plain data, so that the
// decision can be tested on every system.
type accessList struct {
	owner   string // SID
	null    bool   // no list at all: everybody may do everything
	entries []entry
}

// entry is one ACE of type allowed or denied.
type entry struct {
	kind  uint8 // 0 allowed, 1 denied (winnt.h ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE)
	flags uint8
	mask  uint32
	sid   string
}

const (
	sidSystem         = "S-1-5-18"                                                       // LocalSystem
	sidAdministrators = "S-1-5-32-544"                                                   // BUILTIN\Administrators
	sidCreatorOwner   = "S-1-3-0"                                                        // stands for the owner when inherited
	sidOwnerRights    = "S-1-3-4"                                                        // restricts the owner
	sidInstaller      = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464" // NT SERVICE\TrustedInstaller

	aceAllowed     = 0
	aceInheritOnly = 0x08 // the entry does not apply to the object itself

	// readMask holds the rights that change nothing: read data or list, read
	// extended attributes, execute or traverse, read attributes, READ_CONTROL,
	// SYNCHRONIZE, GENERIC_READ, GENERIC_EXECUTE.
	readMask = 0x1 | 0x8 | 0x20 | 0x80 | 0x20000 | 0x100000 | 0x80000000 | 0x20000000
)

// isService reports whether a SID is of the authority NT SERVICE, S-1-5-80. The
// first of them, S-1-5-80-0, stands for all services and is no single one.
func isService(sid string) bool {
	return strings.HasPrefix(sid, "S-1-5-80-") && sid != "S-1-5-80-0"
}

// trustedSID says whether an account may do everything here: the system, which can
// do everything to the machine anyway, and what the caller is.
func trustedSID(sid string, self ...string) bool {
	switch sid {
	case sidSystem, sidAdministrators, sidInstaller:
		return true
	}
	return slices.Contains(self, sid)
}

// judgeOwner refuses what belongs to somebody else.
func judgeOwner(path, owner string, trusted func(string) bool) error {
	if trusted(owner) {
		return nil
	}
	return &Error{
		Path: path, Err: ErrOwner, Found: owner,
		Next: "an administrator must look where it came from, then remove it, or take ownership and reset its permissions with icacls",
	}
}

// judge decides whether a file or directory with this list may be used by the
// account self, its services included. Anybody else may do nothing with private
// data and only read public data. Deny entries are ignored: they only take away,
// and relying on their order is what other products got wrong.
func judge(path string, acl accessList, self []string, public bool) error {
	trusted := func(sid string) bool { return trustedSID(sid, self...) }
	if err := judgeOwner(path, acl.owner, trusted); err != nil {
		return err
	}
	if acl.null {
		return &Error{Path: path, Err: ErrMode, Found: "no access list", Next: "run the installer's repair, or set the permissions with icacls"}
	}
	for _, e := range acl.entries {
		if e.kind != aceAllowed || trusted(e.sid) || e.sid == sidOwnerRights {
			continue
		}
		if e.sid == sidCreatorOwner || e.flags&aceInheritOnly != 0 {
			continue // applies to what is created inside, which is judged when it is opened
		}
		if e.mask&^uint32(readMask) != 0 || (!public && e.mask != 0) {
			return &Error{
				Path: path, Err: ErrMode, Found: fmt.Sprintf("%s has rights 0x%x", e.sid, e.mask),
				Next: "run the installer's repair, or remove that entry with icacls",
			}
		}
	}
	return nil
}
