package ipc

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// PipeClientAccess are the rights a local user gets on the pipe, and exactly
// what Dial asks for:
//
//	0x000001 FILE_READ_DATA         0x000080 FILE_READ_ATTRIBUTES
//	0x000002 FILE_WRITE_DATA        0x000100 FILE_WRITE_ATTRIBUTES
//	0x000008 FILE_READ_EA           0x020000 READ_CONTROL (to check the owner)
//	0x000010 FILE_WRITE_EA          0x100000 SYNCHRONIZE
//
// It is generic read and write without 0x4: on a pipe that bit is not
// FILE_APPEND_DATA but FILE_CREATE_PIPE_INSTANCE (Microsoft Q240073), with which
// a user could serve instances of the agent's own pipe, under the agent's own
// security descriptor, so that even the check of the owner would be passed.
// The price: a client that asks for GENERIC_WRITE is refused, because that
// contains 0x4. Clients must name these rights.
const PipeClientAccess = 0x12019b

// PipeSDDL is the security descriptor of the pipe; %[1]s is the SID of its
// owner, %[2]s the one that serves the pipe, for a service both the service's.
// O: names the owner, by which clients recognise the agent; left out, it would
// be the default owner of the token, which for administrators is a group. D:P is
// a protected list: nothing is inherited. In order: Users of this machine may
// call (PipeClientAccess), SYSTEM may do everything, the agent's account may do
// everything, which includes creating the further instances that later callers
// need. Nobody else is listed: no anonymous, no guests, no network logons that
// are not Users, and remote clients are refused by the pipe itself.
const PipeSDDL = "O:%[1]sD:P(A;;0x12019b;;;BU)(A;;GA;;;SY)(A;;GA;;;%[2]s)"

// pipeDescriptor is PipeSDDL for a process and a service. The owner is the
// service where the token allows that: then clients find the owner that they
// compute from the pipe's name also when an administrator has given the service
// a domain account.
func pipeDescriptor(self token, service string) string {
	owner := self.sid
	if slices.Contains(self.services, service) {
		owner = service
	}
	return fmt.Sprintf(PipeSDDL, owner, service)
}

// ownerAllowed decides whether the owner of a pipe may be the agent: the system
// itself, the virtual account of the service that the pipe is named after, this
// process's own account (a demonstration), or one that the caller expects, in
// which case nothing but the system is accepted beside it.
func ownerAllowed(owner, pipe, self string, expect []string) bool {
	if owner == sidSystem || owner == sidAdministrators {
		return true
	}
	if len(expect) > 0 {
		return slices.Contains(expect, owner)
	}
	return owner != "" && (owner == self || owner == ServiceSID(pipe))
}

// ServiceSID is the identifier that Windows gives to the virtual account
// NT SERVICE\name: S-1-5-80 followed by the SHA-1 of the upper-case name in
// UTF-16LE, as five numbers (sc.exe showsid prints the same). It is a name, not
// a protection: SHA-1 is Microsoft's choice.
func ServiceSID(name string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(strings.ToUpper(name))) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	sum := sha1.Sum(b)
	sid := "S-1-5-80"
	for i := 0; i < len(sum); i += 4 {
		sid += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(sum[i:]))
	}
	return sid
}
