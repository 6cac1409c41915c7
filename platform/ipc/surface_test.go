package ipc

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The document that operators read and the code say the same.
func TestAttackSurfaceConstants(t *testing.T) {
	b, err := os.ReadFile("../ATTACK_SURFACE.md")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) == 4 && strings.HasPrefix(strings.TrimSpace(cells[1]), "ipc.") {
			said[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	is := map[string]string{
		"ipc.SocketMode":       fmt.Sprintf("%#o", SocketMode),
		"ipc.RuntimeDirMode":   fmt.Sprintf("%#o", RuntimeDirMode),
		"ipc.PipeClientAccess": fmt.Sprintf("%#x", PipeClientAccess),
		"ipc.PipeSDDL":         PipeSDDL,
	}
	for name, value := range is {
		if said[name] != value {
			t.Errorf("%s is %s, the document says %q", name, value, said[name])
		}
	}
	if len(said) != len(is) {
		t.Errorf("the document lists %v", said)
	}
}
