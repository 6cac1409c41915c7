package activation

import (
	"encoding/json"
	"fmt"
	"sync"
)

// Memory is a StateStore that forgets everything with the process. It serves
// tests and programs that embed the agent without a state directory. What it
// returns shares nothing with what was put in, as with a store on disk.
type Memory struct {
	mu    sync.Mutex
	state State
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{state: State{KeySets: map[string][]byte{}}} }

// Load returns a copy of the state.
func (m *Memory) Load() (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.clone()
}

// Apply takes one change as a whole.
func (m *Memory) Apply(c Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, err := m.state.clone()
	if err != nil {
		return err
	}
	next.take(c)
	// The copy must not share slices with the caller either.
	m.state, err = next.clone()
	return err
}

// take applies a change to the state in place.
func (s *State) take(c Change) {
	drop := func(k Key) {
		for i := range s.Records {
			if s.Records[i].Key == k {
				s.Records = append(s.Records[:i], s.Records[i+1:]...)
				return
			}
		}
	}
	for _, k := range c.Delete {
		drop(k)
	}
	for _, r := range c.Put {
		drop(r.Key)
		s.Records = append(s.Records, r)
	}
	for issuer, env := range c.KeySets {
		if s.KeySets == nil {
			s.KeySets = map[string][]byte{}
		}
		s.KeySets[issuer] = env
	}
	if c.Clock != nil {
		s.Clock = *c.Clock
	}
}

// clone is a deep copy by way of JSON, which is also how stores on disk keep
// records: what does not survive that is found in the first test.
func (s State) clone() (State, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return State{}, fmt.Errorf("copying the state: %w", err)
	}
	var c State
	if err := json.Unmarshal(b, &c); err != nil {
		return State{}, fmt.Errorf("copying the state: %w", err)
	}
	if c.KeySets == nil {
		c.KeySets = map[string][]byte{}
	}
	return c, nil
}
