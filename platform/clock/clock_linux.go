package clock

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// bootIDFile holds a UUID that the kernel draws at each boot (random(4)).
	bootIDFile = "/proc/sys/kernel/random/boot_id"
	// vmgenidFile exists where the kernel has the qemu_fw_cfg driver and the
	// virtual machine has a vmgenid device; only root may read it.
	vmgenidFile = "/sys/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw"
)

// bootClock gives the way to read the time since boot.
func bootClock() func() time.Duration { return sinceBoot }

// sinceBoot reads CLOCK_BOOTTIME, which counts suspend (clock_gettime(2)). It
// goes through the vDSO in C programs; here it is a system call of about a
// tenth of a microsecond, which is nothing beside answering a request.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The clock exists since Linux 2.6.39, and Go needs 3.2. A seccomp filter
		// that forbids it must be noticed at once, not as a license that expires.
		panic("clock: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}

func bootID() (string, error) {
	b, err := readSmall(bootIDFile, 64)
	if err != nil {
		return "", fmt.Errorf("clock: boot id: %w", err)
	}
	return parseBootID(string(b))
}

// parseBootID accepts a UUID and nothing else: containers sometimes mount
// other things over the file.
func parseBootID(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) != 36 {
		return "", fmt.Errorf("%w: boot id of %d bytes", ErrUnsupported, len(s))
	}
	for i, c := range s {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !strings.ContainsRune("0123456789abcdef", c) {
			return "", fmt.Errorf("%w: boot id is not a UUID", ErrUnsupported)
		}
	}
	return s, nil
}

func vmGenerationID() (string, error) {
	b, err := readSmall(vmgenidFile, 4096)
	if os.IsNotExist(err) {
		return "", fmt.Errorf("%w: no %s", ErrUnsupported, vmgenidFile)
	}
	if err != nil {
		return "", fmt.Errorf("clock: generation id: %w", err)
	}
	return parseVMGenID(b)
}

func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
