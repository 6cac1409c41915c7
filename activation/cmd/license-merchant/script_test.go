package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/activation/merchant/hsm"
	"licenseagent.example/activation/merchant/merchanttest"
)

// TestMain installs two commands for the scripts: the program itself, and a
// device, the smallest honest agent.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"license-merchant": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: environment, now: scriptTime, rand: rand.Reader}
			os.Exit(a.run(ctx, os.Args[1:]))
		},
		"device": deviceMain,
	})
}

// scriptTime is the time of day, moved on by as much as the script says in the
// file that the environment names. The scripts of the agent have this program
// as this test binary, too.
func scriptTime() time.Time {
	ahead, err := os.ReadFile(os.Getenv("LICENSE_TEST_CLOCK"))
	if err != nil { // most scripts have no clock of their own
		return time.Now()
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(ahead)))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(d)
}

// schemasVariable says how the names of the schemas of a script begin.
const schemasVariable = "MERCHANT_TEST_SCHEMAS"

// environment is that of the process. Where the tests stand on PostgreSQL, each
// data directory has a schema of its own there, unless a script names a database.
func environment(name string) string {
	value, server, begin := os.Getenv(name), os.Getenv(merchanttest.Variable), os.Getenv(schemasVariable)
	if name != "LICENSE_MERCHANT_DATABASE" || value != "" || server == "" || begin == "" {
		return value
	}
	dir := "license-merchant"
	for i, arg := range os.Args[:len(os.Args)-1] {
		if arg == "--dir" {
			dir = os.Args[i+1]
		}
	}
	dsn, err := merchanttest.Make(server, fmt.Sprintf("%s_%x", begin, dir))
	if err != nil {
		panic(err)
	}
	return dsn
}

// databases makes the commands of a script work on PostgreSQL when there is one.
func databases(e *testscript.Env) {
	server, begin := os.Getenv(merchanttest.Variable), merchanttest.Name()
	if server == "" {
		return
	}
	e.Setenv(merchanttest.Variable, server)
	e.Setenv(schemasVariable, begin)
	e.Defer(func() {
		if err := merchanttest.Drop(server, begin); err != nil {
			e.T().Fatal(err)
		}
	})
}

func TestScripts(t *testing.T) { testscript.Run(t, scripts("testdata/script")) }

func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Values[serverKey{}] = new(server)
			databases(e)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serveCommand, "exit": exitCommand, "setline": setLine, "buildagent": buildAgent, "flip": flip, "postgresql": postgresql},
		Condition: func(name string) (bool, error) {
			switch name {
			case "pkcs11":
			case "postgres":
				return os.Getenv(merchanttest.Variable) != "", nil
			default:
				return false, fmt.Errorf("there is no condition %s", name)
			}
			_, err := hsm.Open(hsm.Config{}, nil)
			return !errors.Is(err, hsm.ErrNotBuilt), nil
		},
	}
}

// exitCommand is "exit CODE COMMAND ARGS…": the command ends with that status.
func exitCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: exit CODE COMMAND ARGS…")
	}
	got := "0"
	var failed *exec.ExitError
	err := ts.Exec(args[1], args[2:]...)
	switch {
	case errors.As(err, &failed):
		got = fmt.Sprint(failed.ExitCode())
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// setLine is "setline NAME PREFIX": $NAME becomes the first field of the last
// standard output that starts with PREFIX.
func setLine(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: setline NAME PREFIX")
	}
	for _, f := range strings.Fields(ts.ReadFile("stdout")) {
		if strings.HasPrefix(f, args[1]) {
			ts.Setenv(args[0], f)
			return
		}
	}
	ts.Fatalf("nothing in stdout starts with %s", args[1])
}

// buildAgent is "buildagent FILE": the agent of this tree, for bundles.
func buildAgent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: buildagent FILE")
	}
	cmd := exec.Command("go", "build", "-trimpath", "-o", ts.MkAbs(args[0]), "../../../agent/cmd/license-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("%s", out)
	}
}

// postgresql is "postgresql NAME FILE": adds a setting to a merchant.toml that
// names an empty schema. It holds where MERCHANT_TEST_SCHEMAS is "", see environment.
func postgresql(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: postgresql NAME FILE")
	}
	dsn, err := merchanttest.Make(ts.Getenv(merchanttest.Variable), ts.Getenv(schemasVariable)+"_"+args[0])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[1]), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = fmt.Fprintf(f, "database = %q\n", dsn)
	ts.Check(errors.Join(err, f.Close()))
}

// flip is "flip FILE": one bit in its middle changes.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: flip FILE")
	}
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
}

// server is a running serve of a script.
type server struct{ cmd *exec.Cmd }

// serverKey is where a script remembers its server.
type serverKey struct{}

// serveCommand is "serve start ARGS…", which returns when the service says that
// it listens and sets $URL (and $ADMIN with --admin), and "serve stop SIGNAL EXIT", which ends it.
func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || neg {
		ts.Fatalf("usage: serve start ARGS… | serve stop SIGNAL EXIT")
	}
	if args[0] == "stop" {
		stopServer(ts, args[1:])
		return
	}
	cmd := exec.Command("license-merchant", append([]string{"serve", "--listen", "127.0.0.1:0"}, args[1:]...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("WORK"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	for _, name := range []string{"GORACE", "SOFTHSM2_CONF", merchanttest.Variable, schemasVariable} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	log, err := os.Create(ts.MkAbs("serve.log"))
	ts.Check(err)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill() // a script that failed halfway
			_ = cmd.Wait()
		}
		_ = log.Close()
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		text, _ := os.ReadFile(ts.MkAbs("serve.log"))
		ts.Fatalf("serve said nothing: %v\n%s", err, text)
	}
	fields := strings.Fields(line)
	ts.Setenv("URL", fields[1])
	if slices.Contains(args, "--admin") {
		line, err := lines.ReadString('\n')
		ts.Check(err)
		ts.Setenv("ADMIN", strings.Fields(line)[1])
	}
	running(ts, &server{cmd: cmd})
}

func running(ts *testscript.TestScript, s *server) {
	values, ok := ts.Value(serverKey{}).(*server)
	if !ok {
		ts.Fatalf("no place for the server")
	}
	*values = *s
}

func stopServer(ts *testscript.TestScript, args []string) {
	s, ok := ts.Value(serverKey{}).(*server)
	if !ok || s.cmd == nil || len(args) != 2 {
		ts.Fatalf("usage: serve stop SIGNAL EXIT, after serve start")
	}
	sig := map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": os.Interrupt, "KILL": os.Kill}[args[0]]
	ts.Check(s.cmd.Process.Signal(sig))
	err := s.cmd.Wait()
	if got := fmt.Sprint(s.cmd.ProcessState.ExitCode()); got != args[1] {
		text, _ := os.ReadFile(ts.MkAbs("serve.log"))
		ts.Fatalf("serve ended with %s (%v), want %s\n%s", got, err, args[1], text)
	}
	s.cmd = nil
}
