package fingerprint

import "strings"

// containsPhrase finds the phrases that no real serial contains. The argument
// holds lower-case letters and digits only.
func containsPhrase(bare string) bool {
	for _, phrase := range [...]string{
		"filledby", "fillby", "tobefilled", "byoem", "defaultstring", "serialnumber",
		"invalid", "notspecified", "unspecified", "assettag", "partnumber",
	} {
		if strings.Contains(bare, phrase) {
			return true
		}
	}
	return false
}

// isKnownText is the exact list. The argument holds lower-case letters and
// digits only: "N/A" is "na" here.
func isKnownText(bare string) bool {
	switch bare {
	// "there is none", in words
	case "none", "na", "nil", "null", "nullstring", "nostring", "empty", "blank", "void", "nothing",
		"unknown", "unknow", "unkn", "uknown", "undefined", "error", "reserved",
		"notavailable", "notapplicable", "notpresent", "notprovided", "notsettable", "notset",
		"notsupported", "notsupportedbycpu", "doesnotexist", "noassetinformation",
		"badindex", "outofspec", "nodimm", "noserial", "tbd", "tba", "todo", "00h":
		return true
	// the name of the field instead of its content
	case "sn", "serial", "serialno", "serialnum", "systemserialnumb", "oemserial", "pcaserial", "mbserial", "boardserial",
		"systemproductname", "systemmanufacturer", "systemversion", "systemname", "systemsku",
		"chassisversion", "chassismanufacture", "chassismanufacturer",
		"baseboardversion", "baseboardproductname", "baseboardmanufacturer", "sku", "skunumber",
		"type1productconfigid", "type1family", "type2boardversion", "type2boardproductname",
		"smbiostype4partnumber", "mkfoemsmbiosdefaultstring",
		"customer", "model", "vendor", "device", "generic", "manufacturer", "productname":
		return true
	// what makers left in their boards
	case "oem", "dell", "eval", "iatpass", "square", "tulipcomputers", "default",
		"revx0x", "xxx123xaba", "03142563", "sn123456fvgv3i0b8o5n6n7k",
		"0123456789abcdef", "123456789000", "amazonec2":
		return true
	// the chassis asset tag of every Azure machine: the encoding of a phrase, no serial
	case "77837084326590858269328677":
		return true
	}
	return false
}

// isKnownUUID lists UUIDs in firmware images, each in both byte orders of the
// first three fields (SMBIOS 2.6 changed it). All-equal UUIDs are caught before.
func isKnownUUID(bare string) bool {
	switch bare {
	case "03000200040005000006000700080009", "00020003000400050006000700080009",
		"6ab5b300538d10149fb5b0684d007b53", "00b3b56a8d5314109fb5b0684d007b53",
		"01010101010101010101010101010101", "fefefefefefefefefefefefefefefefe",
		"123456781234567890abcddeefaabbcc",
		"11111111222233334444555555555555", "00112233445566778899aabbccddeeff":
		return true
	}
	return false
}

// macPlaceholder refuses addresses that are no station address or that many
// machines carry: tunnel and modem drivers, host-only adapters, hypervisor
// defaults. Locally administered addresses are not refused as such: nearly all
// virtual machines have nothing else.
func macPlaceholder(mac string) (string, bool) {
	if len(mac) != 17 {
		return "not a 48-bit address", true
	}
	var octets [6]byte
	equal00, equal88, equalFF, same := 0, 0, 0, 0
	for i := range octets {
		pair := mac[i*3 : min(i*3+3, len(mac))]
		if !isHex(pair[:2]) || len(pair) == 3 && pair[2] != ':' {
			return "not a 48-bit address", true
		}
		octets[i] = hexDigit(pair[0])<<4 | hexDigit(pair[1])
		switch octets[i] {
		case 0x00:
			equal00++
		case 0x88:
			equal88++
		case 0xFF:
			equalFF++
		}
		if octets[i] == octets[0] {
			same++
		}
	}
	switch {
	case same == 6 || equal00 >= 5 || equal88 >= 5 || equalFF >= 5:
		return "an address of repeated octets", true
	case isKnownMAC(mac):
		return "an address that many machines share", true
	case strings.HasPrefix(mac, "02:42:AC:11:00:"):
		return "an address of Docker's default bridge", true
	case octets[0]&1 != 0:
		return "a multicast address", true
	}
	return "", false
}

func hexDigit(c byte) byte {
	if c >= 'A' {
		return c - 'A' + 10
	}
	return c - '0'
}

// isKnownMAC lists addresses collected in the field by GLPI and hw-probe, and
// the defaults of QEMU, Firecracker, VirtualBox, VMware and WSL 2 (WSL#9492).
func isKnownMAC(mac string) bool {
	switch mac {
	case "FE:FF:FF:FF:FF:FF", // Xen's virtual interfaces on the host
		"20:41:53:59:4E:FF", "33:50:6F:45:30:30", "50:50:54:50:30:30", "24:B6:20:52:41:53", "26:0F:20:52:41:53", // Windows WAN miniports spell RAS, PPoE, PPTP
		"02:00:4E:43:50:49", "02:80:37:EC:02:00", "00:A0:C6:00:00:00", "00:0B:CA:FE:00:00",
		"00:20:07:01:16:06", "00:0B:0E:0F:00:ED", "ED:0B:00:00:E0:00", "00:E0:4C:53:44:58",
		"04:4B:80:80:80:03", "04:4B:80:80:80:04", "04:4B:80:80:80:F0", // nForce boards without an address
		"0C:5B:8F:27:9A:64", // Huawei LTE modems
		"E2:E6:16:20:0A:35", "D2:0A:2D:A0:04:BE", "D2:6B:25:2F:2C:E7",
		"0A:00:27:00:00:00",                                           // VirtualBox host-only
		"00:50:56:C0:00:01", "00:50:56:C0:00:02", "00:50:56:C0:00:08", // VMware host-only and NAT
		"52:54:00:12:34:56",                                           // QEMU
		"02:FC:00:00:00:01", "AA:FC:00:00:00:01", "06:00:AC:10:00:02", // Firecracker, as its guides set it
		"5C:BB:F6:9E:EE:FA": // every bridged WSL 2
		return true
	}
	return false
}
