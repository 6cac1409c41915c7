package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errNetlink is returned when the kernel's answer cannot be understood or is refused.
var errNetlink = errors.New("netlink: no usable answer")

// nlLink is what RTM_GETLINK says about one interface.
type nlLink struct {
	name     string
	hardware uint16 // ARPHRD_*
	perm     []byte // IFLA_PERM_ADDRESS, nil where the kernel gives none
}

// dumpLinks asks for all links in one go. It waits at most one second for the
// kernel; three attempts if the list changed while it was being read.
func dumpLinks() ([]nlLink, error) {
	var err error
	for range 3 {
		var links []nlLink
		if links, err = dumpLinksOnce(); !errors.Is(err, unix.EINTR) {
			return links, err
		}
	}
	return nil, err
}

func dumpLinksOnce() ([]nlLink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		return nil, err
	}
	if err := unix.Sendto(fd, linkRequest(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	// The kernel fills up to 32 KiB per message when the reader offers that.
	buf := make([]byte, 32<<10)
	var links []nlLink
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return nil, err
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
			continue // not from the kernel
		}
		more, done, err := parseLinks(buf[:n])
		links = append(links, more...)
		if err != nil || done {
			return links, err
		}
	}
}

// linkRequest is RTM_GETLINK for all families, without the statistics, which
// are most of an answer.
func linkRequest() []byte {
	const size = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg + unix.SizeofRtAttr + 4
	const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	b := make([]byte, size)
	e := binary.NativeEndian
	e.PutUint32(b[0:], size)
	e.PutUint16(b[4:], unix.RTM_GETLINK)
	e.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	e.PutUint32(b[8:], 1)
	a := b[unix.SizeofNlMsghdr+unix.SizeofIfInfomsg:]
	e.PutUint16(a[0:], unix.SizeofRtAttr+4)
	e.PutUint16(a[2:], unix.IFLA_EXT_MASK)
	e.PutUint32(a[4:], skipStats)
	return b
}

// parseLinks reads one datagram of the answer; done means it was the last.
func parseLinks(b []byte) (links []nlLink, done bool, err error) {
	e := binary.NativeEndian
	for len(b) >= unix.SizeofNlMsghdr {
		size, kind, flags := int(e.Uint32(b[0:])), e.Uint16(b[4:]), e.Uint16(b[6:])
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return links, false, errNetlink
		}
		body := b[unix.SizeofNlMsghdr:size]
		b = b[min(align4(size), len(b)):]
		switch {
		case flags&unix.NLM_F_DUMP_INTR != 0:
			return nil, true, unix.EINTR
		case kind == unix.NLMSG_DONE:
			return links, true, nil
		case kind == unix.NLMSG_ERROR:
			if len(body) >= 4 {
				if errno := -int32(e.Uint32(body)); errno > 0 {
					return links, true, unix.Errno(errno)
				}
			}
			return links, true, errNetlink
		case kind == unix.RTM_NEWLINK && len(body) >= unix.SizeofIfInfomsg:
			links = append(links, parseLink(body))
		}
	}
	return links, false, nil
}

// parseLink reads one RTM_NEWLINK message.
func parseLink(body []byte) nlLink {
	e := binary.NativeEndian
	l := nlLink{hardware: e.Uint16(body[2:])}
	for a := body[unix.SizeofIfInfomsg:]; len(a) >= unix.SizeofRtAttr; {
		size := int(e.Uint16(a[0:]))
		if size < unix.SizeofRtAttr || size > len(a) {
			break
		}
		payload := a[unix.SizeofRtAttr:size]
		switch e.Uint16(a[2:]) {
		case unix.IFLA_IFNAME:
			name, _, _ := bytes.Cut(payload, []byte{0})
			l.name = string(name)
		case unix.IFLA_PERM_ADDRESS:
			l.perm = bytes.Clone(payload)
		}
		a = a[min(align4(size), len(a)):]
	}
	return l
}

// align4 rounds up to the alignment of netlink messages and attributes.
func align4(n int) int { return (n + 3) &^ 3 }

// ethtoolPermAddr asks the driver by SIOCETHTOOL. Virtual devices answer
// success and six zero bytes, so the caller must look at the value.
func ethtoolPermAddr(name string) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	cmd := struct {
		cmd, size uint32
		data      [32]byte
	}{cmd: unix.ETHTOOL_GPERMADDR, size: 32}
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		pad  [16]byte // struct ifreq is 40 bytes on 64-bit kernels
	}
	if copy(req.name[:unix.IFNAMSIZ-1], name) != len(name) {
		return nil, errMalformed
	}
	req.data = unsafe.Pointer(&cmd)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); e != 0 {
		return nil, e
	}
	return bytes.Clone(cmd.data[:min(cmd.size, 32)]), nil
}
