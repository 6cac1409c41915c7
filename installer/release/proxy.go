package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// proxy writes the tree that the go command reads by GOPROXY=file://… (Go
// Modules Reference, "GOPROXY protocol"): one version of this module, from a
// commit. A tree that is there already keeps its other versions.
func proxy(dir, repo, commit, modulePath, version string, made time.Time) (err error) {
	v := module.Version{Path: modulePath, Version: version}
	escaped, err := module.EscapePath(modulePath)
	if err != nil {
		return err
	}
	at := filepath.Join(dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	// A clone, because the tree may be a linked worktree, which the archiver does
	// not know, and because only what is committed counts.
	work, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if out, err := exec.Command("git", "clone", "-q", "--shared", "--no-checkout", repo, work).CombinedOutput(); err != nil {
		return fmt.Errorf("git clone: %w: %s", err, out)
	}
	mod, err := exec.Command("git", "-C", work, "show", commit+":go.mod").Output()
	if err != nil {
		return fmt.Errorf("git show %s:go.mod: %w", commit, err)
	}
	f, err := os.Create(filepath.Join(at, version+".zip"))
	if err != nil {
		return err
	}
	err = modzip.CreateFromVCS(f, v, work, commit, "")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("module archive: %w", err)
	}
	if err := os.WriteFile(filepath.Join(at, version+".mod"), mod, 0o644); err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, made.UTC()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(at, version+".info"), append(info, '\n'), 0o644); err != nil {
		return err
	}
	versions, err := filepath.Glob(filepath.Join(at, "*.info"))
	if err != nil {
		return err
	}
	list := ""
	for _, name := range versions { // sorted by name
		base := filepath.Base(name)
		list += base[:len(base)-len(".info")] + "\n"
	}
	return os.WriteFile(filepath.Join(at, "list"), []byte(list), 0o644)
}

// moduleVersion is the version of this tree for the go command: the tag, or the
// pseudo-version of a commit without one.
func moduleVersion(release, commit string, made time.Time) string {
	if v := "v" + release; module.CanonicalVersion(v) == v && module.CheckPathMajor(v, "") == nil {
		return v
	}
	return module.PseudoVersion("", "", made.UTC(), commit[:12])
}
