package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/probe/probetest"
)

// TestLive reads this machine, whatever it is, and holds the result against
// what other interfaces of the system say.
func TestLive(t *testing.T) {
	first, second := Host{}.Read(), Host{}.Read()
	if a, b := fingerprint.Format(first).String, fingerprint.Format(second).String; a != b || strings.Count(a, "|") != 3 {
		t.Fatalf("two reads gave %q and %q", a, b)
	}
	for _, c := range first.Components() {
		ok := c.State == fingerprint.OK
		if ok != (len(c.Values) > 0) || ok == (c.Reason != "") {
			t.Errorf("%s: state %s with %d values and reason %q", c.Kind, c.State, len(c.Values), c.Reason)
		}
		for _, v := range c.Values {
			if v.Text == "" || v.Source == "" || v.Text != trim(v.Text) {
				t.Errorf("%s: value %+v", c.Kind, v)
			}
		}
	}
	if first.Env.Kind == "" || first.Env.Reason == "" {
		t.Errorf("environment %+v", first.Env)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, i := range interfaces {
		names[i.Name] = true
	}
	for _, v := range first.MAC.Values {
		if name := v.Source[strings.LastIndexByte(v.Source, ' ')+1:]; !names[name] {
			t.Errorf("address of %q, which the net package does not know", name)
		}
	}
}

// TestLinksByNetlink compares the dump with the net package.
func TestLinksByNetlink(t *testing.T) {
	links, err := dumpLinks()
	if err != nil {
		t.Fatal(err)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(links) != len(interfaces) {
		t.Fatalf("%d links, %d interfaces", len(links), len(interfaces))
	}
	for _, i := range interfaces {
		found := false
		for _, l := range links {
			found = found || l.name == i.Name && (l.hardware == unix.ARPHRD_LOOPBACK) == (i.Flags&net.FlagLoopback != 0)
		}
		if !found {
			t.Errorf("interface %s is not in the dump", i.Name)
		}
	}
}

// TestEthtool asks the driver for the loopback interface's address, which has
// none, and for an interface that does not exist.
func TestEthtool(t *testing.T) {
	if a, err := ethtoolPermAddr("lo"); err == nil && spellMAC(a) != "" && spellMAC(a) != "00:00:00:00:00:00" {
		t.Errorf("loopback has the permanent address %s", a)
	}
	for _, name := range []string{"no-such-if", strings.Repeat("x", 40), ""} {
		if a, err := ethtoolPermAddr(name); err == nil {
			t.Errorf("%q has the permanent address %s", name, a)
		}
	}
}

// TestUnprivileged reads the machine as another user: the same disks and
// addresses as with the rights of the test, and no panic without root.
func TestUnprivileged(t *testing.T) {
	mine := Host{}.Read()
	answer := make(chan fingerprint.Device)
	go func() {
		// The kernel keeps credentials per thread. This one is given up and
		// dies with the goroutine, because it is never unlocked.
		runtime.LockOSThread()
		if os.Getuid() == 0 {
			if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); e != 0 {
				t.Errorf("setresuid: %v", e)
			}
		}
		if f, err := os.Open("/proc/1/environ"); err == nil {
			f.Close()
			t.Error("this thread still has the rights of root")
		}
		answer <- Host{}.Read()
	}()
	theirs := <-answer
	for _, c := range [][2]fingerprint.Component{{mine.MAC, theirs.MAC}, {mine.Disk, theirs.Disk}, {mine.CPU, theirs.CPU}} {
		if diff := cmp.Diff(c[0], c[1]); diff != "" {
			t.Errorf("%s (-root +nobody):\n%s", c[0].Kind, diff)
		}
	}
	if theirs.Board.State == fingerprint.Absent && mine.Board.State != fingerprint.Absent {
		t.Errorf("what may not be read became absent: %+v", theirs.Board)
	}
}

// TestHandedTable gives the SMBIOS table as a file, as the service manager does.
func TestHandedTable(t *testing.T) {
	table, err := probetest.Encode("SMBIOS 3.1 present.\nHandle 0x1, DMI type 1, 27 bytes\n\tManufacturer: Maker\n\tSerial Number: SYS-77A\n"+
		"Handle 0x2, DMI type 2, 15 bytes\n\tSerial Number: MB-77A\n", false)
	if err != nil {
		t.Fatal(err)
	}
	root := probetest.Unpack(t, []byte("-- sys/firmware/dmi/tables/DMI.unreadable --\n-- sys/class/dmi/id/sys_vendor --\nMaker\n"+
		"-- sys/class/dmi/id/board_serial.unreadable --\n-- sys/class/dmi/id/product_serial.unreadable --\n"))
	for _, c := range []struct {
		name    string
		content []byte
		state   fingerprint.State
		text    string
		notes   int
	}{
		{"bare", table.Bytes, fingerprint.OK, "MB-77A", 0},
		{"with entry point", table.WithEntryPoint(false), fingerprint.OK, "MB-77A", 0},
		{"dump", table.WithEntryPoint(true), fingerprint.OK, "MB-77A", 0},
		{"Windows form", table.RSMB(), fingerprint.OK, "MB-77A", 0},
		{"empty: the manager had none", nil, fingerprint.Unreadable, "", 0},
		{"garbage", []byte("cat: Permission denied\n"), fingerprint.Unreadable, "", 1},
	} {
		file := filepath.Join(t.TempDir(), "dmi")
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		f := Host{Root: root, SMBIOSFile: file}.Firmware()
		var text string
		if len(f.Board.Values) > 0 {
			text = f.Board.Values[0].Text
		}
		if f.Board.State != c.state || text != c.text || len(f.Notes) != c.notes {
			t.Errorf("%s: board %+v, notes %q", c.name, f.Board, f.Notes)
		}
	}
	f := Host{Root: root, SMBIOSFile: filepath.Join(t.TempDir(), "missing")}.Firmware()
	if f.Board.State != fingerprint.Unreadable || len(f.Notes) != 1 {
		t.Errorf("missing file: %+v, notes %q", f.Board, f.Notes)
	}
}

// TestTreeBounds: nothing in a recorded tree can hold the reader or lead it
// out of the tree.
func TestTreeBounds(t *testing.T) {
	root := probetest.Unpack(t, []byte("-- sys/block/absolute -> /etc --\n-- sys/escape -> /etc/hostname --\n-- sys/up -> ../../../../../../../../etc/hostname --\n"+
		"-- sys/loop -> loop --\n-- sys/dir/x --\n"))
	for name, content := range map[string][]byte{
		"sys/huge":   []byte(strings.Repeat("A", 10<<20)),
		"sys/serial": []byte(strings.Repeat("S", maxFile)),
	} {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "sys/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, walk := range []bool{false, true} {
		tr := openTree(root)
		tr.walk = walk
		treeBounds(t, tr)
		tr.close()
	}
}

// treeBounds is TestTreeBounds for one way of resolving links.
func treeBounds(t *testing.T, tr *tree) {
	t.Helper()
	if b, err := tr.readAll("sys/huge"); err != nil || len(b) != maxFile {
		t.Errorf("huge file: %d bytes, %v", len(b), err)
	}
	if c := (&sorter{kind: fingerprint.Disk}); c.usable(tr.candidate("sys/serial", "serial")) || c.unreadable == "" {
		t.Errorf("a serial of 64 KiB: %+v", c)
	}
	for _, name := range []string{"sys/escape", "sys/up", "sys/loop", "sys/dir"} {
		if b, err := tr.read(name); err == nil {
			t.Errorf("%s: %q", name, b)
		}
	}
	if b, err := tr.read("sys/fifo"); !errors.Is(err, errNotPlain) {
		t.Errorf("fifo: %q, %v", b, err)
	}
	if _, err := tr.list("sys/huge"); err == nil {
		t.Error("a file was listed")
	}
	if got := tr.disk("absolute"); got.text != "" || got.drop == "" && got.err == nil {
		t.Errorf("link to /etc: %+v", got)
	}
}

// TestBothWalks resolves every name of a recorded host by the kernel and by our
// own walk: the same files, the same links.
func TestBothWalks(t *testing.T) {
	archive, err := os.ReadFile("../collect/testdata/hosts/server.txtar")
	if err != nil {
		t.Fatal(err)
	}
	kernel, own := openTree(probetest.Unpack(t, archive)), &tree{}
	own.root, own.walk = kernel.root, true
	defer kernel.close()
	names := []string{
		".", "sys/../..", "sys/class/net/eno1/address", "sys/class/net/eno1/device/net/eno1/type", "sys/class/net/../net/bond0/type",
		"sys/block/dm-0/slaves/sda3/../size", "sys/class/block/sda3/partition", "sys/class/net/eno1/address/x", "sys/none/../block", "sys/class/net/none/type",
	}
	for _, name := range names {
		b1, err1 := kernel.read(name)
		text := string(b1)
		b2, err2 := own.read(name)
		if text != string(b2) || (err1 == nil) != (err2 == nil) || err1 != nil && why(err1) != why(err2) {
			t.Errorf("%q: the kernel gives %q, %v; the walk %q, %v", name, text, err1, b2, err2)
		}
	}
	for _, name := range []string{"sys/class/net/eno1", "sys/class/net/eno1/device", "sys/block/dm-0/slaves/sda3", "sys/class/net"} {
		l1, err1 := kernel.link(name)
		l2, err2 := own.link(name)
		if l1 != l2 || (err1 == nil) != (err2 == nil) || kernel.exists(name) != own.exists(name) {
			t.Errorf("%q: the kernel gives %q, %v; the walk %q, %v", name, l1, err1, l2, err2)
		}
	}
	if a, b := kernel.disk("sda"), own.disk("sda"); a.text != b.text || a.text == "" {
		t.Errorf("disk %+v, %+v", a, b)
	}
}

// TestMissingRoot is a recorded host that is not there.
func TestMissingRoot(t *testing.T) {
	d := Host{Root: filepath.Join(t.TempDir(), "none")}.Read()
	for _, c := range d.Components() {
		if c.State != fingerprint.Unreadable || strings.Contains(c.Reason, "/") {
			t.Errorf("%s is %s: %q", c.Kind, c.State, c.Reason)
		}
	}
}

// TestVanishing removes a recorded host's files one by one: never a panic,
// never another disk's serial.
func TestVanishing(t *testing.T) {
	archive, err := os.ReadFile("../collect/testdata/hosts/server.txtar")
	if err != nil {
		t.Fatal(err)
	}
	root := probetest.Unpack(t, archive)
	known := map[string]bool{}
	for _, v := range (Host{Root: root}).Disks().Values {
		known[v.Text] = true
	}
	var files []string
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, p)
		}
		return err
	})
	if err != nil || len(files) < 50 || len(known) != 3 {
		t.Fatalf("%d files, %d serials, %v", len(files), len(known), err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
		for _, v := range (Host{Root: root}).Read().Disk.Values {
			if !known[v.Text] {
				t.Fatalf("without %s: serial %q", f, v.Text)
			}
		}
	}
	if d := (Host{Root: root}).Read(); d.Disk.State == fingerprint.OK || d.MAC.State == fingerprint.OK || d.Board.State == fingerprint.OK {
		t.Errorf("an empty tree gave %+v", d)
	}
}

// TestParseLinks reads composed datagrams, whole and broken.
func TestParseLinks(t *testing.T) {
	one := message(unix.RTM_NEWLINK, 0, link(unix.ARPHRD_ETHER, "eth0", []byte{2, 0, 0, 0, 0, 1}))
	two := message(unix.RTM_NEWLINK, 0, link(unix.ARPHRD_LOOPBACK, "lo", nil))
	done := message(unix.NLMSG_DONE, 0, make([]byte, 4))
	links, last, err := parseLinks(append(append(append([]byte{}, one...), two...), done...))
	if err != nil || !last || len(links) != 2 || links[0].name != "eth0" || spellMAC(links[0].perm) != "02:00:00:00:00:01" || links[1].perm != nil {
		t.Fatalf("%+v, %v, %v", links, last, err)
	}
	refused := make([]byte, 4)
	var code int32 = -int32(unix.EPERM)
	binary.NativeEndian.PutUint32(refused, uint32(code))
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"refused":     {message(unix.NLMSG_ERROR, 0, refused), unix.EPERM},
		"empty error": {message(unix.NLMSG_ERROR, 0, nil), errNetlink},
		"interrupted": {message(unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, link(1, "x", nil)), unix.EINTR},
		"cut":         {one[:len(one)-4], errNetlink},
	} {
		if _, _, err := parseLinks(c.in); err != c.want {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func message(kind, flags uint16, body []byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags)
	return append(b, body...)
}

func link(hardware uint16, name string, perm []byte) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint16(b[2:], hardware)
	attr := func(kind uint16, payload []byte) {
		a := make([]byte, align4(unix.SizeofRtAttr+len(payload)))
		binary.NativeEndian.PutUint16(a, uint16(unix.SizeofRtAttr+len(payload)))
		binary.NativeEndian.PutUint16(a[2:], kind)
		copy(a[unix.SizeofRtAttr:], payload)
		b = append(b, a...)
	}
	attr(unix.IFLA_IFNAME, append([]byte(name), 0))
	if perm != nil {
		attr(unix.IFLA_PERM_ADDRESS, perm)
	}
	return b
}

// FuzzLinks feeds anything to the reader of netlink datagrams.
func FuzzLinks(f *testing.F) {
	f.Add(message(unix.RTM_NEWLINK, 0, link(1, "eth0", []byte{2, 0, 0, 0, 0, 1})))
	f.Add(message(unix.NLMSG_DONE, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		links, _, _ := parseLinks(b)
		if len(links)*unix.SizeofNlMsghdr > len(b) {
			t.Fatalf("%d links out of %d bytes", len(links), len(b))
		}
	})
}

// TestManyInterfaces generates a container host: 300 interfaces, ten with a device.
func TestManyInterfaces(t *testing.T) {
	var archive strings.Builder
	want := []string{}
	for i := range 290 {
		fmt.Fprintf(&archive, "-- nic veth%d --\naddress 02:42:00:00:%02x:%02x\naddr_assign_type 1\n", i, i>>8, i&0xff)
	}
	for i := range 10 {
		fmt.Fprintf(&archive, "-- nic eno%d --\nat pci0000:00/0000:00:%02x.0\naddress b0:26:28:00:00:%02x\n", i, i, 9-i)
		want = append(want, "B0:26:28:00:00:0"+strconv.Itoa(i))
	}
	host := Host{Root: probetest.Unpack(t, []byte(archive.String()))}
	got := host.Network()
	d := fingerprint.Device{MAC: got}
	if s := fingerprint.Format(d).String; s != strings.Join(want, ",")+"|||" {
		t.Errorf("got %s", s)
	}
	if len(got.Rejected) != maxRejected+1 {
		t.Errorf("%d rejected", len(got.Rejected))
	}
}
