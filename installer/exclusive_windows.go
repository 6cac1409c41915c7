package installer

import (
	"errors"
	"fmt"
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
	h, err := windows.CreateFile(path, windows.GENERIC_WRITE|windows.DELETE, 0, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
	switch {
	// Denied is also what Windows says of a file that is about to go.
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION), errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", full, err)
	}
	return os.NewFile(uintptr(h), full), nil
}

func letGo(f *os.File) {
	f.Close() //nolint:errcheck // nothing was written
}
