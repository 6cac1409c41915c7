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
	s, err := clone(m.state)
	if s.KeySets == nil {
		s.KeySets = map[string][]byte{}
	}
	return s, err
}

// Apply takes one change as a whole.
func (m *Memory) Apply(c Change) error {
	own, err := clone(c)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.take(own)
	return nil
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
func clone[T any](v T) (T, error) {
	var c T
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fmt.Errorf("activation: copying the state: %w", err)
	}
	return c, nil
}
