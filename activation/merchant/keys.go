package merchant

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
)

const day = 86400 // seconds

// Lifetimes of keys.
const (
	// keySetLife is how long a published key set is good for: the longest that
	// package license accepts, because an expired set stops every renewal.
	keySetLife = 400 * day
	// DefaultLead is how long before its first use a new key is published, so
	// that devices that are seldom on line meet it in time.
	DefaultLead = 7 * day
	// versionsPerEpoch is how far each epoch moves the numbers of key sets on.
	versionsPerEpoch = 1000
)

var (
	// ErrInitialised is returned when keys are created where some exist.
	ErrInitialised = errors.New("merchant: this data directory is already initialised")
	// ErrNotInitialised is returned when keys are needed and none were created.
	ErrNotInitialised = errors.New("merchant: not initialised, run init first")
	// ErrRoots is returned when fewer root keys are at hand than must sign.
	ErrRoots = errors.New("merchant: not enough root keys at hand")
)

// keyState is what answers are signed with: the newest key set and the private
// keys it lists.
type keyState struct {
	set      *license.KeySet
	envelope []byte
	signers  map[string]license.Signer
	err      error // why nothing can be signed
}

// signer returns the key to sign with: of the right use, in the set, not
// revoked, already in use; of several the newest.
func (k *keyState) signer(use string, now int64) (license.Signer, error) {
	if k.err != nil {
		return nil, k.err
	}
	if k.set.Expired(now) {
		return nil, refuse(protocol.CodeKeysExpired)
	}
	var best *license.OnlineKey
	for i, o := range k.set.Keys {
		usable := o.Use == use && o.NotBefore <= now && !k.set.KeyRevoked(o.ID) && k.signers[o.ID] != nil
		if usable && (best == nil || o.NotBefore > best.NotBefore) {
			best = &k.set.Keys[i]
		}
	}
	if best == nil {
		return nil, refuse(protocol.CodeKeysExpired)
	}
	return k.signers[best.ID], nil
}

// loadKeys gives the transaction the newest keys. The version is asked in every
// transaction, because keys are rotated by another process while this one
// serves; everything else is read only when it changed.
func (s *Service) loadKeys(t *tx) error {
	var version int64
	err := t.row(newestKeySet).Scan(&version, &t.epoch)
	if err != nil {
		return fmt.Errorf("merchant: key set: %w", err)
	}
	s.keysMu.Lock()
	defer s.keysMu.Unlock()
	if s.keys == nil || s.keys.set == nil || s.keys.set.Version != version {
		s.keys, err = s.readKeys(t, version)
		if err != nil {
			return err
		}
	}
	t.keys = s.keys
	return nil
}

func (s *Service) readKeys(t *tx, version int64) (*keyState, error) {
	if version == 0 {
		return &keyState{err: ErrNotInitialised}, nil
	}
	var text string
	if err := t.row(`SELECT envelope FROM keysets WHERE version = $1`, version).Scan(&text); err != nil {
		return nil, fmt.Errorf("merchant: key set: %w", err)
	}
	anchor, err := t.anchor()
	if err != nil {
		return nil, err
	}
	set, err := license.OpenKeySet(anchor, nil, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("merchant: key set: %w", err)
	}
	k := &keyState{set: set, envelope: []byte(text), signers: map[string]license.Signer{}}
	for _, o := range set.Keys {
		signer, err := s.opts.Keys.Load(o.ID)
		if errors.Is(err, os.ErrNotExist) {
			continue // retired, or on another machine
		}
		if err != nil {
			return nil, err
		}
		k.signers[o.ID] = signer
	}
	return k, nil
}

// anchor reads the trust anchor; ErrNotInitialised when there is none.
func (t *tx) anchor() (license.Anchor, error) {
	var text string
	err := t.row(`SELECT value FROM settings WHERE name = 'anchor'`).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return license.Anchor{}, ErrNotInitialised
	}
	if err != nil {
		return license.Anchor{}, fmt.Errorf("merchant: anchor: %w", err)
	}
	return license.ParseAnchor([]byte(text))
}

// InitOptions says which keys to create.
type InitOptions struct {
	Issuer    string // name of the vendor: a-z 0-9 . _ -
	RootDir   string // existing directory for the root keys
	Roots     int    // how many root keys
	Threshold int    // how many of them must sign a key set
}

// InitKeys creates root keys, one online key per use, the first key set and
// the trust anchor. It returns ErrInitialised when that was done before.
func (s *Service) InitKeys(ctx context.Context, o InitOptions) (license.Anchor, error) {
	if s.issuer != "" {
		return license.Anchor{}, ErrInitialised
	}
	if o.Roots < 1 || o.Threshold < 1 || o.Threshold > o.Roots {
		return license.Anchor{}, fmt.Errorf("%w: %d of %d makes no sense", ErrRoots, o.Threshold, o.Roots)
	}
	anchor := license.Anchor{V: 1, Issuer: o.Issuer, Roots: license.RootKeys{Threshold: o.Threshold}}
	var roots []license.Signer
	for i := 1; i <= o.Roots; i++ {
		r, err := createKey(o.RootDir, fmt.Sprintf("root-%d.pem", i), s.opts.Rand)
		if err != nil {
			return license.Anchor{}, err
		}
		roots = append(roots, r)
		anchor.Roots.Keys = append(anchor.Roots.Keys, r.Public())
	}
	text, err := anchor.Encode()
	if err != nil {
		return license.Anchor{}, err
	}
	fresh, err := s.createOnline(license.UseLicense, license.UseNotice, license.UseBundle)
	if err != nil {
		return license.Anchor{}, err
	}
	if err := s.loadSecrets(true); err != nil {
		return license.Anchor{}, err
	}
	err = s.change(ctx, func(t *tx) error {
		n, err := t.exec(`INSERT INTO settings (name, value) VALUES ('anchor', $1) ON CONFLICT (name) DO NOTHING`, string(text))
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrInitialised
		}
		if err := t.addKeys(fresh, t.now); err != nil {
			return err
		}
		if err := t.audit(t.by, "keys.init", o.Issuer, map[string]any{"roots": o.Roots, "threshold": o.Threshold}); err != nil {
			return err
		}
		set, err := t.compose(nil, nil)
		if err != nil {
			return err
		}
		envelope, err := license.SealKeySet(set, roots[:min(len(roots), license.MaxSignatures)]...)
		if err != nil {
			return fmt.Errorf("merchant: key set: %w", err)
		}
		_, err = t.store(envelope)
		return err
	})
	if err == nil {
		s.issuer = o.Issuer
	}
	return anchor, err
}

type onlineKey struct {
	use    string
	public license.PublicKey
}

func (s *Service) createOnline(uses ...string) ([]onlineKey, error) {
	var keys []onlineKey
	for _, use := range uses {
		signer, err := s.opts.Keys.Create()
		if err != nil {
			return nil, err
		}
		keys = append(keys, onlineKey{use, signer.Public()})
	}
	return keys, nil
}

func (t *tx) addKeys(keys []onlineKey, nbf int64) error {
	for _, k := range keys {
		id := license.KeyID(k.public)
		if _, err := t.exec(`INSERT INTO keys (kid, key_use, alg, pub, nbf, revoked, created) VALUES ($1, $2, $3, $4, $5, 0, $6)`,
			id, k.use, k.public.Alg, k.public.Pub, nbf, t.now); err != nil {
			return err
		}
		if err := t.audit(t.by, "keys.add", id, map[string]any{"use": k.use, "nbf": nbf}); err != nil {
			return err
		}
	}
	return nil
}

// Published says what a new key set holds.
type Published struct {
	Version    int64    `json:"version"`
	Expires    int64    `json:"expires"`
	Keys       []string `json:"keys"`
	Revoked    []string `json:"revoked"`
	RevokedLic int      `json:"revoked_licenses"`
	SignedBy   int      `json:"signed_by"`
}

// RotateKeys creates a new online key per use, usable after lead seconds, and
// publishes a key set with old and new. Directories hold the root keys.
func (s *Service) RotateKeys(ctx context.Context, rootDirs []string, lead int64) (Published, error) {
	return s.signHere(ctx, rootDirs, func() (KeyDraft, error) { return s.DraftRotation(ctx, lead) })
}

// PublishKeys signs a new key set with the present keys: it extends the
// lifetime, carries the licenses revoked since, and takes back the keys named.
func (s *Service) PublishKeys(ctx context.Context, rootDirs, revoke []string) (Published, error) {
	return s.signHere(ctx, rootDirs, func() (KeyDraft, error) { return s.DraftKeySet(ctx, revoke) })
}

// signHere drafts, signs and imports in one go, where the root keys are at hand.
// They are looked for first: without them nothing is created.
func (s *Service) signHere(ctx context.Context, rootDirs []string, draft func() (KeyDraft, error)) (Published, error) {
	if err := s.FindRoots(ctx, rootDirs); err != nil {
		return Published{}, err
	}
	d, err := draft()
	if err != nil {
		return Published{}, err
	}
	if err := d.Sign(rootDirs); err != nil {
		return Published{}, err
	}
	return s.ImportKeySet(ctx, d)
}

// compose changes the keys and builds the key set that says so. It is not
// signed and not stored.
func (t *tx) compose(add []draftKey, revoke []string) (license.KeySet, error) {
	anchor, err := t.anchor()
	if err != nil {
		return license.KeySet{}, err
	}
	for _, k := range add {
		if err := t.addKeys([]onlineKey{{k.Use, k.PublicKey}}, k.NotBefore); err != nil {
			return license.KeySet{}, err
		}
	}
	for _, kid := range revoke {
		n, err := t.exec(`UPDATE keys SET revoked = $1 WHERE kid = $2 AND revoked = 0`, t.now, kid)
		if err != nil {
			return license.KeySet{}, err
		}
		if n == 0 {
			return license.KeySet{}, fmt.Errorf("%w: no such key, or revoked before: %s", ErrNotFound, kid)
		}
		if err := t.audit(t.by, "keys.revoke", kid, nil); err != nil {
			return license.KeySet{}, err
		}
	}
	set := license.KeySet{V: 1, Issuer: anchor.Issuer, NotBefore: t.now, Expires: t.now + keySetLife, Roots: anchor.Roots}
	if err := t.row(`SELECT COALESCE(MAX(version), 0) + 1 FROM keysets`).Scan(&set.Version); err != nil {
		return set, fmt.Errorf("merchant: key set: %w", err)
	}
	// Devices may know versions that a restored database has never heard of, and
	// refuse another content under the same number.
	set.Version = max(set.Version, t.epoch*versionsPerEpoch)
	if err := t.fillKeys(&set); err != nil {
		return set, err
	}
	set.RevokedLic, err = t.strings(`SELECT license_id FROM activations WHERE status = 'revoked' ORDER BY contact DESC LIMIT 1024`)
	sort.Strings(set.RevokedLic)
	return set, err
}

// store checks a signed key set once more and makes it the newest one.
func (t *tx) store(envelope []byte) (Published, error) {
	anchor, err := t.anchor()
	if err != nil {
		return Published{}, err
	}
	var prev *license.KeySet
	if t.keys != nil {
		prev = t.keys.set
	}
	set, err := license.OpenKeySet(anchor, prev, envelope)
	if err != nil {
		return Published{}, fmt.Errorf("merchant: the signed key set does not verify: %w", err)
	}
	if _, err := t.exec(`INSERT INTO keysets (version, envelope, created) VALUES ($1, $2, $3)`, set.Version, string(envelope), t.now); err != nil {
		return Published{}, err
	}
	p := Published{Version: set.Version, Expires: set.Expires, Revoked: set.Revoked, RevokedLic: len(set.RevokedLic), SignedBy: signatures(envelope)}
	for _, k := range set.Keys {
		p.Keys = append(p.Keys, k.ID)
	}
	return p, t.audit(t.by, "keys.publish", anchor.Issuer, map[string]any{"version": set.Version, "expires": set.Expires})
}

// fillKeys lists the keys of the set. A revoked key moves to the revoked list;
// a key whose successor has been in use for longer than any license it signed
// can run is left out.
func (t *tx) fillKeys(set *license.KeySet) error {
	rows, err := t.query(`SELECT kid, key_use, alg, pub, nbf, revoked FROM keys ORDER BY nbf DESC, kid`)
	if err != nil {
		return fmt.Errorf("merchant: keys: %w", err)
	}
	defer rows.Close()
	successor := map[string]int64{}
	for rows.Next() {
		var k license.OnlineKey
		var revoked int64
		if err := rows.Scan(&k.ID, &k.Use, &k.Alg, &k.Pub, &k.NotBefore, &revoked); err != nil {
			return fmt.Errorf("merchant: keys: %w", err)
		}
		since, replaced := successor[k.Use]
		switch {
		case revoked > 0:
			set.Revoked = append(set.Revoked, k.ID)
			continue
		case replaced && since < t.now-keySetLife:
			continue
		}
		successor[k.Use] = k.NotBefore
		set.Keys = append(set.Keys, k)
	}
	sort.Slice(set.Keys, func(i, j int) bool { return set.Keys[i].ID < set.Keys[j].ID })
	sort.Strings(set.Revoked)
	return rows.Err()
}

// strings returns a single column.
func (t *tx) strings(query string, args ...any) ([]string, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("merchant: %w", err)
	}
	defer rows.Close()
	list := []string{}
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("merchant: %w", err)
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// marshal is JSON text of a value that always can be written.
func marshal(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("merchant: %w", err)
	}
	return string(b), nil
}
