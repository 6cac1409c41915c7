package license

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"licenseagent.example/docs/promise"
	"licenseagent.example/fingerprint"
)

var update = flag.Bool("update", false, "write testdata/vectors.json again")

const vectorPath = "testdata/vectors.json"

// vectorFile is testdata/vectors.json; testdata/README.md describes it for
// other languages.
type vectorFile struct {
	Format  string            `json:"format"`
	Data    map[string]string `json:"data"`
	Vectors []vector          `json:"vectors"`
}

// vector is one case. Texts that start with "@" name an entry of data.
type vector struct {
	Name     string      `json:"name"`
	Op       string      `json:"op"`
	Anchor   string      `json:"anchor,omitempty"`
	Prev     string      `json:"prev,omitempty"`
	KeySet   string      `json:"keyset,omitempty"`
	License  string      `json:"license,omitempty"`
	Proof    string      `json:"proof,omitempty"`
	Key      *PublicKey  `json:"key,omitempty"`
	Input    string      `json:"input,omitempty"`
	InputHex string      `json:"input_hex,omitempty"`
	Options  *vecOptions `json:"options,omitempty"`
	Times    *vecTimes   `json:"times,omitempty"`
	Args     []string    `json:"args,omitempty"`
	Want     string      `json:"want"`
	Result   *vecResult  `json:"result,omitempty"`
}

type vecOptions struct {
	Product   string `json:"product"`
	Issuer    string `json:"issuer"`
	NonceHex  string `json:"nonce_hex"`
	Now       int64  `json:"now"`
	AgeMS     int64  `json:"age_ms"`
	Tolerance int64  `json:"tolerance"`
	MinKeySet int64  `json:"min_keyset"`
}

type vecTimes struct {
	NotBefore  int64 `json:"nbf"`
	RenewBy    int64 `json:"ren"`
	GraceUntil int64 `json:"grc"`
	Expires    int64 `json:"exp"`
	T          int64 `json:"t"`
}

type vecResult struct {
	Payload       string `json:"payload,omitempty"`
	State         string `json:"state,omitempty"`
	Reason        string `json:"reason,omitempty"`
	Runs          *bool  `json:"runs,omitempty"`
	Time          int64  `json:"time,omitempty"`
	KeySetExpired *bool  `json:"keyset_expired,omitempty"`
	Text          string `json:"text,omitempty"`
	Text2         string `json:"text2,omitempty"`
}

// run answers a vector with this package.
func (v vector) run(t *testing.T, data map[string]string) (code string, r vecResult) {
	get := func(s string) []byte {
		if name, ok := strings.CutPrefix(s, "@"); ok {
			text, known := data[name]
			if !known {
				t.Fatalf("%s: no data %q", v.Name, name)
			}
			return []byte(text)
		}
		return []byte(s)
	}
	input := get(v.Input)
	if v.InputHex != "" {
		input = unhex(t, v.InputHex)
	}
	anchor := func() Anchor { return must[Anchor](t)(ParseAnchor(get(v.Anchor))) }
	keySet := func() *KeySet { return must[*KeySet](t)(OpenKeySet(anchor(), nil, get(v.KeySet))) }
	payload := func(p any, err error) (string, vecResult) {
		if err != nil {
			return Code(err), vecResult{}
		}
		return "ok", vecResult{Payload: string(must[[]byte](t)(encodeCanonical(p)))}
	}
	switch v.Op {
	case "anchor":
		return payload(ParseAnchor(input))
	case "keyset":
		var prev *KeySet
		if v.Prev != "" {
			prev = must[*KeySet](t)(OpenKeySet(anchor(), nil, get(v.Prev)))
		}
		return payload(OpenKeySet(anchor(), prev, input))
	case "license":
		return payload(keySet().OpenLicense(input))
	case "notice":
		return payload(keySet().OpenNotice(input))
	case "proof":
		return payload(OpenProof(*v.Key, input))
	case "request":
		return payload(OpenRequest(input))
	case "check", "files":
		o := v.Options
		asked := time.Unix(0, 0)
		opts := CheckOptions{
			Product: o.Product, Issuer: o.Issuer, Nonce: unhex(t, o.NonceHex), Now: o.Now, Asked: asked,
			Arrived: asked.Add(time.Duration(o.AgeMS) * time.Millisecond), KeySetTolerance: o.Tolerance, MinKeySet: o.MinKeySet,
		}
		var c *Checked
		var err error
		if v.Op == "check" {
			c, err = VerifyCheck(anchor(), opts, get(v.License), get(v.KeySet), get(v.Proof))
		} else {
			c, err = VerifyFiles(anchor(), opts, get(v.License), get(v.KeySet))
		}
		if err != nil {
			if c != nil {
				t.Errorf("%s: a result beside an error", v.Name)
			}
			return Code(err), vecResult{}
		}
		return "ok", vecResult{State: string(c.State), Reason: c.Reason, Runs: &c.Runs, Time: c.Time, KeySetExpired: &c.KeySetExpired}
	case "time":
		c := &Claims{NotBefore: v.Times.NotBefore, RenewBy: v.Times.RenewBy, GraceUntil: v.Times.GraceUntil, Expires: v.Times.Expires}
		state, reason := TimeState(c, v.Times.T)
		return "ok", vecResult{State: string(state), Reason: reason}
	case "verify":
		if verifySignature(*v.Key, unhex(t, v.Args[0]), unhex(t, v.Args[1])) {
			return "ok", vecResult{}
		}
		return "signature", vecResult{}
	case "keyid":
		if err := v.Key.Check(); err != nil {
			return Code(err), vecResult{}
		}
		return "ok", vecResult{Text: KeyID(*v.Key), Text2: DeviceID(*v.Key)}
	case "pae":
		return "ok", vecResult{Text: hex.EncodeToString(pae(v.Args[0], []byte(v.Args[1])))}
	case "hash":
		return "ok", vecResult{Text: fingerprint.Hash(unhex(t, v.Args[0]), fingerprint.Kind(v.Args[1]), v.Args[2])}
	}
	t.Fatalf("%s: unknown op %q", v.Name, v.Op)
	return "", vecResult{}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	return must[[]byte](t)(hex.DecodeString(s))
}

// TestVectors runs the file as any other language would, and checks that it is
// worth running: enough cases, every code, good and bad cases of each op.
func TestVectors(t *testing.T) {
	b := must[[]byte](t)(os.ReadFile(vectorPath))
	var file vectorFile
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	names, codes := map[string]bool{}, map[string]int{}
	for _, v := range file.Vectors {
		if names[v.Name] {
			t.Errorf("two vectors named %q", v.Name)
		}
		names[v.Name] = true
		codes[v.Want]++
		code, got := v.run(t, file.Data)
		if code != v.Want {
			t.Errorf("%s: %q, want %q", v.Name, code, v.Want)
			continue
		}
		if v.Result != nil {
			same(t, *v.Result, got)
		}
	}
	if len(file.Vectors) < 200 {
		t.Errorf("%d vectors, want at least 200", len(file.Vectors))
	}
	for _, code := range []string{
		"ok", "too-large", "envelope", "media-type", "signature", "threshold", "payload", "limits",
		"device", "anchor", "issuer", "keyset-rollback", "keyset-too-old", "keyset-expired", "key-revoked", "key-not-yet",
		"product", "nonce", "hash", "stale", "key", "options",
	} {
		if codes[code] == 0 {
			t.Errorf("no vector wants %q", code)
		}
	}
	t.Logf("count license %d", len(file.Vectors))
	promise.Reached(t, "P10", fmt.Sprintf("Go: %d shared vectors, %d to accept: every verdict as the file says", len(file.Vectors), codes["ok"]),
		fmt.Sprintf("a reader that accepts everything disagrees on %d", len(file.Vectors)-codes["ok"]))
}

// TestVectorsUpToDate generates the file again: it must not drift from the
// code that explains it. With -update the file is written.
func TestVectorsUpToDate(t *testing.T) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(generate(t)); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorPath, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if b := must[[]byte](t)(os.ReadFile(vectorPath)); !bytes.Equal(b, buf.Bytes()) {
		t.Errorf("%s is not what the generator writes; run go test -run TestVectorsUpToDate -update", vectorPath)
	}
}
