package securefile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Grant is what the installer gives the service's account in one directory
// below ProgramData. SYSTEM and Administrators have full access and own all of
// them; nothing is inherited from above, because ProgramData lets every user
// create files.
type Grant string

// The grants, as security descriptors; %[1]s is the SID of the service.
const (
	// GrantState is for the state: nobody else may even read.
	GrantState Grant = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%[1]s)"
	// GrantConfig is for what the administrator writes: the service and the
	// users of the machine read and execute (0x1200a9).
	GrantConfig Grant = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;%[1]s)(A;OICI;0x1200a9;;;BU)"
	// GrantPublic is for what the service writes for everybody to read.
	GrantPublic Grant = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;%[1]s)(A;OICI;0x1200a9;;;BU)"
)

func (g Grant) descriptor(service string) (*windows.SECURITY_DESCRIPTOR, error) {
	return windows.SecurityDescriptorFromString(fmt.Sprintf(string(g), service))
}

// MakeGranted creates the directory with the grant, or gives the grant to one
// that exists. One that belongs to anybody but SYSTEM and Administrators is
// refused (ErrOwner): a user may create a folder of any name in ProgramData
// before the installer comes, and what lies in it is his. service is the SID of
// the service's account.
func MakeGranted(path, service string, g Grant) error {
	sd, err := g.descriptor(service)
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	name, err := windows.UTF16PtrFromString(filepath.Clean(path))
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	sa := &windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(*sa))
	err = windows.CreateDirectory(name, sa)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return &Error{Path: path, Err: err, Next: "run this as an administrator"}
	}
	if err := ownedBySystem(path); err != nil {
		return err
	}
	dacl, _, err := sd.DACL()
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	err = retry(func() error {
		return windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
			windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, owner, nil, dacl, nil)
	})
	if err != nil {
		return &Error{Path: path, Err: err, Next: "run this as an administrator"}
	}
	return nil
}

// Granted reports whether the directory has exactly the grant.
func Granted(path, service string, g Grant) (bool, error) {
	sd, err := g.descriptor(service)
	if err != nil {
		return false, &Error{Path: path, Err: err}
	}
	now, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &Error{Path: path, Err: err}
	}
	return now.String() == sd.String(), nil
}

// ownedBySystem refuses a directory of a user, with the rules of the agent's
// own check.
func ownedBySystem(path string) error {
	h, err := openDirectory(path)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	acl, err := readAccessList(path, h)
	if err != nil {
		return err
	}
	self, err := accountSID()
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	return judgeOwner(path, acl.owner, func(sid string) bool { return trustedSID(sid, self) })
}
