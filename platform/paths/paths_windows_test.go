package paths

import (
	"strings"
	"testing"
)

func TestForWindows(t *testing.T) {
	p, err := For("cad")
	if err != nil {
		t.Fatal(err)
	}
	if p.Socket != `\\.\pipe\license-agent-cad` {
		t.Errorf("Socket = %q", p.Socket)
	}
	if !strings.HasSuffix(strings.ToLower(p.State), `\programdata\license-agent-cad\state`) {
		t.Errorf("State = %q", p.State)
	}
}

func TestPipeNameFollowsDirectory(t *testing.T) {
	a, errA := Under(`C:\Demo`, "")
	b, errB := Under(`c:\demo\`, "")
	c, errC := Under(`C:\Other`, "")
	if errA != nil || errB != nil || errC != nil {
		t.Fatal(errA, errB, errC)
	}
	if a.Socket != b.Socket || a.Socket == c.Socket {
		t.Errorf("pipes: %q %q %q", a.Socket, b.Socket, c.Socket)
	}
}
