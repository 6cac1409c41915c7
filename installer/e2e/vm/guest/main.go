//go:build linux

// Command guest is process 1 of a throw-away virtual machine: it loads the
// modules it was given, builds the network devices that the machine file asks
// for, runs the agent's fingerprint command as the wanted user, prints what it
// said between two marks and powers the machine off; or it plays with the clock
// of a machine that holds a license. Only the virtual-machine tests use it.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Link is one virtual network device to make before the measurement.
type Link struct {
	Kind    string   `json:"kind"` // bond, bridge, veth, dummy, tun, or "address" to overwrite a MAC
	Name    string   `json:"name"`
	Members []string `json:"members"` // devices to enslave
	MAC     string   `json:"mac"`
	Count   int      `json:"count"` // dummies: how many
}

// Order is what the host asks of the guest, from /order.json.
type Order struct {
	User  string `json:"user"`  // root or nobody
	Disks int    `json:"disks"` // whole disks to wait for
	NICs  int    `json:"nics"`  // network devices with hardware to wait for
	Links []Link `json:"links"`
	Clock []Step `json:"clock"` // instead of the fingerprint: attacks on the clock
	Wrong int64  `json:"wrong"` // with Clock: seconds by which the date is ahead when the agent starts for the first time
	Root  string `json:"root"`  // instead: the disk of a whole system to go on with
}

func main() {
	if err := run(); err != nil {
		fmt.Println("@@FAIL@@", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	for target, fs := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/run": "tmpfs", "/tmp": "tmpfs"} {
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(fs, target, fs, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	if err := loadModules("/mods"); err != nil {
		return err
	}
	var order Order
	b, err := os.ReadFile("/order.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &order); err != nil {
		return err
	}
	if order.Root != "" {
		return enter(order.Root)
	}
	if err := waitForHardware(order); err != nil {
		return err
	}
	for _, l := range order.Links {
		if err := makeLink(l); err != nil {
			return fmt.Errorf("link %s %s: %w", l.Kind, l.Name, err)
		}
	}
	if len(order.Clock) > 0 {
		return clockAttack(order.Wrong, order.Clock)
	}
	start := time.Now()
	cmd := exec.Command("/license-agent", "fingerprint", "--output", "json")
	cmd.Env = []string{"PATH=/", "HOME=/"}
	cmd.Stderr = os.Stdout
	if order.User == "nobody" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("license-agent fingerprint: %w", err)
	}
	// Base64 keeps kernel messages on the same console from corrupting the JSON.
	fmt.Printf("\n@@FP@@%s@@END@@ took %d ms\n", base64.StdEncoding.EncodeToString(out), time.Since(start).Milliseconds())
	return nil
}

func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko*"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		flags := 0
		if !strings.HasSuffix(name, ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && err != unix.EEXIST && err != unix.ENODEV {
			fmt.Println("module", filepath.Base(name), err)
		}
		f.Close()
	}
	return nil
}

// waitForHardware waits until the devices that the machine file lists have
// appeared: buses are scanned in the background after their module is loaded.
func waitForHardware(o Order) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		disks, nics := count("/sys/block/*/device"), count("/sys/class/net/*/device")
		if disks >= o.Disks && nics >= o.NICs {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("hardware missing: %d of %d disks, %d of %d network devices", disks, o.Disks, nics, o.NICs)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func count(glob string) int {
	m, _ := filepath.Glob(glob)
	return len(m)
}
