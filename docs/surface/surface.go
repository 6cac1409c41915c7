// Package surface is for tests: it holds what a program leaves on the disk
// against the tables of platform/ATTACK_SURFACE.md. Nothing that is shipped
// imports it.
package surface

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Entry is a name below a directory, with "/" between its parts, and its
// permission in octal, after "d" for a directory and "s" for a socket.
type Entry struct{ Name, Mode string }

// List names everything below dir.
func List(dir string) (list []Entry, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		kind, ok := map[fs.FileMode]string{fs.ModeDir: "d", fs.ModeSocket: "s", 0: ""}[info.Mode().Type()]
		if !ok {
			kind = info.Mode().Type().String() + " "
		}
		list = append(list, Entry{filepath.ToSlash(strings.TrimPrefix(p, dir+string(filepath.Separator))), fmt.Sprintf("%s%04o", kind, info.Mode().Perm())})
		return nil
	})
	return list, err
}

// Compare holds entries against the table below a heading of a document, whose
// rows begin with a pattern of path.Match and a permission, both in backquotes.
// It returns one line for each entry that is not listed like this, and one for
// each row of which there is no entry.
func Compare(document, heading string, entries []Entry) (differences []string, err error) {
	b, err := os.ReadFile(document)
	if err != nil {
		return nil, err
	}
	_, text, found := strings.Cut(string(b), "\n"+heading+"\n")
	if !found {
		return nil, fmt.Errorf("%s has no %q", document, heading)
	}
	text, _, _ = strings.Cut(text, "\n#")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([ds]?[0-7]{4})` \\|").FindAllStringSubmatch(text, -1)
	met := map[string]bool{}
	for _, e := range entries {
		i := slices.IndexFunc(rows, func(row []string) bool { ok, err := path.Match(row[1], e.Name); return ok && err == nil })
		if i < 0 || rows[i][2] != e.Mode {
			differences = append(differences, fmt.Sprintf("not listed like this: %s %s", e.Name, e.Mode))
			continue
		}
		met[rows[i][1]] = true
	}
	for _, row := range rows {
		if !met[row[1]] {
			differences = append(differences, "listed, and nothing has it: "+row[1])
		}
	}
	slices.Sort(differences)
	return slices.Compact(differences), nil
}
