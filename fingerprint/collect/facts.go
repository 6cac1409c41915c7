package collect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jaypipes/ghw"
	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/net"
)

// facts is what the second sources say. It travels as JSON from the child
// process that asks them on Windows.
type facts struct {
	Board      string      `json:"board,omitempty"`      // ghw Baseboard
	Disks      []namedFact `json:"disks,omitempty"`      // ghw Block
	NICs       []namedFact `json:"nics,omitempty"`       // ghw Network
	Interfaces []namedFact `json:"interfaces,omitempty"` // gopsutil net
	CPU        cpuFact     `json:"cpu"`                  // gopsutil cpu
	System     string      `json:"system,omitempty"`     // gopsutil virtualisation: "kvm", "docker", …
	Role       string      `json:"role,omitempty"`       // "host" or "guest"
	Errors     []string    `json:"errors,omitempty"`     // sources that failed, and how
}

// namedFact is a value of a device that has a name.
type namedFact struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// cpuFact is what gopsutil says about the first processor.
type cpuFact struct {
	ID       string `json:"id,omitempty"` // ProcessorId; on Windows only
	Family   string `json:"family,omitempty"`
	Model    string `json:"model,omitempty"`
	Stepping int32  `json:"stepping,omitempty"`
}

// askAll asks each source in turn, each with its own limit and behind a
// recover. root is the root of a recorded machine or "". Not asked is
// gopsutil's HostID, which silently changes its source (product UUID,
// machine id, boot id), and its disk serial, which for all but the first NVMe
// disk is another disk's.
func askAll(ctx context.Context, root string, limit time.Duration) facts {
	options := []any{ghw.WithDisableTools(), ghw.WithDisableWarnings()}
	if root != "" {
		options = append(options, ghw.WithChroot(root))
		ctx = context.WithValue(ctx, common.EnvKey, common.EnvMap{
			common.HostProcEnvKey: root + "/proc", common.HostSysEnvKey: root + "/sys",
			common.HostRunEnvKey: root + "/run", common.HostEtcEnvKey: root + "/etc",
			common.HostRootEnvKey: root,
		})
	}
	var f facts
	f.Board = ask(ctx, &f, "ghw baseboard", limit, func(context.Context) (string, error) {
		info, err := ghw.Baseboard(options...)
		if err != nil {
			return "", err
		}
		return known(info.SerialNumber), nil
	})
	f.Disks = ask(ctx, &f, "ghw block", limit, func(context.Context) ([]namedFact, error) {
		info, err := ghw.Block(options...)
		if err != nil {
			return nil, err
		}
		var out []namedFact
		for _, d := range info.Disks {
			if !d.IsRemovable {
				out = append(out, namedFact{d.Name, known(d.SerialNumber)})
			}
		}
		return out, nil
	})
	f.NICs = ask(ctx, &f, "ghw network", limit, func(context.Context) ([]namedFact, error) {
		info, err := ghw.Network(options...)
		if err != nil {
			return nil, err
		}
		var out []namedFact
		for _, n := range info.NICs {
			if !n.IsVirtual {
				out = append(out, namedFact{n.Name, known(n.MACAddress)})
			}
		}
		return out, nil
	})
	f.CPU = ask(ctx, &f, "gopsutil cpu", limit, func(ctx context.Context) (cpuFact, error) {
		info, err := cpu.InfoWithContext(ctx)
		if err != nil || len(info) == 0 {
			return cpuFact{}, err
		}
		id := known(info[0].PhysicalID)
		if len(id) != 16 { // on Linux it is the number of the socket
			id = ""
		}
		return cpuFact{id, info[0].Family, info[0].Model, info[0].Stepping}, nil
	})
	if root != "" {
		// gopsutil lists the interfaces of the running kernel whatever the
		// context says, and remembers its first virtualisation result for
		// the whole process.
		return f
	}
	f.Interfaces = ask(ctx, &f, "gopsutil interfaces", limit, func(ctx context.Context) ([]namedFact, error) {
		list, err := net.InterfacesWithContext(ctx)
		var out []namedFact
		for _, i := range list {
			out = append(out, namedFact{i.Name, i.HardwareAddr})
		}
		return out, err
	})
	virt := ask(ctx, &f, "gopsutil virtualisation", limit, func(ctx context.Context) ([2]string, error) {
		system, role, err := host.VirtualizationWithContext(ctx)
		return [2]string{system, role}, err
	})
	f.System, f.Role = virt[0], virt[1]
	return f
}

// ask runs one source. Neither library stops when its context ends, so the
// source runs in a goroutine that may be left behind.
func ask[T any](ctx context.Context, f *facts, name string, limit time.Duration, source func(context.Context) (T, error)) T {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	a, err := new(slot[answer]).start(func() answer {
		v, err := source(ctx)
		return answer{v, err}
	}).wait(ctx)
	if err == nil {
		err = a.err
	}
	if err != nil {
		var zero T
		f.Errors = append(f.Errors, fmt.Sprintf("%s: %v", name, err))
		return zero
	}
	return a.value
}

// known makes nothing of the texts by which ghw says that it could not read.
func known(s string) string {
	s = strings.TrimSpace(s)
	switch strings.ToLower(s) {
	case "unknown", "n/a":
		return ""
	}
	return s
}
