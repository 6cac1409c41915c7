//go:build linux

package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/fingerprint/probe/probetest"
	"licenseagent.example/store"
)

// These tests put the real parts together: recorded hosts, the collector, the
// store on disk, the daemon, HTTPS, the merchant service and its database. Only
// the clocks are ours.

const (
	hour = int64(3600)
	day  = 24 * hour
)

// vendor is a merchant service with its database behind HTTPS.
type vendor struct {
	t      *testing.T
	now    int64 // the time everywhere
	svc    *merchant.Service
	client *protocol.Client
	anchor license.Anchor
	roots  map[string]string // recorded hosts that are unpacked already
}

func newVendor(t *testing.T, change func(*merchant.Terms)) *vendor {
	v := &vendor{t: t, now: 1_800_000_000, roots: map[string]string{}}
	dir, ctx := t.TempDir(), context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"keys", "root"} {
		must(os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	terms := merchant.DefaultTerms()
	terms.PopularAt = 1000 // the same recorded host is sold to many times
	if change != nil {
		change(&terms)
	}
	db, err := merchant.OpenSQLite(ctx, filepath.Join(dir, "merchant.db"))
	must(err)
	v.svc, err = merchant.New(ctx, merchant.Options{
		DB: db, KeyDir: filepath.Join(dir, "keys"), Clock: func() time.Time { return time.Unix(v.now, 0) }, Rand: rand.Reader, Terms: terms,
	})
	must(err)
	v.anchor, err = v.svc.InitKeys(ctx, merchant.InitOptions{Issuer: "acme", RootDir: filepath.Join(dir, "root"), Roots: 1, Threshold: 1})
	must(err)
	srv := httptest.NewTLSServer(v.svc.Handler())
	v.client, err = protocol.NewClient(protocol.Config{
		Base: srv.URL, Proxy: "direct", Now: time.Now, Rand: func() float64 { return 0 },
		Roots: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
	})
	must(err)
	t.Cleanup(func() {
		srv.Close()
		v.svc.Close()
		must(db.Close())
	})
	return v
}

// bench is a machine that buys from a vendor.
type bench struct {
	*vendor
	t      *testing.T
	signer license.Signer
	under  *collect.Collector
	dir    string // of the store on disk, "" for one in memory
	disk   *store.Store
	memory *activation.Memory
	daemon *agent.Daemon
	log    bytes.Buffer
	down   bool   // the merchant cannot be reached
	before func() // called before each contact, nil: nothing is
	// observe reads the hardware in place of under, nil: under does.
	observe func() fingerprint.Device
}

func (v *vendor) machine(t *testing.T) *bench {
	b := &bench{vendor: v, t: t, memory: activation.NewMemory()}
	seed := make([]byte, 32)
	_, err := rand.Read(seed)
	b.must(err)
	b.signer, err = license.NewEd25519Signer(seed)
	b.must(err)
	t.Cleanup(func() {
		if b.disk != nil {
			b.must(b.disk.Close())
		}
	})
	return b
}

// onDisk lets the machine remember in the store that is shipped. It waits for
// the disk with each step; the tests that are not about remembering do without.
func (b *bench) onDisk() *bench {
	b.dir = filepath.Join(b.t.TempDir(), "state")
	b.must(os.Mkdir(b.dir, 0o700))
	return b
}

// state is where the agent remembers, opened anew for each start.
func (b *bench) state() activation.StateStore {
	if b.dir == "" {
		return b.memory
	}
	if b.disk != nil {
		b.must(b.disk.Close())
	}
	var err error
	b.disk, err = store.Open(b.dir, store.Options{MACKey: bytes.Repeat([]byte{7}, 32)})
	b.must(err)
	return b.disk
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// host puts a recorded host under the agent after changes to its archive, each
// a text and its replacement.
func (b *bench) host(name string, changes ...string) {
	b.t.Helper()
	archive, err := os.ReadFile("../fingerprint/collect/testdata/hosts/" + name + ".txtar")
	b.must(err)
	for i := 0; i < len(changes); i += 2 {
		if !bytes.Contains(archive, []byte(changes[i])) {
			b.t.Fatalf("%s does not hold %q", name, changes[i])
		}
		archive = bytes.ReplaceAll(archive, []byte(changes[i]), []byte(changes[i+1]))
	}
	root := b.roots[string(archive)]
	if root == "" {
		root = probetest.Unpack(b.vendor.t, archive)
		b.roots[string(archive)] = root
	}
	b.under = &collect.Collector{Host: probe.Host{Root: root}}
}

// boot starts the agent on a recorded host. The state stays: this is how a
// machine looks after a repair, and how a copied disk image looks elsewhere.
func (b *bench) boot(host string, changes ...string) {
	b.t.Helper()
	b.host(host, changes...)
	b.start()
}

// start starts the agent on the host that is under it.
func (b *bench) start() {
	b.t.Helper()
	var err error
	b.daemon, err = agent.New(agent.Config{
		Activation: activation.Config{
			Store: b.state(), Anchors: []license.Anchor{b.anchor}, Device: b.signer, Rand: rand.Reader, AgentVersion: "test",
			Clock: func() activation.Reading {
				return activation.Reading{Wall: b.now, Boot: b.now - 1_700_000_000, BootID: "boot"}
			},
			Observe: func() fingerprint.Device {
				if b.observe != nil {
					return b.observe()
				}
				return b.under.Collect(context.Background())
			},
			Issuer: func(string) (activation.Issuer, error) {
				if b.before != nil {
					b.before()
				}
				if b.down {
					return nil, errors.New("the cable is out")
				}
				return b.client, nil
			},
		},
		Version: api.Version{Version: "test"}, KeyTier: "file", Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	})
	b.must(err)
}

// activate buys a code and redeems it.
func (b *bench) activate(policy string) {
	b.t.Helper()
	b.must(b.buy(merchant.CodeSpec{Policy: policy}))
}

// buy redeems a code of its own, for one device and the product of the tests.
func (b *bench) buy(spec merchant.CodeSpec) error {
	spec.Product, spec.Devices, spec.Seats = "painter", 1, 1
	codes, _, err := b.svc.AddCodes(context.Background(), spec, 1)
	if err != nil {
		return err
	}
	_, err = b.daemon.Activate(context.Background(), api.ActivateRequest{Code: codes[0]}, api.English)
	return err
}

func (b *bench) renew() error {
	_, err := b.daemon.Renew(context.Background(), api.KeyRequest{}, api.English)
	return err
}

// renewUnreachable tries a contact, which reads the hardware first, and fails.
func (b *bench) renewUnreachable() error {
	b.down = true
	if err := b.renew(); !errors.Is(err, activation.ErrUnreachable) {
		return fmt.Errorf("the merchant was reached: %w", err)
	}
	return nil
}

// pass lets time go by with a contact every six days.
func (b *bench) pass(seconds int64) {
	b.t.Helper()
	for ; seconds > 0; seconds -= 6 * day {
		b.now += min(seconds, 6*day)
		b.must(b.renew())
	}
}

func (b *bench) why() api.Explanation {
	b.t.Helper()
	x, err := b.daemon.Why(api.KeyRequest{}, api.English)
	b.must(err)
	return x
}

// wants compares phase, reason and flags.
func (b *bench) wants(what, phase, reason string, flags ...string) {
	b.t.Helper()
	v := b.why().License.Verdict
	if v.Phase != phase || v.Reason != reason || !slices.Equal(v.Flags, flags) {
		b.t.Errorf("%s: %s, %s, %q, want %s, %s, %q (%s)", what, v.Phase, v.Reason, v.Flags, phase, reason, flags, b.why().Device.Why)
	}
}

// claims is the license as signed.
func (b *bench) claims() *license.Claims {
	b.t.Helper()
	f, err := b.daemon.Files(api.KeyRequest{})
	b.must(err)
	keys, err := base64.StdEncoding.DecodeString(f.KeySet)
	b.must(err)
	lic, err := base64.StdEncoding.DecodeString(f.License)
	b.must(err)
	set, err := license.OpenKeySet(b.anchor, nil, keys)
	b.must(err)
	c, err := set.OpenLicense(lic)
	b.must(err)
	return c
}

func newDisk() []string {
	return []string{"S64DMX0T600214W", "S64DMX0T777777Z", "0025385600b04c11", "00253856aabbccdd"}
}

func newBoard() []string {
	return []string{"E4N0CV39K51716B", "K7N0CV12345678X", "5f1b8b80-9d5c-11e3-a0f4-bcee7b0c5a21", "0aa1bb22-9d5c-11e3-a0f4-0102030405ff"}
}
func newCard() []string { return []string{"bc:ee:7b:0c:5a:21", "bc:ee:7b:99:98:97"} }

// bare is the virtual machine of vm-kvm without a UUID and a disk serial: its
// address is all that it can be known by.
func bare() []string {
	return []string{"UUID: 7c9e6679-7425-40de-944b-e07fc1f90ae7", "Family: none", "serial a1b2c3d4-e5f6-4789-a", `serial ""`}
}

// remade is bare with its network device, and so its address, made anew.
func remade(mac string) []string { return append(bare(), "fa:16:3e:1b:72:0c", mac) }

// hidden is a machine whose firmware table nobody may read.
func hidden() []string {
	return []string{"-- sys/firmware/dmi/tables/DMI (dmidecode) --", "-- sys/class/dmi/id/board_serial.unreadable --\n-- sys/firmware/dmi/tables/DMI.unreadable --\n-- notes --"}
}

// diskHidden is a disk whose serial cannot be read.
func diskHidden() []string {
	return []string{"device/serial \"S64DMX0T600214W     \"", "device/serial.unreadable x", "wwid eui.0025385600b04c11", "wwid.unreadable x"}
}
