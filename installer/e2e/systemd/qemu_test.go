//go:build e2e

package systemd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/installer/e2e/swtpm"
)

// qemu is a hull with firmware, hardware serials, a TPM, a kernel of its own and
// a clock that may be moved. It is slow: every instruction is emulated.
type qemu struct {
	dir     string
	board   string     // its serial number
	tpm     *swtpm.TPM // nil: there is none
	process *os.Process
	ended   chan struct{} // nil: never started
	log     lockedBuffer
	port    net.Conn
	answers *json.Decoder
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.b.Bytes()
	return string(b[max(0, len(b)-4000):])
}

// inQEMU makes a machine with the files of root on its disk.
func inQEMU(t *testing.T, root string) *machine {
	t.Helper()
	h := &qemu{dir: t.TempDir(), board: "BN-9K2M-0077", tpm: swtpm.ForQEMU(t)}
	// What obeys the test inside is this program.
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "usr/local/sbin/e2e"), self, 0o755))
	unit := "[Unit]\nDescription=Obeys the test\nDefaultDependencies=no\nAfter=systemd-udevd.service\n[Service]\nExecStart=/usr/local/sbin/e2e obey\nStandardOutput=journal\n"
	must(t, os.WriteFile(filepath.Join(root, "etc/systemd/system/e2e.service"), []byte(unit), 0o644))
	wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
	must(t, os.MkdirAll(wants, 0o755))
	must(t, os.Symlink("/etc/systemd/system/e2e.service", filepath.Join(wants, "e2e.service")))
	must(t, os.MkdirAll(filepath.Join(root, "var/log/journal"), 0o755)) // of all boots
	image := filepath.Join(h.dir, "root.img")
	tool(t, "mkfs.ext4", "-q", "-F", "-d", root, image, "1500M")
	// The machine reaches an address of this host that nobody else has.
	host := fmt.Sprintf("10.213.251.%d", 1+os.Getpid()%250)
	tool(t, "ip", "addr", "replace", host+"/32", "dev", "lo")
	t.Cleanup(func() { tool(t, "ip", "addr", "del", host+"/32", "dev", "lo") })
	return boot(t, h, host)
}

func (h *qemu) on(t *testing.T) {
	t.Helper()
	cache := need(t, "VM_CACHE")
	port := filepath.Join(h.dir, "port")
	argv := []string{
		"-M", "q35,accel=tcg", "-cpu", "qemu64,+rdrand", "-smp", "2", "-m", "1024",
		"-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-rtc", "base=utc",
		"-kernel", filepath.Join(cache, "kernel.amd64"), "-initrd", need(t, "E2E_RAMDISK"),
		"-append", "console=ttyS0 quiet panic=-1 no_timer_check net.ifnames=0 apparmor=1 security=apparmor systemd.show_status=false" +
			// Every instruction is emulated, on a host that may have other work: no unit
			// of the system's own may give up before it has had its turn.
			" systemd.default_timeout_start_sec=15min",
		"-uuid", "11223344-5566-7788-99aa-bbccddeeff00",
		"-smbios", "type=1,manufacturer=Example,product=Server,version=1,serial=SN-7Q4W-0042",
		"-smbios", "type=2,manufacturer=Example,product=Board,version=1,serial=" + h.board,
		"-drive", "if=none,id=root,file=" + filepath.Join(h.dir, "root.img") + ",format=raw,cache=unsafe", "-device", "virtio-blk-pci,drive=root,serial=DISK-5D1C-0009",
		"-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,mac=02:aa:bb:cc:00:01,romfile=",
		"-object", "rng-random,filename=/dev/urandom,id=rng", "-device", "virtio-rng-pci,rng=rng",
		"-chardev", "socket,id=e2e,path=" + port + ",server=on,wait=off", "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=e2e,name=e2e",
	}
	if h.tpm != nil {
		h.tpm.Start(t) // it ended with the machine
		argv = append(argv, "-chardev", "socket,id=tpm,path="+h.tpm.Socket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0")
	}
	cmd := exec.Command("qemu-system-x86_64", argv...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = &h.log, &h.log
	must(t, cmd.Start())
	h.process, h.ended = cmd.Process, make(chan struct{})
	go func(ended chan struct{}) { cmd.Wait(); close(ended) }(h.ended) //nolint:errcheck // its status is that of a machine that was switched off
	began := time.Now()
	end := began.Add(10 * time.Minute)          // seen: 10 s on a quiet machine, 25 s on a busy one
	for ; ; time.Sleep(50 * time.Millisecond) { // polls
		var err error
		if h.port, err = net.Dial("unix", port); err == nil {
			break
		}
		if time.Now().After(end) || h.wait(0) {
			t.Fatalf("qemu: %v\n%s", err, h.console())
		}
	}
	h.answers = json.NewDecoder(h.port)
	must(t, h.port.SetReadDeadline(end))
	var hello answer
	if err := h.answers.Decode(&hello); err != nil {
		t.Fatalf("the machine does not obey: %v\n%s", err, h.console())
	}
	t.Logf("booted in %v", time.Since(began).Round(100*time.Millisecond))
}

func (h *qemu) online(m *machine) {
	m.run("ip", "addr", "replace", "10.0.2.15/24", "dev", "eth0")
	m.run("ip", "link", "set", "eth0", "up")
	m.run("ip", "route", "replace", "default", "via", "10.0.2.2")
}

func (h *qemu) wait(d time.Duration) bool {
	if h.ended == nil {
		return true
	}
	select {
	case <-h.ended:
		h.port.Close()
		return true
	case <-time.After(d):
		return false
	}
}

func (h *qemu) kill() {
	h.process.Kill() //nolint:errcheck // it may have ended
	<-h.ended
}

func (h *qemu) console() string { return h.log.String() }

// order and answer travel over a serial port, one JSON object after the other.
type order struct {
	Argv  []string
	Stdin []byte
}

type answer struct {
	Out   []byte
	Error string
}

func (h *qemu) enter(ctx context.Context, stdin string, argv ...string) (string, error) {
	deadline, _ := ctx.Deadline()
	if err := h.port.SetDeadline(deadline.Add(10 * time.Second)); err != nil {
		return "", err
	}
	if err := json.NewEncoder(h.port).Encode(order{argv, []byte(stdin)}); err != nil {
		return "", err
	}
	var a answer
	if err := h.answers.Decode(&a); err != nil {
		return "", err
	}
	if a.Error != "" {
		return string(a.Out), errors.New(a.Error)
	}
	return string(a.Out), nil
}

// obey runs inside: it does what comes over the port.
func obey() error {
	var port *os.File
	for end := time.Now().Add(10 * time.Minute); port == nil; time.Sleep(50 * time.Millisecond) { // polls until the bus is scanned
		names, err := filepath.Glob("/dev/vport*p*")
		if err != nil {
			return err
		}
		if len(names) > 0 {
			if port, err = os.OpenFile(names[0], os.O_RDWR, 0); err != nil {
				return err
			}
		}
		if time.Now().After(end) {
			return errors.New("there is no port")
		}
	}
	out, in := json.NewEncoder(port), json.NewDecoder(port)
	if err := out.Encode(answer{}); err != nil {
		return err
	}
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), inside)
		cmd := exec.CommandContext(ctx, o.Argv[0], o.Argv[1:]...)
		cmd.Env, cmd.Stdin, cmd.WaitDelay = environment(), bytes.NewReader(o.Stdin), 5*time.Second
		b, err := cmd.CombinedOutput()
		cancel()
		a := answer{Out: b}
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
