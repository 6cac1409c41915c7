package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// ErrImage is returned for a root that is not the file tree of an image, and for a
// link in it that leads out of it.
var ErrImage = errors.New("installer: not an image that can be worked on")

// sound refuses a root that nothing can be done below.
func (t Target) sound() error {
	if t.Root == "" {
		return nil
	}
	if !filepath.IsAbs(t.Root) {
		return fmt.Errorf("%w: %s is a relative path; give the whole path of the directory", ErrImage, t.Root)
	}
	fi, err := os.Stat(t.Root)
	if err == nil && !fi.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return fmt.Errorf("%w: %w; give the directory that holds the files of the image", ErrImage, err)
	}
	return nil
}

// inside refuses a plan one of whose places is reached by a link out of the image:
// an absolute one means a place in the image to the system that will run there, and
// a place of this machine to whoever follows it here.
func (t Target) inside(p Plan) (Plan, error) {
	if t.Root == "" {
		return p, nil
	}
	root, err := os.OpenRoot(t.Root)
	if err != nil {
		return Plan{}, err
	}
	defer root.Close() //nolint:errcheck // nothing is written
	// The tools of accounts follow a link in the place of these.
	ways := []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}
	for _, s := range p.Steps {
		for _, place := range s.Changes {
			ways = append(ways, path.Dir(place))
		}
	}
	for _, way := range chains(ways...) {
		_, err := root.Stat(way[1:])
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue // a step makes it, or says what is there
		}
		return Plan{}, fmt.Errorf("%w: %s: %w; nothing was changed; if it is a link, make it a relative one that stays in the image", ErrImage, t.at(way), err)
	}
	return p, nil
}

// chain are a directory and those above it, from the top.
func chain(dir string) []string {
	if dir == "/" {
		return nil
	}
	return append(chain(path.Dir(dir)), dir)
}

// chains are the directories and those above them, each once, none before one that
// it lies in.
func chains(dirs ...string) []string {
	var out []string
	for _, dir := range dirs {
		for _, d := range chain(dir) {
			if !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
	}
	return out
}
