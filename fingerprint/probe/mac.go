package probe

import (
	"encoding/hex"
	"strings"

	"licenseagent.example/fingerprint"
)

// spellMAC prints six bytes with colons in lower case, as sysfs does; anything
// else (InfiniBand has 20 bytes, a missing address none) gives "".
func spellMAC(a []byte) string {
	if len(a) != 6 {
		return ""
	}
	var out [17]byte
	for i, b := range a {
		if i > 0 {
			out[3*i-1] = ':'
		}
		hex.Encode(out[3*i:], []byte{b})
	}
	return string(out[:])
}

// parseMAC reads the spelling of sysfs; "" if it is none.
func parseMAC(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.ToLower(s), ":", ""))
	if err != nil || len(s) != 17 {
		return ""
	}
	return spellMAC(b)
}

// Ranks of an adapter: USB adapters are carried from machine to machine, and a
// dock shows its own address, or the address of whichever laptop is in it.
// They count only when nothing else is there. Among the rest, a locally
// administered address (bit 1 of the first byte) is a last resort: it is set
// by software, but on most virtual machines it is the only one.
const (
	rankLocal = 1
	rankUSB   = 2
)

// adapterRank gives the rank of an adapter with the given address.
func adapterRank(mac string, usb bool) int {
	rank := 0
	if len(mac) == 17 && strings.IndexByte("2367abefABEF", mac[1]) >= 0 {
		rank = rankLocal
	}
	if usb {
		rank += rankUSB
	}
	return rank
}

// macComponent decides over the adapters that were found.
func macComponent(c []candidate) fingerprint.Component {
	for i := range c {
		if mac := c[i].text; len(mac) == 17 && c[i].drop == "" {
			if strings.IndexByte("13579bdfBDF", mac[1]) >= 0 {
				c[i].drop = "a group address, not an adapter's"
			}
		}
	}
	return set(fingerprint.MAC, c,
		"another adapter is more certain (USB last, locally administered addresses only where there is no other)",
		"no physical network adapter")
}
