package ipc

import (
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	aliceSID   = "S-1-5-21-1-2-3-1001"
	adminSID   = "S-1-5-21-1-2-3-500"
	serviceSID = "S-1-5-80-1-2-3-4-5"
)

func TestUnixIdentity(t *testing.T) {
	admins := []uint32{900, 901}
	for _, test := range []struct {
		name              string
		uid, gid          uint32
		groups            []uint32
		self              uint32
		known, priv, admn bool
		subject           string
	}{
		{"root", 0, 0, nil, 500, true, true, true, "uid:0"},
		{"the agent's own user", 500, 500, nil, 500, true, true, true, "uid:500"},
		{"user", 1000, 1000, []uint32{4, 24}, 500, true, false, false, "uid:1000"},
		{"user in the admin group", 1000, 1000, []uint32{4, 901}, 500, true, false, true, "uid:1000"},
		{"admin group as primary group", 1000, 900, nil, 500, true, false, true, "uid:1000"},
		{"nobody", 65534, 65534, nil, 500, true, false, false, "uid:65534"},
		{"group 0 is not root", 1000, 0, []uint32{0}, 500, true, false, false, "uid:1000"},
		{"no credentials", noID, noID, nil, 500, false, false, false, ""},
		{"no credentials, agent without a user", noID, noID, nil, noID, false, false, false, ""},
		{"no credentials but a group", noID, 900, []uint32{900}, 500, false, false, false, ""},
	} {
		id := unixIdentity(test.uid, test.gid, 42, test.groups, test.self)
		if id.Known() != test.known || id.Privileged != test.priv || id.Admin(admins) != test.admn || id.Subject() != test.subject {
			t.Errorf("%s: known %v, privileged %v, admin %v, subject %q", test.name, id.Known(), id.Privileged, id.Admin(admins), id.Subject())
		}
		if !test.priv && id.Admin(nil) {
			t.Errorf("%s: admin without any admin group", test.name)
		}
	}
}

func TestWindowsIdentity(t *testing.T) {
	service := token{sid: serviceSID}
	elevated := token{sid: adminSID, elevated: true, admin: true}
	filtered := token{sid: adminSID, elevated: false, admin: false}
	user := token{sid: aliceSID}
	for _, test := range []struct {
		name         string
		client, self token
		known, admin bool
	}{
		{"SYSTEM", token{sid: sidSystem, elevated: true, admin: true}, service, true, true},
		{"SYSTEM without Administrators", token{sid: sidSystem}, service, true, true},
		{"elevated administrator", elevated, service, true, true},
		{"administrator filtered by UAC", filtered, service, true, false},
		{"elevated, but not by Administrators", token{sid: aliceSID, elevated: true}, service, true, false},
		{"Administrators, but not elevated", token{sid: aliceSID, admin: true}, service, true, false},
		{"user", user, service, true, false},
		{"the service itself", service, service, true, true},
		{"another service", token{sid: "S-1-5-80-9-9-9-9-9"}, service, true, false},
		{"demonstration: agent and caller are the same user", user, user, true, true},
		{"agent elevated, caller is the filtered half", filtered, elevated, true, false},
		{"agent filtered, caller is the elevated half", elevated, filtered, true, true},
		{"anonymous", token{sid: sidAnonymous}, service, false, false},
		{"anonymous, elevated", token{sid: sidAnonymous, elevated: true, admin: true}, service, false, false},
		{"nothing", token{}, service, false, false},
		{"nothing, as the agent", token{}, token{}, false, false},
	} {
		id := windowsIdentity(test.client, test.self, 42)
		if id.Known() != test.known || id.Admin(nil) != test.admin {
			t.Errorf("%s: known %v, admin %v", test.name, id.Known(), id.Admin(nil))
		}
		// Group ids of Unix must mean nothing here, whatever GID's zero value is.
		if id.Admin([]uint32{0}) != test.admin {
			t.Errorf("%s: group 0 made a difference", test.name)
		}
	}
}

// An Identity that nobody filled in is nobody, not user id 0.
func TestZeroIdentityIsNobody(t *testing.T) {
	var id Identity
	if id.Known() || id.Admin([]uint32{0}) || id.Subject() != "" {
		t.Error("the zero Identity is somebody")
	}
	forged := Identity{Privileged: true}
	if forged.Admin(nil) {
		t.Error("privileged without identity")
	}
}

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

type opaque struct{ net.Conn }

type named struct {
	net.Conn
	id Identity
}

func (n named) PeerIdentity() Identity { return n.id }

func TestIdentityFrom(t *testing.T) {
	plain, other := net.Pipe()
	defer plain.Close()
	defer other.Close()
	id := Identity{System: SystemUnix, UID: 7}
	for _, test := range []struct {
		name string
		conn net.Conn
		want Identity
		ok   bool
	}{
		{"nil", nil, Identity{}, false},
		{"a connection of somebody else", plain, Identity{}, false},
		{"ours", named{plain, id}, id, true},
		{"wrapped twice", wrapped{wrapped{named{plain, id}}}, id, true},
		{"a wrapper that hides it", opaque{named{plain, id}}, Identity{}, false},
		{"a wrapper around nothing", wrapped{nil}, Identity{}, false},
		{"unknown", named{plain, Identity{}}, Identity{}, false},
	} {
		got, ok := IdentityFrom(test.conn)
		if ok != test.ok || cmp.Diff(test.want, got) != "" {
			t.Errorf("%s: %+v, %v", test.name, got, ok)
		}
	}
}
