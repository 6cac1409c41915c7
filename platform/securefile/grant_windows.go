package securefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

func (g Grant) descriptor(service string) (*windows.SECURITY_DESCRIPTOR, error) {
	return windows.SecurityDescriptorFromString(fmt.Sprintf(string(g), service))
}

// MakeGranted creates the directory with the grant, or gives the grant to one
// that exists and to the files in it. One that belongs to anybody but SYSTEM and Administrators is
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
	if err := g.give(path, sd); err != nil {
		return err
	}
	// What was created while the list was another one has inherited from that.
	entries, err := os.ReadDir(path)
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			err = errors.Join(err, g.give(filepath.Join(path, e.Name()), sd))
		}
	}
	return err
}

// give sets the list of what exists, through the handle by which its owner was
// judged, and makes it the Administrators'. SetNamedSecurityInfo would open the
// name a second time.
func (g Grant) give(path string, sd *windows.SECURITY_DESCRIPTOR) error {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	var h windows.Handle
	err = retry(func() (err error) {
		h, err = windows.CreateFile(name, windows.READ_CONTROL|windows.WRITE_DAC|windows.WRITE_OWNER|windows.FILE_READ_ATTRIBUTES,
			windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING,
			windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
		return err
	})
	if err != nil {
		return &Error{Path: path, Err: err, Next: "run this as an administrator"}
	}
	defer windows.CloseHandle(h)
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return &Error{Path: path, Err: err}
	}
	directory := info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0
	switch {
	case info.FileAttributes&reparse != 0:
		return &Error{Path: path, Err: ErrSymlink, Next: "find out who made it, and remove it"}
	case !directory && info.NumberOfLinks > 1:
		return &Error{Path: path, Err: ErrHardLink, Next: "copy it, remove it, and put the copy in its place"}
	}
	acl, err := readAccessList(path, h)
	if err != nil {
		return err
	}
	self, err := accountSID()
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	if err := judgeOwner(path, acl.owner, func(sid string) bool { return trustedSID(sid, self) }); err != nil {
		return err
	}
	if err := windows.SetKernelObjectSecurity(h, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, sd); err != nil {
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
