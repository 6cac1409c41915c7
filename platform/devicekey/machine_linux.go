package devicekey

import (
	"os"
	"strings"
)

// MachineID is the number that the operating system has given this installation,
// "" for none. Copies of an image share it unless somebody has emptied it, so that
// it tells copies apart and never proves that two machines are one.
func MachineID() string {
	b, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return machineID(string(b))
}

// machineID is "" for what stands there before the first boot (machine-id(5)).
func machineID(text string) string {
	id := strings.TrimSpace(text)
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return ""
	}
	return id
}
