package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"licenseagent.example/platform/securefile"
)

// guard decides whether state.db may be opened in this process. nil: yes.
// fs.ErrNotExist: there is none. ErrOwned or another error of the operating
// system: nothing can be said. errHeader, errStructure or errProbe: damaged.
func (s *Store) guard() error {
	f, err := s.dir.OpenFile(fileDB)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	newest, err := checkHeader(f, info.Size())
	if err != nil {
		return err
	}
	if s.isClean(f, info.Size()) {
		return nil
	}
	if err := checkStructure(f, newest); err != nil {
		return err
	}
	path := filepath.Join(s.dir.Path(), fileDB)
	if len(s.opts.Probe) > 0 {
		limit := probeTime
		if s.opts.seams.probeTime > 0 {
			limit = s.opts.seams.probeTime
		}
		err := runProbe(s.opts.Probe, path, limit)
		if !errors.Is(err, errNoProbe) {
			return err
		}
		s.report(Event{Kind: EventNoProbe, Text: err.Error()})
	}
	return checkFile(path)
}

// maxClean bounds the file that is read as a whole at start; a larger one is probed.
const maxClean = 8 << 20

// isClean reports whether these are, byte for byte, the contents that this
// store checked and closed. The probe could only repeat what is known.
func (s *Store) isClean(f io.ReaderAt, size int64) bool {
	if size > maxClean {
		return false
	}
	mark, err := s.dir.ReadFile(fileClean, 256)
	if err != nil {
		return false
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return false
	}
	return string(mark) == s.seal.fileMAC("clean", b)+"\n"
}

// markClean is called after the file was checked and closed.
func (s *Store) markClean() error {
	b, err := s.dir.ReadFile(fileDB, maxClean)
	if err != nil {
		return err
	}
	return s.dir.WriteFile(fileClean, []byte(s.seal.fileMAC("clean", b)+"\n"), securefile.PrivateFile)
}

// probeTime is how long the probe may take. A sound file of 64 MiB takes well
// under a second; some damaged ones make bbolt loop for ever.
const probeTime = 2 * time.Second

// runProbe lets a child process open the file: some damages kill the process
// beyond recover (a fault in another goroutine or inside the runtime). A probe
// that was stopped with little processor time behind it did not loop but never
// got its turn, as on a machine that boots; it gets another one.
func runProbe(argv []string, path string, limit time.Duration) error {
	used, err := probeOnce(argv, path, limit)
	if errors.Is(err, errLate) && used < limit/4 {
		_, err = probeOnce(argv, path, limit+limit/4)
	}
	return err
}

// probeOnce also returns the processor time that the probe took.
func probeOnce(argv []string, path string, limit time.Duration) (used time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], append(slices.Clone(argv[1:]), path)...)
	// Nothing of our environment is the probe's business; a crash in it leaves
	// neither trace nor core file.
	cmd.Env = []string{"GOTRACEBACK=none", "GOMAXPROCS=2"}
	cmd.WaitDelay = 100 * time.Millisecond
	out, err := cmd.Output()
	if p := cmd.ProcessState; p != nil {
		used = p.UserTime() + p.SystemTime()
	}
	lines := strings.Split(string(out)+"\n", "\n")
	var exit *exec.ExitError
	switch {
	case lines[0] == probeHello && lines[1] == probeOK:
		// Said after everything was read: whatever the end of the process was.
		return used, nil
	case ctx.Err() != nil:
		return used, fmt.Errorf("%w: %w within %v", errProbe, errLate, limit)
	case lines[0] != probeHello:
		// Not our binary, not executable, no processes left: this says nothing
		// about the file, and a sound file must not be put aside for it.
		return used, fmt.Errorf("%w: %s: %v", errNoProbe, argv[0], err)
	case errors.As(err, &exit) && exit.ExitCode() == probeBusy:
		return used, fmt.Errorf("%w: %s is locked by another program", ErrOwned, path)
	case lines[1] != "":
		return used, fmt.Errorf("%w: %s", errProbe, lines[1])
	}
	return used, fmt.Errorf("%w: it died: %v", errProbe, err)
}

// keepBad is how many damaged files are kept for whoever wants to look.
const keepBad = 3

// quarantine puts the file aside; nothing is ever deleted in its place.
func (s *Store) quarantine(why error) error {
	to, err := s.badName()
	if err != nil {
		return err
	}
	if err := s.dir.Rename(fileDB, to); err != nil {
		return fmt.Errorf("putting the damaged state aside: %w", err)
	}
	s.report(Event{Kind: EventQuarantined, File: to, Text: why.Error()})
	names, err := s.badFiles()
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == to })
	for len(names) >= keepBad {
		if err := s.dir.Remove(names[0]); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

// badName gives names that sort in the order in which they were given.
func (s *Store) badName() (string, error) {
	base := fileBad + time.Unix(s.opts.Now(), 0).UTC().Format("20060102T150405Z")
	names, err := s.badFiles()
	if err != nil {
		return "", err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, base) })
	if len(names) == 0 {
		return base, nil
	}
	i, err := strconv.Atoi(strings.TrimPrefix(names[len(names)-1][len(base):], "."))
	if err != nil {
		i = 0 // base itself has no number
	}
	return fmt.Sprintf("%s.%06d", base, i+1), nil
}

// badFiles lists the files put aside, oldest name first.
func (s *Store) badFiles() ([]string, error) {
	names, err := s.dir.Names()
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, fileBad) })
	slices.Sort(names)
	return names, nil
}
