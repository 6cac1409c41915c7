package merchant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/koogallery"
)

// Marketplace is where codes are sold that the vendor did not make: KooGallery
// (koogallery.Client), or none. Errors are those of package koogallery; its
// ClassOf says what to do about them.
type Marketplace interface {
	// Activate redeems a code at the marketplace, once.
	Activate(ctx context.Context, code string, effect time.Time) (koogallery.Info, error)
	// Heartbeat asks for the standing of a code; it also counts as its use today.
	Heartbeat(ctx context.Context, code string) (koogallery.Heartbeat, error)
	// ReportUsage tells which clients used which codes.
	ReportUsage(ctx context.Context, reports []koogallery.Usage) error
	// Order describes an order.
	Order(ctx context.Context, order, line string) (json.RawMessage, error)
	// UploadString delivers a license that was applied for.
	UploadString(ctx context.Context, event, text string) error
}

// NoMarketplace is the marketplace of a vendor that sells its own codes only:
// it knows no code.
type NoMarketplace struct{}

// errNoMarketplace is returned by NoMarketplace.
var errNoMarketplace = &koogallery.Error{Class: koogallery.UnknownCode, Hint: "this service has no marketplace"}

// Activate knows no code.
func (NoMarketplace) Activate(context.Context, string, time.Time) (koogallery.Info, error) {
	return koogallery.Info{}, errNoMarketplace
}

// Heartbeat knows no code.
func (NoMarketplace) Heartbeat(context.Context, string) (koogallery.Heartbeat, error) {
	return koogallery.Heartbeat{}, errNoMarketplace
}

// ReportUsage reports nothing.
func (NoMarketplace) ReportUsage(context.Context, []koogallery.Usage) error { return errNoMarketplace }

// Order knows no order.
func (NoMarketplace) Order(context.Context, string, string) (json.RawMessage, error) {
	return nil, errNoMarketplace
}

// UploadString delivers nothing.
func (NoMarketplace) UploadString(context.Context, string, string) error { return errNoMarketplace }

// Words of MarketOptions.Amount, Thaw, NotActivated and UnknownStatus.
const (
	// AmountSeats makes the quantity bought the concurrent uses on each machine.
	AmountSeats = "seats"
	// AmountDevices makes it the machines that may hold the code.
	AmountDevices = "devices"

	// ThawWithExpiry lets a heartbeat "alive" end a freeze only when it also
	// names an end that is not over: what a heartbeat says of a frozen code is
	// not documented.
	ThawWithExpiry = "with-expiry"
	// ThawAlways trusts every heartbeat "alive".
	ThawAlways = "always"
	// ThawNever waits for the callback.
	ThawNever = "never"

	// NotActivatedFrozen reads "not activated" about a code that was activated
	// as "frozen": it is the only error of the table that a frozen code could
	// get, and what it gets is not documented.
	NotActivatedFrozen = "frozen"
	// NotActivatedReport leaves such a code as it is and names it as a problem.
	NotActivatedReport = "report"

	// UnknownStatusReport leaves a code whose heartbeat has a status that the
	// documents do not list as it is, and names it as a problem: a new word there
	// must not stop every customer on the same day.
	UnknownStatusReport = "report"
	// UnknownStatusFrozen also freezes it until a word comes that is known.
	UnknownStatusFrozen = "frozen"
)

// MarketProduct says what a product of the marketplace is here.
type MarketProduct struct {
	ID      string   // the marketplace's product id, "" for any that is not listed
	Spec    CodeSpec // Devices or Seats is replaced by the quantity bought
	Amount  string   // AmountSeats (default) or AmountDevices
	Unbound bool     // getLicenseAsync does not need a device fingerprint
}

// MarketOptions connect a service to a marketplace. The zero value is none.
type MarketOptions struct {
	Market      Marketplace // nil: none
	Products    []MarketProduct
	CallbackKey string         // signs the marketplace's calls; "" refuses them all
	BodySign    bool           // sign the answers to callbacks, as older pages demand
	Zone        *time.Location // of the marketplace's times that name none; nil: UTC
	Calendar    *time.Location // whose days count as days of use; nil: UTC+8
	Spread      int64          // seconds over which the marketplace is asked about a day of use; 0: half an hour
	Thaw        string         // ThawWithExpiry (default), ThawAlways, ThawNever
	// NotActivated is what a heartbeat "not activated" means for a code that was
	// activated: NotActivatedFrozen (default), NotActivatedReport.
	NotActivated string
	// UnknownStatus is what a heartbeat with a status that the documents do not
	// list means: UnknownStatusReport (default), UnknownStatusFrozen.
	UnknownStatus string
	// KeepUnknown takes callbacks about codes that were never activated here
	// and remembers them; the documented answer is "does not exist".
	KeepUnknown bool
}

// CallbackPath is where the marketplace's calls arrive.
const CallbackPath = "/koogallery/callback"

// marketTimeout bounds one call to the marketplace, with its retry on the other host.
const marketTimeout = koogallery.CallTimeout

// day is the day of use that an instant belongs to.
func (o MarketOptions) day(at int64) string {
	return time.Unix(at, 0).In(o.Calendar).Format(time.DateOnly)
}

// withDefaults fills in and checks the options.
func (o MarketOptions) withDefaults() (MarketOptions, error) {
	if o.Market == nil {
		o.Market = NoMarketplace{}
	}
	if o.Calendar == nil {
		offset, err := activation.Calendar("")
		if err != nil {
			return o, err
		}
		o.Calendar = time.FixedZone(activation.DefaultCalendar, int(offset))
	}
	if o.Spread <= 0 {
		o.Spread = spreadUse
	}
	if o.Thaw == "" {
		o.Thaw = ThawWithExpiry
	}
	if o.Thaw != ThawWithExpiry && o.Thaw != ThawAlways && o.Thaw != ThawNever {
		return o, fmt.Errorf("%w: thaw is %s, %s or %s", ErrInput, ThawWithExpiry, ThawAlways, ThawNever)
	}
	if o.NotActivated == "" {
		o.NotActivated = NotActivatedFrozen
	}
	if o.NotActivated != NotActivatedFrozen && o.NotActivated != NotActivatedReport {
		return o, fmt.Errorf("%w: not activated is %s or %s", ErrInput, NotActivatedFrozen, NotActivatedReport)
	}
	if o.UnknownStatus == "" {
		o.UnknownStatus = UnknownStatusReport
	}
	if o.UnknownStatus != UnknownStatusReport && o.UnknownStatus != UnknownStatusFrozen {
		return o, fmt.Errorf("%w: unknown status is %s or %s", ErrInput, UnknownStatusReport, UnknownStatusFrozen)
	}
	seen := map[string]bool{}
	for i := range o.Products {
		p := &o.Products[i]
		if p.Amount == "" {
			p.Amount = AmountSeats
		}
		if p.Amount != AmountSeats && p.Amount != AmountDevices {
			return o, fmt.Errorf("%w: amount of product %q is %s or %s", ErrInput, p.ID, AmountSeats, AmountDevices)
		}
		if seen[p.ID] {
			return o, fmt.Errorf("%w: marketplace product %q stands twice", ErrInput, p.ID)
		}
		seen[p.ID] = true
	}
	return o, nil
}

// sells says whether there is a marketplace to ask.
func (o MarketOptions) sells() bool {
	_, none := o.Market.(NoMarketplace)
	return !none
}

// product finds what a product of the marketplace is here.
func (o MarketOptions) product(id string) (MarketProduct, bool) {
	for _, want := range []string{id, ""} {
		for _, p := range o.Products {
			if p.ID == want {
				return p, true
			}
		}
	}
	return MarketProduct{}, false
}

// guess finds the product of a code whose activation's answer was lost, which
// is the only one that names it: by what the device asks for, or because there
// is only one.
func (o MarketOptions) guess(wanted string) (MarketProduct, bool) {
	var found []MarketProduct
	for _, p := range o.Products {
		if wanted == "" || p.Spec.Product == wanted {
			found = append(found, p)
		}
	}
	if len(found) == 1 {
		return found[0], true
	}
	return o.product("")
}

// spec is what a code of the product entitles to, for the quantity bought.
func (p MarketProduct) spec(amount int64) CodeSpec {
	s := p.Spec
	s.Devices, s.Seats = max(s.Devices, 1), max(s.Seats, 1)
	if s.Policy == "" {
		s.Policy = "balanced"
	}
	if amount > 0 && p.Amount == AmountDevices {
		s.Devices = amount
	} else if amount > 0 {
		s.Seats = amount
	}
	return s
}

// asked makes one call to the marketplace, counts it and says in words what
// went wrong. subject is a code id or "": never a code.
func (s *Service) asked(ctx context.Context, call, subject string, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, marketTimeout)
	defer cancel()
	start := s.clock()
	err := do(ctx)
	class := word(err)
	s.metrics.market.calls.WithLabelValues(call, class).Inc()
	s.metrics.market.callSeconds.Observe(s.clock().Sub(start).Seconds())
	s.judgeCall(ctx, call, class, subject, err)
	return err
}

// word names the outcome of a call: the class, or what failed on the way.
func word(err error) string {
	switch {
	case errors.Is(err, koogallery.ErrCertificate):
		return "certificate"
	case errors.Is(err, koogallery.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return "unreachable"
	case errors.Is(err, koogallery.ErrAnswer):
		return "unreadable"
	}
	return string(koogallery.ClassOf(err))
}
