package collect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"licenseagent.example/fingerprint"
)

// compare says in words where the second sources disagree with what was read
// directly. What they cannot see is no disagreement: ghw has no address for a
// bond's member or an adapter whose address was changed (ghw issue 367), no
// disk serial without udev's database (ghw issue 59), and says "unknown" for
// every file that it may not read.
func compare(d fingerprint.Device, f facts) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }

	if f.Board != "" {
		if _, dummy := fingerprint.IsPlaceholder(fingerprint.Board, f.Board); !dummy && !mentions(d.Board, f.Board) {
			note("board: ghw sees serial %s, which was not read directly", fingerprint.Mask(f.Board))
		}
	}
	for _, g := range f.Disks {
		if ours, ok := textOf(d.Disk, g.Name); ok && g.Text != "" && !sameSerial(ours, g.Text) {
			note("disk %s: ghw sees serial %s, read directly was %s", g.Name, fingerprint.Mask(g.Text), fingerprint.Mask(ours.Text))
		}
	}
	for _, g := range f.NICs {
		if ours, ok := textOf(d.MAC, g.Name); ok && g.Text != "" && !strings.EqualFold(ours.Text, g.Text) {
			note("mac %s: ghw sees %s, the permanent address is %s", g.Name, fingerprint.Mask(g.Text), fingerprint.Mask(ours.Text))
		}
	}
	if len(f.Interfaces) > 0 {
		for _, v := range d.MAC.Values {
			i := slices.IndexFunc(f.Interfaces, func(g namedFact) bool { return from(v.Source, g.Name) })
			switch {
			case i < 0:
				note("mac: gopsutil does not list the interface of %q", v.Source)
			case f.Interfaces[i].Text != "" && !strings.EqualFold(f.Interfaces[i].Text, v.Text):
				note("mac %s: in use is %s, the permanent address is %s", f.Interfaces[i].Name, fingerprint.Mask(f.Interfaces[i].Text), fingerprint.Mask(v.Text))
			}
		}
	}
	notes = append(notes, compareCPU(d.CPU, f.CPU)...)
	notes = append(notes, compareEnv(d.Env, f.System, f.Role)...)
	for _, e := range f.Errors {
		note("cross-check: %s", e)
	}
	return notes
}

// compareCPU holds the signature inside the CPU id against what gopsutil says.
// The ids are model codes, not personal, and are shown in full.
func compareCPU(c fingerprint.Component, f cpuFact) []string {
	if c.State != fingerprint.OK {
		return nil
	}
	id := c.Values[0].Text
	if f.ID != "" {
		if !strings.EqualFold(id, f.ID) {
			return []string{fmt.Sprintf("cpu: gopsutil sees ProcessorId %s, read directly was %s", f.ID, id)}
		}
		return nil
	}
	family, model, stepping, ok := signature(id)
	theirFamily, err1 := strconv.Atoi(f.Family)
	theirModel, err2 := strconv.Atoi(f.Model)
	if !ok || err1 != nil || err2 != nil {
		return nil // ARM, or /proc/cpuinfo without numbers
	}
	if family != theirFamily || model != theirModel || stepping != int(f.Stepping) {
		return []string{fmt.Sprintf("cpu: gopsutil sees family %d model %d stepping %d, the id %s says %d %d %d",
			theirFamily, theirModel, f.Stepping, id, family, model, stepping)}
	}
	return nil
}

// signature takes family, model and stepping out of EAX of CPUID leaf 1 (Intel
// SDM volume 2A, "CPUID—CPU Identification").
func signature(id string) (family, model, stepping int, ok bool) {
	if len(id) != 16 {
		return 0, 0, 0, false
	}
	n, err := strconv.ParseUint(id[8:], 16, 32)
	if err != nil || n == 0 {
		return 0, 0, 0, false
	}
	eax := int(n)
	family, model, stepping = eax>>8&0xf, eax>>4&0xf, eax&0xf
	if family == 6 || family == 15 {
		model |= eax >> 12 & 0xf0
	}
	if family == 15 {
		family += eax >> 20 & 0xff
	}
	return family, model, stepping, true
}

// compareEnv notes another opinion on the class of machine. gopsutil takes a
// stray /.dockerenv for a container, so a disagreement is only a hint.
func compareEnv(e fingerprint.Environment, system, role string) []string {
	if role != "guest" || system == "" {
		return nil
	}
	container := slices.Contains([]string{"docker", "lxc", "lxc-libvirt", "systemd-nspawn", "rkt", "container-other", "openvz", "linux-vserver", "wsl"}, system)
	theirs := fingerprint.Virtual
	if container {
		theirs = fingerprint.Container
	}
	if theirs == e.Kind {
		return nil
	}
	return []string{fmt.Sprintf("env: gopsutil says %s, decided was %s (%s)", system, e.Kind, e.Reason)}
}

// from says whether a source names the device. Windows spells a disk
// \\.\PHYSICALDRIVE0 where we say PhysicalDrive0.
func from(source, name string) bool {
	name = " " + strings.TrimPrefix(name, `\\.\`)
	return len(source) >= len(name) && strings.EqualFold(source[len(source)-len(name):], name)
}

// textOf finds the value of a part that was read from the named device, used or not.
func textOf(c fingerprint.Component, name string) (fingerprint.Value, bool) {
	for _, v := range c.Values {
		if from(v.Source, name) {
			return v, true
		}
	}
	for _, r := range c.Rejected {
		if r.Text != "" && from(r.Source, name) {
			return fingerprint.Value{Text: r.Text, Source: r.Source}, true
		}
	}
	return fingerprint.Value{}, false
}

// mentions says whether a text is anywhere in what was read for a part.
func mentions(c fingerprint.Component, text string) bool {
	want := fingerprint.Canonical(text)
	for _, v := range c.Values {
		for _, t := range append([]string{v.Text}, v.Alt...) {
			if fingerprint.Canonical(t) == want {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.Rejected, func(r fingerprint.Rejected) bool { return fingerprint.Canonical(r.Text) == want })
}

// sameSerial compares a directly read serial with ghw's, which comes from
// udev's database: udev replaces blanks by underscores.
func sameSerial(v fingerprint.Value, theirs string) bool {
	fold := func(s string) string { return strings.ReplaceAll(fingerprint.Canonical(s), " ", "_") }
	return slices.ContainsFunc(append([]string{v.Text}, v.Alt...), func(s string) bool { return fold(s) == fold(theirs) })
}
