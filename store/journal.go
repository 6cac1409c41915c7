package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"licenseagent.example/platform/securefile"
)

// Journal is a file of lines in the state directory for what must outlive the
// agent but not the machine: who holds a seat. Lines are appended without
// flushing the disk, because what a power cut takes with it has ended with the
// power cut; the page cache outlives a killed agent. The first line is the boot
// that the lines belong to.
//
// A Journal belongs to the one agent that holds the store's lock, and is not
// safe for concurrent use.
type Journal struct {
	dir  *securefile.Dir
	head []byte
	file *os.File
}

const (
	// SeatsFile is the name of the journal of seats.
	SeatsFile  = "seats.log"
	maxJournal = 4 << 20 // bytes; a journal of 1,024 seats has less than one
)

// OpenJournal opens the journal of a boot and returns its lines. Those of
// another boot, and a last line that was cut off, are not returned. Errors are
// those of securefile.
func OpenJournal(dir, boot string) (*Journal, [][]byte, error) {
	d, err := securefile.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{dir: d, head: []byte("license-agent-seats 1 " + boot + "\n")}
	b, err := d.ReadFile(SeatsFile, maxJournal)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, securefile.ErrTooLarge) {
		return nil, nil, errors.Join(err, d.Close())
	}
	var lines [][]byte
	rest, ours := bytes.CutPrefix(b, j.head)
	if ours {
		for line := range bytes.Lines(rest) {
			if whole, ok := bytes.CutSuffix(line, []byte("\n")); ok && len(whole) > 0 {
				lines = append(lines, whole)
			}
		}
	}
	err = j.Replace(lines)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// A full disk must not keep the agent from answering (P06). What is known
		// is known. Lines of this boot behind the head of another would be lost, so
		// Append then says no until a Replace succeeds.
		err = nil
		if !ours && j.file != nil {
			err = j.file.Close()
			j.file = nil
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return j, lines, nil
}

// Append adds one line, which must not contain a line end.
func (j *Journal) Append(line []byte) error {
	if j.file == nil {
		return fmt.Errorf("store: %s: %w", SeatsFile, fs.ErrClosed)
	}
	// One write, so that a kill leaves the line or nothing.
	if _, err := j.file.Write(append(line[:len(line):len(line)], '\n')); err != nil {
		return fmt.Errorf("store: %s: %w", SeatsFile, err)
	}
	return nil
}

// Replace puts other lines in the place of all; they are there as a whole or
// not at all.
func (j *Journal) Replace(lines [][]byte) error {
	b := append([]byte{}, j.head...)
	for _, line := range lines {
		b = append(append(b, line...), '\n')
	}
	var closed error
	if j.file != nil { // Windows does not rename over a file that is open
		closed = j.file.Close()
		j.file = nil
	}
	written := j.dir.WriteFile(SeatsFile, b, securefile.PrivateFile)
	// Also after a failure: the old lines are still there and go on.
	if err := j.dir.Check(SeatsFile); err != nil {
		return errors.Join(closed, written, err)
	}
	f, err := os.OpenFile(filepath.Join(j.dir.Path(), SeatsFile), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return errors.Join(closed, written, fmt.Errorf("store: %s: %w", SeatsFile, err))
	}
	j.file = f
	return errors.Join(closed, written)
}

// Close closes the file and leaves it for the next start.
func (j *Journal) Close() error {
	var err error
	if j.file != nil {
		err = j.file.Close()
		j.file = nil
	}
	return errors.Join(err, j.dir.Close())
}
