package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"licenseagent.example/activation/merchant"
)

// configName is the configuration file in the data directory.
const configName = "merchant.toml"

// config is merchant.toml. Every value can be left out. The environment
// (LICENSE_MERCHANT_URL, _LISTEN, _METRICS, _ADMIN, _DATABASE) wins over the file, a
// flag over both.
type config struct {
	URL      string       `toml:"url"`      // public base URL, written into anchor.json; "" takes the address of serve
	Listen   string       `toml:"listen"`   // host:port
	Metrics  string       `toml:"metrics"`  // host:port of /metrics, plain HTTP; "" for none
	Database string       `toml:"database"` // postgres://…; "" is merchant.db in the data directory
	TLS      tlsSection   `toml:"tls"`
	Admin    adminSection `toml:"admin"`
	Terms    termSection  `toml:"terms"`

	Marketplace string `toml:"marketplace"` // koogallery or simulated; "" for none
	market      merchant.MarketOptions
	Notices     int64             `toml:"notices"` // agents that may wait for a notice at a time, 0 for none
	KooGallery  koogallerySection `toml:"koogallery"`
	PKCS11      pkcs11Section     `toml:"pkcs11"`
}

type tlsSection struct {
	Certificate string `toml:"certificate"` // PEM chain; "" is tls/server.pem
	Key         string `toml:"key"`         // PEM; "" is tls/server.key
}

// adminSection is the listener of the admin interface, HTTPS with the
// certificate of [tls]. Keep it inside.
type adminSection struct {
	Listen   string `toml:"listen"`    // host:port; "" for none
	ClientCA string `toml:"client_ca"` // PEM; callers need a certificate of this authority besides their token
}

type termSection struct {
	Renew          duration `toml:"renew"`           // from an answer to renew-by
	Grace          duration `toml:"grace"`           // from renew-by to grace-until
	Rebind         duration `toml:"rebind"`          // between two self-service re-binds of a contested seat
	RollForward    duration `toml:"roll_forward"`    // between two exchanged parts
	PopularDevices int64    `toml:"popular_devices"` // a value on that many devices identifies none
}

// duration is a Go duration or a number of days such as "7d".
type duration int64

// UnmarshalText reads it for the TOML package.
func (d *duration) UnmarshalText(b []byte) error {
	v, err := parseDuration(string(b))
	*d = duration(v)
	return err
}

// parseDuration returns seconds.
func parseDuration(s string) (int64, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil && n > 0 {
			return n * 86400, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("%q is no duration such as \"7d\" or \"12h\"", s)
	}
	return int64(d / time.Second), nil
}

// loadConfig reads the file of the data directory, if there is one.
func (a *app) loadConfig() (config, error) {
	c := config{Listen: "127.0.0.1:8443"}
	path := filepath.Join(a.dir, configName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = nil, nil
	}
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	meta, err := toml.Decode(string(text), &c)
	if err != nil {
		var parse toml.ParseError
		if errors.As(err, &parse) {
			return c, usage("%s: line %d: %s", path, parse.Position.Line, parse.Message)
		}
		return c, usage("%s: %v", path, err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		key := extra[0].String()
		return c, usage("%s: unknown key %q; the nearest known one is %q", path, key, nearest(key, keysOf("", reflect.TypeFor[config]())))
	}
	for _, e := range []struct {
		name string
		to   *string
	}{{"URL", &c.URL}, {"LISTEN", &c.Listen}, {"METRICS", &c.Metrics}, {"ADMIN", &c.Admin.Listen}, {"DATABASE", &c.Database}} {
		if v := a.env("LICENSE_MERCHANT_" + e.name); v != "" {
			*e.to = v
		}
	}
	if c.TLS.Certificate == "" {
		c.TLS.Certificate = filepath.Join("tls", "server.pem")
	}
	if c.TLS.Key == "" {
		c.TLS.Key = filepath.Join("tls", "server.key")
	}
	return c, nil
}

// path is a path of the configuration: relative ones start at the data directory.
func (a *app) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(a.dir, p)
}

// terms are the vendor's rules with the defaults filled in.
func (c config) terms() merchant.Terms {
	t := merchant.DefaultTerms()
	for _, o := range []struct {
		from int64
		to   *int64
	}{
		{int64(c.Terms.Renew), &t.Renew},
		{int64(c.Terms.Grace), &t.Grace},
		{int64(c.Terms.Rebind), &t.Rebind},
		{int64(c.Terms.RollForward), &t.Roll},
		{c.Terms.PopularDevices, &t.PopularAt},
	} {
		if o.from > 0 {
			*o.to = o.from
		}
	}
	return t
}

// keysOf lists the keys of a configuration struct, with their tables.
func keysOf(prefix string, t reflect.Type) []string {
	var list []string
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name := prefix + f.Tag.Get("toml")
		switch {
		case f.Type.Kind() == reflect.Struct:
			list = append(list, keysOf(name+".", f.Type)...)
			continue
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			list = append(list, keysOf(name+".", f.Type.Elem())...)
		}
		list = append(list, name)
	}
	return list
}

// nearest returns the known word with the smallest edit distance.
func nearest(word string, known []string) string {
	best, least := "", 1<<30
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
