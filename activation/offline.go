package activation

import (
	"fmt"

	"licenseagent.example/activation/license"
)

// RequestOptions says what a request file is about. For an activation Key holds
// the issuer (or "") and, when known, the product; for everything else the
// license. Code is for activations and rebinds. Replace gives up an activation
// file that waits for its answer.
type RequestOptions struct {
	Key     Key
	Code    string
	Replace bool
}

// OfflineRequest makes a request file for a machine without network; kind is
// one of license.Request*. What is outstanding already is given out again, byte
// for byte, when it is of the same kind; otherwise ErrOutstanding: one request
// per license, because two answers would fork its chain. Other errors:
// ErrKind, ErrNotActivated, ErrAlreadyActivated, ErrUnknownIssuer, ErrStore.
func (l *Lifecycle) OfflineRequest(kind string, opt RequestOptions) ([]byte, error) {
	issuer, err := l.soleIssuer(opt.Key.Issuer)
	if err != nil {
		return nil, err
	}
	key := Key{Issuer: issuer, Product: opt.Key.Product}
	what := func(v *view) (Record, error) {
		if e := v.exact(key); e != nil && e.rec.Pending != nil && e.rec.Pending.Kind == kind {
			return e.rec, nil
		}
		return l.askAgain(v, key, kind, opt.Code, true)
	}
	switch kind {
	case license.RequestActivate:
		key.Product = ""
		what = func(v *view) (Record, error) {
			return l.askActivation(v, ActivateOptions{issuer, opt.Key.Product, opt.Code, opt.Replace}, true)
		}
	case license.RequestRenew, license.RequestRelease, license.RequestRebind:
	default:
		return nil, fmt.Errorf("%w: %q", ErrKind, kind)
	}
	if err := l.Observed(); err != nil {
		return nil, err
	}
	p, err := l.prepare(key, what)
	if err != nil {
		return nil, err
	}
	l.free(key)
	l.changed()
	return p.Request, nil
}

// Import takes an answer file. It fits exactly once: a second import is
// ErrAlreadyImported, the answer to another request or device is
// ErrWrongAnswer. A file with a key set alone brings revocations and returns a
// Held with only the issuer. Other errors: ErrAnswer, ErrUnknownIssuer, ErrStore.
func (l *Lifecycle) Import(file []byte) (Held, error) {
	ans, err := ParseAnswer(file)
	if err != nil {
		return Held{}, err
	}
	a, o, err := l.whose(ans)
	if err != nil {
		return Held{}, err
	}
	defer l.changed()
	if o.claims == nil && o.notice == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return Held{Key: Key{Issuer: a.Issuer}}, l.takeKeySet(a, ans.KeySet)
	}
	v := l.snap.Load()
	if v.answered(a.Issuer, o.nonce) != nil {
		return Held{}, ErrAlreadyImported
	}
	for _, e := range v.entries {
		if e.rec.Key.Issuer == a.Issuer && e.rec.Pending != nil && e.rec.Pending.Nonce == o.nonce {
			return l.commit(e.rec.Key, ans)
		}
	}
	return Held{}, ErrWrongAnswer
}

// whose finds the vendor of an answer by whose root keys signed it. The key set
// held is left out here, so that an old answer can be called by its name
// instead of being refused for its old key set.
func (l *Lifecycle) whose(ans Answer) (license.Anchor, opened, error) {
	err := fmt.Errorf("%w: the answer comes from another one", ErrUnknownIssuer)
	for _, a := range l.anchors {
		if _, not := license.OpenKeySet(a, nil, ans.KeySet); not != nil {
			if len(l.anchors) == 1 {
				err = fmt.Errorf("%w: key set: %w", ErrAnswer, not)
			}
			continue
		}
		o, err := l.open(a, nil, ans)
		return a, o, err
	}
	return license.Anchor{}, opened{}, err
}
