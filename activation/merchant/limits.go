package merchant

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Guessing limits: an address may send this many wrong codes at once and gets
// one more per interval, whichever instances of the service it reaches. Our own
// codes, of 120 bits, cannot be guessed anyway; how long a marketplace's are is
// nowhere written. The limit also keeps the database and the marketplace out of
// the game and makes an attempt visible.
const (
	guessBurst    = 10
	guessInterval = 30 // seconds
)

// address is the unit that is counted: an IPv4 address, or an IPv6 /64, which
// is what one customer gets.
func address(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}

// addressName is an address as the database knows it.
func (s *Service) addressName(addr string) string {
	mac := hmac.New(sha256.New, s.pepper)
	mac.Write([]byte("address\n" + addr))
	return hex.EncodeToString(mac.Sum(nil))
}

// guessWait returns 0 when an address may try a code, else for how many seconds
// it must wait.
func (s *Service) guessWait(ctx context.Context, addr string) (int64, error) {
	var clear int64
	err := s.db.read.QueryRowContext(ctx, `SELECT clear FROM guesses WHERE address = $1`, s.addressName(addr)).Scan(&clear)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, s.databaseFailed(fmt.Errorf("merchant: guesses: %w", err))
	}
	return max(0, clear-s.clock().Unix()-(guessBurst-1)*guessInterval), nil
}

// guessedWrong counts a wrong code: it is forgiven one interval after those
// before it. What is refused by guessWait is not counted, so that an address
// costs no more writes than its limit allows.
func (s *Service) guessedWrong(ctx context.Context, addr string) error {
	name := s.addressName(addr)
	return s.changeLocking(context.WithoutCancel(ctx), "guess "+name, func(t *tx) error {
		_, err := t.exec(`INSERT INTO guesses (address, clear) VALUES ($1, $2) ON CONFLICT (address) DO UPDATE
			SET clear = CASE WHEN guesses.clear > $3 THEN guesses.clear ELSE $3 END + $4`, name, t.now+guessInterval, t.now, guessInterval)
		return err
	})
}
