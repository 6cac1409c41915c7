//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/docs/promise"
)

// needle is a secret in one spelling.
type needle struct{ kind, text string }

// search looks for secrets and keeps where they were found.
type search struct {
	needles []needle
	places  int
	leaks   []string // kind and place
}

// newSearch knows the authorization code in codeFile, the device key of the
// agent below agentDir, and the serial numbers of the hardware that it is shown.
func newSearch(ts *testscript.TestScript, codeFile, agentDir string) *search {
	s := &search{}
	for _, text := range spellings(strings.TrimSpace(ts.ReadFile(codeFile))) {
		s.needles = append(s.needles, needle{"code", text})
	}
	for _, serial := range serials() {
		for _, text := range spellings(serial) {
			s.needles = append(s.needles, needle{"serial", text})
		}
	}
	secret := keySecret(ts, agentDir)
	for _, half := range [][]byte{secret[:16], secret[32:48]} { // the seed, and what the store's key comes from
		text := []string{string(half), fmt.Sprintf("%x", half), fmt.Sprintf("%X", half)}
		for _, t := range append(text, shifted(string(half))...) {
			s.needles = append(s.needles, needle{"key", t})
		}
	}
	return s
}

// serials are those of the table that Setup of TestScripts writes.
func serials() []string { return []string{"SN-7Q4W-0042", "BN-9K2M-0077"} }

// keySecret is the device key of the agent below dir, in clear.
func keySecret(ts *testscript.TestScript, dir string) []byte {
	_, data, ok := strings.Cut(ts.ReadFile(filepath.Join(dir, "license-agent", "state", "device.key")), "data ")
	data, _, _ = strings.Cut(data, "\n")
	secret, err := base64.StdEncoding.DecodeString(data)
	if !ok || err != nil || len(secret) != 64 {
		ts.Fatalf("the key file looks different")
	}
	return secret
}

func (s *search) look(where string, b []byte) {
	s.places++
	for _, n := range s.needles {
		if leak := n.kind + " in " + where; bytes.Contains(b, []byte(n.text)) && !slices.Contains(s.leaks, leak) {
			s.leaks = append(s.leaks, leak)
		}
	}
}

// files looks into everything below the paths but the key's own file.
func (s *search) files(ts *testscript.TestScript, paths ...string) {
	for _, p := range paths {
		ts.Check(filepath.WalkDir(ts.MkAbs(p), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || d.Name() == "device.key" {
				return err
			}
			b, err := os.ReadFile(path)
			s.look(path, b)
			return err
		}))
	}
}

// agents looks into command line and environment of each process of the agent,
// and returns their directories.
func (s *search) agents(ts *testscript.TestScript) []string {
	dirs := processes(ts, "license-agent")
	for _, p := range dirs {
		for _, file := range []string{"/cmdline", "/environ"} {
			b, err := os.ReadFile(p + file)
			if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) { // it has ended
				ts.Check(err)
				s.look(p+file, b)
			}
		}
	}
	return dirs
}

// canary CODEFILE AGENTDIR PATH...: P16. The authorization code in CODEFILE, the
// device key of the agent below AGENTDIR and the serial numbers of the hardware
// must not stand below AGENTDIR or any of the paths, nor in the command line or
// the environment of any process of the agent, in any spelling; and no process
// of the agent may leave a core file.
func canary(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("the control is secrets-planted")
	}
	s := newSearch(ts, args[0], args[1])
	s.files(ts, args[1:]...)
	agents := s.agents(ts)
	for _, p := range agents {
		if mayDump(ts, p) {
			ts.Fatalf("%s may leave a core file", p)
		}
	}
	if len(s.leaks) > 0 || len(agents) == 0 {
		ts.Fatalf("%d places, %d processes: %q", s.places, len(agents), s.leaks)
	}
	tally(ts, "CANARY_PLACES", s.places)
	tally(ts, "CANARY_SEARCHES", 1)
}

// mayDump says whether a process may leave a core file.
func mayDump(ts *testscript.TestScript, proc string) bool {
	limits, err := os.ReadFile(proc + "/limits")
	ts.Check(err)
	return !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits)
}

// secrets-planted CODEFILE AGENTDIR: the control of canary. Each kind of secret
// is put into files in the ways in which it could get there, and into the
// command line and the environment of a process that looks like the agent; the
// same search must find each of them, and nothing beside it.
func secretsPlanted(ts *testscript.TestScript, _ bool, args []string) {
	secret := keySecret(ts, args[1])
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for kind, text := range map[string]string{"code": strings.TrimSpace(ts.ReadFile(args[0])), "key": string(secret), "serial": serials()[1]} {
		once := encode(`{"` + kind + `":"` + text + `"}`)
		ways := map[string]string{"plain": text, "base64": once}
		if kind == "key" {
			ways["hex"] = fmt.Sprintf("%x", secret)
			ways["its file"] = encode(text)
			ways["what the store's key comes from"] = string(secret[32:])
		} else {
			ways["base64 of base64"] = encode(`{"payload":"` + once + `"}`)
			ways["small letters"] = strings.ToLower(text)
		}
		for way, content := range ways {
			file := filepath.Join(ts.MkAbs("."), "planted-"+kind)
			ts.Check(os.WriteFile(file, []byte("before "+content+" after\n"), 0o600))
			s := newSearch(ts, args[0], args[1])
			s.files(ts, file)
			ts.Check(os.Remove(file))
			found(ts, s, kind+" in "+file, way)
		}
		tally(ts, "CANARY_FILES", len(ways))
		if kind == "key" {
			text = fmt.Sprintf("%x", secret) // no zero bytes there
		}
		for file, plant := range map[string]func(*exec.Cmd){
			"/cmdline": func(c *exec.Cmd) { c.Args = append(c.Args, text) },
			"/environ": func(c *exec.Cmd) { c.Env = append(c.Env, "SECRET="+text) },
		} {
			planted(ts, "echo; read line", plant, func(proc string) {
				s := newSearch(ts, args[0], args[1])
				s.agents(ts)
				found(ts, s, kind+" in "+proc+file, "plain")
			})
		}
		tally(ts, "CANARY_PROCESSES", 2)
	}
	for limit, want := range map[string]bool{"0": false, "1024": true} {
		planted(ts, "ulimit -c "+limit+"; echo; read line", func(*exec.Cmd) {}, func(proc string) {
			if mayDump(ts, proc) != want {
				ts.Fatalf("control: a process with a limit of %s for core files: want %v", limit, want)
			}
		})
	}
}

// planted starts a shell under the agent's name, gives its directory in /proc to
// look, and ends it.
func planted(ts *testscript.TestScript, script string, plant func(*exec.Cmd), look func(proc string)) {
	c := exec.Command("/bin/sh")
	c.Args = []string{"license-agent", "-c", script, "sh"}
	c.Env = []string{"WORK=" + ts.Getenv("WORK")}
	plant(c)
	in, err := c.StdinPipe()
	ts.Check(err)
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	_, err = bufio.NewReader(out).ReadString('\n') // the program runs under its own name
	ts.Check(err)
	look(fmt.Sprintf("/proc/%d", c.Process.Pid))
	ts.Check(in.Close())
	_ = c.Wait() // read has met the end of its input
}

// found fails when a search of the control found anything but what was planted.
func found(ts *testscript.TestScript, s *search, want, way string) {
	if !slices.Equal(s.leaks, []string{want}) {
		ts.Fatalf("control: planted %s (%s), found %q", want, way, s.leaks)
	}
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
	sum := func(name string) int {
		n := tally(ts, name, 0)
		if n == 0 {
			ts.Fatalf("%s is 0", name)
		}
		return n
	}
	files, procs := sum("CANARY_FILES"), sum("CANARY_PROCESSES")
	promise.Reached(script{ts}, "P16", fmt.Sprintf("canary code, device key and serial numbers in 0 of %d places in %d searches over all flows, with seats held and a relay, at each of the log levels %s: logs, store, public files, bundle, command lines and environments; no process may leave a core file", sum("CANARY_PLACES"), sum("CANARY_SEARCHES"), strings.Join(args, ", ")),
		fmt.Sprintf("planted code, key and serial number, found by the same search and nothing else: in %d of %d files (plain, base64, base64 of base64, hex, small letters), in %d of %d command lines and environments; a process that may leave a core file of 1024 blocks is seen", files, files, procs, procs))
}

// holds DIR HOW: a program takes a seat of the agent below DIR and holds it until
// the script ends: "bare" over the socket, "relay" through license-agent relay.
func holds(ts *testscript.TestScript, _ bool, args []string) {
	argv, env, request := []string{"license-agent", "relay"}, "RELAY=1", seatRequest()
	if args[1] != "relay" {
		// A vendor's program under its own name: it is no process of the agent.
		argv, env, request = []string{"painter"}, seatEnv+"="+args[1], ""
	}
	bin, err := filepath.EvalSymlinks("/proc/self/exe")
	ts.Check(err)
	c := exec.Command(bin)
	c.Args = argv
	c.Env = []string{env, "WORK=" + ts.Getenv("WORK"), "LICENSE_AGENT_DIR=" + ts.MkAbs(args[0])}
	in, err := c.StdinPipe()
	ts.Check(err)
	out, err := c.StdoutPipe()
	ts.Check(err)
	ts.Check(c.Start())
	ts.Defer(func() { _ = c.Process.Kill(); _ = c.Wait() })
	_, err = io.WriteString(in, request)
	ts.Check(err)
	line, err := bufio.NewReader(out).ReadString('\n')
	if said := strings.TrimSpace(line); err != nil || said != "held" && said != "HTTP/1.1 200 OK" {
		ts.Fatalf("no seat: %q %v", said, err)
	}
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
		out = append(out, text[(8*lead+5)/6:8*(lead+len(s))/6]) // six bits a letter
	}
	return out
}

// script lets a result name the whole test that a script is part of.
type script struct{ *testscript.TestScript }

func (s script) Name() string { return "TestScripts/" + s.TestScript.Name() }
