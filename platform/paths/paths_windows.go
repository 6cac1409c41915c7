package paths

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// pipePrefix is where named pipes live. The name has no ProtectedPrefix part:
// those names can be created only by Administrators, LocalService and the like,
// and the virtual account NT SERVICE\license-agent is none of them. What
// protects a client from a squatter is the check of the pipe's owner in ipc.
const pipePrefix = `\\.\pipe\`

// system puts everything below %ProgramData%\license-agent[-NAME], which the
// installer creates with a protected access list. The folder comes from the
// known-folder table of the system and not from the environment, which the
// user who starts a process controls.
func system(p *Paths) error {
	data, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err != nil {
		return fmt.Errorf("paths: ProgramData folder: %w", err)
	}
	base := filepath.Join(data, p.Service)
	p.Config = filepath.Join(base, "config")
	p.State = filepath.Join(base, "state")
	p.Runtime = filepath.Join(base, "run")
	p.Logs = filepath.Join(base, "logs")
	p.Socket = pipePrefix + p.Service
	return nil
}

// socketUnder derives a pipe name from the runtime directory, because pipes do
// not live in the file system: the same directory gives the same name, two
// directories give two names. File names ignore case on Windows, so the name
// is derived from the lower-case form.
func socketUnder(runtime string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(filepath.Clean(runtime))))
	return pipePrefix + Program + "-dir-" + hex.EncodeToString(sum[:12])
}
