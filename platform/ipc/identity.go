package ipc

import (
	"slices"
	"strconv"
)

// Values of Identity.System. The zero value is no system, so that an Identity
// that nobody filled in is never user id 0.
const (
	SystemUnix    = "unix"
	SystemWindows = "windows"
)

// Identity is who the kernel says is on the other side. It is plain data: both
// forms can be written down in tests on any system.
type Identity struct {
	System string // SystemUnix, SystemWindows, or "" for unknown

	// The Unix form: effective ids when the caller connected (SO_PEERCRED in
	// unix(7)). PID is for logs only, since a descriptor can be handed to
	// another process and a process can become another program; it is 0 when the
	// caller lives in a PID namespace that is not below ours.
	UID    uint32
	GID    uint32
	PID    int
	Groups []uint32 // supplementary groups when the caller connected; nil if unknown

	// The Windows form, from the token of the pipe's client.
	SID      string
	Elevated bool // a token with administrator rights in force, not one that UAC has filtered

	// Privileged: may do everything the agent could do for it, without being in
	// a group: root, the account the agent itself runs as, SYSTEM, an elevated
	// administrator.
	Privileged bool
}

// Known reports whether the kernel said who it is.
func (id Identity) Known() bool {
	switch id.System {
	case SystemUnix:
		return id.UID != noID // (uid_t)-1 is what the kernel reports for "nobody told me"
	case SystemWindows:
		return id.SID != "" && id.SID != sidAnonymous
	}
	return false
}

// Admin reports whether the caller may change things: activate, release,
// import, diagnose. adminGIDs are the groups the operator has allowed on Unix;
// on Windows they mean nothing, because membership in Administrators counts
// only while the token is elevated.
func (id Identity) Admin(adminGIDs []uint32) bool {
	if !id.Known() {
		return false
	}
	if id.Privileged {
		return true
	}
	if id.System != SystemUnix {
		return false
	}
	for _, gid := range adminGIDs {
		if gid == id.GID || slices.Contains(id.Groups, gid) {
			return true
		}
	}
	return false
}

// Subject is one short text per account, "uid:1000" or a SID, for counting
// connections per caller and for the audit log. It is empty for an unknown
// identity.
func (id Identity) Subject() string {
	switch {
	case !id.Known():
		return ""
	case id.System == SystemUnix:
		return "uid:" + strconv.FormatUint(uint64(id.UID), 10)
	default:
		return id.SID
	}
}

// noID is (uid_t)-1, which is never a user.
const noID = ^uint32(0)

const (
	sidAnonymous      = "S-1-5-7"      // what the server sees of a client that dialled without identification
	sidSystem         = "S-1-5-18"     // LocalSystem
	sidAdministrators = "S-1-5-32-544" // BUILTIN\Administrators
)

// unixIdentity makes the identity of credentials reported by a Unix kernel.
// self is the effective user id of the agent: whoever runs as the agent's own
// user can change its files anyway, and in a demonstration that is the user.
func unixIdentity(uid, gid uint32, pid int, groups []uint32, self uint32) Identity {
	return Identity{
		System: SystemUnix, UID: uid, GID: gid, PID: pid, Groups: groups,
		Privileged: uid != noID && (uid == 0 || uid == self),
	}
}

// token is what is read of a Windows client's token.
type token struct {
	sid      string
	elevated bool
	admin    bool     // Administrators is in the token and enabled (not deny-only)
	services []string // identities NT SERVICE\… in it that may own things
}

// windowsIdentity makes the identity of a client's token. self is the token of
// the agent: its own account is privileged, but the filtered half of an
// administrator's split token is not the same as the elevated half.
func windowsIdentity(client, self token, pid int) Identity {
	id := Identity{System: SystemWindows, SID: client.sid, PID: pid, Elevated: client.elevated && client.admin}
	same := client.sid == self.sid && (client.elevated || !self.elevated)
	id.Privileged = id.Known() && (client.sid == sidSystem || id.Elevated || same)
	return id
}
