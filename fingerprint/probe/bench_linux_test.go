package probe

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkProbeWarm is one whole observation of this machine by the direct
// reads, all caches warm. Compare with BenchmarkBareReads.
func BenchmarkProbeWarm(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Host{}.Read()
	}
}

// BenchmarkBareReads makes the same system calls in the same order and the same
// CPUID calls, and throws the answers away: the floor under any program that
// wants these values.
func BenchmarkBareReads(b *testing.B) {
	calls := bareCalls(b)
	b.ReportAllocs()
	for b.Loop() {
		bare(calls)
	}
	b.ReportMetric(float64(len(calls)), "calls")
}

// BenchmarkFirstRead starts a new process for each observation and reports how
// long the first one takes inside it, for the probe and for the bare calls.
func BenchmarkFirstRead(b *testing.B) {
	const variable = "PROBE_BENCH_FIRST"
	if mode := os.Getenv(variable); mode != "" {
		var calls []bareCall
		if mode == "bare" {
			calls = bareCalls(b) // makes these calls once: its figure is the flatterer
		}
		start := time.Now()
		if mode == "probe" {
			Host{}.Read()
		} else {
			bare(calls)
		}
		fmt.Printf("FIRST %d\n", time.Since(start).Nanoseconds())
		os.Exit(0)
	}
	for _, mode := range []string{"probe", "bare"} {
		b.Run(mode, func(b *testing.B) {
			var sum, n float64
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkFirstRead$", "-test.benchtime=1x")
				cmd.Env = append(os.Environ(), variable+"="+mode)
				out, err := cmd.Output()
				_, text, ok := strings.Cut(string(out), "FIRST ")
				if err != nil || !ok {
					b.Fatalf("%v: %s", err, out)
				}
				text, _, _ = strings.Cut(text, "\n")
				ns, err := strconv.ParseFloat(text, 64)
				if err != nil {
					b.Fatal(err)
				}
				sum, n = sum+ns, n+1
			}
			b.ReportMetric(0, "ns/op") // the process's start, which is not the point
			b.ReportMetric(sum/n, "ns/first")
		})
	}
}

// BenchmarkParseSMBIOS reads a table of a usual size.
func BenchmarkParseSMBIOS(b *testing.B) {
	table := make([]byte, 0, 4096)
	for i := range 40 {
		table = append(table, 17, 40, byte(i), 0)
		table = append(table, make([]byte, 36)...)
		table = append(table, "DIMM 0\x00Maker\x00SERIAL-OF-A-MODULE\x00\x00"...)
	}
	table = append(table, 2, 8, 99, 0, 1, 2, 0, 3, 'A', 0, 'B', 0, 'C', '-', '1', 0, 0, 127, 4, 100, 0, 0, 0)
	b.SetBytes(int64(len(table)))
	b.ReportAllocs()
	for b.Loop() {
		if s, err := ParseSMBIOS(table); err != nil || s.Boards[0].Serial != "C-1" {
			b.Fatal(s, err)
		}
	}
}

// bareCall is one step: a system call on a path, or something without one.
type bareCall struct{ kind, path string }

// bareCalls lists what one observation of this machine asks, by its names.
func bareCalls(b *testing.B) []bareCall {
	b.Helper()
	calls := []bareCall{{"netlink", ""}}
	add := func(kind string, paths ...string) {
		for _, p := range paths {
			calls = append(calls, bareCall{kind, p})
		}
	}
	t := openTree("")
	links, err := dumpLinks()
	if err != nil {
		b.Fatal(err)
	}
	for _, l := range links {
		if l.hardware != unix.ARPHRD_ETHER {
			continue
		}
		add("link", "/sys/class/net/"+l.name)
		dir, err := t.resolve(classNet, l.name)
		if err != nil || strings.Contains(dir, "/virtual/") {
			continue
		}
		device, _ := t.resolve(dir, "device")
		add("link", "/"+dir+"/device")
		add("access", "/"+device+"/physfn")
	}
	add("list", "/sys/block")
	add("stat", "/")
	if root := t.rootDisks(); len(root) > 0 {
		dir, _ := t.resolve(sysBlock, root[0])
		add("link", "/sys/class/block/"+root[0])
		add("access", "/"+dir+"/partition")
		add("list", "/"+dir+"/slaves")
	}
	names, err := t.list(sysBlock)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range names {
		add("link", "/sys/block/"+n)
		dir, _ := t.resolve(sysBlock, n)
		if diskPathRule("/"+dir, n) != "" {
			continue
		}
		add("read", "/"+dir+"/removable", "/"+dir+"/size")
		switch {
		case strings.HasPrefix(n, "nvme"):
			add("read", "/"+dir+"/device/transport", "/"+dir+"/device/serial")
		case strings.HasPrefix(n, "sd"):
			add("read", "/"+dir+"/device/type", "/"+dir+"/device/vpd_pg80")
		default:
			add("read", "/"+dir+"/serial")
		}
	}
	add("read", "/"+dmiTable)
	if _, err := t.read(dmiTable); err != nil {
		add("access", "/sys/class/dmi")
		if t.exists("sys/class/dmi") {
			for _, f := range []string{"board_serial", "product_serial", "chassis_serial", "product_uuid", "board_asset_tag", "sys_vendor", "product_name", "product_version", "board_vendor", "bios_vendor"} {
				add("read", "/"+path.Join(dmiID, f))
			}
		}
	}
	add("read", "/sys/firmware/devicetree/base/serial-number", "/sys/devices/soc0/serial_number", "/run/systemd/container", "/proc/sys/kernel/osrelease")
	add("link", "/proc/self/ns/pid", "/proc/self/ns/cgroup")
	add("access", "/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io")
	add("read", "/proc/self/cgroup", "/sys/hypervisor/type")
	add("cpuid", "")
	return calls
}

// bare makes the calls and forgets the answers.
func bare(calls []bareCall) {
	var buf [4096]byte
	var st unix.Stat_t
	for _, c := range calls {
		switch c.kind {
		case "link":
			unix.Readlink(c.path, buf[:])
		case "access":
			unix.Faccessat(unix.AT_FDCWD, c.path, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW)
		case "stat":
			unix.Stat(c.path, &st)
		case "read":
			if fd, err := unix.Open(c.path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				unix.Read(fd, buf[:])
				unix.Close(fd)
			}
		case "list":
			if fd, err := unix.Open(c.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
				for n := 1; n > 0; {
					n, _ = unix.ReadDirent(fd, buf[:])
				}
				unix.Close(fd)
			}
		case "netlink":
			bareNetlink()
		case "cpuid":
			readCPUID()
		}
	}
}

// bareNetlink asks for the links and looks for nothing but the end.
func bareNetlink() {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	unix.Sendto(fd, linkRequest(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	buf := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || n < 6 || buf[4] == unix.NLMSG_DONE {
			return
		}
	}
}
