//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/docs/promise"
)

// canary CODEFILE PATH...: P16. The authorization code in CODEFILE and the
// device key must not stand in any of the paths, nor in the command line or the
// environment of any process of the agent, in any spelling. The key's own file
// is left out; everything else in the state directory is searched.
func canary(ts *testscript.TestScript, neg bool, args []string) {
	code := strings.TrimSpace(ts.ReadFile(args[0]))
	needles := spellings(code)
	key := ts.ReadFile(filepath.Join("a", "license-agent", "state", "device.key"))
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
	for _, p := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(p), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || d.Name() == "device.key" {
				return err
			}
			b, err := os.ReadFile(path)
			look(path, b)
			return err
		}))
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	agents := 0
	for _, p := range processes {
		cmdline, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if err != nil || !bytes.Contains(cmdline, []byte("license-agent")) {
			continue // gone meanwhile, or another program
		}
		agents++
		look(p+"/cmdline", cmdline)
		if environ, err := os.ReadFile(filepath.Join(p, "environ")); err == nil {
			look(p+"/environ", environ)
		}
	}
	if neg {
		if leaks == 0 {
			ts.Fatalf("control: the code is in %v and was not found", args[1:])
		}
		return
	}
	if leaks > 0 || agents == 0 {
		ts.Fatalf("%d leaks in %d places, %d processes", leaks, places, agents)
	}
	promise.Reached(script{ts}, "P16", fmt.Sprintf("canary code and device key in 0 of %d places (log at debug level, store, public files, bundle, /proc cmdline and environ of %d processes)", places, agents),
		"the same search finds the code in a planted file")
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

// listeners AGENTDIR: P31. No process of the agent holds a TCP or UDP listener
// or an abstract socket; its own bundle says the same.
func listeners(ts *testscript.TestScript, _ bool, args []string) {
	inodes := map[string]string{}
	processes, err := filepath.Glob("/proc/[0-9]*")
	ts.Check(err)
	for _, p := range processes {
		cmdline, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if err != nil || !bytes.Contains(cmdline, []byte("license-agent\x00run")) {
			continue
		}
		fds, err := filepath.Glob(p + "/fd/*")
		ts.Check(err)
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
				inodes[strings.Trim(target, "socket:[]")] = p
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
			if len(f) <= column || inodes[f[column]] == "" {
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
	if bad > 0 || unix == 0 {
		ts.Fatalf("%d forbidden sockets, %d of our own", bad, unix)
	}
	promise.Reached(script{ts}, "P31", fmt.Sprintf("0 TCP, UDP or raw listeners and 0 abstract sockets during a full run (%d Unix sockets of its own)", unix),
		"the own Unix sockets are found by the same search")
}
