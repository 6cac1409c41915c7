//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/platform/clock"
)

// The life of a code that was bought on the simulated marketplace, with the
// real programs, on both databases, over two days.
func TestMarketplaceScript(t *testing.T) {
	bin := t.TempDir()
	// Its test binary is the program under its name, with a clock that the script moves.
	build := exec.Command("go", "test", "-c", "-o", filepath.Join(bin, "license-merchant"), "../../../activation/cmd/license-merchant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("license-merchant cannot be built: %v\n%s", err, out)
	}
	for name, database := range map[string]func(*testing.T) string{"sqlite": func(*testing.T) string { return "" }, "postgres": startPostgres} {
		t.Run(name, func(t *testing.T) {
			url := database(t)
			testscript.Run(t, testscript.Params{
				Dir:                 "testdata/market",
				RequireExplicitExec: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
					env.Setenv("HOME", env.WorkDir)
					env.Setenv("LICENSE_MERCHANT_DATABASE", url)
					env.Setenv("LICENSE_MERCHANT_DIR", filepath.Join(env.WorkDir, "m"))
					env.Setenv("LICENSE_AGENT_DIR", filepath.Join(env.WorkDir, "a"))
					env.Setenv("LICENSE_AGENT_SMBIOS_FILE", filepath.Join(env.WorkDir, "smbios.bin"))
					env.Setenv("LANG", "C")
					env.Setenv(clockEnv, filepath.Join(env.WorkDir, "clock"))
					if err := noon(env.WorkDir); err != nil {
						return err
					}
					return os.WriteFile(filepath.Join(env.WorkDir, "smbios.bin"), smbios("SN-7Q4W-0042", "BN-9K2M-0077"), 0o644)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"exits": exits, "await": await, "anchor": anchor, "eventually": eventually, "asks": asks, "nowhere-in": nowhereIn, "ends-in": endsIn,
				},
			})
		})
	}
}

// noon lets the clock of a script stand at the next noon of its calendar, far
// from any midnight, and its tomorrow a day later.
func noon(dir string) error {
	now := time.Now().UTC()
	ahead := now.Truncate(24 * time.Hour).Add(15 * time.Hour).Sub(now) // noon at -03:00
	if ahead < 0 {
		ahead += 24 * time.Hour
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "clock"), []byte(ahead.String()), 0o644),
		os.WriteFile(filepath.Join(dir, "tomorrow"), []byte((ahead+24*time.Hour).String()), 0o644),
	)
}

// startPostgres starts a PostgreSQL on a socket in a directory of its own and
// returns the URL of an empty database.
func startPostgres(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		t.Fatal("this test needs PostgreSQL: apt-get install postgresql")
	}
	sort.Strings(found)
	pg := filepath.Dir(found[len(found)-1])
	dir := value(os.MkdirTemp("", "license-agent-pg-"))(t)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := &syscall.SysProcAttr{}
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		check0(t, err)
		uid, gid := value(strconv.Atoi(u.Uid))(t), value(strconv.Atoi(u.Gid))(t)
		check0(t, os.Chown(dir, uid, gid))
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	run := func(name string, args ...string) {
		t.Helper()
		c := exec.Command(filepath.Join(pg, name), args...)
		c.SysProcAttr, c.Dir = as, dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	data := filepath.Join(dir, "data")
	run("initdb", "-D", data, "-U", "merchant", "-A", "trust", "--no-sync")
	server := exec.Command(filepath.Join(pg, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	server.SysProcAttr, server.Dir = as, dir
	check0(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Signal(os.Interrupt) // ends connections
		_ = server.Wait()
	})
	for i := range 200 {
		c := exec.Command(filepath.Join(pg, "createdb"), "-h", dir, "-U", "merchant", "merchant")
		c.Dir = dir
		out, err := c.CombinedOutput()
		if err == nil {
			break
		}
		if i == 199 {
			t.Fatalf("createdb: %v\n%s", err, out)
		}
		time.Sleep(50 * time.Millisecond) // polls until it takes connections
	}
	return "postgres://merchant@/merchant?host=" + dir
}

// eventually SECONDS REGEXP command…: repeats a command until its output matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: eventually SECONDS REGEXP command...")
	}
	seconds, err := strconv.Atoi(args[0])
	ts.Check(err)
	want := regexp.MustCompile("(?s)" + args[1])
	var out string
	for range seconds * 5 {
		_ = ts.Exec(args[2], args[3:]...) // the exit status may be that of a license that does not run
		if out = ts.ReadFile("stdout"); want.MatchString(out) {
			return
		}
		time.Sleep(200 * time.Millisecond) // polls
	}
	ts.Fatalf("%s does not say %q; it says\n%s", strings.Join(args[2:], " "), args[1], out)
}

// ends-in DAYS: the only license ends after so many days, now or in a moment.
func endsIn(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	var got int64
	for range 100 {
		_ = ts.Exec("license-agent", "status", "--output", "json")
		var st api.Status
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &st))
		got = (st.Licenses[0].Verdict.Expires - st.Time + 43200) / 86400
		if got == want {
			return
		}
		time.Sleep(200 * time.Millisecond) // polls
	}
	ts.Fatalf("it ends in %d days, want %d", got, want)
}

// asks PRODUCT: one check with a proof, as a program makes it.
func asks(ts *testscript.TestScript, _ bool, args []string) {
	dir := filepath.Join(ts.Getenv("LICENSE_AGENT_DIR"), "license-agent")
	k, err := client.NewChecker([]byte(ts.ReadFile(filepath.Join(dir, "etc", "anchors", "vendor.json"))))
	ts.Check(err)
	k.Client, k.Observe = &client.Client{Socket: filepath.Join(dir, "run", "agent.sock")}, probe.Host{SMBIOSFile: ts.Getenv("LICENSE_AGENT_SMBIOS_FILE")}.Read
	k.Clock = func() (int64, time.Duration) {
		return timeOf(ts.Getenv(clockEnv)).Unix(), clock.New().SinceBoot()
	}
	r, err := k.Check(context.Background(), args[0])
	ts.Check(err)
	if !r.Runs {
		ts.Fatalf("%s may not run: %+v", args[0], r)
	}
}

// nowhere-in SECRET FILE…: none of the files holds what the first one holds.
func nowhereIn(ts *testscript.TestScript, _ bool, args []string) {
	secret := strings.TrimSpace(ts.ReadFile(args[0]))
	if len(secret) < 8 {
		ts.Fatalf("%s holds no secret", args[0])
	}
	for _, name := range args[1:] {
		text := []byte(ts.ReadFile(name))
		if len(text) == 0 {
			ts.Fatalf("%s is empty: it shows nothing", name)
		}
		if bytes.Contains(text, []byte(secret)) {
			ts.Fatalf("%s holds the code", name)
		}
	}
}
