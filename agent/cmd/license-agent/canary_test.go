//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/docs/promise"
)

// canary CODEFILE AGENTDIR PATH...: P16. The authorization code in CODEFILE and
// the device key of the agent below AGENTDIR must not stand in any of the paths,
// nor in the command line or the environment of any process of the agent, in any
// spelling; and no process of the agent may leave a core file. The key's own
// file is left out; everything else below AGENTDIR is searched.
func canary(ts *testscript.TestScript, neg bool, args []string) {
	code := strings.TrimSpace(ts.ReadFile(args[0]))
	needles := spellings(code)
	key := ts.ReadFile(filepath.Join(args[1], "license-agent", "state", "device.key"))
	_, data, ok := strings.Cut(key, "data ")
	if !ok {
		ts.Fatalf("the key file looks different")
	}
	data, _, _ = strings.Cut(data, "\n")
	secret, err := base64.StdEncoding.DecodeString(data)
	ts.Check(err)
	needles = append(needles, data[:20], string(secret[:16]), fmt.Sprintf("%x", secret[:16]))

	places, leaks := 0, 0
	look := func(where string, b []byte) {
		places++
		for _, n := range needles {
			if bytes.Contains(b, []byte(n)) {
				leaks++
				ts.Logf("leak in %s", where)
			}
		}
	}
	paths := args[1:]
	if neg {
		paths = args[2:]
	}
	for _, p := range paths {
		ts.Check(filepath.WalkDir(ts.MkAbs(p), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || d.Name() == "device.key" {
				return err
			}
			b, err := os.ReadFile(path)
			look(path, b)
			return err
		}))
	}
	if neg {
		if leaks == 0 {
			ts.Fatalf("control: the code is in %v and was not found", paths)
		}
		tally(ts, "CANARY_PLANTED", 1)
		return
	}
	agents := 0
	for _, p := range processes(ts, "license-agent") {
		agents++
		cmdline, err := os.ReadFile(p + "/cmdline")
		ts.Check(err)
		look(p+"/cmdline", cmdline)
		if environ, err := os.ReadFile(p + "/environ"); err == nil {
			look(p+"/environ", environ)
		}
		limits, err := os.ReadFile(p + "/limits")
		ts.Check(err)
		if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
			ts.Fatalf("%s may leave a core file:\n%s", p, limits)
		}
	}
	if leaks > 0 || agents == 0 {
		ts.Fatalf("%d leaks in %d places, %d processes", leaks, places, agents)
	}
	tally(ts, "CANARY_PLACES", places)
	tally(ts, "CANARY_SEARCHES", 1)
}

// tally adds to a number that the script carries in its environment.
func tally(ts *testscript.TestScript, name string, n int) int {
	sum, _ := strconv.Atoi(ts.Getenv(name)) // 0 at first
	sum += n
	ts.Setenv(name, strconv.Itoa(sum))
	return sum
}

// secrets-kept LEVELS: writes down what the searches of this script found.
func secretsKept(ts *testscript.TestScript, _ bool, args []string) {
	places, searches, planted := tally(ts, "CANARY_PLACES", 0), tally(ts, "CANARY_SEARCHES", 0), tally(ts, "CANARY_PLANTED", 0)
	if places == 0 || planted == 0 {
		ts.Fatalf("%d places searched, %d planted", places, planted)
	}
	promise.Reached(script{ts}, "P16", fmt.Sprintf("canary code and device key in 0 of %d places in %d searches over all flows at each of the log levels %s: logs, store, public files, bundle, command lines and environments; no process may leave a core file", places, searches, strings.Join(args, ", ")),
		fmt.Sprintf("the same search finds the planted code in %d of %d files, plain and in base64 of base64", planted, planted))
}

// processes are the directories in /proc of what runs this program.
func processes(ts *testscript.TestScript, program string) (dirs []string) {
	all, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	for _, p := range all {
		cmdline, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if err != nil || filepath.Base(string(bytes.SplitN(cmdline, []byte{0}, 2)[0])) != program {
			continue // gone meanwhile, or another program
		}
		if environ, err := os.ReadFile(filepath.Join(p, "environ")); err == nil && bytes.Contains(environ, []byte("WORK="+ts.Getenv("WORK")+"\x00")) {
			dirs = append(dirs, p)
		}
	}
	return dirs
}

// spellings are the forms in which a code could leak.
func spellings(code string) []string {
	bare := strings.ReplaceAll(code, "-", "")
	list := []string{code, bare, strings.ToLower(code), strings.ToLower(bare)}
	for _, once := range shifted(code) { // inside an envelope
		list = append(list, once)
		list = append(list, shifted(once)...) // inside an envelope inside a stored record
	}
	return list
}

// shifted are the texts by which s can be recognised in the middle of base64:
// it may begin at any of three bit positions, and both ends depend on what
// stands beside it.
func shifted(s string) []string {
	var out []string
	for lead := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", lead) + s))
		out = append(out, strings.TrimRight(text, "=")[4:len(text)-6])
	}
	return out
}

// script lets a result name the whole test that a script is part of.
type script struct{ *testscript.TestScript }

func (s script) Name() string { return "TestScripts/" + s.TestScript.Name() }

// listeners MODE: P31. No process of the agent holds a TCP, UDP or raw socket
// that listens, nor an abstract one. "! listeners" is the control: the same
// search over the merchant service, which does listen.
func listeners(ts *testscript.TestScript, neg bool, args []string) {
	program := "license-agent"
	if neg {
		program = "license-merchant"
	}
	inodes := map[string]bool{}
	for _, p := range processes(ts, program) {
		fds, err := filepath.Glob(p + "/fd/*")
		ts.Check(err)
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
				inodes[strings.Trim(target, "socket:[]")] = true
			}
		}
	}
	unix, bad := 0, 0
	for table, column := range map[string]int{"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "unix": 6} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // this kernel has no such protocol
		}
		for _, line := range strings.Split(string(b), "\n") {
			f := strings.Fields(line)
			if len(f) <= column || !inodes[f[column]] {
				continue
			}
			const listen = "0A" // TCP_LISTEN
			switch {
			case table == "unix" && (len(f) < 8 || !strings.HasPrefix(f[7], "@")):
				unix++
			case strings.HasPrefix(table, "tcp") && f[3] != listen:
				// a connection to the merchant
			default:
				bad++
				ts.Logf("%s: %s", table, line)
			}
		}
	}
	if neg {
		if bad == 0 {
			ts.Fatalf("control: the listener of %s was not found", program)
		}
		ts.Setenv("LISTENERS_CONTROL", strconv.Itoa(bad))
		return
	}
	if bad > 0 || unix == 0 {
		ts.Fatalf("%d forbidden sockets, %d of our own", bad, unix)
	}
	mode, modes := ", "+strings.Join(args, " "), ts.Getenv("LISTENERS_MODES")
	if !strings.Contains(modes, mode) { // not at another log level
		ts.Setenv("LISTENERS_MODES", modes+mode)
	}
}

// nobody-listens: writes down what the searches of this script found.
func nobodyListens(ts *testscript.TestScript, _ bool, _ []string) {
	modes := strings.TrimPrefix(ts.Getenv("LISTENERS_MODES"), ", ")
	promise.Reached(script{ts}, "P31", "0 TCP, UDP or raw listeners and 0 abstract sockets ("+modes+")",
		"the same search finds "+ts.Getenv("LISTENERS_CONTROL")+" listener of license-merchant")
}
