package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	"licenseagent.example/activation/license"
)

// Files of a release beside what was built.
const (
	sumsFile       = "SHA256SUMS"
	signatureFile  = "SHA256SUMS.sig"  // raw Ed25519, 64 bytes: openssl can check it
	keyFile        = "release-key.pem" // public key
	provenanceFile = "provenance.dsse" // in-toto statement in an envelope
	testKeyNote    = "THIS-IS-A-TEST-KEY.txt"
)

var (
	errChecksum   = errors.New("a file is not the one of the release")
	errSignature  = errors.New("not signed by this key")
	errProvenance = errors.New("the provenance does not fit the files")
)

// statement is an in-toto Statement v1 with SLSA Provenance v1 as predicate
// (in-toto.io/Statement/v1, slsa.dev/provenance/v1). The order is the format.
type statement struct {
	Type          string    `json:"_type"`
	Subject       []subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     predicate `json:"predicate"`
}

type subject struct {
	Name   string `json:"name"`
	Digest digest `json:"digest"`
}

type digest struct {
	SHA256    string `json:"sha256,omitempty"`
	GitCommit string `json:"gitCommit,omitempty"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType          string             `json:"buildType"`
		ExternalParameters externalParameters `json:"externalParameters"`
		InternalParameters internalParameters `json:"internalParameters"`
		Dependencies       []dependency       `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

type externalParameters struct {
	Version string `json:"version"`
	Command string `json:"command"`
}

type internalParameters struct {
	Go    string `json:"go"`
	Epoch int64  `json:"sourceDateEpoch"`
}

type dependency struct {
	URI    string `json:"uri"`
	Digest digest `json:"digest"`
}

// checksums lists the SHA-256 of every file below dir but those of the signature.
func checksums(dir string) ([]subject, error) {
	var list []subject
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		switch name = filepath.ToSlash(name); name {
		case sumsFile, signatureFile, keyFile, provenanceFile, testKeyNote:
			return nil
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		list = append(list, subject{name, digest{SHA256: hex.EncodeToString(h.Sum(nil))}})
		return errors.Join(err, f.Close())
	})
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, err
}

func sumsText(list []subject) []byte {
	var b bytes.Buffer
	for _, s := range list {
		fmt.Fprintf(&b, "%s  %s\n", s.Digest.SHA256, s.Name)
	}
	return b.Bytes()
}

// readKey reads an Ed25519 private key, PKCS#8 PEM; "" is the test key, which
// everybody has: its seed stands here.
func readKey(name string) (ed25519.PrivateKey, error) {
	if name == "" {
		seed := sha256.Sum256([]byte("license-agent release TEST KEY, worth nothing"))
		return ed25519.NewKeyFromSeed(seed[:]), nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s is not PKCS#8", name)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", name)
	}
	return ed, nil
}

// everything is what .ci/release builds if it is not told what.
const everything = "linux/amd64 linux/arm64 windows/amd64 windows/arm64"

// command is what makes the same files again.
func command(version, targets string) string {
	c := "make release VERSION=" + version
	if targets != "" && targets != everything {
		c += ` TARGETS="` + targets + `"`
	}
	return c
}

// sign writes checksums, signature, public key and provenance into dir.
func sign(dir, keyName, version, commit, module, targets string, made time.Time) error {
	key, err := readKey(keyName)
	if err != nil {
		return err
	}
	list, err := checksums(dir)
	if err != nil {
		return err
	}
	sums := sumsText(list)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	st := statement{Type: "https://in-toto.io/Statement/v1", Subject: list, PredicateType: "https://slsa.dev/provenance/v1"}
	def := &st.Predicate.BuildDefinition
	def.BuildType = "https://" + module + "/docs/release.md"
	def.ExternalParameters = externalParameters{version, command(version, targets)}
	def.InternalParameters = internalParameters{runtime.Version(), made.Unix()}
	def.Dependencies = []dependency{{"git+https://" + module, digest{GitCommit: commit}}}
	st.Predicate.RunDetails.Builder.ID = "https://" + module + "/.ci/release"
	signer, err := license.NewEd25519Signer(key.Seed())
	if err != nil {
		return err
	}
	envelope, err := license.SealStatement(st, signer)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		sumsFile: sums, signatureFile: ed25519.Sign(key, sums), provenanceFile: envelope,
		keyFile: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}
	if keyName == "" {
		files[testKeyNote] = []byte("This release is signed with the test key, whose private half is in the source.\nThe signature shows that signing works, and nothing about who made these files.\n")
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// verify checks a release by a public key that came another way: list,
// signature, every file, no file more, and provenance.
func verify(dir, keyName string) (statement, error) {
	var st statement
	b, err := os.ReadFile(keyName)
	if err != nil {
		return st, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return st, fmt.Errorf("%s is not PEM", keyName)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return st, err
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return st, fmt.Errorf("%s is not an Ed25519 key", keyName)
	}
	sums, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		return st, err
	}
	signature, err := os.ReadFile(filepath.Join(dir, signatureFile))
	if err != nil {
		return st, err
	}
	if !ed25519.Verify(key, sums, signature) {
		return st, fmt.Errorf("%w: %s", errSignature, sumsFile)
	}
	list, err := checksums(dir)
	if err != nil {
		return st, err
	}
	if got := sumsText(list); !bytes.Equal(got, sums) {
		return st, fmt.Errorf("%w: %s", errChecksum, firstDifference(string(got), string(sums)))
	}
	envelope, err := os.ReadFile(filepath.Join(dir, provenanceFile))
	if err != nil {
		return st, err
	}
	err = license.OpenStatement(license.PublicKey{Alg: license.AlgEd25519, Pub: base64.StdEncoding.EncodeToString(key)}, envelope, &st)
	if err != nil {
		return st, fmt.Errorf("%w: %w", errSignature, err)
	}
	if !bytes.Equal(sumsText(st.Subject), sums) {
		return st, errProvenance
	}
	return st, nil
}

func firstDifference(have, want string) string {
	listed := map[string]bool{}
	for line := range strings.Lines(want) {
		listed[line] = true
	}
	for line := range strings.Lines(have) {
		if !listed[line] {
			return strings.TrimSpace(line[64:]) + " is not as listed"
		}
	}
	return "a listed file is missing"
}
