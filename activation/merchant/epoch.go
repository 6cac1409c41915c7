package merchant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// Epochs. A restored database is older than the devices that contacted after
// the backup was made: their position of the chain is one it has never heard
// of, which is what a copied device looks like. Opening a new epoch says that
// the database went back. Each seat may then be ahead once: it is accepted at
// the position of its last signed reply, if this service made that reply.
//
// Whether it did is seen from the head of the position itself, which is in
// every signed reply and in every request: half of it is random, the other
// half is a MAC over license, position and randomness under a key of the
// service. The device key signs the request, so that nobody else can show the
// head, and nobody at all can make one up. Two copies of a device that are both
// ahead are told apart as ever: the second one finds the seat taken.

// headRandom is how many bytes of a head are random; as many are the MAC.
const headRandom = 16

// newHead draws the head of a position.
func (t *tx) newHead(licenseID string, seq int64) (string, error) {
	fresh := make([]byte, headRandom)
	if _, err := io.ReadFull(t.svc.opts.Rand, fresh); err != nil {
		return "", fmt.Errorf("merchant: chain: %w", err)
	}
	return hex.EncodeToString(append(fresh, t.svc.headMAC(licenseID, seq, fresh)...)), nil
}

// strayHead draws a head for a copy that stands beside the chain: no later
// epoch may take it for a position of ours.
func (t *tx) strayHead() (string, error) {
	fresh := make([]byte, 2*headRandom)
	if _, err := io.ReadFull(t.svc.opts.Rand, fresh); err != nil {
		return "", fmt.Errorf("merchant: chain: %w", err)
	}
	return hex.EncodeToString(fresh), nil
}

// headMAC is under a key derived from that of the code lookup, which a restored
// service needs anyway.
func (s *Service) headMAC(licenseID string, seq int64, fresh []byte) []byte {
	mac := hmac.New(sha256.New, s.pepper)
	mac.Write([]byte("chain\n" + licenseID + "\n" + strconv.FormatInt(seq, 10) + "\n"))
	mac.Write(fresh)
	return mac.Sum(nil)[:headRandom]
}

// issued says whether a head is one that this service gave to a position.
func (s *Service) issued(licenseID string, seq int64, head string) bool {
	raw, err := hex.DecodeString(head)
	return err == nil && len(raw) == 2*headRandom &&
		hmac.Equal(raw[headRandom:], s.headMAC(licenseID, seq, raw[:headRandom]))
}

// reaccepted moves a seat to the position of a device that is ahead of it,
// once in an epoch. Without an epoch nothing is ahead of an honest database, so
// that a device which is shows that the database went back unnoticed.
func (t *tx) reaccepted(s *seat, in *incoming) (bool, error) {
	if in.req.Seq <= s.seq || !t.svc.issued(s.license, in.req.Seq, in.req.Head) {
		return false, nil
	}
	if s.epoch >= t.epoch {
		t.svc.report(problemBehind, s.license)
		return false, nil
	}
	was := s.seq
	s.seq, s.head, s.epoch = in.req.Seq, in.req.Head, t.epoch
	return true, t.audit(in.actor(), "seat.reaccept", s.license, map[string]any{"epoch": t.epoch, "was": was, "claimed": in.req.Seq})
}

// OpenEpoch says that the database was put back to an earlier state: devices
// ahead of it are accepted once by the position of their last signed reply.
// It returns the number of the epoch.
func (s *Service) OpenEpoch(ctx context.Context, reason string) (int64, error) {
	var epoch int64
	err := s.change(ctx, func(t *tx) error {
		epoch = t.epoch + 1
		if _, err := t.exec(`INSERT INTO settings (name, value) VALUES ('epoch', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, strconv.FormatInt(epoch, 10)); err != nil {
			return err
		}
		return t.audit(t.by, "epoch.open", strconv.FormatInt(epoch, 10), map[string]any{"reason": reason})
	})
	return epoch, err
}
