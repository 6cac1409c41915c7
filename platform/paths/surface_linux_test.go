package paths

import (
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
		if len(cells) == 4 && strings.HasPrefix(strings.TrimSpace(cells[1]), "paths.") {
			said[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	p, err := For("")
	if err != nil {
		t.Fatal(err)
	}
	is := map[string]string{
		"paths.For.Config":  p.Config,
		"paths.For.State":   p.State,
		"paths.For.Runtime": p.Runtime,
		"paths.For.Socket":  p.Socket,
		"paths.For.Logs":    p.Logs,
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
