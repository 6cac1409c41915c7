package license

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"

	"licenseagent.example/docs/promise"
)

// wycheproofFile is the part of a Wycheproof file that is used here.
type wycheproofFile struct {
	NumberOfTests int
	TestGroups    []struct {
		PublicKey struct {
			Pk           string
			Uncompressed string
		}
		Tests []struct {
			TcID     int
			Msg, Sig string
			Result   string
			Comment  string
		}
	}
}

// TestWycheproof runs the public vectors of both algorithms through the one
// function that checks signatures here. Ed25519: 151 vectors. P-256: those
// with r‖s (IEEE P1363), the form of SPEC.md section 1.
func TestWycheproof(t *testing.T) {
	for _, c := range []struct {
		file, alg string
		least     int
	}{{"ed25519_test.json", AlgEd25519, 151}, {"ecdsa_secp256r1_sha256_p1363_test.json", AlgP256, 200}} {
		t.Run(c.alg, func(t *testing.T) {
			b := must[[]byte](t)(fs.ReadFile(wycheproof.TestVectors, c.file))
			var file wycheproofFile
			if err := json.Unmarshal(b, &file); err != nil {
				t.Fatal(err)
			}
			run, valid, fooled := 0, 0, 0
			for _, g := range file.TestGroups {
				pub := g.PublicKey.Pk
				if c.alg == AlgP256 {
					pub = g.PublicKey.Uncompressed
				}
				key := PublicKey{c.alg, encode64(unhex(t, pub))}
				for _, v := range g.Tests {
					run++
					sig := must[[]byte](t)(hex.DecodeString(v.Sig))
					got := verifySignature(key, unhex(t, v.Msg), sig)
					if got != (v.Result == "valid") {
						t.Errorf("tcId %d (%s): %v, want %s", v.TcID, v.Comment, got, v.Result)
					}
					if got {
						valid++
					}
					// Control: a reader that looks at the first 64 bytes only.
					if len(sig) > 64 && verifySignature(key, unhex(t, v.Msg), sig[:64]) != (v.Result == "valid") {
						fooled++
					}
				}
			}
			if run != file.NumberOfTests || run < c.least || valid == 0 || valid == run {
				t.Errorf("%d of %d vectors run, %d valid", run, file.NumberOfTests, valid)
			}
			if c.alg == AlgEd25519 && fooled == 0 {
				t.Error("control: without the check of the length no verdict differs")
			}
			t.Logf("count signatures %d", run)
			promise.Reached(t, "P10", fmt.Sprintf("Go: %d Wycheproof vectors of %s agree, %d of them valid", run, c.alg, valid),
				fmt.Sprintf("a reader that accepts everything disagrees on %d, one without the check of the length on %d", run-valid, fooled))
		})
	}
}
