//go:build linux

package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/activation/license"
	"licenseagent.example/docs/promise"
	"licenseagent.example/store"
)

// The scripts in testdata/script run both real programs as an operator does.
// license-agent is this test binary under that name; license-merchant is built
// once.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == store.ProbeArg {
		os.Exit(store.ProbeMain(os.Args[2:])) // the agent runs its own binary as the probe: that is this one
	}
	if mode := os.Getenv(seatEnv); mode != "" {
		holdSeat(mode)
		return
	}
	if when := os.Getenv(syncEnv); when != "" {
		code, err := runFailing(when, os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	testscript.Main(m, map[string]func(){
		"license-agent": func() { launch(func() time.Time { return timeOf(os.Getenv(clockEnv)) }) },
		"embedded":      embedded, "reachable": reachable, "racing": race,
	})
}

// timeOf is the time of day, moved on by as much as a file of the script says.
func timeOf(file string) time.Time {
	ahead, err := os.ReadFile(file)
	if err != nil { // most scripts have no clock of their own
		return time.Now()
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(ahead)))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(d)
}

// clockEnv names the file that says how far ahead of now a script is. The
// merchant's test binary reads the same one.
const clockEnv = "LICENSE_TEST_CLOCK"

func TestScripts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("these scripts act as several users and mount a small disk: run them as root")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "license-merchant"), "../../../activation/cmd/license-merchant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("license-merchant cannot be built: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Files:               append(value(filepath.Glob("testdata/script/*.txt"))(t), atEachLevel(t, "testdata/levels/secrets.txt")),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("LICENSE_MERCHANT_DIR", filepath.Join(env.WorkDir, "m"))
			env.Setenv("LICENSE_AGENT_DIR", filepath.Join(env.WorkDir, "a"))
			env.Setenv("LICENSE_AGENT_SMBIOS_FILE", filepath.Join(env.WorkDir, "smbios.bin"))
			env.Setenv("LANG", "C")
			return os.WriteFile(filepath.Join(env.WorkDir, "smbios.bin"), smbios("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":            exits,
			"await":            await,
			"anchor":           anchor,
			"nonsense":         nonsense,
			"tmpfs":            tmpfs,
			"read-only":        readOnly,
			"fill":             fill,
			"foreign-socket":   foreignSocket,
			"nowhere":          nowhere,
			"corrupt-envelope": corruptEnvelope,
			"canary":           canary,
			"secrets-planted":  secretsPlanted,
			"secrets-kept":     secretsKept,
			"holds":            holds,
			"listeners":        listeners,
			"nobody-listens":   nobodyListens,
			"raceless":         raceless,
			"nobody-races":     nobodyRaces,
			"handover":         handover,
		},
	})
}

// atEachLevel writes a script whose middle part stands there once for each log
// level: the ends of the scale, and at full numbers all of it.
func atEachLevel(t *testing.T, file string) string {
	t.Helper()
	first, rest, ok := strings.Cut(string(value(os.ReadFile(file))(t)), "-- each LEVEL --\n")
	each, last, more := strings.Cut(rest, "-- once --\n")
	if !ok || !more {
		t.Fatalf("%s has no part for each level", file)
	}
	levels := []string{"debug", "error"}
	if promise.Tier() != "test" {
		levels = []string{"debug", "info", "warn", "error"}
	}
	script := first
	for _, level := range levels {
		script += strings.ReplaceAll(each, "LEVEL", level)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(file))
	check0(t, os.WriteFile(to, []byte(script+strings.ReplaceAll(last, "LEVELS", strings.Join(levels, " "))), 0o644))
	return to
}

// smbios is a table with a system and a board serial: test machines such as
// micro-VMs have none of their own.
func smbios(system, board string) []byte {
	record := func(kind, handle byte, body []byte, text ...string) []byte {
		b := append([]byte{kind, byte(4 + len(body)), handle, 0}, body...)
		for _, s := range text {
			b = append(append(b, s...), 0)
		}
		if len(text) == 0 {
			b = append(b, 0)
		}
		return append(b, 0)
	}
	uuid := make([]byte, 16)
	for i := range uuid {
		uuid[i] = byte(i*7 + 1)
	}
	b := record(1, 1, append(append([]byte{1, 2, 3, 4}, uuid...), 6, 0, 0), "Example", "Server", "1", system)
	b = append(b, record(2, 2, []byte{1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0}, "Example", "Board", "1", board)...)
	return append(b, record(127, 3, nil)...)
}

// exits N command…: the command must end with exactly this code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e := (*exec.ExitError)(nil)
		if !asExit(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func asExit(err error, to **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*to = e
	return ok
}

// await FILE: until a background program has written it.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for range 2000 {
		if fi, err := os.Stat(ts.MkAbs(args[0])); err == nil && fi.Size() > 0 {
			return
		}
		pause()
	}
	ts.Fatalf("%s did not appear", args[0])
}

// anchor DIR: gives the merchant's trust anchor to the agent below DIR.
func anchor(ts *testscript.TestScript, _ bool, args []string) {
	put(ts, args[0], []byte(ts.ReadFile(filepath.Join(ts.Getenv("LICENSE_MERCHANT_DIR"), "anchor.json"))))
}

func put(ts *testscript.TestScript, dir string, b []byte) {
	to := filepath.Join(ts.MkAbs(dir), "license-agent", "etc", "anchors")
	ts.Check(os.MkdirAll(to, 0o755))
	ts.Check(os.WriteFile(filepath.Join(to, "vendor.json"), b, 0o644))
}

// change rewrites the merchant's address in the anchor of the agent below dir.
func change(ts *testscript.TestScript, dir, url, roots string) {
	a, err := license.ParseAnchor([]byte(ts.ReadFile(filepath.Join(ts.Getenv("LICENSE_MERCHANT_DIR"), "anchor.json"))))
	ts.Check(err)
	a.Merchant, a.TLSRoots = url, roots
	b, err := a.Encode()
	ts.Check(err)
	put(ts, dir, b)
}

// nonsense DIR: the agent below DIR meets a server that answers every request
// with a login page, as captive portals do.
func nonsense(ts *testscript.TestScript, _ bool, args []string) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>Please log in</html>"))
	}))
	ts.Defer(srv.Close)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	change(ts, args[0], srv.URL, string(root))
}

// nowhere DIR: the agent below DIR has a merchant where nobody listens.
func nowhere(ts *testscript.TestScript, _ bool, args []string) {
	srv := httptest.NewTLSServer(nil)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	url := srv.URL
	srv.Close()
	change(ts, args[0], url, string(root))
}

// tmpfs DIR SIZE: a small disk.
func tmpfs(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+args[1]); err != nil {
		ts.Fatalf("this test needs the right to mount a tmpfs: %v", err)
	}
	ts.Defer(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// read-only DIR: the disk there becomes so, as after an error.
func readOnly(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(syscall.Mount("", ts.MkAbs(args[0]), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
}

// fill FILE: until the disk is full.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		n, err := f.Write(block)
		if err != nil || n < len(block) {
			block = block[:len(block)/2]
		}
	}
}

// foreign-socket DIR: another user listens where the agent below DIR should.
func foreignSocket(ts *testscript.TestScript, _ bool, args []string) {
	run := filepath.Join(ts.MkAbs(args[0]), "license-agent", "run")
	ts.Check(os.MkdirAll(run, 0o755))
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	ts.Check(err)
	path := filepath.Join(run, "agent.sock")
	ts.Check(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	ts.Check(syscall.Listen(fd, 8))
	ts.Check(os.Chown(path, 65534, 65534))
	ts.Defer(func() { _ = syscall.Close(fd) })
}

// corrupt-envelope FROM TO: the same file with one bit of the payload changed.
func corruptEnvelope(ts *testscript.TestScript, _ bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	i := strings.Index(string(b), `payload":"`)
	if i < 0 {
		i = strings.Index(string(b), `payload\":\"`) // the envelope as a JSON string
	}
	if i < 0 {
		ts.Fatalf("%s holds no envelope", args[0])
	}
	at := i + 60
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o600))
}

// handover DIR: starts the agent below DIR with its socket opened beforehand,
// as systemd does (sd_listen_fds(3)).
func handover(ts *testscript.TestScript, _ bool, args []string) {
	run := filepath.Join(ts.MkAbs(args[0]), "license-agent", "run")
	ts.Check(os.MkdirAll(run, 0o755))
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(run, "agent.sock"), Net: "unix"})
	ts.Check(err)
	ln.SetUnlinkOnClose(false)
	file, err := ln.File()
	ts.Check(err)
	cmd := exec.Command("/bin/sh", "-c", "export LISTEN_PID=$$ LISTEN_FDS=1; exec license-agent run")
	for _, name := range []string{"PATH", "HOME", "WORK", "GORACE", "LICENSE_AGENT_SMBIOS_FILE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "LICENSE_AGENT_DIR="+ts.MkAbs(args[0]))
	cmd.ExtraFiles = []*os.File{file}
	ts.Check(cmd.Start())
	ts.Check(errors.Join(file.Close(), ln.Close()))
	ts.Defer(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}
