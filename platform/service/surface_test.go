package service

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
		if len(cells) == 4 && strings.HasPrefix(strings.TrimSpace(cells[1]), "service.") {
			said[strings.TrimSpace(cells[1])] = strings.TrimSpace(cells[2])
		}
	}
	is := map[string]string{
		"service.StopTimeout": fmt.Sprint(StopTimeout),
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
