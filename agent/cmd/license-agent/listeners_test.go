//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/embed"
	"licenseagent.example/docs/promise"
)

// sockets are what processes can be reached by, counted by kind; "unix" are those
// with a path or without a name.
func sockets(ts *testscript.TestScript, program string) (kinds map[string]int, running int) {
	inodes := map[string]bool{}
	procs := processes(ts, program)
	for _, p := range procs {
		fds, err := filepath.Glob(p + "/fd/*")
		ts.Check(err)
		for _, fd := range fds {
			if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
				inodes[strings.Trim(target, "socket:[]")] = true
			}
		}
	}
	kinds = map[string]int{}
	for table, column := range map[string]int{"tcp": 9, "tcp6": 9, "udp": 9, "udp6": 9, "raw": 9, "raw6": 9, "unix": 6} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // this kernel has no such protocol
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) <= column || !inodes[f[column]] {
				continue
			}
			const listen = "0A" // TCP_LISTEN
			kind := strings.TrimSuffix(table, "6")
			switch {
			case kind == "unix" && len(f) > 7 && strings.HasPrefix(f[7], "@"):
				kind = "abstract"
			case kind == "tcp" && f[3] != listen:
				continue // a connection to the merchant
			}
			kinds[kind]++
			ts.Logf("%s: %s", table, line)
		}
	}
	return kinds, len(procs)
}

// listeners PROGRAM MODE: P31. No process of the program holds a TCP, UDP or raw
// socket that others can reach, nor an abstract one; license-agent itself has the
// sockets of its own. "! listeners PROGRAM KIND..." is the control: the same
// search over a program that has one of each kind, and of no other.
func listeners(ts *testscript.TestScript, neg bool, args []string) {
	program, rest := args[0], args[1:]
	kinds, procs := sockets(ts, program)
	unix := kinds["unix"]
	delete(kinds, "unix")
	if neg {
		if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, rest) {
			ts.Fatalf("control: %s has %q, found were %q", program, rest, got)
		}
		ts.Setenv("LISTENERS_CONTROL", ts.Getenv("LISTENERS_CONTROL")+", "+program+" ("+strings.Join(rest, ", ")+")")
		return
	}
	if len(kinds) > 0 || procs == 0 || (unix > 0) != (program == "license-agent") {
		ts.Fatalf("%d processes, %v and %d of our own", procs, kinds, unix)
	}
	mode, modes := ", "+strings.Join(rest, " "), ts.Getenv("LISTENERS_MODES")
	if !strings.Contains(modes, mode) { // not at another log level
		ts.Setenv("LISTENERS_MODES", modes+mode)
	}
}

// nobody-listens: writes down what the searches of this script found.
func nobodyListens(ts *testscript.TestScript, _ bool, _ []string) {
	list := func(name string) string { return strings.TrimPrefix(ts.Getenv(name), ", ") }
	promise.Reached(script{ts}, "P31", "0 TCP, UDP or raw listeners and 0 abstract sockets ("+list("LISTENERS_MODES")+")",
		"the same search finds those of "+list("LISTENERS_CONTROL"))
}

// embedded DIR CODEFILE READY is a program with the agent inside, as a command of
// the scripts: it activates, holds a seat, writes READY and waits to be ended.
func embedded() {
	exitWith(func(dir, codeFile, ready string) error {
		anchor, err := os.ReadFile(filepath.Join(os.Getenv("LICENSE_MERCHANT_DIR"), "anchor.json"))
		if err != nil {
			return err
		}
		code, err := os.ReadFile(codeFile)
		if err != nil {
			return err
		}
		a, err := embed.Open(embed.Config{
			Dir: dir, Anchors: [][]byte{anchor}, Product: "painter", Version: "1.2.3",
			SMBIOSFile: os.Getenv("LICENSE_AGENT_SMBIOS_FILE"), Proxy: "direct",
		})
		if err != nil {
			return err
		}
		ctx := context.Background()
		_, err = a.Activate(ctx, api.ActivateRequest{Code: strings.TrimSpace(string(code))})
		if err == nil {
			_, err = a.Seat(ctx, "painter", "", "alice")
		}
		if err == nil {
			err = readyUntilEnded(ready)
		}
		return errors.Join(err, a.Close())
	})
}

// reachable DIR - READY is the control of listeners: a program that opens what
// the agent must not.
func reachable() {
	exitWith(func(_, _, ready string) error {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		abstract, err := net.Listen("unix", fmt.Sprintf("@license-agent-test-%d", os.Getpid()))
		if err != nil {
			return err
		}
		err = readyUntilEnded(ready)
		return errors.Join(err, tcp.Close(), udp.Close(), abstract.Close())
	})
}

func readyUntilEnded(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT)
	defer stop()
	if err := os.WriteFile(file, []byte("ready\n"), 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// exitWith runs a command of the scripts that has three arguments.
func exitWith(run func(a, b, c string) error) {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
