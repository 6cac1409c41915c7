package main

import (
	"os/user"
	"path/filepath"
	"strconv"

	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/platform/securefile"
)

// handOver copies the SMBIOS table of the machine below root into a file of mode
// 0400 that belongs to the user. A machine without a table leaves no file: an
// older one is removed. The folder must be closed to other users, as /run is.
func handOver(root, file, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	file, err = filepath.Abs(file)
	if err != nil {
		return err
	}
	dir, err := securefile.OpenPublic(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // nothing was written through it that is not flushed
	table, err := probe.Host{Root: root}.Table()
	if err != nil {
		return err
	}
	if len(table) == 0 {
		return dir.Remove(filepath.Base(file))
	}
	return dir.GiveFile(filepath.Base(file), table, uid, gid)
}
