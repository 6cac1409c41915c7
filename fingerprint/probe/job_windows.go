package probe

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// EndsWithUs makes the system end the process pid when this one ends, however it
// ends, or when release is called. A child that outlived the service would hold
// its program, which could then be neither replaced nor removed. Where the system
// refuses, the child still ends by its own time-out.
func EndsWithUs(pid int) (release func()) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return func() {}
	}
	release = func() { windows.CloseHandle(job) } //nolint:errcheck // it is ours
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return release
	}
	p, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(pid))
	if err != nil {
		return release
	}
	defer windows.CloseHandle(p)
	windows.AssignProcessToJobObject(job, p) //nolint:errcheck // see above
	return release
}
