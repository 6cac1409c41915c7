package probe

import (
	"path"
	"slices"
	"strings"

	"licenseagent.example/fingerprint"
)

const sysBlock = "sys/block"

// disks reads the serials of the fixed disks.
func (h Host) disks() fingerprint.Component {
	if f, ok := h.windows(); ok {
		return f.disks()
	}
	t := openTree(h.Root)
	defer t.close()
	names, err := t.list(sysBlock)
	if err != nil {
		return fingerprint.Component{Kind: fingerprint.Disk, State: fingerprint.Unreadable, Reason: "block devices: " + why(err)}
	}
	slices.Sort(names)
	root := t.rootDisks()
	candidates := make([]candidate, 0, len(names))
	for _, name := range names {
		c := t.disk(name)
		c.first = slices.Contains(root, name)
		candidates = append(candidates, c)
	}
	return diskComponent(candidates)
}

// disk applies the rules that tell a fixed local disk from the rest, those that
// need no further read first, and finds its serial.
func (t *tree) disk(name string) candidate {
	c := candidate{source: name}
	dir, err := t.resolve(sysBlock, name)
	if err != nil {
		c.err = err
		if absent(err) {
			c.drop = "vanished while reading"
		}
		return c
	}
	if c.drop = diskPathRule("/"+dir, name); c.drop != "" {
		return c
	}
	if t.text(dir+"/removable") == "1" {
		c.drop = "removable"
		return c
	}
	if t.text(dir+"/size") == "0" {
		c.drop = "no medium"
		return c
	}
	switch {
	case strings.HasPrefix(name, "nvme"):
		return t.nvme(c, dir)
	case strings.HasPrefix(name, "sd"):
		return t.scsi(c, dir)
	case strings.HasPrefix(name, "mmcblk"):
		return t.mmc(c, dir)
	}
	return t.firstOf(c, dir, "serial", "device/serial")
}

// nvme takes the controller's serial, which stands on the label. wwid, EUI and
// NGUID belong to the namespace and change when it is created anew.
func (t *tree) nvme(c candidate, dir string) candidate {
	if networkTransport(t.text(dir + "/device/transport")) {
		c.drop = "on the network"
		return c
	}
	if strings.Contains(dir, "/virtual/nvme-subsystem/") && t.remoteSubsystem(path.Dir(dir)) {
		c.drop = "on the network"
		return c
	}
	return t.firstOf(c, dir, "device/serial")
}

// remoteSubsystem says whether an NVMe subsystem is reached over the network;
// its controllers are links in its directory.
func (t *tree) remoteSubsystem(dir string) bool {
	names, err := t.list(dir)
	if err != nil {
		return false
	}
	for _, n := range names {
		digits, ok := strings.CutPrefix(n, "nvme")
		if ok && strings.Trim(digits, "0123456789") == "" && networkTransport(t.text(dir+"/"+n+"/transport")) {
			return true
		}
	}
	return false
}

// networkTransport names the NVMe transports that are no local disk.
func networkTransport(s string) bool { return s == "tcp" || s == "fc" || s == "rdma" }

// scsi takes the unit serial number of SATA, SAS and SCSI disks.
func (t *tree) scsi(c candidate, dir string) candidate {
	if kind := t.text(dir + "/device/type"); kind != "0" && kind != "" {
		c.drop = "SCSI device type " + clip(kind) + ", not a disk"
		return c
	}
	b, err := t.read(dir + "/device/vpd_pg80")
	if err == nil {
		var text string
		if text, err = vpd80(b); text != "" {
			c.text, c.source = text, "sysfs vpd_pg80 "+c.source
			return c
		}
	}
	return t.udev(c, dir, err)
}

// mmc takes the serial of an eMMC or SD card, which is part of its CID register.
func (t *tree) mmc(c candidate, dir string) candidate {
	if t.text(dir+"/device/type") == "SD" {
		c.rank = rankCard
	}
	if serial := t.text(dir + "/device/serial"); strings.Trim(serial, "0x") != "" {
		c.text, c.source = serial, "sysfs device/serial "+c.source
		return c
	}
	return t.firstOf(c, dir, "device/cid")
}

// firstOf takes the first of the files that holds text, then udev's word.
func (t *tree) firstOf(c candidate, dir string, files ...string) candidate {
	var failed error
	for _, f := range files {
		b, err := t.read(dir + "/" + f)
		if err != nil {
			if failed == nil || !absent(err) {
				failed = err
			}
			continue
		}
		if text := clean(b); text != "" {
			c.text, c.source = text, "sysfs "+f+" "+c.source
			return c
		}
		failed = nil // the file is there and empty: a negative answer
		break
	}
	return t.udev(c, dir, failed)
}

// udev looks into udev's database, under this disk's own number: gopsutil's
// fallback to <major>:0 gives the serial of another disk, because all NVMe
// disks share major 259. cause is why sysfs did not give the serial.
func (t *tree) udev(c candidate, dir string, cause error) candidate {
	number := t.text(dir + "/dev")
	if number == "" || strings.Trim(number, "0123456789:") != "" {
		c.err = cause
		if absent(cause) { // each block device has a number
			c.drop = "vanished while reading"
		}
		return c
	}
	entry, err := t.readAll("run/udev/data/b" + number)
	if err == nil {
		if text, key := udevSerial(string(entry)); text != "" {
			c.text, c.source = text, "udev "+key+" "+c.source
			return c
		}
	}
	// Neither place has it. Absent files on both sides mean that this disk
	// has none; anything else means that we do not know.
	switch {
	case cause != nil && !absent(cause):
		c.err = cause
	case err != nil && !absent(err):
		c.err = err
	}
	return c
}
