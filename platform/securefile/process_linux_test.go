package securefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"licenseagent.example/docs/promise"
)

const nobody, somebody = 65534, 65533

const (
	modeVar = "SECUREFILE_TEST_MODE"
	argVar  = "SECUREFILE_TEST_ARG"
)

// TestMain lets this binary act as another process or another user.
func TestMain(m *testing.M) {
	arg := os.Getenv(argVar)
	switch os.Getenv(modeVar) {
	case "":
		os.Exit(m.Run())
	case "open": // say what Open and ReadFile answer
		d, err := Open(arg)
		if err == nil {
			_, err = d.ReadFile("f", 100)
		}
		fmt.Print(err)
	case "lock": // hold the lock until the standard input ends
		d, err := Open(arg)
		if err == nil {
			_, err = d.Lock()
		}
		fmt.Println(err)
		io.Copy(io.Discard, os.Stdin)
	case "umask": // write under an umask of which services are fond
		unix.Umask(0o077)
		d, err := MakePublic(filepath.Join(arg, "etc"))
		if err == nil {
			err = d.WriteFile("public", nil, PublicFile)
		}
		unix.Umask(0)
		if err == nil {
			d, err = Make(filepath.Join(arg, "state"))
		}
		if err == nil {
			err = d.WriteFile("private", nil, PrivateFile)
		}
		fmt.Print(err)
	}
	os.Exit(0)
}

func helper(t *testing.T, mode, arg string, uid int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modeVar+"="+mode, argVar+"="+arg, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return cmd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secondUser fails a test that needs to act as two users where this process may
// be only one: a test that is left out would pass without showing anything.
func secondUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test acts as two users and needs root: run it with sudo")
	}
}

// The same as another user: who is refused what root made, and root is refused
// what a user made.
func TestTwoUsers(t *testing.T) {
	secondUser(t)
	base := openDir(t)
	make := func(name string, uid int, dirMode, fileMode fs.FileMode) string {
		dir := filepath.Join(base, name)
		must(t, os.Mkdir(dir, dirMode))
		must(t, os.Chmod(dir, dirMode))
		must(t, os.WriteFile(dir+"/f", nil, fileMode))
		must(t, os.Chown(dir+"/f", uid, uid))
		must(t, os.Chown(dir, uid, uid))
		return dir
	}
	own := make("own", nobody, 0o700, 0o600)
	roots := make("roots", 0, 0o700, 0o600)
	others := make("others", somebody, 0o755, 0o644)
	for _, test := range []struct {
		name, dir string
		uid       int
		want      string
	}{
		{"a user's own", own, nobody, "<nil>"},
		{"root's, by a user", roots, nobody, ErrOwner.Error()},
		{"another user's, by a user", others, nobody, ErrOwner.Error()},
		{"a user's, by root", own, 0, ErrOwner.Error()},
		{"another user's, by root", others, 0, ErrOwner.Error()},
	} {
		out, err := helper(t, "open", test.dir, test.uid).Output()
		if err != nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %q, %v, want %q", test.name, out, err, test.want)
		}
	}
}

// What another account cannot open is named, whatever root itself can do, and
// afterwards this process is root as before.
func TestReadable(t *testing.T) {
	secondUser(t)
	base := openDir(t)
	closed := filepath.Join(base, "closed")
	must(t, os.Mkdir(closed, 0o700))
	var all []string
	for _, f := range []struct {
		name string
		mode fs.FileMode
		gid  int
	}{{"everybody's", 0o644, 0}, {"his group's", 0o640, nobody}, {"his other group's", 0o640, somebody}, {"root's", 0o600, 0}, {"root's group's", 0o640, 0}, {"closed/below", 0o644, 0}} {
		name := filepath.Join(base, f.name)
		must(t, os.WriteFile(name, nil, f.mode))
		must(t, os.Chown(name, 0, f.gid))
		all = append(all, name)
	}
	all = append(all, base, closed, filepath.Join(base, "missing"))
	err := Readable(nobody, []int{nobody, somebody}, all...)
	said := ""
	if err != nil {
		said = err.Error()
	}
	for i, refused := range []bool{false, false, false, true, true, true, false, true, false} {
		if strings.Contains(said, all[i]+" permission denied") != refused {
			t.Errorf("%s refused: want %v: %s", all[i], refused, said)
		}
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if err := Readable(0, []int{0}, all...); err != nil {
		t.Error(err)
	}
	if _, err := os.ReadFile(filepath.Join(base, "root's")); err != nil {
		t.Errorf("this process is another now: %v", err)
	}
}

// A full file system leaves the old content.
func TestFullDiskKeepsTheOldContent(t *testing.T) {
	base := openDir(t)
	d, err := Make(base + "/state")
	must(t, err)
	defer d.Close()
	must(t, d.WriteFile("f", []byte("old"), PrivateFile))
	// A limit on the size of files fails the write like a full disk.
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: old.Max}))
	err = d.WriteFile("f", make([]byte, 1<<16), PrivateFile)
	must(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &old))
	if !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), "previous content is still there") {
		t.Errorf("WriteFile = %v", err)
	}
	if got, err := d.ReadFile("f", 10); err != nil || string(got) != "old" {
		t.Errorf("f is %q, %v", got, err)
	}
	if names, err := d.Names(); err != nil || len(names) != 1 {
		t.Errorf("left over: %q, %v", names, err)
	}
}

// Two agents on one state: of many that start at once exactly one gets the
// lock, the others are told who has it, and when it dies the next one gets it.
func TestOneAgentPerState(t *testing.T) {
	base := openDir(t)
	d, err := Make(base + "/state")
	must(t, err)
	defer d.Close()
	rounds := promise.Size(4, 25) // 200 racing starts
	for round := range rounds {
		type agent struct {
			cmd *exec.Cmd
			in  io.Closer
			say string
		}
		var agents []*agent
		var outs []*bufio.Reader
		for range 8 {
			cmd := helper(t, "lock", base+"/state", os.Geteuid())
			in, err := cmd.StdinPipe()
			must(t, err)
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			agents = append(agents, &agent{cmd: cmd, in: in})
			outs = append(outs, bufio.NewReader(out))
		}
		var owner *agent
		for i, a := range agents {
			a.say, err = outs[i].ReadString('\n')
			must(t, err)
			if a.say == "<nil>\n" {
				if owner != nil {
					t.Fatal("two agents own the state")
				}
				owner = a
			} else if !strings.Contains(a.say, ErrLocked.Error()) || !strings.Contains(a.say, "--instance") {
				t.Errorf("loser says %q", a.say)
			}
		}
		if owner == nil {
			t.Fatalf("round %d: nobody owns the state", round)
		}
		if _, err := d.Lock(); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", owner.cmd.Process.Pid)) {
			t.Errorf("Lock beside process %d: %v", owner.cmd.Process.Pid, err)
		}
		for _, a := range agents {
			if a == owner {
				must(t, a.cmd.Process.Kill()) // as by kill -9: nothing is cleaned up
			}
			a.in.Close()
			a.cmd.Wait()
		}
		l, err := d.Lock()
		must(t, err)
		must(t, l.Unlock())
	}
}
