package installer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"licenseagent.example/platform/securefile"
)

// partial is the name under which a file is written before it gets its own. It
// is always the same one, so that the next run finds what a killed one left.
func partial(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".part")
}

// directory makes one directory that everybody may pass.
func (t Target) directory(path string) Step {
	at := t.at(path)
	made := false
	return Step{
		Text:    "create directory " + path,
		Changes: []string{path},
		Done: func(context.Context) (bool, error) {
			fi, err := os.Lstat(at)
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			if err == nil && !fi.IsDir() {
				err = fmt.Errorf("%s: %w; look what it is and move it away", at, securefile.ErrNotDirectory)
			}
			return err == nil, err
		},
		Do: func(context.Context) error {
			t.point("mkdir")
			if err := os.Mkdir(at, securefile.PublicDir); err != nil {
				return err
			}
			made = true
			return os.Chmod(at, securefile.PublicDir) // whatever the umask was
		},
		Undo: func(context.Context) error {
			if !made {
				return nil
			}
			return os.Remove(at)
		},
	}
}

// shared makes a directory of the system's, if it is not there. Distributions have
// links in the place of some: /usr/local leads into /var where /usr is read only.
func (t Target) shared(path string) Step {
	at := t.at(path)
	step := t.directory(path)
	own := step.Done
	step.Done = func(ctx context.Context) (bool, error) {
		if _, err := os.Readlink(at); err != nil {
			return own(ctx)
		}
		dir, err := closed(at, maxLinks)
		if err != nil {
			return false, fmt.Errorf("%w; %s is a link: let it lead to a directory that only root may change, or put a directory in its place", err, at)
		}
		return true, dir.Close()
	}
	return step
}

// maxLinks bounds the links that closed follows, as the kernel does
// (path_resolution(7)).
const maxLinks = 40

// closed opens a directory that is closed to everybody but root, or the one that a
// link of root's leads to: one that lies where only root may put it.
func closed(dir string, links int) (*securefile.Dir, error) {
	to, err := os.Readlink(dir)
	if err != nil || links == 0 {
		return securefile.OpenPublic(dir)
	}
	above, err := closed(filepath.Dir(dir), links-1)
	if err != nil {
		return nil, err
	}
	defer above.Close() //nolint:errcheck // only its state was asked
	if !filepath.IsAbs(to) {
		// ".." is that of the directory behind the links.
		base, err := filepath.EvalSymlinks(above.Path())
		if err != nil {
			return nil, err
		}
		to = filepath.Join(base, to)
	}
	return closed(to, links-1)
}

// file makes a file have this content and mode. With keep, one that exists is
// the administrator's and stays.
func (t Target) file(path string, content []byte, mode fs.FileMode, keep bool) Step {
	at := t.at(path)
	var before *saved
	return Step{
		Text:    fmt.Sprintf("write %s (%d bytes, mode %04o)", path, len(content), mode),
		Changes: []string{path},
		Done: func(context.Context) (bool, error) {
			s, err := save(at)
			if err != nil || s == nil {
				return false, err
			}
			return keep || bytes.Equal(s.content, content) && sameMode(s.mode, mode), nil
		},
		Do: func(context.Context) (err error) {
			if before, err = save(at); err != nil {
				return err
			}
			return t.put(at, content, mode)
		},
		Undo: func(context.Context) error {
			if err := os.Remove(partial(at)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return t.restore(at, before)
		},
	}
}

// absent removes one file, and what a killed run left beside it.
func (t Target) absent(path string) Step {
	at := t.at(path)
	var before *saved
	begun := false
	return Step{
		Text:    "remove " + path,
		Changes: []string{path, partial(path)},
		Done: func(context.Context) (bool, error) {
			_, err := os.Lstat(at)
			_, errPart := os.Lstat(partial(at))
			return errors.Is(err, fs.ErrNotExist) && errors.Is(errPart, fs.ErrNotExist), nil
		},
		Do: func(context.Context) (err error) {
			if before, err = save(at); err != nil {
				return err
			}
			begun = true
			for _, f := range []string{partial(at), at} {
				t.point("remove")
				if err := securefile.Retry(func() error { return os.Remove(f) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			return nil
		},
		Undo: func(context.Context) error {
			if !begun { // what is there was refused, and stays
				return nil
			}
			return t.restore(at, before)
		},
	}
}

// gone removes a directory with everything in it. There is no way back.
func (t Target) gone(path, what string) Step {
	at := t.at(path)
	return Step{
		Text:    "remove " + path + " with " + what,
		Changes: []string{path},
		Done: func(context.Context) (bool, error) {
			_, err := os.Lstat(at)
			return errors.Is(err, fs.ErrNotExist), nil
		},
		Do: func(context.Context) error {
			t.point("remove all")
			return securefile.Retry(func() error { return os.RemoveAll(at) }) // does not follow links
		},
	}
}

// vacant removes a directory that install may have made, if nobody else has put
// anything into it.
func (t Target) vacant(path string) Step {
	at := t.at(path)
	removed := false
	return Step{
		Text: "remove " + path + ", which is empty",
		Done: func(context.Context) (bool, error) {
			in, err := os.ReadDir(at)
			if errors.Is(err, fs.ErrNotExist) {
				return true, nil
			}
			return len(in) > 0, err
		},
		After: func(changed []string) (bool, error) {
			in, err := os.ReadDir(at)
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			stays := slices.ContainsFunc(in, func(e fs.DirEntry) bool { return !slices.Contains(changed, filepath.Join(path, e.Name())) })
			return !stays, err
		},
		Do: func(context.Context) error {
			// Windows keeps a program that runs, under another name, until the next boot.
			in, err := os.ReadDir(at)
			if len(in) > 0 || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			t.point("rmdir")
			removed = true
			return os.Remove(at)
		},
		Undo: func(context.Context) error {
			if !removed {
				return nil
			}
			if err := os.Mkdir(at, securefile.PublicDir); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			return os.Chmod(at, securefile.PublicDir)
		},
	}
}

// sameMode compares permissions where the system keeps them in the mode;
// Windows hands the folder's access list down instead.
func sameMode(a, b fs.FileMode) bool { return a == b || runtime.GOOS == "windows" }

// saved is a file as it was.
type saved struct {
	content []byte
	mode    fs.FileMode
}

// save reads a file; nil if there is none. Anything but a plain file at a place
// that is ours is refused: it was put there by somebody else.
func save(at string) (*saved, error) {
	fi, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w; look what it is and move it away", at, securefile.ErrNotRegular)
	}
	b, err := os.ReadFile(at)
	return &saved{b, fi.Mode().Perm()}, err
}

func (t Target) restore(at string, before *saved) error {
	if before == nil {
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if now, err := save(at); err == nil && now != nil && bytes.Equal(now.content, before.content) && sameMode(now.mode, before.mode) {
		return nil
	}
	return t.put(at, before.content, before.mode)
}

// put writes a file under another name, flushes it, and gives it its own. The
// directory must be closed to everybody but root: files in one that others may
// change were exchanged under an installer before (CVE-2022-23296).
func (t Target) put(at string, content []byte, mode fs.FileMode) error {
	dir, err := closed(filepath.Dir(at), maxLinks)
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only its handle was needed
	part := partial(at)
	t.point("before write")
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, securefile.PrivateFile)
	if err != nil {
		return err
	}
	half := len(content) / 2
	_, err = f.Write(content[:half])
	t.point("half written")
	if err == nil {
		_, err = f.Write(content[half:])
	}
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	t.point("before rename")
	if err := securefile.Retry(func() error { return os.Rename(part, at) }); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	t.point("renamed")
	return dir.Sync()
}
