package fingerprint

import (
	"errors"
	"fmt"
)

// Errors of Preset and Policy.Validate.
var (
	ErrUnknownPreset = errors.New("fingerprint: unknown policy preset (strict, balanced, tolerant)")
	ErrPolicy        = errors.New("fingerprint: policy out of range")
)

// Names of the presets. Balanced is the default.
const (
	PresetStrict   = "strict"
	PresetBalanced = "balanced"
	PresetTolerant = "tolerant"
)

// Presets returns the three policies that vendors choose from, by name.
//
// A physical machine has board 3, disks 3, addresses 2 and CPU 1 points. A
// virtual machine is held by its identity (the UUID or serial in the board
// slot, which survives migration) and its address; its disks are often nameless
// and its CPU id changes with the host it runs on, so the CPU has no points.
//
//   - strict: the board is required, one other strong part may change.
//   - balanced: half of the points. On a virtual machine the identity alone
//     reaches that and nothing else does; one without identity needs its
//     address or its disk.
//   - tolerant: four points in ten, that is the board or a disk together with
//     the CPU or an address; a virtual machine may get a new identity as long as
//     its address and a disk stay. One disk alone must not do: cheap controllers
//     share serials.
func Presets() map[string]Policy {
	physical := Weights{Board: 3, Disk: 3, MAC: 2, CPU: 1}
	virtual := Weights{Board: 6, Disk: 2, MAC: 2, CPU: 0}
	return map[string]Policy{
		PresetStrict: {
			Name:     PresetStrict,
			Physical: Profile{Required: []Kind{Board}, Weights: physical, Minimum: 65, Floor: 65},
			Virtual:  Profile{Required: []Kind{Board}, Weights: virtual, Minimum: 65, Floor: 65},
		},
		PresetBalanced: {
			Name:     PresetBalanced,
			Physical: Profile{Required: []Kind{}, Weights: physical, Minimum: 50, Floor: 50},
			Virtual:  Profile{Required: []Kind{}, Weights: virtual, Minimum: 50, Floor: 50},
		},
		PresetTolerant: {
			Name:     PresetTolerant,
			Physical: Profile{Required: []Kind{}, Weights: physical, Minimum: 40, Floor: 33},
			Virtual:  Profile{Required: []Kind{}, Weights: virtual, Minimum: 40, Floor: 33},
		},
	}
}

// Preset returns one of Presets; the empty name is balanced. Error: ErrUnknownPreset.
func Preset(name string) (Policy, error) {
	if name == "" {
		name = PresetBalanced
	}
	if p, ok := Presets()[name]; ok {
		return p, nil
	}
	return Policy{}, fmt.Errorf("%w: %q", ErrUnknownPreset, name)
}

// Validate checks a policy before it is signed: percentages 1..100 (floor
// 0..100), weights 0..1000, at least one strong part with points, required
// parts known, sorted and without repetition. Error: ErrPolicy.
func (p Policy) Validate() error {
	if p.Name == "" || len(p.Name) > 64 {
		return fmt.Errorf("%w: name must have 1 to 64 bytes", ErrPolicy)
	}
	if err := p.Physical.validate(); err != nil {
		return fmt.Errorf("%w (physical profile)", err)
	}
	if err := p.Virtual.validate(); err != nil {
		return fmt.Errorf("%w (virtual profile)", err)
	}
	return nil
}

func (p Profile) validate() error {
	w := p.Weights
	for _, n := range [...]int{w.Board, w.Disk, w.MAC, w.CPU} {
		if n < 0 || n > 1000 {
			return fmt.Errorf("%w: a weight is outside 0..1000", ErrPolicy)
		}
	}
	if w.Board+w.Disk+w.MAC == 0 {
		return fmt.Errorf("%w: board, disk and address have no points", ErrPolicy)
	}
	if p.Minimum < 1 || p.Minimum > 100 || p.Floor < 0 || p.Floor > 100 {
		return fmt.Errorf("%w: a percentage is outside 1..100 (floor 0..100)", ErrPolicy)
	}
	for i, k := range p.Required {
		if k != MAC && k != Disk && k != Board && k != CPU {
			return fmt.Errorf("%w: unknown required part", ErrPolicy)
		}
		if i > 0 && p.Required[i-1] >= k {
			return fmt.Errorf("%w: required parts are not sorted", ErrPolicy)
		}
	}
	return nil
}
