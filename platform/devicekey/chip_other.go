//go:build !linux && !windows

package devicekey

// chip is a key in a TPM: not on this system, and Tier says so.
type chip struct{ public []byte }

func makeInChip(string, []byte, func(uint32) error) ([]byte, error) { return nil, ErrNoChip }

func openChip(*turns, string, []byte) (*chip, []byte, error) { return nil, nil, ErrNoChip }

func (*chip) sign([]byte) ([]byte, error) { return nil, ErrChip }

func (*chip) count(bool) (int64, error) { return 0, ErrChip }

func (*chip) close() error { return nil }

func (*chip) counts() bool { return false }

func (*chip) forget() {}

func takeOut(string, uint32) error { return nil }

// DefaultTPM: a TPM has to be asked for.
const DefaultTPM = ""

const tpmOptional = false
