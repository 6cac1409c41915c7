package embed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"licenseagent.example/activation/activationtest"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/embed"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/store"
)

const code = "CODE-1234-5678"

// merchant is a vendor in this process; it answers files.
func merchant(t testing.TB) (*activationtest.Merchant, []byte) {
	t.Helper()
	m := activationtest.NewMerchant("acme", func() int64 { return time.Now().Unix() })
	m.AddCode(code, activationtest.Offer{Product: "painter"})
	anchor, err := m.Anchor().Encode()
	if err != nil {
		t.Fatal(err)
	}
	return m, anchor
}

// smbios is a table with a board serial, for test machines that have none.
func smbios(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "smbios.bin")
	if err := os.WriteFile(name, tableBytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func tableBytes() []byte {
	b := []byte{2, 15, 2, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0}
	b = append(b, "Example\x00Board\x001\x00BN-9K2M-0077\x00\x00"...)
	return append(b, 127, 4, 3, 0, 0, 0)
}

func open(t testing.TB, dir string, anchor []byte, table string) *embed.Agent {
	t.Helper()
	a, err := embed.Open(embed.Config{Dir: dir, Anchors: [][]byte{anchor}, Product: "painter", Version: "1.2.3", SMBIOSFile: table, Proxy: "direct"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a
}

// The whole job without a service: request, answer, import, verdict; the state
// survives the end of the program.
func TestOfflineJobAndRestart(t *testing.T) {
	m, anchor := merchant(t)
	dir, table := filepath.Join(t.TempDir(), "state"), smbios(t)
	a := open(t, dir, anchor, table)
	if _, err := a.Verdict("painter", ""); !hasCode(err, api.CodeNotActivated) {
		t.Errorf("before: %v", err)
	}
	request, err := a.Request(t.Context(), api.OfflineRequest{Kind: "activate", Code: code})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := m.File(request)
	if err != nil {
		t.Fatal(err)
	}
	serial := a.Status().Serial
	l, err := a.Import(t.Context(), answer)
	if err != nil || l.Product != "painter" || !l.Verdict.Runs {
		t.Fatalf("%+v %v", l, err)
	}
	if ev := a.Events(t.Context(), serial); len(ev.Events) == 0 || ev.Events[len(ev.Events)-1].Phase != "active" {
		t.Errorf("events %+v", ev)
	}
	if _, err := a.Import(t.Context(), answer); !hasCode(err, api.CodeAlreadyImported) {
		t.Errorf("second import: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	b := open(t, dir, anchor, table)
	if v, err := b.Verdict("painter", "acme"); err != nil || !v.Runs {
		t.Errorf("after a restart: %+v %v", v, err)
	}
	x, err := b.Why(api.KeyRequest{})
	if err != nil || x.Device.Outcome != "same" {
		t.Errorf("why %+v %v", x.Device, err)
	}
}

func TestOneOwner(t *testing.T) {
	_, anchor := merchant(t)
	dir := filepath.Join(t.TempDir(), "state")
	open(t, dir, anchor, "")
	_, err := embed.Open(embed.Config{Dir: dir, Anchors: [][]byte{anchor}})
	if !errors.Is(err, store.ErrOwned) && !errors.Is(err, securefile.ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
}

func TestBadConfiguration(t *testing.T) {
	_, anchor := merchant(t)
	dir := filepath.Join(t.TempDir(), "state")
	for name, c := range map[string]struct {
		cfg  embed.Config
		want error
	}{
		"no anchor":     {embed.Config{Dir: dir}, embed.ErrAnchor},
		"broken anchor": {embed.Config{Dir: dir, Anchors: [][]byte{[]byte("{}")}}, embed.ErrAnchor},
		"relative":      {embed.Config{Dir: "state", Anchors: [][]byte{anchor}}, securefile.ErrNotAbsolute},
	} {
		if _, err := embed.Open(c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A merchant that cannot be reached is an error with a code and a sentence, in
// the language asked for, and it does not quote the authorization code.
func TestUnreachable(t *testing.T) {
	m, _ := merchant(t)
	an := m.Anchor()
	an.Merchant = "https://127.0.0.1:1"
	anchor, err := an.Encode()
	if err != nil {
		t.Fatal(err)
	}
	a, err := embed.Open(embed.Config{
		Dir: filepath.Join(t.TempDir(), "state"), Anchors: [][]byte{anchor}, SMBIOSFile: smbios(t), Proxy: "direct", Language: "zh-CN",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = a.Activate(ctx, api.ActivateRequest{Code: code})
	if !hasCode(err, api.CodeUnreachable) || !strings.Contains(err.Error(), "无法连接") || strings.Contains(err.Error(), code) {
		t.Errorf("got %v", err)
	}
}

func hasCode(err error, code string) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

// A product without a service asks its embedded agent at start.
func ExampleOpen() {
	var anchor []byte // the vendor's anchor.json, compiled in with go:embed
	a, err := embed.Open(embed.Config{Dir: "/var/lib/painter/license", Anchors: [][]byte{anchor}, Product: "painter", Version: "1.2.3"})
	if err != nil {
		fmt.Println("no license:", errors.Is(err, embed.ErrAnchor))
		return
	}
	defer a.Close()
	v, err := a.Verdict("painter", "")
	fmt.Println(err == nil && v.Runs)
	// Output: no license: true
}

// temporary is a state directory and a table for the example, which has no T.
func temporary() (dir, table string) {
	base, err := os.MkdirTemp("", "embed")
	if err != nil {
		panic(err)
	}
	table = filepath.Join(base, "smbios.bin")
	if err := os.WriteFile(table, tableBytes(), 0o600); err != nil {
		panic(err)
	}
	return filepath.Join(base, "state"), table
}
