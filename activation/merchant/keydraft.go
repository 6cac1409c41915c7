package merchant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"licenseagent.example/activation/license"
)

// KeyDraft is a key set on its way to the root keys and back: written on the
// server, signed on machines that need nothing but the file and their root key,
// and imported on the server. Nothing in it is secret.
type KeyDraft struct {
	Format   int             `json:"license_merchant_key_draft"` // 1
	Set      license.KeySet  `json:"set"`
	Add      []draftKey      `json:"add"`      // online keys that are new in it
	Revoke   []string        `json:"revoke"`   // online keys that it takes back
	Envelope json.RawMessage `json:"envelope"` // the signed key set as far as it is signed, null at first
}

type draftKey struct {
	Use       string `json:"use"`
	NotBefore int64  `json:"nbf"`
	license.PublicKey
}

const draftFormat = 1

// errOnlyDrafted undoes the transaction in which a draft was tried out.
var errOnlyDrafted = errors.New("merchant: only drafted")

// DraftRotation creates a new online key per use, which signs after lead
// seconds, and drafts the key set that names old and new.
func (s *Service) DraftRotation(ctx context.Context, lead int64) (KeyDraft, error) {
	fresh, err := s.createOnline(license.UseLicense, license.UseNotice, license.UseBundle)
	if err != nil {
		return KeyDraft{}, err
	}
	d := KeyDraft{Format: draftFormat, Revoke: []string{}}
	for _, k := range fresh {
		d.Add = append(d.Add, draftKey{k.use, s.clock().Unix() + lead, k.public})
	}
	return s.draft(ctx, d)
}

// DraftKeySet drafts a key set of the present keys without those to take back.
func (s *Service) DraftKeySet(ctx context.Context, revoke []string) (KeyDraft, error) {
	return s.draft(ctx, KeyDraft{Format: draftFormat, Add: []draftKey{}, Revoke: append([]string{}, revoke...)})
}

func (s *Service) draft(ctx context.Context, d KeyDraft) (KeyDraft, error) {
	err := s.change(ctx, func(t *tx) (err error) {
		if d.Set, err = t.compose(d.Add, d.Revoke); err != nil {
			return err
		}
		return errOnlyDrafted
	})
	if errors.Is(err, errOnlyDrafted) {
		err = nil
	}
	return d, err
}

// Discard removes the keys that were created for a draft nobody wants.
func (s *Service) Discard(d KeyDraft) error {
	var errs []error
	for _, k := range d.Add {
		errs = append(errs, s.opts.Keys.Remove(license.KeyID(k.PublicKey)))
	}
	return errors.Join(errs...)
}

// ParseKeyDraft reads a draft file; ErrInput when it is none.
func ParseKeyDraft(text []byte) (KeyDraft, error) {
	var d KeyDraft
	if err := json.Unmarshal(text, &d); err != nil || d.Format != draftFormat {
		return d, fmt.Errorf("%w: this is no key draft of this version", ErrInput)
	}
	if string(d.Envelope) == "null" {
		d.Envelope = nil
		return d, nil
	}
	var small bytes.Buffer // the file is indented for people, an envelope is not
	if err := json.Compact(&small, d.Envelope); err != nil {
		return d, fmt.Errorf("%w: the signed part of the draft cannot be read", ErrInput)
	}
	d.Envelope = small.Bytes()
	return d, nil
}

// rootsOf returns the root keys of an anchor that are found in directories;
// ErrRoots when fewer are than must sign.
func rootsOf(anchor license.Anchor, dirs []string) ([]license.Signer, error) {
	roots, err := loadRoots(dirs)
	if err != nil {
		return nil, err
	}
	var sign []license.Signer
	for _, r := range roots {
		if slices.Contains(anchor.Roots.Keys, r.Public()) && len(sign) < license.MaxSignatures {
			sign = append(sign, r)
		}
	}
	if len(sign) < anchor.Roots.Threshold {
		return nil, fmt.Errorf("%w: %d found, %d must sign", ErrRoots, len(sign), anchor.Roots.Threshold)
	}
	return sign, nil
}

// FindRoots says whether enough root keys are in directories to sign a key set;
// ErrRoots when there are not.
func (s *Service) FindRoots(ctx context.Context, dirs []string) error {
	anchor, err := s.Anchor(ctx)
	if err != nil {
		return err
	}
	_, err = rootsOf(anchor, dirs)
	return err
}

// Sign adds the signatures of the root keys found in directories; ErrRoots when
// there is none of this vendor's.
func (d *KeyDraft) Sign(dirs []string) error {
	roots, err := loadRoots(dirs)
	if err != nil {
		return err
	}
	signed := 0
	for _, r := range roots {
		if !slices.Contains(d.Set.Roots.Keys, r.Public()) || signed == license.MaxSignatures {
			continue
		}
		own, err := license.SealKeySet(d.Set, r)
		if err != nil {
			return fmt.Errorf("%w: the key set of the draft: %w", ErrInput, err)
		}
		switch {
		case len(d.Envelope) == 0:
			d.Envelope = own
		case payloadOf(d.Envelope) != payloadOf(own):
			// Whoever signs was shown the set of the draft and nothing else.
			return fmt.Errorf("%w: what others signed is not what the draft says", ErrInput)
		default:
			if d.Envelope, err = license.AddSignature(d.Envelope, r); err != nil {
				return fmt.Errorf("%w: the signed part of the draft: %w", ErrInput, err)
			}
		}
		signed++
	}
	if signed == 0 {
		return fmt.Errorf("%w: none of this vendor's root keys is there", ErrRoots)
	}
	return nil
}

// SignedBy is how many signatures a draft has.
func (d *KeyDraft) SignedBy() int { return signatures(d.Envelope) }

// payloadOf is what an envelope signs, "" when it is none.
func payloadOf(envelope []byte) string {
	var e struct{ Payload string }
	if json.Unmarshal(envelope, &e) != nil {
		return ""
	}
	return e.Payload
}

func signatures(envelope []byte) int {
	var e struct{ Signatures []json.RawMessage }
	if json.Unmarshal(envelope, &e) != nil {
		return 0
	}
	return len(e.Signatures)
}

// ImportKeySet publishes a draft that enough root keys have signed. ErrRoots
// when they have not, ErrState when something changed since it was made.
func (s *Service) ImportKeySet(ctx context.Context, d KeyDraft) (Published, error) {
	if n := d.SignedBy(); n < d.Set.Roots.Threshold {
		return Published{}, fmt.Errorf("%w: %d have signed, %d must", ErrRoots, n, d.Set.Roots.Threshold)
	}
	var p Published
	err := s.change(ctx, func(t *tx) error {
		changed := fmt.Errorf("%w: the keys changed since this draft was made, make another one", ErrState)
		if t.keys.set != nil && d.Set.Version <= t.keys.set.Version {
			return changed
		}
		now, err := t.compose(d.Add, d.Revoke)
		if err != nil {
			return err
		}
		if now.Version != d.Set.Version || !slices.Equal(now.Keys, d.Set.Keys) || !slices.Equal(now.Revoked, d.Set.Revoked) {
			return changed
		}
		anchor, err := t.anchor()
		if err != nil {
			return err
		}
		signed, err := license.OpenKeySet(anchor, nil, d.Envelope)
		if err != nil {
			return fmt.Errorf("%w: the signatures of the draft do not fit: %w", ErrRoots, err)
		}
		// What was signed is what is asked for: the file has both.
		if signed.Version != now.Version || !slices.Equal(signed.Keys, now.Keys) || !slices.Equal(signed.Revoked, now.Revoked) {
			return fmt.Errorf("%w: what was signed is not what the draft says", ErrState)
		}
		p, err = t.store(d.Envelope)
		return err
	})
	return p, err
}

// Summary says in plain words what publishing the draft will do.
func (d *KeyDraft) Summary() []string {
	date := func(at int64) string { return time.Unix(at, 0).UTC().Format("2006-01-02 15:04 MST") }
	list := []string{fmt.Sprintf("Publishes key set %d of %s, good until %s. Devices learn it at their next contact; running licenses keep running.", d.Set.Version, d.Set.Issuer, date(d.Set.Expires))}
	// From the set itself, not from what the draft says about it: the set is
	// what is signed.
	fresh := map[string]bool{}
	for _, k := range d.Add {
		fresh[license.KeyID(k.PublicKey)] = true
	}
	for _, k := range d.Set.Keys {
		what := "Keeps"
		if fresh[k.ID] {
			what = "Adds"
		}
		list = append(list, fmt.Sprintf("%s the online key %s, which signs every %s from %s on, until a newer one is in use.", what, k.ID, k.Use, date(k.NotBefore)))
	}
	for _, kid := range d.Set.Revoked {
		if slices.Contains(d.Revoke, kid) {
			list = append(list, fmt.Sprintf("TAKES BACK the online key %s, for good: whatever it signed is void at every device that learns this key set, until the device has renewed. If no other key of the same use is in use, nothing can be signed.", kid))
		} else {
			list = append(list, fmt.Sprintf("Names the online key %s as taken back before.", kid))
		}
	}
	if n := len(d.Set.RevokedLic); n > 0 {
		list = append(list, fmt.Sprintf("Carries %d licenses that were taken back, for machines without network.", n))
	}
	for _, k := range d.Set.Roots.Keys {
		list = append(list, "Leaves the root key "+license.KeyID(k)+" in force.")
	}
	return append(list, fmt.Sprintf("%d of %d root keys must sign it; %d have.", d.Set.Roots.Threshold, len(d.Set.Roots.Keys), d.SignedBy()))
}
