package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"time"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/fingerprint"
)

// deviceState is what the device of the scripts remembers.
type deviceState struct {
	Seed    []byte `json:"seed"`
	Print   string `json:"print"`
	License string `json:"license"`
	Seq     int64  `json:"seq"`
	Head    string `json:"head"`
	Pending string `json:"pending"` // nonce of the last request, written before sending
}

// deviceMain is the command "device": new, activate, renew, release, rebind,
// request, import. It prints what it learned and exits as the agent would.
func deviceMain() {
	if err := deviceRun(os.Args[1:]); err != nil {
		var refused *activation.RefusedError
		fmt.Fprintln(os.Stderr, err)
		switch {
		case errors.Is(err, activation.ErrUnreachable):
			os.Exit(exitUnreachable)
		case errors.As(err, &refused):
			os.Exit(exitRefused)
		}
		os.Exit(exitUnexpected)
	}
}

func deviceRun(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: device new STATE NUMBER | device KIND STATE ANCHOR [CODEFILE] | device request STATE ANCHOR KIND [CODEFILE] | device import STATE ANCHOR ANSWER")
	}
	verb, file := args[0], args[1]
	if verb == "new" {
		return newDevice(file, args[2])
	}
	var d deviceState
	if err := readJSON(file, &d); err != nil {
		return err
	}
	text, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	anchor, err := license.ParseAnchor(text)
	if err != nil {
		return err
	}
	rest := args[3:]
	switch verb {
	case "import":
		if text, err = os.ReadFile(rest[0]); err != nil {
			return err
		}
		a, err := protocol.DecodeAnswer(text)
		if err != nil {
			return err
		}
		return d.take(file, anchor, a)
	case "request":
		env, err := d.seal(file, anchor, rest[0], rest[1:], true)
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(append(env, '\n'))
		return err
	}
	env, err := d.seal(file, anchor, verb, rest, false)
	if err != nil {
		return err
	}
	c, err := protocol.NewClient(protocol.Config{Base: anchor.Merchant, Roots: anchor.TLSRoots, Proxy: "direct", Now: time.Now, Rand: mathrand.Float64})
	if err != nil {
		return err
	}
	a, err := c.Send(context.Background(), env, "device-"+d.Pending)
	if err != nil {
		return err
	}
	return d.take(file, anchor, a)
}

func newDevice(file, number string) error {
	d := deviceState{Seed: make([]byte, 32), Print: fmt.Sprintf("3C:7C:3F:AA:00:%s|WD-WMAM9X00%s|PF3N00%sX|BFEBFBFF000906EA", number, number, number)}
	if _, err := rand.Read(d.Seed); err != nil {
		return err
	}
	return writeJSON(file, d)
}

// seal makes a request and writes its nonce down before it is sent.
func (d *deviceState) seal(file string, anchor license.Anchor, kind string, codeFile []string, offline bool) ([]byte, error) {
	signer, err := license.NewEd25519Signer(d.Seed)
	if err != nil {
		return nil, err
	}
	var n [32]byte
	if _, err := rand.Read(n[:]); err != nil {
		return nil, err
	}
	d.Pending = base64.StdEncoding.EncodeToString(n[:])
	r := license.Request{
		V: 1, Kind: kind, Issuer: anchor.Issuer, Product: "painter", Device: license.DeviceID(signer.Public()), Key: signer.Public(),
		Seq: d.Seq, Head: d.Head, Nonce: d.Pending, Fingerprint: d.Print, Env: fingerprint.Physical, Time: time.Now().Unix(), Offline: offline, Agent: "script/1",
	}
	for _, k := range []fingerprint.Kind{fingerprint.MAC, fingerprint.Disk, fingerprint.Board, fingerprint.CPU} {
		r.Parts = append(r.Parts, license.ObservedPart{Kind: k, State: fingerprint.OK})
	}
	if len(codeFile) > 0 {
		text, err := os.ReadFile(codeFile[0])
		if err != nil {
			return nil, err
		}
		r.Code = strings.TrimSpace(string(text))
	}
	if kind != license.RequestActivate {
		r.License = d.License
	}
	env, err := license.SealRequest(r, signer)
	if err != nil {
		return nil, err
	}
	return env, writeJSON(file, d)
}

// take verifies an answer with nothing but the trust anchor and prints it.
func (d *deviceState) take(file string, anchor license.Anchor, a protocol.Answer) error {
	ks, err := license.OpenKeySet(anchor, nil, a.KeySet)
	if err != nil {
		return err
	}
	if len(a.License) > 0 {
		c, err := ks.OpenLicense(a.License)
		if err != nil {
			return err
		}
		if c.Nonce != d.Pending {
			return errors.New("the license answers another request")
		}
		d.License, d.Seq, d.Head = c.ID, c.Seq, c.Head
		fmt.Printf("license %s seq %d keyset %d\n", c.ID, c.Seq, ks.Version)
	}
	if len(a.Notice) > 0 {
		n, err := ks.OpenNotice(a.Notice)
		if err != nil {
			return err
		}
		if n.Nonce != d.Pending {
			return errors.New("the notice answers another request")
		}
		d.Seq, d.Head = n.Seq, n.Head
		fmt.Printf("notice %s seq %d\n", n.State, n.Seq)
	}
	return writeJSON(file, d)
}

func readJSON(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func writeJSON(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}
