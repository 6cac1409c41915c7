package clock

import (
	"encoding/hex"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// bootClock asks QueryInterruptTime, in units of 100 ns. It counts sleep and
// hibernation, unlike QueryUnbiasedInterruptTime. Windows 10 and later export
// it from KernelBase; where it is missing GetTickCount64 has the same meaning
// with a resolution of about 15 ms.
func bootClock() func() time.Duration {
	proc := windows.NewLazySystemDLL("kernelbase.dll").NewProc("QueryInterruptTime")
	if proc.Find() != nil {
		return windows.DurationSinceBoot
	}
	return func() time.Duration {
		var ticks uint64
		proc.Call(uintptr(unsafe.Pointer(&ticks)))
		return time.Duration(ticks) * 100
	}
}

const (
	systemTimeOfDayInformation = 3
	systemProcessID            = 4 // the kernel's own process, created at boot
)

// timeOfDay is the documented head of SYSTEM_TIMEOFDAY_INFORMATION with the
// fields that winternl.h keeps in its reserved part.
type timeOfDay struct {
	bootTime      int64
	currentTime   int64
	timeZoneBias  int64
	timeZoneID    uint32
	reserved      uint32
	bootTimeBias  uint64
	sleepTimeBias uint64
}

// bootID is made of the moment at which the kernel created its System process.
// It is written once at boot and does not move when somebody sets the clock,
// unlike every figure that is computed as "now minus uptime". Where that
// process is not listed, it is the kernel's boot time without the corrections
// that setting the clock added to it.
//
// A shutdown with fast startup hibernates the kernel; the next start continues
// it with the same process, and QueryInterruptTime goes on counting as well, so
// the two belong together.
func bootID() (string, error) {
	if created, err := systemCreated(); err == nil && created != 0 {
		return fmt.Sprintf("system-%016x", created), nil
	}
	var t timeOfDay
	if err := windows.NtQuerySystemInformation(systemTimeOfDayInformation, unsafe.Pointer(&t), uint32(unsafe.Sizeof(t)), nil); err != nil {
		return "", fmt.Errorf("clock: boot id: %w", err)
	}
	if t.bootTime == 0 {
		return "", fmt.Errorf("%w: boot time is zero", ErrUnsupported)
	}
	return fmt.Sprintf("boot-%016x", t.bootTime-int64(t.bootTimeBias)), nil
}

// systemCreated finds the creation time of process 4 in the list of processes,
// which needs no rights, unlike opening that process.
func systemCreated() (int64, error) {
	size := uint32(1 << 16)
	for range 8 {
		buf := make([]byte, size)
		err := windows.NtQuerySystemInformation(windows.SystemProcessInformation, unsafe.Pointer(&buf[0]), size, &size)
		if err == windows.STATUS_INFO_LENGTH_MISMATCH || err == windows.STATUS_BUFFER_TOO_SMALL {
			size += 1 << 14 // processes may appear between two calls
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("clock: process list: %w", err)
		}
		head := uint32(unsafe.Sizeof(windows.SYSTEM_PROCESS_INFORMATION{}))
		for at := uint32(0); at+head <= uint32(len(buf)); {
			p := (*windows.SYSTEM_PROCESS_INFORMATION)(unsafe.Pointer(&buf[at]))
			if p.UniqueProcessID == systemProcessID {
				return p.CreateTime, nil
			}
			if p.NextEntryOffset == 0 {
				break
			}
			at += p.NextEntryOffset
		}
		return 0, fmt.Errorf("%w: process %d is not listed", ErrUnsupported, systemProcessID)
	}
	return 0, fmt.Errorf("%w: the process list keeps growing", ErrUnsupported)
}

// ioctlVMGenCounterRead is IOCTL_VMGENCOUNTER_READ of vmgenerationcounter.h. It
// asks for both access rights, and so must whoever opens the device.
const ioctlVMGenCounterRead = 0x32c004

// vmGenerationID asks the driver that Hyper-V and others provide.
func vmGenerationID() (string, error) {
	name, err := windows.UTF16PtrFromString(`\\.\VmGenerationCounter`)
	if err != nil {
		return "", err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil, windows.OPEN_EXISTING, 0, 0)
	if err == windows.ERROR_FILE_NOT_FOUND || err == windows.ERROR_PATH_NOT_FOUND {
		return "", fmt.Errorf("%w: no generation counter device", ErrUnsupported)
	}
	if err != nil {
		return "", fmt.Errorf("clock: generation counter: %w", err)
	}
	defer windows.CloseHandle(h)
	var id [16]byte
	var n uint32
	if err := windows.DeviceIoControl(h, ioctlVMGenCounterRead, nil, 0, &id[0], uint32(len(id)), &n, nil); err != nil || n != uint32(len(id)) {
		return "", fmt.Errorf("clock: generation counter (%d bytes): %w", n, err)
	}
	return hex.EncodeToString(id[:]), nil
}
