package probe

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"licenseagent.example/fingerprint"
)

const classNet = "sys/class/net"

// network reads the adapters' permanent addresses.
func (h Host) network() fingerprint.Component {
	if f, ok := h.windows(); ok {
		return f.network()
	}
	t := openTree(h.Root)
	defer t.close()
	links, err := t.links()
	if err != nil {
		return fingerprint.Component{Kind: fingerprint.MAC, State: fingerprint.Unreadable, Reason: "network interfaces: " + why(err)}
	}
	candidates := make([]candidate, 0, len(links))
	for _, l := range links {
		candidates = append(candidates, t.adapter(l))
	}
	return macComponent(candidates)
}

// links lists the interfaces: by netlink, which also gives the permanent
// addresses, or from sysfs where netlink is refused (a service unit's
// RestrictAddressFamilies=) or the machine is a recorded one.
func (t *tree) links() ([]nlLink, error) {
	if !t.recorded() {
		if links, err := dumpLinks(); err == nil {
			return links, nil
		}
	}
	names, err := t.list(classNet)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	links := make([]nlLink, 0, len(names))
	for _, name := range names {
		kind, err := strconv.ParseUint(t.text(classNet+"/"+name+"/type"), 10, 16)
		if err != nil {
			continue // bonding_masters is a plain file in this directory
		}
		links = append(links, nlLink{name: name, hardware: uint16(kind)})
	}
	return links, nil
}

// adapter applies the rules that tell a physical adapter from the rest, the
// cheapest first, and finds its permanent address.
func (t *tree) adapter(l nlLink) candidate {
	c := candidate{source: l.name}
	if l.hardware != unix.ARPHRD_ETHER {
		c.drop = "not Ethernet (ARPHRD " + strconv.Itoa(int(l.hardware)) + ")"
		return c
	}
	if l.name == "" || strings.ContainsAny(l.name, "/\x00") || l.name == "." || l.name == ".." {
		c.drop = "no usable name"
		return c
	}
	dir, err := t.resolve(classNet, l.name)
	if err != nil {
		// A container's sysfs may belong to another network namespace, and
		// an interface may vanish between the list and this read.
		c.err = err
		if absent(err) {
			c.drop = "not in /sys/class/net"
		}
		return c
	}
	if strings.Contains(dir, "/virtual/") {
		// mac80211_hwsim and friends have a device link, too.
		c.drop = "a virtual interface"
		return c
	}
	device, err := t.resolve(dir, "device")
	if err != nil {
		c.drop = "no device behind it"
		return c
	}
	if strings.Contains(device, "/virtual/") {
		c.drop = "a virtual device"
		return c
	}
	if t.exists(device + "/physfn") {
		// On the host a virtual function is handed to guests; inside the
		// guest it has no physfn and is the adapter.
		c.drop = "an SR-IOV virtual function"
		return c
	}
	c.text, c.source, c.err = t.permanent(dir, l)
	c.rank = adapterRank(c.text, strings.Contains(device, "/usb"))
	if c.text == "" && c.err == nil {
		c.drop = "no permanent address"
	}
	return c
}

// permanent finds the address that the adapter was made with. The current
// address is taken only when the kernel says that it is the permanent one:
// members of a bond show the bond's address, and Wi-Fi a random one.
func (t *tree) permanent(dir string, l nlLink) (text, source string, err error) {
	if mac := spellMAC(l.perm); mac != "" {
		return mac, "netlink IFLA_PERM_ADDRESS " + l.name, nil
	}
	if !t.recorded() {
		// Kernels before 5.6 have no IFLA_PERM_ADDRESS.
		if a, err := ethtoolPermAddr(l.name); err == nil {
			if mac := spellMAC(a); mac != "" && mac != "00:00:00:00:00:00" {
				return mac, "ioctl ETHTOOL_GPERMADDR " + l.name, nil
			}
		}
	}
	perm := func() (string, string, error) {
		b, err := t.read(dir + "/bonding_slave/perm_hwaddr")
		return parseMAC(clean(b)), "sysfs bonding_slave/perm_hwaddr " + l.name, err
	}
	address := func() (string, string, error) {
		b, err := t.read(dir + "/addr_assign_type")
		if err != nil || clean(b) != "0" {
			return "", "sysfs address " + l.name, err
		}
		b, err = t.read(dir + "/address")
		return parseMAC(clean(b)), "sysfs address " + l.name, err
	}
	order := [...]func() (string, string, error){perm, address}
	if t.recorded() {
		order = [...]func() (string, string, error){address, perm}
	}
	for _, f := range order {
		text, source, err = f()
		if text != "" {
			return text, source, nil
		}
		if err != nil && absent(err) {
			err = nil
		}
	}
	return "", l.name, err
}
