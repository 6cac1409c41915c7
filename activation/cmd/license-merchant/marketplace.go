package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/koogallery"
	"licenseagent.example/activation/koogallery/koogallerytest"
	"licenseagent.example/activation/merchant"
)

// koogallerySection is [koogallery] in merchant.toml.
type koogallerySection struct {
	Access   string `toml:"access_key"`   // of the seller's cloud account
	Secret   string `toml:"secret_key"`   // never leaves this server
	Callback string `toml:"callback_key"` // made in Seller Center, signs what KooGallery sends

	Host        string         `toml:"host"`           // "" is mkt.myhuaweicloud.com, with .cn to fall back on
	Heartbeat   int64          `toml:"heartbeat"`      // interface version, 1 (default) or 2
	Times       string         `toml:"times"`          // zone of times that name none, "+00:00" by default
	Uploads     string         `toml:"uploads"`        // what the signature of an upload covers: body (default) or unsigned
	BodySign    bool           `toml:"body_sign"`      // sign the answers to callbacks
	KeepUnknown bool           `toml:"keep_unknown"`   // take callbacks about codes that were not activated here
	Thaw        string         `toml:"thaw"`           // with-expiry (default), always, never
	Inactive    string         `toml:"not_activated"`  // what that means for an activated code: frozen (default), report
	Unlisted    string         `toml:"unknown_status"` // a status that the documents do not list: report (default), frozen
	Calendar    string         `toml:"calendar"`       // offset of the days of use, "+08:00" by default
	Spread      duration       `toml:"spread"`         // longest wait before a day of use is told, "30m" by default
	Product     []productTable `toml:"product"`        // [[koogallery.product]]
}

// productTable is [[koogallery.product]]: what a product sold there is here.
type productTable struct {
	ID           string           `toml:"id"`      // the marketplace's product id; left out: any other
	Product      string           `toml:"product"` // our name of it
	Edition      string           `toml:"edition"`
	Features     []string         `toml:"features"`
	Limits       map[string]int64 `toml:"limits"`
	Amount       string           `toml:"amount"`  // what the quantity bought counts: seats (default) or devices
	Devices      int64            `toml:"devices"` // machines, when amount counts seats
	Seats        int64            `toml:"seats"`   // uses on each machine, when amount counts devices
	Renew        duration         `toml:"renew"`
	Grace        duration         `toml:"grace"`
	Policy       string           `toml:"policy"`
	Unidentified bool             `toml:"allow_unidentified"`
	Unbound      bool             `toml:"unbound"` // licenses applied for need no device fingerprint
}

// marketplaces that serve knows.
const (
	marketKooGallery = "koogallery"
	marketSimulated  = "simulated"
)

// products is what is sold there.
func (k koogallerySection) products() []merchant.MarketProduct {
	var list []merchant.MarketProduct
	for _, p := range k.Product {
		if p.Limits == nil {
			p.Limits = map[string]int64{}
		}
		list = append(list, merchant.MarketProduct{ID: p.ID, Amount: p.Amount, Unbound: p.Unbound, Spec: merchant.CodeSpec{
			Product: p.Product, Edition: p.Edition, Features: p.Features, Limits: p.Limits, Devices: p.Devices, Seats: p.Seats,
			Renew: int64(p.Renew), Grace: int64(p.Grace), Policy: p.Policy, Unidentified: p.Unidentified,
		}})
	}
	return list
}

// market is the marketplace that the configuration names, and the simulator
// when it is that.
func (a *app) market(c config, log *slog.Logger) (merchant.MarketOptions, *simulator, error) {
	o := merchant.MarketOptions{
		BodySign: c.KooGallery.BodySign, KeepUnknown: c.KooGallery.KeepUnknown, Thaw: c.KooGallery.Thaw, NotActivated: c.KooGallery.Inactive, UnknownStatus: c.KooGallery.Unlisted,
		Spread: int64(c.KooGallery.Spread),
	}
	if c.Marketplace == "" {
		return o, nil, nil
	}
	var err error
	if o.Calendar, err = zone("calendar", c.KooGallery.Calendar); err != nil {
		return o, nil, err
	}
	if o.Zone, err = zone("times", c.KooGallery.Times); err != nil {
		return o, nil, err
	}
	if u := c.KooGallery.Uploads; u != "" && u != "body" && u != "unsigned" {
		return o, nil, usage("koogallery.uploads is body or unsigned, not %q", u)
	}
	o.Products = c.KooGallery.products()
	if len(o.Products) == 0 {
		return o, nil, usage("a marketplace needs at least one [[koogallery.product]] that says what is sold there")
	}
	keys, err := a.koogalleryKeys()
	if err != nil {
		return o, nil, err
	}
	o.CallbackKey = keys.Callback
	var met sync.Map
	client := &koogallery.Client{
		Keys: koogallery.Credentials{AccessKey: keys.Access, SecretKey: keys.Secret}, Host: c.KooGallery.Host, Now: a.now, HeartbeatV2: c.KooGallery.Heartbeat == 2,
		UnsignedUploads: c.KooGallery.Uploads == "unsigned", Zone: o.Zone,
		Unknown: func(about, member string) {
			// Once: every heartbeat of every code holds the same members.
			if _, said := met.LoadOrStore(about+" "+member, true); !said {
				log.Warn("KooGallery's answer holds something that its documents leave open", "about", about, "member", member)
			}
		},
	}
	o.Market = client
	if c.KooGallery.Heartbeat < 0 || c.KooGallery.Heartbeat > 2 {
		return o, nil, usage("koogallery.heartbeat is 1 or 2")
	}
	switch c.Marketplace {
	case marketKooGallery:
		if keys.Access == "" || keys.Secret == "" || keys.Callback == "" {
			return o, nil, usage("the marketplace needs access_key, secret_key and callback_key in [koogallery] of %s, or KOOGALLERY_ACCESS_KEY, _SECRET_KEY and _CALLBACK_KEY", configName)
		}
		if client.Host == "" {
			client.Host, client.Fallback = koogallery.PrimaryHost, koogallery.FallbackHost
		}
		client.HTTP = koogallery.NewHTTPClient(nil, koogallery.RequestTimeout)
		return o, nil, nil
	case marketSimulated:
		sim, err := a.newSimulator(log)
		if err != nil {
			return o, nil, err
		}
		client.Keys, client.Host, client.HTTP = sim.keys, koogallery.PrimaryHost, &http.Client{Transport: sim.market.Transport()}
		o.CallbackKey = sim.callback
		return o, sim, nil
	}
	return o, nil, usage("marketplace is %s or %s, not %q", marketKooGallery, marketSimulated, c.Marketplace)
}

// zone reads the offset of a time zone, nil for none.
func zone(name, text string) (*time.Location, error) {
	if text == "" {
		return nil, nil
	}
	offset, err := activation.Calendar(text) // of the same form
	if err != nil {
		return nil, usage("koogallery.%s: %q has not the form \"+08:00\"", name, text)
	}
	return time.FixedZone(text, int(offset)), nil
}

// koogalleryKeys takes the keys from the environment, else from the file. A
// file that holds keys and that others can read is refused.
func (a *app) koogalleryKeys() (koogallerySection, error) {
	c, err := a.loadConfig()
	if err != nil {
		return koogallerySection{}, err
	}
	k := c.KooGallery
	if k.Access+k.Secret+k.Callback != "" {
		if _, err := merchant.ReadSecret(filepath.Join(a.dir, configName)); err != nil {
			return k, err
		}
	}
	for name, to := range map[string]*string{"ACCESS": &k.Access, "SECRET": &k.Secret, "CALLBACK": &k.Callback} {
		if v := a.env("KOOGALLERY_" + name + "_KEY"); v != "" {
			*to = v
		}
	}
	return k, nil
}

// newSimulator starts a simulated marketplace with keys of its own and the
// state of its last run.
func (a *app) newSimulator(log *slog.Logger) (*simulator, error) {
	s := &simulator{
		file: a.path("simulated-marketplace.json"), socket: a.path("simulated-marketplace.sock"), log: log, now: a.now,
		keys: koogallery.Credentials{AccessKey: "SIMULATED", SecretKey: rand.Text()}, callback: rand.Text(),
	}
	s.market = koogallerytest.New(s.keys, a.now, koogallery.PrimaryHost)
	text, err := os.ReadFile(s.file)
	switch {
	case os.IsNotExist(err):
		return s, nil
	case err != nil:
		return nil, err
	}
	if err := s.market.Load(text); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to start with an empty market", s.file, err)
	}
	return s, nil
}
