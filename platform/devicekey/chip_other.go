//go:build !linux

package devicekey

// chip is a key in a TPM. On Windows the platform's own key store would be its
// home; until that is tested on real hardware there is no chip, and Tier says so.
type chip struct{ public []byte }

func makeInChip(string, []byte) ([]byte, error) { return nil, ErrNoChip }

func openChip(string, []byte) (*chip, []byte, error) { return nil, nil, ErrNoChip }

func (*chip) sign([]byte) ([]byte, error) { return nil, ErrChip }

func (*chip) count(bool) (int64, error) { return 0, ErrChip }

func (*chip) close() error { return nil }
