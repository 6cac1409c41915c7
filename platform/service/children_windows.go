package service

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// TieChildren makes the system end every process that this one starts from now
// on when this one ends, however it ends. A child that outlived the service would
// hold its program, which could then be neither replaced nor removed. Putting a
// child into a job once it runs came too late: killed between the two, the service
// left a child behind that had not begun, and so never ended by its time-out. This
// process therefore goes into the job itself, and its children are born in it
// (Job Objects in the Win32 documentation). An error means that the system said
// no: children then end by their own time-outs only.
func TieChildren() error {
	if err := tie(); err != nil {
		return fmt.Errorf("service: children cannot be tied to this process: %w", err)
	}
	return nil
}

func tie() error {
	job, err := windows.CreateJobObject(nil, nil) // never closed: its end is ours
	if err != nil {
		return err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return err
	}
	return windows.AssignProcessToJobObject(job, windows.CurrentProcess())
}
