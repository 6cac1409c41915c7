package merchant

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

const (
	// noticeHold is how long a poll is held open: below the minute after which
	// proxies cut quiet connections.
	noticeHold = 50 * time.Second
	// noticeLook is how often, at most, polls are compared with the database,
	// for what other instances and commands have changed.
	noticeLook = time.Second
)

// hub knows who waits for news about which code.
type hub struct {
	mu      sync.Mutex
	waiting map[string]map[chan struct{}]bool // by code id
	count   int
	since   int64         // UTC second up to which the database was looked at
	over    chan struct{} // closed when nobody shall wait any more
	once    sync.Once
}

func newHub() hub {
	return hub{waiting: map[string]map[chan struct{}]bool{}, over: make(chan struct{})}
}

// end answers everybody who waits, and who comes later at once: a server that
// is told to stop must not stay for a poll.
func (h *hub) end() { h.once.Do(func() { close(h.over) }) }

// join starts to wait; false when too many do. The channel is closed at news.
func (h *hub) join(code string, limit int) (news chan struct{}, leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count >= limit {
		return nil, nil, false
	}
	h.count++
	c := make(chan struct{})
	if h.waiting[code] == nil {
		h.waiting[code] = map[chan struct{}]bool{}
	}
	h.waiting[code][c] = true
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.count--
		delete(h.waiting[code], c)
		if len(h.waiting[code]) == 0 {
			delete(h.waiting, code)
		}
	}, true
}

// tell wakes everybody who waits for news about a code.
func (h *hub) tell(code string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.waiting[code] {
		close(c)
	}
	delete(h.waiting, code)
}

func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// committed tells who waits after a transaction is durable.
func (s *Service) committed(t *tx) {
	for _, code := range t.news {
		s.hub.tell(code)
	}
	if t.work {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// WatchNotices looks for what other instances and commands have changed, while
// anybody waits, until ctx ends. serve runs it beside Work.
func (s *Service) WatchNotices(ctx context.Context) {
	tick := time.NewTicker(noticeLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.metrics.market.polls.Set(float64(s.hub.size()))
			if err := s.lookForNews(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("looking for news failed; it is tried again", "error", err)
			}
		}
	}
}

// lookForNews wakes the polls of codes that changed since it looked last. Each
// poll then reads its own row, so that being woken too often costs a query only.
func (s *Service) lookForNews(ctx context.Context) error {
	if s.hub.size() == 0 {
		return nil
	}
	// Clocks of instances differ a little, and a transaction may commit later
	// than its second: look back over both.
	s.hub.mu.Lock()
	since := s.hub.since - 10
	s.hub.since = s.clock().Unix()
	s.hub.mu.Unlock()
	rows, err := s.db.read.QueryContext(ctx, `SELECT id FROM codes WHERE news_at >= $1`, since)
	if err != nil {
		return fmt.Errorf("merchant: news: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("merchant: news: %w", err)
		}
		s.hub.tell(id)
	}
	return rows.Err()
}

// standpoint is what a poll needs to know of a license.
type standpoint struct {
	code string
	key  license.PublicKey
	news bool // the device was not told the newest
}

func (s *Service) standpoint(ctx context.Context, id string) (standpoint, error) {
	var p standpoint
	var news, told int64
	var status, noticed string
	rows, err := s.db.read.QueryContext(ctx, `SELECT a.code_id, a.device_alg, a.device_pub, a.status, a.noticed, a.told, c.news
		FROM activations a JOIN codes c ON c.id = a.code_id WHERE a.license_id = $1`, id)
	if err != nil {
		return p, s.databaseFailed(fmt.Errorf("merchant: notices: %w", err))
	}
	defer rows.Close()
	if !rows.Next() {
		// A database that went away has not said that there is no such license.
		if err := rows.Err(); err != nil {
			return p, s.databaseFailed(fmt.Errorf("merchant: notices: %w", err))
		}
		return p, refuse(protocol.CodeUnknownLicense)
	}
	if err := rows.Scan(&p.code, &p.key.Alg, &p.key.Pub, &status, &noticed, &told, &news); err != nil {
		return p, fmt.Errorf("merchant: notices: %w", err)
	}
	over := noticed == license.NoticeReleased || noticed == license.NoticeRevoked
	p.news = news > told || status != statusActive && !over
	return p, rows.Err()
}

// notices answers GET /v1/activations/{id}/notices: whether the device should
// renew now because something changed. It is held open until that is so, or
// until noticeHold has passed.
func (h *handler) notices(w http.ResponseWriter, r *http.Request) error {
	s, id := h.svc, r.PathValue("id")
	if s.opts.Notices <= 0 {
		return refuse(protocol.CodeNotFound)
	}
	at, err := s.standpoint(r.Context(), id)
	if err != nil {
		return err
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	envelope, err := base64.StdEncoding.DecodeString(token)
	if err != nil || scheme != protocol.SchemePoll {
		return refuse(protocol.CodeBadSignature)
	}
	poll, err := license.OpenPoll(at.key, envelope)
	if err != nil || poll.License != id {
		return refuse(protocol.CodeBadSignature)
	}
	if poll.Issuer != s.issuer {
		return refuse(protocol.CodeWrongIssuer)
	}
	news, err := s.await(r.Context(), at.code, id, func() error {
		// The server's usual limit would cut what is meant to wait.
		return http.NewResponseController(w).SetWriteDeadline(time.Time{})
	})
	if err != nil {
		return err
	}
	body, err := json.Marshal(protocol.News{News: news})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", protocol.ContentError)
	h.write(w, append(body, '\n'))
	return nil
}

// await waits for news about a license. It starts to wait before it looks, so
// that nothing falls between.
func (s *Service) await(ctx context.Context, code, id string, patience func() error) (bool, error) {
	end := time.NewTimer(noticeHold)
	defer end.Stop()
	for {
		news, leave, ok := s.hub.join(code, s.opts.Notices)
		if !ok {
			return false, &Refusal{Code: protocol.CodeRateLimited, After: 300 + s.spread(300)}
		}
		at, err := s.standpoint(ctx, id)
		if ctx.Err() != nil { // hung up while the database was asked: nobody's failure
			leave()
			return false, nil
		}
		if err != nil || at.news {
			leave()
			return at.news, err
		}
		if err := patience(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			leave()
			return false, err
		}
		select {
		case <-news:
			leave()
		case <-end.C:
			leave()
			return false, nil
		case <-s.hub.over:
			leave()
			return false, nil
		case <-ctx.Done():
			leave()
			return false, nil
		}
	}
}
