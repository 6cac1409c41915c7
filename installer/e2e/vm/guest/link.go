//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// makeLink builds one virtual device, by netlink as ip(8) does (rtnetlink(7)).
func makeLink(l Link) error {
	switch l.Kind {
	case "tun":
		return makeTun(l.Name)
	case "address":
		mac, err := net.ParseMAC(l.MAC)
		if err != nil {
			return err
		}
		return setLink(l.Name, attr(unix.IFLA_ADDRESS, mac))
	case "dummy":
		for i := range max(l.Count, 1) {
			if err := addLink(fmt.Sprintf("%s%d", l.Name, i), "dummy", nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := addLink(l.Name, l.Kind, nil); err != nil {
		return err
	}
	master, err := net.InterfaceByName(l.Name)
	if err != nil {
		return err
	}
	for _, m := range l.Members {
		index := make([]byte, 4)
		binary.LittleEndian.PutUint32(index, uint32(master.Index))
		if err := setLink(m, attr(unix.IFLA_MASTER, index)); err != nil {
			return fmt.Errorf("enslave %s: %w", m, err)
		}
	}
	return nil
}

func attr(kind uint16, data []byte) []byte {
	n := 4 + len(data)
	b := make([]byte, (n+3)&^3)
	binary.LittleEndian.PutUint16(b, uint16(n))
	binary.LittleEndian.PutUint16(b[2:], kind)
	copy(b[4:], data)
	return b
}

func addLink(name, kind string, data []byte) error {
	info := attr(unix.IFLA_INFO_KIND, []byte(kind))
	if data != nil {
		info = append(info, attr(unix.IFLA_INFO_DATA, data)...)
	}
	attrs := append(attr(unix.IFLA_IFNAME, append([]byte(name), 0)), attr(unix.IFLA_LINKINFO, info)...)
	return rtnetlink(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, attrs)
}

func setLink(name string, attrs []byte) error {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	return rtnetlink(unix.RTM_NEWLINK, 0, dev.Index, attrs)
}

func rtnetlink(typ, flags uint16, index int, attrs []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	msg := make([]byte, 16+16+len(attrs))
	binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
	binary.LittleEndian.PutUint16(msg[4:], typ)
	binary.LittleEndian.PutUint16(msg[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.LittleEndian.PutUint32(msg[16+4:], uint32(index))
	copy(msg[32:], attrs)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	reply := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return err
	}
	if n < 20 || binary.LittleEndian.Uint16(reply[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("unexpected netlink answer of %d bytes", n)
	}
	if code := int32(binary.LittleEndian.Uint32(reply[16:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// makeTun makes a persistent tap device: a VPN adapter as programs make them.
func makeTun(name string) error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.TUNSETIFF, uintptr(unsafe.Pointer(ifr))); e != 0 {
		return e
	}
	return unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1)
}
