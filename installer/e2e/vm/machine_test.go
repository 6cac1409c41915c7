//go:build vm

// Package vm boots machines whose hardware we choose (QEMU in software, a
// Debian kernel, the static agent) and compares what the agent says of them,
// byte for byte. README.md beside this file describes the machine files.
package vm

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine is one file: a boot, and for some a second boot after a change.
type machine struct {
	About string `json:"about"`
	Arch  string `json:"arch"` // amd64 or arm64
	hardware
	Expect expectation `json:"expect"`
	Second *second     `json:"second"`
}

type hardware struct {
	Firmware string                       `json:"firmware"` // "" as the machine type has it, or uefi
	CPU      string                       `json:"cpu"`
	UUID     string                       `json:"uuid"`
	SMBIOS   map[string]map[string]string `json:"smbios"` // table type → field → value
	Disks    []disk                       `json:"disks"`
	NICs     []nic                        `json:"nics"`
	Links    []map[string]any             `json:"links"`
	User     string                       `json:"user"` // root (default) or nobody
}

type disk struct {
	Bus        string `json:"bus"` // nvme, sata, virtio, scsi, usb
	Serial     string `json:"serial"`
	WWN        string `json:"wwn"`
	Namespaces int    `json:"namespaces"`
	Removable  bool   `json:"removable"`
}

type nic struct {
	Model string `json:"model"` // a QEMU device: e1000, e1000e, virtio-net-pci, usb-net
	MAC   string `json:"mac"`
}

type expectation struct {
	String string            `json:"string"`
	States map[string]string `json:"states"` // part → ok, absent, unreadable, placeholder
}

type second struct {
	raw     json.RawMessage
	Expect  expectation `json:"expect"`
	Verdict struct {
		Outcome string   `json:"outcome"` // of the comparison: same, different, indeterminate
		Phase   string   `json:"phase"`   // of the decision on a running license
		Flags   []string `json:"flags"`
	} `json:"verdict"`
}

func (s *second) UnmarshalJSON(b []byte) error {
	type plain second
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return err
	}
	s.raw = slices.Clone(b)
	return nil
}

// changed is the hardware of the second boot: what the file says there
// replaces what it said first, list by list.
func (m machine) changed() (hardware, error) {
	h := m.hardware
	err := json.Unmarshal(m.Second.raw, &h)
	return h, err
}

func loadMachines(t *testing.T, dir string) map[string]machine {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no machine file (*.json) in %s", dir)
	}
	out := map[string]machine{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var m machine
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = m
	}
	return out
}

// escape doubles commas, QEMU's own quoting of option values.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

// arguments turns hardware into QEMU options. dir receives the disk images.
func (h hardware) arguments(arch, dir string) ([]string, error) {
	args := []string{"-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-smp", "2"}
	switch arch {
	case "amd64":
		args = append(args, "-M", "q35,accel=tcg", "-m", "384")
	case "arm64":
		args = append(args, "-M", "virt,gic-version=3,accel=tcg", "-m", "512")
	default:
		return nil, fmt.Errorf("unknown architecture %q", arch)
	}
	args = append(args, "-cpu", h.cpu(arch))
	if h.Firmware == "uefi" {
		args = append(args, "-bios", map[string]string{"amd64": "/usr/share/ovmf/OVMF.fd", "arm64": "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"}[arch])
	}
	if h.UUID != "" {
		args = append(args, "-uuid", h.UUID)
	}
	for _, typ := range slices.Sorted(maps.Keys(h.SMBIOS)) {
		opt := "type=" + typ
		for _, field := range slices.Sorted(maps.Keys(h.SMBIOS[typ])) {
			opt += "," + field + "=" + escape(h.SMBIOS[typ][field])
		}
		args = append(args, "-smbios", opt)
	}
	args = append(args, h.controllers()...)
	for i, d := range h.Disks {
		more, err := d.arguments(i, dir)
		if err != nil {
			return nil, err
		}
		args = append(args, more...)
	}
	for i, n := range h.NICs {
		rom := ",romfile="
		if n.Model == "usb-net" {
			rom = ",bus=xhci.0"
		}
		args = append(args, "-netdev", fmt.Sprintf("user,id=e%d,restrict=on", i), "-device", fmt.Sprintf("%s,netdev=e%d,mac=%s%s", n.Model, i, n.MAC, rom))
	}
	return args, nil
}

func (h hardware) cpu(arch string) string {
	if h.CPU != "" {
		return h.CPU
	}
	return map[string]string{"amd64": "qemu64", "arm64": "cortex-a72"}[arch]
}

// controllers returns the host adapters that the disks and NICs hang on.
func (h hardware) controllers() []string {
	need := map[string]bool{}
	for _, d := range h.Disks {
		need[d.Bus] = true
	}
	for _, n := range h.NICs {
		need["usb"] = need["usb"] || n.Model == "usb-net"
	}
	var args []string
	for _, c := range [][2]string{{"sata", "ich9-ahci,id=ahci"}, {"scsi", "virtio-scsi-pci,id=scsi"}, {"usb", "qemu-xhci,id=xhci"}} {
		if need[c[0]] {
			args = append(args, "-device", c[1])
		}
	}
	return args
}

func (d disk) arguments(i int, dir string) ([]string, error) {
	image := func(n int) (string, error) {
		f := filepath.Join(dir, fmt.Sprintf("d%d-%d.img", i, n))
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			return "", err
		}
		return f, os.Truncate(f, 8<<20)
	}
	var args []string
	for n := range max(d.Namespaces, 1) {
		f, err := image(n)
		if err != nil {
			return nil, err
		}
		args = append(args, "-drive", fmt.Sprintf("if=none,id=d%d-%d,file=%s,format=raw,cache=unsafe", i, n, f))
	}
	serial := ""
	if d.Serial != "" {
		serial = ",serial=" + escape(d.Serial)
	}
	wwn := ""
	if d.WWN != "" {
		wwn = ",wwn=" + d.WWN
	}
	drive := fmt.Sprintf("drive=d%d-0", i)
	switch d.Bus {
	case "nvme":
		if d.Namespaces < 2 {
			return append(args, "-device", "nvme,"+drive+serial), nil
		}
		args = append(args, "-device", fmt.Sprintf("nvme,id=nvme%d%s", i, serial))
		for n := range d.Namespaces {
			args = append(args, "-device", fmt.Sprintf("nvme-ns,drive=d%d-%d,bus=nvme%d,nsid=%d", i, n, i, n+1))
		}
		return args, nil
	case "sata":
		return append(args, "-device", fmt.Sprintf("ide-hd,%s,bus=ahci.%d%s%s", drive, i, serial, wwn)), nil
	case "scsi":
		return append(args, "-device", "scsi-hd,bus=scsi.0,"+drive+serial+wwn), nil
	case "virtio":
		return append(args, "-device", "virtio-blk-pci,"+drive+serial), nil
	case "usb":
		removable := ""
		if d.Removable {
			removable = ",removable=on"
		}
		return append(args, "-device", "usb-storage,bus=xhci.0,"+drive+serial+removable), nil
	}
	return nil, fmt.Errorf("unknown disk bus %q", d.Bus)
}
