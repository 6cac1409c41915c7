package securefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

const readFlags = os.O_RDONLY

// patience is how long an operation is repeated while another process, usually
// a virus scanner, holds the file.
const patience = 2 * time.Second

// reparse points are links of any kind: symbolic links, junctions, mount points.
const reparse = windows.FILE_ATTRIBUTE_REPARSE_POINT

// privateSDDL is the protected access list of everything private: full access
// for SYSTEM, for Administrators and for the account of this process (%[1]s),
// and nothing inherited from above, because ProgramData lets every user create
// files. The flags %[2]s of a directory, OICI, hand it down to what other
// programs create inside.
const privateSDDL = "D:P(A;%[2]s;FA;;;SY)(A;%[2]s;FA;;;BA)(A;%[2]s;FA;;;%[1]s)"

// publicSDDL adds read and execute (0x1200a9) for Users.
const publicSDDL = privateSDDL + "(A;%[2]s;0x1200a9;;;BU)"

// attributes are the security attributes with which something is created.
func attributes(public, dir bool) (*windows.SecurityAttributes, error) {
	self, err := accountSID()
	if err != nil {
		return nil, err
	}
	form, flags := privateSDDL, ""
	if public {
		form = publicSDDL
	}
	if dir {
		flags = "OICI"
	}
	sd, err := windows.SecurityDescriptorFromString(fmt.Sprintf(form, self, flags))
	if err != nil {
		return nil, err
	}
	sa := &windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(*sa))
	return sa, nil
}

// inspectDir judges a directory by handle: no reparse point, an owner that is
// this account, SYSTEM or Administrators, and no other account that may write
// (or, for a private one, read).
func inspectDir(path string, public bool) (fs.FileInfo, error) {
	h, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(h), path)
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	if err := inspectSecurity(path, h, public); err != nil {
		return nil, err
	}
	return fi, nil
}

// openDirectory opens a directory itself, not what a link leads to, and refuses
// everything else.
func openDirectory(path string) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, &Error{Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.READ_CONTROL,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return 0, &Error{Path: path, Err: err}
	}
	var info windows.ByHandleFileInformation
	switch err = windows.GetFileInformationByHandle(h, &info); {
	case err != nil:
		err = &Error{Path: path, Err: err}
	case info.FileAttributes&reparse != 0:
		err = &Error{Path: path, Err: ErrSymlink, Next: "name the directory itself"}
	case info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY == 0:
		err = &Error{Path: path, Err: ErrNotDirectory, Next: "remove it or choose another directory"}
	}
	if err != nil {
		windows.CloseHandle(h)
		return 0, err
	}
	return h, nil
}

func inspectFile(full string, f *os.File, fi fs.FileInfo, public bool) error {
	if err := regular(full, fi); err != nil {
		return err
	}
	h := windows.Handle(f.Fd())
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return &Error{Path: full, Err: err}
	}
	if info.FileAttributes&reparse != 0 {
		return &Error{Path: full, Err: ErrSymlink, Next: "replace the link by the file itself, or remove it"}
	}
	if !public && info.NumberOfLinks > 1 {
		return &Error{Path: full, Err: ErrHardLink, Next: "copy it, remove it, and put the copy in its place"}
	}
	return inspectSecurity(full, h, public)
}

// inspectSecurity reads owner and access list through the handle and lets
// judge decide.
func inspectSecurity(path string, h windows.Handle, public bool) error {
	acl, err := readAccessList(path, h)
	if err != nil {
		return err
	}
	self, err := accountSID()
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	services, err := serviceSIDs()
	if err != nil {
		return &Error{Path: path, Err: err}
	}
	return judge(path, acl, append(services, self), public)
}

// readAccessList reads owner and entries.
func readAccessList(path string, h windows.Handle) (accessList, error) {
	fail := func(err error) (accessList, error) { return accessList{}, &Error{Path: path, Err: err} }
	sd, err := windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return fail(err)
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return fail(err)
	}
	acl := accessList{owner: owner.String()}
	dacl, _, err := sd.DACL()
	if errors.Is(err, windows.ERROR_OBJECT_NOT_FOUND) || err == nil && dacl == nil {
		acl.null = true
		return acl, nil
	}
	if err != nil {
		return fail(err)
	}
	for i := uint32(0); i < uint32(dacl.AceCount); i++ {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(dacl, i, &ace); err != nil {
			return fail(err)
		}
		acl.entries = append(acl.entries, entry{
			kind: ace.Header.AceType, flags: ace.Header.AceFlags, mask: uint32(ace.Mask),
			sid: (*windows.SID)(unsafe.Pointer(&ace.SidStart)).String(),
		})
	}
	return acl, nil
}

// serviceSIDs are the identities NT SERVICE\… in the token of this process: the
// manager puts there the one of the service, whatever account it runs under.
// An administrator may give the service a domain account; the installer's
// access lists name the service and go on to hold.
func serviceSIDs() ([]string, error) {
	groups, err := windows.GetCurrentProcessToken().GetTokenGroups()
	if err != nil {
		return nil, fmt.Errorf("securefile: own groups: %w", err)
	}
	var out []string
	for _, g := range groups.AllGroups() {
		if sid := g.Sid.String(); g.Attributes&windows.SE_GROUP_ENABLED != 0 && isService(sid) {
			out = append(out, sid)
		}
	}
	return out, nil
}

func accountSID() (string, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return "", fmt.Errorf("securefile: own account: %w", err)
	}
	return user.User.Sid.String(), nil
}

// mkdir creates the directory with its access list in one call: there is no
// instant at which the list inherited from above is in force.
func mkdir(path string, public bool) error {
	sa, err := attributes(public, true)
	if err != nil {
		return err
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	return windows.CreateDirectory(name, sa)
}

// create opens a file for writing and makes it, with its own access list, if
// need be, or insists on making it when exclusive. It goes by path, because
// os.Root cannot pass an access list; a link in the place of the file is opened
// as the link it is and refused by the checks that follow.
func (d *Dir) create(name string, perm fs.FileMode, exclusive bool) (*os.File, error) {
	sa, err := attributes(perm == PublicFile, false)
	if err != nil {
		return nil, err
	}
	full := filepath.Join(d.path, name)
	wide, err := windows.UTF16PtrFromString(full)
	if err != nil {
		return nil, err
	}
	disposition := uint32(windows.OPEN_ALWAYS)
	if exclusive {
		disposition = windows.CREATE_NEW
	}
	h, err := windows.CreateFile(wide, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, sa, disposition,
		windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: full, Err: err}
	}
	return os.NewFile(uintptr(h), full), nil
}

// widen has nothing to do: the access list was given at creation.
func widen(*os.File, fs.FileMode) error { return nil }

// renameNew renames without replacing: MoveFileEx without
// MOVEFILE_REPLACE_EXISTING refuses an existing name.
func (d *Dir) renameNew(from, to string) error {
	a, err := windows.UTF16PtrFromString(filepath.Join(d.path, from))
	if err != nil {
		return err
	}
	b, err := windows.UTF16PtrFromString(filepath.Join(d.path, to))
	if err != nil {
		return err
	}
	return windows.MoveFileEx(a, b, windows.MOVEFILE_WRITE_THROUGH)
}

// Sync has nothing to do: NTFS logs names in its journal and FlushFileBuffers
// cannot be called on a directory without administrator rights.
func (d *Dir) Sync() error { return nil }

// lockFile locks one byte far behind the end of the file, so that the process
// id at its beginning stays readable for others.
func lockFile(f *os.File) error {
	at := windows.Overlapped{OffsetHigh: 0x7fffffff}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

func openRetry(open func() (*os.File, error)) (f *os.File, err error) {
	err = retry(func() error {
		f, err = open()
		return err
	})
	return f, err
}

// retry repeats an operation that failed because another process has the file
// open. Access denied is among the reasons: it is what Windows reports for a
// file that is waiting for its last handle to be closed.
func retry(op func() error) error {
	return retryFor(patience, 20*time.Millisecond, time.Sleep, op)
}

func retryFor(limit, pause time.Duration, sleep func(time.Duration), op func() error) error {
	for waited := time.Duration(0); ; waited += pause {
		err := op()
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION) ||
			errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_USER_MAPPED_FILE)
		if !busy || waited >= limit {
			return err
		}
		sleep(pause)
	}
}

// ReadOnly returns false: it is a question about mounts, which Windows does not have.
func ReadOnly(string) bool { return false }
