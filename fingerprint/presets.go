package fingerprint

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
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

// ParsePolicy reads the name of a preset ("" is balanced), or a policy of the
// vendor's own in JSON as licenses carry it. Every member must be there and
// none besides, so that a misspelt weight is not silently 0. Errors:
// ErrUnknownPreset, ErrPolicy.
func ParsePolicy(text string) (Policy, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return Preset(text)
	}
	var p Policy
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	if d.More() {
		return p, fmt.Errorf("%w: something follows the policy", ErrPolicy)
	}
	// A missing weight would silently be 0: what was read must say all there is.
	said, all := any(nil), any(nil)
	whole, err := json.Marshal(p)
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(text), &said), json.Unmarshal(whole, &all))
	}
	if err != nil || !reflect.DeepEqual(said, all) {
		return p, fmt.Errorf("%w: name, phys and virt with req (a list), w (board, disk, mac, cpu), min and floor are all needed", ErrPolicy)
	}
	return p, p.Validate()
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
