package main

import (
	"bufio"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"

	"licenseagent.example/agent/api"
)

// adminGroups turns names into group ids. The default group need not exist;
// one that the operator has written down must.
func adminGroups(s settings) ([]uint32, error) {
	var ids []uint32
	setting := s["admin-groups"]
	if runtime.GOOS == "windows" {
		return nil, nil // elevated administrators, see package ipc
	}
	for _, name := range splitList(setting.Value) {
		text := name
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			g, err := user.LookupGroup(name)
			if err != nil {
				if setting.Source == "default" {
					continue
				}
				return nil, fmt.Errorf("admin-groups (from %s): %w", setting.Source, err)
			}
			text = g.Gid
		}
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("admin-groups: group %q: %w", name, err)
		}
		ids = append(ids, uint32(id))
	}
	return ids, nil
}

// processInfo describes this process for diagnose.
func processInfo(started int64) func() api.Process {
	return func() api.Process {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return api.Process{PID: os.Getpid(), Started: started, Goroutines: runtime.NumGoroutine(), HeapBytes: m.HeapAlloc}
	}
}

// ownSockets lists what this process holds open, from /proc (proc(5)): it shows
// an operator that the agent listens on nothing but its own endpoint. The
// kernel shows a socket under the name it was bound to, and ours, at path, is
// bound under a random one and renamed: it is listed by the name it has. Where
// there is no /proc the list says so.
func ownSockets(path string) []string {
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(links) == 0 {
		return []string{"not known on " + runtime.GOOS}
	}
	mine := map[string]bool{}
	for _, l := range links {
		target, err := os.Readlink(l)
		if err == nil && strings.HasPrefix(target, "socket:[") {
			mine[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	out := []string{}
	for _, table := range []struct {
		name          string
		inode, detail int // columns
	}{{"tcp", 9, 1}, {"tcp6", 9, 1}, {"udp", 9, 1}, {"udp6", 9, 1}, {"raw", 9, 1}, {"raw6", 9, 1}, {"unix", 6, 7}, {"netlink", 9, 1}} {
		out = append(out, socketLines(table.name, table.inode, table.detail, mine)...)
	}
	bound := regexp.MustCompile("^unix " + regexp.QuoteMeta(filepath.Dir(path)) + `/\.[0-9a-f]{8}( |$)`)
	for i, line := range out {
		out[i] = bound.ReplaceAllString(line, "unix "+path+"$1")
	}
	sort.Strings(out)
	return out
}

func socketLines(table string, inode, detail int, mine map[string]bool) []string {
	f, err := os.Open("/proc/self/net/" + table)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // read only
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		cols := strings.Fields(sc.Text())
		if len(cols) <= inode || !mine[cols[inode]] {
			continue
		}
		text := table
		if len(cols) > detail {
			text += " " + cols[detail]
		} else {
			text += " (unnamed)"
		}
		const listening = "00010000" // the flag of a Unix socket that takes connections
		switch {
		case strings.HasPrefix(table, "tcp"):
			text += " state " + cols[3]
		case table == "unix" && cols[3] == listening:
			text += " listens"
		}
		out = append(out, text)
	}
	return out
}
