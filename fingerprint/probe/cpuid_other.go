//go:build !amd64

package probe

// readCPUID gives nothing: only x86 has the instruction.
func readCPUID() cpuidFacts { return cpuidFacts{} }
