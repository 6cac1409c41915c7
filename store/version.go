package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// maxVersionFile bounds what CheckVersion reads; a state is some 100 KiB.
const maxVersionFile = 64 << 20

var versionLine = regexp.MustCompile(`license-agent-store [0-9]{1,9} [0-9a-zA-Z:+/=_-]{1,128} [0-9a-f]{8}`)

// CheckVersion says whether this program can go on with the state in dir, before
// it takes the place of one that can: ErrNewerSchema when a newer version has
// written it. It opens and locks nothing, so that it can ask while an agent
// runs; a state that is not there or cannot be judged is no reason to refuse.
func CheckVersion(dir string) error {
	path := filepath.Join(dir, fileDB)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!fi.Mode().IsRegular() || fi.Size() > maxVersionFile) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	newest := 0
	for _, line := range versionLine.FindAll(b, -1) {
		if version, _, err := parseSchema(line); err == nil {
			newest = max(newest, version)
		}
	}
	if newest > schemaVersion {
		return newer(fileDB, newest)
	}
	return nil
}
