package ipc

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"

	"golang.org/x/sys/windows"
)

// handle is the pipe handle of a connection made by go-winio.
func handle(c net.Conn) (windows.Handle, error) {
	f, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return 0, fmt.Errorf("%w: %T has no handle", ErrNoIdentity, c)
	}
	return windows.Handle(f.Fd()), nil
}

// peer asks the kernel for the token of the pipe's client. The client chose how
// much it shows; one that dialled anonymously is refused.
func peer(c net.Conn, self token) (Identity, error) {
	h, err := handle(c)
	if err != nil {
		return Identity{}, err
	}
	client, err := clientToken(h)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	var pid uint32
	// For logs only: a client can arrange for another process's number.
	if windows.GetNamedPipeClientProcessId(h, &pid) != nil {
		pid = 0
	}
	id := windowsIdentity(client, self, int(pid))
	if !id.Known() {
		return Identity{}, fmt.Errorf("%w: the client dialled anonymously", ErrNoIdentity)
	}
	return id, nil
}

// clientToken impersonates the client on this thread just long enough to read
// its token. If the thread cannot be turned back it must never run other code,
// so it is given up: a locked thread ends with its goroutine.
func clientToken(pipe windows.Handle) (token, error) {
	type result struct {
		t   token
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		t, reverted, err := impersonated(pipe)
		if reverted {
			runtime.UnlockOSThread()
		}
		done <- result{t, err}
	}()
	r := <-done
	return r.t, r.err
}

func impersonated(pipe windows.Handle) (t token, reverted bool, err error) {
	proc := windows.NewLazySystemDLL("advapi32.dll").NewProc("ImpersonateNamedPipeClient")
	if err := proc.Find(); err != nil {
		return token{}, true, err
	}
	if ok, _, err := proc.Call(uintptr(pipe)); ok == 0 {
		return token{}, true, err
	}
	var tok windows.Token
	// Opened as the process itself: the client's right to open its own token is
	// not what is in question.
	err = windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &tok)
	if e := windows.RevertToSelf(); e != nil {
		return token{}, false, errors.Join(err, e)
	}
	if err != nil {
		return token{}, true, err
	}
	defer tok.Close()
	t, err = describe(tok)
	return t, true, err
}

// ownToken describes this process.
func ownToken() (token, error) {
	t, err := describe(windows.GetCurrentProcessToken())
	if err != nil {
		return token{}, fmt.Errorf("ipc: own token: %w", err)
	}
	return t, nil
}

// describe reads account, elevation and whether Administrators is in force.
// UAC leaves Administrators in a filtered token, but only for denying.
func describe(tok windows.Token) (token, error) {
	user, err := tok.GetTokenUser()
	if err != nil {
		return token{}, err
	}
	t := token{sid: user.User.Sid.String(), elevated: tok.IsElevated()}
	groups, err := tok.GetTokenGroups()
	if err != nil {
		return token{}, err
	}
	for _, g := range groups.AllGroups() {
		// The manager puts the service's identity into the token, as one that may
		// own things (SERVICE_SID_INFO), whatever account the service runs under.
		if sid := g.Sid.String(); g.Attributes&windows.SE_GROUP_OWNER != 0 && isService(sid) {
			t.services = append(t.services, sid)
		}
		inForce := g.Attributes&windows.SE_GROUP_ENABLED != 0 && g.Attributes&windows.SE_GROUP_USE_FOR_DENY_ONLY == 0
		if inForce && g.Sid.String() == sidAdministrators {
			t.admin = true
		}
	}
	return t, nil
}

// isService reports whether a SID is one service of the authority NT SERVICE.
// S-1-5-80-0 stands for all of them.
func isService(sid string) bool {
	return strings.HasPrefix(sid, "S-1-5-80-") && sid != "S-1-5-80-0"
}
