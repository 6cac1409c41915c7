package activationtest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/fingerprint"
)

// Start is when test clocks start: 2026-06-01T00:00:00Z.
const Start = 1780272000

// Clock is the clocks of one machine, moved by the test. It is safe for
// concurrent use.
type Clock struct {
	mu    sync.Mutex
	r     activation.Reading
	boots int
}

// NewClock starts at Start, ten minutes after a boot.
func NewClock() *Clock {
	return &Clock{r: activation.Reading{Wall: Start, Boot: 600, BootID: "boot-0"}}
}

// Read is activation.Config.Clock.
func (c *Clock) Read() activation.Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r
}

// Wall is the wall clock, for merchants.
func (c *Clock) Wall() int64 { return c.Read().Wall }

// Advance lets time pass on both clocks.
func (c *Clock) Advance(seconds int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Wall += seconds
	c.r.Boot += seconds
}

// SetWall changes the wall clock alone.
func (c *Clock) SetWall(t int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r.Wall = t
}

// Reboot starts a new boot that has run for uptime seconds; the wall clock goes
// on by off seconds.
func (c *Clock) Reboot(off, uptime int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boots++
	c.r = activation.Reading{Wall: c.r.Wall + off, Boot: uptime, BootID: fmt.Sprintf("boot-%d", c.boots)}
}

// Machine is a computer with its own clock, hardware and device key, and an
// agent's state.
type Machine struct {
	Name  string
	Clock *Clock
	Store activation.StateStore
	Key   license.Signer

	mu     sync.Mutex
	device fingerprint.Device
	rand   *rand.ChaCha8
}

// NewMachine makes a machine whose serials follow from its name.
func NewMachine(name string) *Machine {
	m := &Machine{Name: name, Clock: NewClock(), Store: activation.NewMemory(), Key: Signer("device " + name)}
	m.device = Hardware(name)
	m.rand = rand.NewChaCha8([32]byte([]byte(hash("rand", name))))
	return m
}

// Copy is another machine that runs a copy of this one's state and key on the
// same hardware: a restored snapshot. its name seeds its randomness.
func (m *Machine) Copy(name string) (*Machine, error) {
	state, err := m.Store.Load()
	if err != nil {
		return nil, err
	}
	store := activation.NewMemory()
	if err := store.Apply(activation.Change{Put: state.Records, KeySets: state.KeySets, Clock: &state.Clock}); err != nil {
		return nil, err
	}
	c := NewMachine(name)
	c.Clock, c.Store, c.Key, c.device = m.Clock, store, m.Key, m.Device()
	return c, nil
}

// Hardware is a physical machine whose serials follow from a name.
func Hardware(name string) fingerprint.Device {
	id := hash("hardware", name)
	ok := func(k fingerprint.Kind, text string) fingerprint.Component {
		return fingerprint.Component{Kind: k, State: fingerprint.OK, Values: []fingerprint.Value{{Text: text, Source: "test"}}}
	}
	return fingerprint.Device{
		MAC:   ok(fingerprint.MAC, fmt.Sprintf("00:1B:21:%s:%s:%s", id[0:2], id[2:4], id[4:6])),
		Disk:  ok(fingerprint.Disk, "S4EVNX0R"+id[6:14]),
		Board: ok(fingerprint.Board, "PF2WX"+id[14:20]),
		CPU:   ok(fingerprint.CPU, "BFEBFBFF000906EA"),
		Env:   fingerprint.Environment{Kind: fingerprint.Physical, Reason: "test"},
	}
}

// Device is activation.Config.Observe.
func (m *Machine) Device() fingerprint.Device {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.device
}

// Change alters the hardware.
func (m *Machine) Change(f func(*fingerprint.Device)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.device)
}

// Lone makes the machine a virtual one that shows one network address and
// nothing else to know it by.
func (m *Machine) Lone(mac string) {
	m.Change(func(d *fingerprint.Device) {
		d.Env.Kind = fingerprint.Virtual
		d.Board = fingerprint.Component{Kind: fingerprint.Board, State: fingerprint.Absent}
		d.Disk = fingerprint.Component{Kind: fingerprint.Disk, State: fingerprint.Absent}
		d.MAC = fingerprint.Component{Kind: fingerprint.MAC, State: fingerprint.OK, Values: []fingerprint.Value{{Text: mac, Source: "test"}}}
	})
}

// Read is activation.Config.Rand.
func (m *Machine) Read(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rand.Read(b)
}

// Config is an agent on this machine that knows the given merchants.
func (m *Machine) Config(merchants ...*Merchant) activation.Config {
	cfg := activation.Config{
		Store: m.Store, Device: m.Key, Observe: m.Device, Clock: m.Clock.Read, Rand: m, AgentVersion: "test",
		Issuer: func(issuer string) (activation.Issuer, error) {
			for _, one := range merchants {
				if one.issuer == issuer {
					return one, nil
				}
			}
			return nil, activation.ErrUnknownIssuer
		},
	}
	for _, one := range merchants {
		cfg.Anchors = append(cfg.Anchors, one.Anchor())
	}
	return cfg
}

// Agent starts the life cycle on this machine.
func (m *Machine) Agent(merchants ...*Merchant) (*activation.Lifecycle, error) {
	return activation.New(m.Config(merchants...))
}
