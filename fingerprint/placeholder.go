package fingerprint

import "strings"

// rule is the shape of IsPlaceholder; the simulations pass a rule that accepts
// everything, to show what the defence is worth.
type rule func(k Kind, value string) (reason string, yes bool)

// IsPlaceholder says whether a value is text that identifies nobody: firmware
// defaults, unset fields, addresses and serials that thousands of machines
// share. The reason is for people and never contains the value. The lists were
// compiled from field collections (GLPI's blacklist, hw-probe, hardinfo,
// openshift assisted-installer, linuxhw/DMI) and from the defaults of QEMU,
// LXD, Proxmox, VMware and the large clouds.
func IsPlaceholder(k Kind, value string) (reason string, yes bool) {
	value = spell(k, value) // the rule must not depend on case, padding or grouping
	switch k {
	case MAC:
		return macPlaceholder(value)
	case Disk:
		if reason, yes := diskPlaceholder(value); yes {
			return reason, true
		}
	}
	return textPlaceholder(value)
}

// textPlaceholder is the rule for all free text. It compares letters and
// digits only, because firmware writes "To be filled by O.E.M.",
// "TobefilledbyO.E.M" and "$(DEFAULT_STRING)" for the same nothing. Dots and
// signs inside real serials (Dell's ".7KXT123.CNIVC0009Q0042.") are no reason.
func textPlaceholder(value string) (string, bool) {
	low := strings.ToLower(value)
	bare := alphanumerics(low)
	switch {
	case bare == "":
		return "no letter or digit in it", true
	case onlyOf(bare, bare[:1]):
		return "one character repeated", true
	case onlyOf(bare, "x0"), onlyOf(bare, "01"):
		return "only zeros, ones or x", true
	case containsPhrase(bare) || strings.Contains(low, "o.e.m"):
		return "firmware default text", true
	case isSequence(bare):
		return "a run of consecutive digits", true
	case isNumberedDummy(bare):
		return "a numbered example value", true
	case isKnownText(bare):
		return "on the list of texts that firmware writes into unset fields", true
	case isKnownUUID(bare):
		return "a UUID that many machines share", true
	}
	return "", false
}

// alphanumerics keeps a-z and 0-9 of a lower-case text.
func alphanumerics(low string) string {
	out := make([]byte, 0, len(low))
	for i := 0; i < len(low); i++ {
		if c := low[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			out = append(out, c)
		}
	}
	return string(out)
}

func onlyOf(s, set string) bool {
	return strings.Trim(s, set) == ""
}

// isSequence finds 1234567890 and its relatives: at least five consecutive
// digits up or down, after an optional prefix (SN-, MB-, SYS-, BSN…), the
// hexadecimal continuation …9ABCDEF, and a tail of zeros after nine digits.
// BSN12345678901234567 is the real content on several ASUS laptops.
func isSequence(bare string) bool {
	digits := strings.TrimLeft(bare, "abcdefghijklmnopqrstuvwxyz")
	prefix, enough := bare[:len(bare)-len(digits)], 5
	switch prefix {
	case "", "sn", "mb", "sys", "bsn", "board", "ppn", "pn", "asset", "ser", "serial", "oem", "no", "system", "chassis":
	default:
		if len(prefix) > 1 {
			return false
		}
		enough = 9 // one letter and 123456789: an example value; A12345 is not
	}
	run := max(runLength(digits, 1), runLength(digits, -1))
	if run < enough {
		return false
	}
	rest := digits[run:]
	return rest == "" || run >= 9 && onlyOf(rest, "0")
}

// runLength counts the leading characters that follow each other with the
// given step: 9 is followed by 0, or by a in an ascending run.
func runLength(s string, step int) int {
	for i := 1; i < len(s); i++ {
		was, is := s[i-1], s[i]
		switch {
		case was >= '0' && was <= '9' && is == byte('0'+(int(was-'0')+step+10)%10):
		case step > 0 && was == '9' && is == 'a':
		case step > 0 && was >= 'a' && was < 'f' && is == was+1:
		default:
			return i
		}
	}
	return len(s)
}

// isNumberedDummy finds SerNum0…, AssetTagNum3 and OEM_Define5 of AMI firmware.
func isNumberedDummy(bare string) bool {
	switch strings.TrimRight(bare, "0123456789") {
	case "sernum", "assettagnum", "oemdefine", "partnum", "oemdefaultstring":
		return true
	}
	return false
}

// diskPlaceholder knows the serials that hypervisors give by default. A disk
// called after its place in the configuration is the same in every machine.
func diskPlaceholder(value string) (string, bool) {
	low := strings.ToLower(value)
	bare := alphanumerics(low)
	switch {
	case strings.HasPrefix(low, "qm000") && len(low) == 7 && onlyOf(low[5:], "0123456789"):
		return "QEMU's default disk serial", true
	case strings.HasPrefix(low, "lxd_"), strings.HasPrefix(low, "incus_"):
		return "the disk's name inside LXD or Incus", true
	case strings.HasPrefix(low, "drive-") && hasAnyPrefix(low[len("drive-"):], "scsi", "virtio", "sata", "ide", "efidisk"):
		return "the disk's name inside Proxmox or libvirt", true
	case hasAnyPrefix(strings.TrimPrefix(strings.TrimPrefix(low, "0google_persistentdisk_"), "google-"), "persistent-disk-", "local-ssd-", "local-nvme-ssd-"):
		return "the default disk name of Google Compute Engine", true
	case low == "nvme_card" || low == "nvme_card-pd":
		return "the model name that Google Compute Engine gives as serial", true
	case low == "overlayblk" || low == "rootfs":
		return "the disk's name inside a micro-VM", true
	case len(bare) >= 10 && onlyOf(bare[:len(bare)-2], "0") && onlyOf(bare, "0123456789"):
		return "zeros and a counter, the default of virtual IDE disks", true
	}
	return "", false
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
