package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"licenseagent.example/agent/api"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
)

// relayed is a running relay: what a program in another language starts.
type relayed struct {
	in     *os.File // the program's end of its standard input
	out    *os.File
	stderr bytes.Buffer
	code   chan int
}

func startRelay(t *testing.T, dir string) *relayed {
	t.Helper()
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := &relayed{in: in, out: out, code: make(chan int, 1)}
	a := &app{stdin: stdin, stdout: stdout, stderr: &r.stderr, env: func(string) string { return "" }}
	go func() {
		code := a.run(context.Background(), []string{"relay", "--dir", dir, "--output", "json"})
		stdout.Close()
		r.code <- code
	}()
	t.Cleanup(func() { in.Close(); out.Close() })
	return r
}

// passFirst lets a client connect that goes at once: Wine gives the first one of a
// pipe to the instance that only reserves the name.
func passFirst(t *testing.T, pipe string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if c, err := ipc.Dial(ctx, pipe, ipc.DialOptions{}); err == nil {
		c.Close()
	}
}

// The relay carries bytes both ways and lives exactly as long as both ends: a
// program that dies lets go of its seat.
func TestRelay(t *testing.T) {
	dir := t.TempDir()
	p, err := paths.Under(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if r := startRelay(t, dir); <-r.code != api.ExitNotRunning || !strings.Contains(r.stderr.String(), `"`+api.CodeNotRunning+`"`) {
		t.Errorf("nobody listens: %s", r.stderr.String())
	}
	if err := os.MkdirAll(p.Runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := ipc.Listen(p.Socket, ipc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if runtime.GOOS == "windows" {
		passFirst(t, p.Socket)
	}
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	talk := func(r *relayed) net.Conn {
		c := <-accepted
		for _, way := range []struct {
			from io.Writer
			to   io.Reader
		}{{r.in, c}, {c, r.out}} {
			said := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
			go way.from.Write(said)
			heard := make([]byte, len(said))
			if _, err := io.ReadFull(way.to, heard); err != nil || !bytes.Equal(heard, said) {
				t.Errorf("not what was said: %v", err)
			}
		}
		return c
	}
	r := startRelay(t, dir)
	c := talk(r)
	r.in.Close() // the program is gone
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("the agent does not see that the program is gone")
	}
	if code := <-r.code; code != api.ExitOK {
		t.Errorf("ended with %d: %s", code, r.stderr.String())
	}
	r = startRelay(t, dir)
	talk(r).Close() // the agent is gone
	if _, err := r.out.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the program does not see that the agent is gone: %v", err)
	}
	<-r.code
}

// What stands in the agent's place is not relayed to (Unix: a pipe has no file).
func TestRelayRefusesStrangers(t *testing.T) {
	dir := t.TempDir()
	p, err := paths.Under(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(p.Socket) || strings.HasPrefix(p.Socket, `\\`) {
		return // that the owner of a pipe is checked is shown in platform/ipc
	}
	if err := os.MkdirAll(p.Runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := startRelay(t, dir); <-r.code == 0 || !strings.Contains(r.stderr.String(), `"`+api.CodeWrongOwner+`"`) {
		t.Errorf("a file in the socket's place: %s", r.stderr.String())
	}
}
