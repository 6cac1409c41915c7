package fingerprint

import (
	"fmt"
	"strings"
)

// CPUID returns the canonical CPU id: CPUID leaf 1, EDX then EAX, as 16 upper
// case hexadecimal digits, which is what WMI prints as Win32_Processor.ProcessorId.
// It is a model code shared by thousands of machines, not a serial: the
// processor serial number existed on the Pentium III only (Intel SDM, leaf 3).
func CPUID(eax, edx uint32) string {
	return fmt.Sprintf("%08X%08X", edx, eax)
}

// CPUForms returns the spellings under which license tools print one CPU id:
// first the canonical one of WMI ("BFEBFBFF000206A7"), then the two of
// dmidecode, which prints the eight bytes in memory order
// ("A7 06 02 00 FF FB EB BF") and whose blanks many scripts remove
// ("A7060200FFFBEBBF"). The input may be the WMI form or the form with blanks;
// sixteen digits without blanks are read as WMI, because the two orders cannot
// be told apart. Text that is no CPU id comes back alone, in canonical form.
func CPUForms(value string) []string {
	wmi := spell(CPU, value)
	if len(wmi) != 16 || !isHex(wmi) {
		return []string{wmi}
	}
	packed := reversePairs(wmi)
	var spaced strings.Builder
	for i := 0; i < len(packed); i += 2 {
		if i > 0 {
			spaced.WriteByte(' ')
		}
		spaced.WriteString(packed[i : i+2])
	}
	return []string{wmi, spaced.String(), packed}
}

// spellCPU turns dmidecode's form with blanks into the canonical one.
func spellCPU(value string) string {
	if len(value) != 23 {
		return value
	}
	digits := make([]byte, 0, 16)
	for i := 0; i < len(value); i++ {
		if i%3 == 2 {
			if value[i] != ' ' {
				return value
			}
			continue
		}
		digits = append(digits, value[i])
	}
	if !isHex(string(digits)) {
		return value
	}
	return reversePairs(string(digits))
}

// reversePairs reverses the order of the bytes in a hexadecimal text of even length.
func reversePairs(digits string) string {
	out := make([]byte, 0, len(digits))
	for i := len(digits) - 2; i >= 0; i -= 2 {
		out = append(out, digits[i], digits[i+1])
	}
	return string(out)
}
