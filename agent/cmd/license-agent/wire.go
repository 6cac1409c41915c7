package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"licenseagent.example/activation"
	"licenseagent.example/activation/license"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/agent"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/localapi"
	"licenseagent.example/fingerprint"
	"licenseagent.example/fingerprint/collect"
	"licenseagent.example/fingerprint/probe"
	"licenseagent.example/platform/clock"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/ipc"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
	"licenseagent.example/platform/service"
	"licenseagent.example/store"
)

// This file is the composition root: the only place that knows every part.

// parts is a wired instance.
type parts struct {
	daemon   *agent.Daemon
	server   *localapi.Server
	listener net.Listener
	store    *store.Store
	key      *devicekey.Key
	journal  *store.Journal
	keeper   *service.Keeper
}

// close releases what wire has opened, in reverse order.
func (p *parts) close() error {
	var errs []error
	if p.listener != nil {
		errs = append(errs, p.listener.Close())
	}
	if p.journal != nil {
		errs = append(errs, p.journal.Close())
	}
	if p.store != nil {
		errs = append(errs, p.store.Close())
	}
	if p.key != nil {
		errs = append(errs, p.key.Close())
	}
	errs = append(errs, p.keeper.Close())
	return errors.Join(errs...)
}

// wire builds a running instance from its layout and settings. What it has
// opened before an error is closed again.
func (a *app) wire(p paths.Paths, s settings, redact *agent.Redactor, log *slog.Logger) (out *parts, err error) {
	out = &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, out.close())
		}
	}()
	if err := makeDirs(p, a.dir); err != nil {
		return out, err
	}
	anchors, err := readAnchors(filepath.Join(p.Config, "anchors"))
	if err != nil {
		return out, a.configProblem(err)
	}
	if len(anchors) == 0 {
		log.Warn("no vendor is known: there is no trust anchor", "directory", filepath.Join(p.Config, "anchors"))
	}
	groups, err := adminGroups(s)
	if err != nil {
		return out, a.problem(api.CodeConfig, err)
	}
	exe, err := a.executable()
	if err != nil {
		return out, err
	}
	collector := &collect.Collector{Host: probe.Host{SMBIOSFile: smbiosFile(p, s)}, Executable: exe}
	key, err := devicekey.Places{TPM: s.get("tpm"), Seal: credential(p, "device-seal"), Machine: func() []string {
		return []string{devicekey.MachineID(), fingerprint.Format(collector.Collect(context.Background())).String}
	}}.Open(p.State, a.rand)
	if err != nil {
		return out, err
	}
	out.key = key
	if note := key.Note(); note != "" {
		log.Warn(note, "tier", key.Tier())
	}
	out.store, err = store.Open(p.State, store.Options{
		MACKey: key.Derive("license-agent store v1"), Now: func() int64 { return a.now().Unix() },
		Probe: []string{exe, store.ProbeArg}, PublicDir: filepath.Join(p.Runtime, publicDir),
		Report: func(e store.Event) { log.Warn(sayDamage, "event", e.Kind, "file", e.File, "text", e.Text) },
	})
	if err != nil {
		return out, err
	}
	clk := clock.New()
	read := func() activation.Reading {
		r := clk.Now()
		return activation.Reading{Wall: a.now().Unix(), Boot: r.Boot, BootID: r.BootID}
	}
	warn, err := strconv.ParseInt(s.get("warn-days"), 10, 64)
	if err != nil {
		return out, a.problem(api.CodeConfig, err)
	}
	var lines [][]byte
	out.journal, lines, err = store.OpenJournal(p.State, read().BootID)
	if err != nil {
		return out, err
	}
	issuers := a.issuers(anchors, s)
	started := a.now().Unix()
	out.daemon, err = agent.New(agent.Config{
		Activation: activation.Config{
			Store: out.store, Anchors: anchors, Device: signer{key}, Clock: read, Rand: a.rand,
			Observe: func() fingerprint.Device { return collector.Collect(context.Background()) },
			Counter: counter(key, func(err error) {
				log.Warn("the counter in the TPM cannot be read: files put back from an older copy would not be noticed", "error", redact.Error(err))
			}),
			Issuer: issuers, Warn: warn * 86400, AgentVersion: "license-agent/" + a.version,
		},
		Version: a.build(), KeyTier: key.Tier(), CrossCheck: collector.CrossCheck, Sockets: func() []string { return ownSockets(p.Socket) },
		Process: processInfo(started), Settings: s.list(), Redact: redact, Log: log, Serial: uint64(started) << 20,
		SeatLog: agent.SeatLog{Lines: lines, Append: out.journal.Append, Replace: out.journal.Replace},
		Notices: notices(issuers, s), Uniform: rand.Float64,
	})
	if err != nil {
		return out, err
	}
	out.keeper = service.NewKeeper()
	out.server, err = localapi.New(localapi.Config{
		Licenses: out.daemon, Identify: localapi.FromKernel(groups), Now: a.now, Log: log, Start: uint64(a.now().UnixNano()),
		Limits: localapi.For(ipc.Descriptors()), Process: ipc.ProcessOf, Keep: keepSeats(out.keeper, log),
	})
	if err != nil {
		return out, err
	}
	sockets, kept := service.Handed()
	if out.listener, err = listen(p, sockets, log); err != nil {
		return out, err
	}
	resume(out.server, out.daemon.RestoredSeats(), kept, out.keeper, log)
	return out, nil
}

// publicDir, below the runtime directory, holds copies of what the vendor
// signed for programs that cannot use a socket.
const publicDir = "licenses"

// listen adopts the socket that the service manager opened, or makes one. The
// store's lock is held by now, so a socket on which nobody listens is a leftover.
func listen(p paths.Paths, files []*os.File, log *slog.Logger) (net.Listener, error) {
	opts := ipc.Options{
		Exclusive: true, ServiceSID: ipc.ServiceSID(p.Service),
		Refused: func(err error) { log.Warn(sayRefused, "error", err) },
	}
	for i, f := range files {
		defer f.Close() //nolint:errcheck // FromFile has duplicated it
		if i > 0 {
			return nil, fmt.Errorf("%w: the service manager passed %d sockets, want one", ipc.ErrNotSocket, len(files))
		}
	}
	if len(files) == 1 {
		return ipc.FromFile(files[0], opts)
	}
	return ipc.Listen(p.Socket, opts)
}

// makeDirs creates the directories of the instance. Below --dir that includes
// the parents; elsewhere package and service manager have made those.
func makeDirs(p paths.Paths, dir string) error {
	if dir != "" {
		if err := os.MkdirAll(filepath.Dir(p.State), securefile.PublicDir); err != nil {
			return err
		}
		for _, d := range []string{p.Config, filepath.Join(p.Config, "anchors")} {
			if err := os.MkdirAll(d, securefile.PublicDir); err != nil {
				return err
			}
		}
	}
	state, err := securefile.Make(p.State)
	if err != nil {
		return err
	}
	if err := state.Close(); err != nil {
		return err
	}
	if p.Runtime == "" { // Windows: a pipe needs no directory
		return nil
	}
	runtime, err := securefile.MakePublic(p.Runtime)
	if err != nil {
		return err
	}
	return runtime.Close()
}

// maxAnchor bounds a trust anchor file: root keys and a few TLS certificates.
const maxAnchor = 256 << 10

// readAnchors reads every trust anchor. One that cannot be read is an error and
// not skipped: a vendor would seem unknown.
func readAnchors(dir string) ([]license.Anchor, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	d, err := securefile.OpenPublic(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close() //nolint:errcheck // read only
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	var anchors []license.Anchor
	from := map[string]string{}
	for _, name := range names {
		if filepath.Ext(name) != ".json" {
			continue
		}
		b, err := d.ReadFile(name, maxAnchor)
		if err != nil {
			return nil, err
		}
		an, err := license.ParseAnchor(b)
		if err != nil {
			return nil, fmt.Errorf("trust anchor %s: %w", filepath.Join(dir, name), err)
		}
		if other, twice := from[an.Issuer]; twice {
			return nil, fmt.Errorf("trust anchors %s and %s are both for %q", other, name, an.Issuer)
		}
		from[an.Issuer] = name
		anchors = append(anchors, an)
	}
	return anchors, nil
}

// issuers gives one HTTPS client per vendor.
func (a *app) issuers(anchors []license.Anchor, s settings) func(string) (activation.Issuer, error) {
	var mu sync.Mutex
	made := map[string]*protocol.Client{}
	return func(issuer string) (activation.Issuer, error) {
		mu.Lock()
		defer mu.Unlock()
		if c := made[issuer]; c != nil {
			return c, nil
		}
		for _, an := range anchors {
			if an.Issuer != issuer {
				continue
			}
			c, err := protocol.NewClient(protocol.Config{
				Base: an.Merchant, Roots: an.TLSRoots, Proxy: s.get("proxy"), Agent: "license-agent/" + a.version,
				Language: a.language(), Now: a.now, Rand: rand.Float64,
			})
			if err != nil {
				return nil, err
			}
			made[issuer] = c
			return c, nil
		}
		return nil, fmt.Errorf("%w: %q", activation.ErrUnknownIssuer, issuer)
	}
}

// notices asks the client of a vendor, when the setting says so.
func notices(issuers func(string) (activation.Issuer, error), s settings) func(context.Context, string, string, []byte) (bool, error) {
	if s.get("notices") != "on" {
		return nil
	}
	return func(ctx context.Context, issuer, licenseID string, poll []byte) (bool, error) {
		i, err := issuers(issuer)
		if err != nil {
			return false, err
		}
		c, ok := i.(*protocol.Client)
		if !ok {
			return false, activation.ErrUnreachable
		}
		return c.Notices(ctx, licenseID, poll)
	}
}

// signer makes the device key a license.Signer.
type signer struct{ key *devicekey.Key }

// Public is the public key in the form that licenses carry.
func (s signer) Public() license.PublicKey {
	return license.PublicKey{Alg: s.key.Alg(), Pub: base64.StdEncoding.EncodeToString(s.key.PublicBytes())}
}

// Sign signs with the device key. A disk that does not take the first use is one
// that does not take the license either. What else fails is a chip that has gone.
func (s signer) Sign(message []byte) ([]byte, error) {
	sig, err := s.key.Sign(message)
	switch {
	case errors.Is(err, devicekey.ErrUse):
		err = fmt.Errorf("%w: %w", activation.ErrStore, err)
	case err != nil:
		err = fmt.Errorf("%w: %w", activation.ErrDevice, err)
	}
	return sig, err
}

// counter is the counter of a key in a chip, nothing for other keys. failed is told
// what the life cycle cannot judge: a chip that is away, or somebody who has put
// another counter in its place.
func counter(key *devicekey.Key, failed func(error)) activation.Counter {
	if !key.HasCounter() {
		return activation.Counter{}
	}
	read := func() (int64, error) {
		n, err := key.Count()
		if err != nil {
			failed(err)
		}
		return n, err
	}
	return activation.Counter{Read: read, Bump: key.Bump}
}

// credential is the file of one credential that the service manager has handed
// over (systemd.exec(5), CREDENTIALS_DIRECTORY), "" for none.
func credential(p paths.Paths, name string) string {
	if p.Credentials == "" {
		return ""
	}
	f := filepath.Join(p.Credentials, name)
	if _, err := os.Stat(f); err != nil {
		return ""
	}
	return f
}

// smbiosFile is the copy of the SMBIOS table that somebody with the right to
// read it has handed over: the setting, or a systemd credential of the name dmi
// (systemd.exec(5), LoadCredential=). Where the machine has no table the unit's
// default is handed over, which is shorter than any table.
func smbiosFile(p paths.Paths, s settings) string {
	if f := s.get("smbios-file"); f != "" {
		return f
	}
	f := credential(p, "dmi")
	if fi, err := os.Stat(f); err == nil && fi.Size() > int64(len("none")) {
		return f
	}
	return ""
}

// splitList splits a comma separated setting.
func splitList(text string) []string {
	var out []string
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
