package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseagent.example/activation"
	"licenseagent.example/platform/securefile"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestPublicFiles(t *testing.T) {
	o := options()
	o.PublicDir = newDir(t)
	s := mustOpen(t, newDir(t), o)
	lic := []byte(`{"payloadType":"x & <y>","payload":"é"}`)
	mustApply(t, s, activation.Change{
		Put: []activation.Record{
			{Key: activation.Key{Issuer: "acme.example", Product: "erp"}, License: lic, Notice: []byte("{}"), Seq: 4, Head: "h", Pending: &activation.Pending{Nonce: "secret"}},
			{Key: activation.Key{Issuer: "acme.example"}, Pending: &activation.Pending{Nonce: "secret"}},
		},
		KeySets: map[string][]byte{"acme.example": []byte("keys")},
	})
	if got := names(t, o.PublicDir); !slices.Equal(got, []string{"license-erp@acme.example.json"}) {
		t.Fatalf("%v", got)
	}
	path := filepath.Join(o.PublicDir, "license-erp@acme.example.json")
	b := mustRead(t, path)
	var got PublicLicense
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := PublicLicense{V: 1, Issuer: "acme.example", Product: "erp", Seq: 4, Head: "h", License: string(lic), KeySet: "keys", Notice: "{}", Seal: got.Seal}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(string(b), "secret") || strings.Contains(string(b), `\u003c`) {
		t.Errorf("%s", b)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.Stat(o.PublicDir)
	if err != nil {
		t.Fatal(err)
	}
	// On Windows access lists say it, and securefile's own tests read those.
	if runtime.GOOS != "windows" && (info.Mode().Perm() != securefile.PublicFile || folder.Mode().Perm() != securefile.PublicDir) {
		t.Errorf("file %v, folder %v", info.Mode(), folder.Mode())
	}
	mustApply(t, s, activation.Change{Delete: []activation.Key{{Issuer: "acme.example", Product: "erp"}}})
	if got := names(t, o.PublicDir); len(got) != 0 {
		t.Errorf("the file of a deleted license stays: %v", got)
	}
}

// Start and every change bring the files in line; foreign files stay.
func TestPublicFilesAreRepaired(t *testing.T) {
	o := options()
	o.PublicDir = newDir(t)
	dir := filled(t, 2, o)
	one := filepath.Join(o.PublicDir, "license-one@acme.example.json")
	good := mustRead(t, one)
	mustWrite(t, filepath.Join(o.PublicDir, "README"), []byte("of somebody"))
	mustWrite(t, filepath.Join(o.PublicDir, "license-gone@acme.example.json"), []byte("{}"))
	for name, spoil := range map[string]func(){
		"missing": func() { os.Remove(one) },
		"torn":    func() { mustWrite(t, one, good[:20]) },
		"altered": func() { mustWrite(t, one, flip(good)) },
	} {
		spoil()
		mustClose(t, mustOpen(t, dir, o))
		if string(mustRead(t, one)) != string(good) {
			t.Errorf("%s: not repaired", name)
		}
	}
	if got := names(t, o.PublicDir); !slices.Equal(got, []string{"README", "license-one@acme.example.json", "license-two@acme.example.json"}) {
		t.Errorf("%v", got)
	}
}

// A public file that this store did not write is no source.
func TestPublicFilesMustBeOurs(t *testing.T) {
	o := options()
	o.PublicDir = newDir(t)
	dir := filled(t, 2, o)
	one := filepath.Join(o.PublicDir, "license-one@acme.example.json")
	mustWrite(t, one, []byte(strings.Replace(string(mustRead(t, one)), `"seq": 2`, `"seq": 3`, 1)))
	os.Remove(filepath.Join(dir, fileDB))
	os.Remove(filepath.Join(dir, fileMirror))
	s := mustOpen(t, dir, o)
	st := mustLoad(t, s)
	if len(st.Records) != 1 || st.Records[0].Key.Product != "two" {
		t.Errorf("%+v", st.Records)
	}
	if !slices.Contains(kinds(s), EventRefused) {
		t.Errorf("%v", kinds(s))
	}
}

// What cannot be published does not keep the state from being stored.
func TestPublicDirFails(t *testing.T) {
	o := options()
	o.PublicDir = newDir(t)
	s := mustOpen(t, newDir(t), o)
	c := counted(1)
	c.Put[0].License = []byte("\xff\xfe")
	mustApply(t, s, c)
	if !slices.Contains(kinds(s), EventMirror) {
		t.Errorf("%v", kinds(s))
	}
	if got := names(t, o.PublicDir); !slices.Equal(got, []string{"license-two@acme.example.json"}) {
		t.Errorf("%v", got)
	}
	if got := mustLoad(t, s); string(got.Records[0].License) != "\xff\xfe" {
		t.Errorf("%q", got.Records[0].License)
	}
}

func TestPublicName(t *testing.T) {
	long := strings.Repeat("x", 300)
	seen := map[string]activation.Key{}
	for _, c := range []struct{ product, issuer, want string }{
		{"erp", "acme.example", "license-erp@acme.example.json"},
		{"a-b_c.9", "acme", "license-a-b_c.9@acme.json"},
		{"ERP", "acme", "license-%45%52%50@acme.json"},
		{"erp", "ACME", ""},
		{"e/r\\p", "..", "license-e%2Fr%5Cp@...json"},
		{"a@b", "c", "license-a%40b@c.json"},
		{"a", "b@c", "license-a@b%40c.json"},
		{"%41", "c", "license-%2541@c.json"},
		{"A", "c", "license-%41@c.json"},
		{"é", "c", "license-%C3%A9@c.json"},
		{"", "c", "license-@c.json"},
		{long, "c", ""},
		{long + "y", "c", ""},
	} {
		k := activation.Key{Issuer: c.issuer, Product: c.product}
		got := PublicName(k)
		if c.want != "" && got != c.want {
			t.Errorf("%+v: %s, want %s", k, got, c.want)
		}
		folded := strings.ToLower(got)
		if other, taken := seen[folded]; taken {
			t.Errorf("%+v and %+v share %s", k, other, got)
		}
		seen[folded] = k
		if len(got) > 255 || strings.ContainsAny(got, "/\\:*?\"<>|") {
			t.Errorf("%s is no file name everywhere", got)
		}
	}
}

func TestStats(t *testing.T) {
	o := options()
	var told []Event
	o.Report = func(e Event) { told = append(told, e) }
	dir := filled(t, 3, o)
	mustWrite(t, filepath.Join(dir, fileDB), []byte("damaged"))
	s := mustOpen(t, dir, o)
	got := s.Stats()
	if got.Schema != schemaVersion || got.Records != 2 || got.KeySets != 1 || got.FileBytes < 4*4096 || got.MirrorBytes == 0 || got.Generation < 4 || got.Stopped || got.MirrorStale {
		t.Errorf("%+v", got)
	}
	if len(got.Quarantine) != 1 || got.Quarantine[0] != "state.db.corrupt-20260528T202640Z" {
		t.Errorf("%v", got.Quarantine)
	}
	if diff := cmp.Diff(told, got.Events); diff != "" || len(told) != 2 {
		t.Errorf("%v: %s", told, diff)
	}
	b, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"nonce-", "request", "payload", string(testKey())} {
		if strings.Contains(string(b), secret) {
			t.Errorf("the statistics show %q: %s", secret, b)
		}
	}
	for range 2 * keepEvents {
		s.report(Event{Kind: EventMirror})
	}
	if n := len(s.Stats().Events); n != keepEvents {
		t.Errorf("%d events kept", n)
	}
}
