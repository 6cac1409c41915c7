package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// lockFolder is Program Files, where only administrators may write.
func (t Target) lockFolder() (string, error) {
	folder, err := windows.KnownFolderPath(windows.FOLDERID_ProgramFiles, 0)
	if err != nil {
		return "", fmt.Errorf("installer: Program Files folder: %w", err)
	}
	return folder, nil
}

// holdFile makes a file that nobody else can open and that goes with its last
// handle, so with the process at the latest.
func holdFile(folder, name string) (*os.File, error) {
	full := filepath.Join(folder, name)
	path, err := windows.UTF16PtrFromString(full)
	if err != nil {
		return nil, err
	}
	for tries := 1; ; tries++ {
		h, err := windows.CreateFile(path, windows.GENERIC_WRITE|windows.DELETE, 0, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(h), full), nil
		case errors.Is(err, windows.ERROR_SHARING_VIOLATION):
			return nil, fmt.Errorf("%w: %w", ErrBusy, err)
		case !errors.Is(err, windows.ERROR_ACCESS_DENIED):
			return nil, fmt.Errorf("lock %s: %w", full, err)
		}
		// Denied is what Windows says of a file that is about to go, and to somebody who
		// may not write here. The first may be gone when it is looked for, once.
		if _, err := os.Lstat(full); !errors.Is(err, fs.ErrNotExist) {
			return nil, ErrBusy
		}
		if tries == 5 {
			return nil, fmt.Errorf("lock %s: %w", full, err)
		}
	}
}

func letGo(f *os.File) {
	f.Close() //nolint:errcheck // nothing was written
}
