package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/activation/merchant"
	"licenseagent.example/activation/merchant/admin"
	"licenseagent.example/activation/merchant/hsm"
	"licenseagent.example/activation/protocol"
	"licenseagent.example/installer/bundle"
	"licenseagent.example/installer/bundle/manifest"
)

// print writes a result: v as JSON, or what text writes.
func (a *app) print(v any, text func(w io.Writer)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// report writes an error with its code and next step to stderr.
func (a *app) report(err error, exit int) {
	code, message, hint := explain(err)
	id := ""
	var answered *admin.Error
	if errors.As(err, &answered) {
		id = answered.RequestID
	}
	if a.output == "json" {
		enc := json.NewEncoder(a.stderr)
		enc.SetEscapeHTML(false)
		if enc.Encode(protocol.Problem{Error: protocol.ProblemBody{Code: protocol.Code(code), Message: message, Hint: hint, RequestID: id}}) == nil {
			return
		}
	}
	fmt.Fprintf(a.stderr, "license-merchant: %s\n", message)
	if hint != "" {
		fmt.Fprintf(a.stderr, "  next: %s\n", hint)
	}
	fmt.Fprintf(a.stderr, "  (%s, exit %d)\n", code, exit)
}

// explain gives an error its stable code, sentence and next step. The texts
// follow the language of the environment only in the agent: the vendor's
// operators get English, and codes to search for.
func explain(err error) (code, message, hint string) {
	message = strings.TrimPrefix(err.Error(), "merchant: ")
	var use *usageError
	var refusal *merchant.Refusal
	var answered *admin.Error
	switch {
	case errors.As(err, &answered):
		return string(answered.Code), answered.Error(), answered.Hint
	case errors.Is(err, admin.ErrUnreachable):
		return "unreachable", strings.TrimPrefix(err.Error(), "admin: "), unreachableHint(err)
	case errors.Is(err, hsm.ErrNotBuilt):
		return "built-without-pkcs11", strings.TrimPrefix(message, "hsm: "), "Build it so, or take [pkcs11] out of merchant.toml to keep the online keys in files."
	case errors.Is(err, merchant.ErrKeyStore):
		return "key-store-unavailable", message, "Check module, token and PIN in [pkcs11] of merchant.toml, and that the token is there: pkcs11-tool --module MODULE --list-slots."
	case errors.Is(err, merchant.ErrUnavailable):
		spec := admin.Lookup(admin.CodeUnavailable)
		return string(spec.Code), spec.Message.EN + ": " + message, spec.Hint.EN
	case errors.As(err, &use):
		return "usage", message, "Run the command with --help."
	case errors.As(err, &refusal):
		spec := protocol.Lookup(refusal.Code)
		return string(refusal.Code), spec.Message.EN, spec.Hint.EN
	case errors.Is(err, merchant.ErrInput):
		return "bad-value", message, "Correct the value."
	case errors.Is(err, merchant.ErrRoots):
		return "roots-missing", message, "Give the directories that hold the root keys with --root, once per directory."
	case errors.Is(err, errSimulated):
		return "refused", message, "Look at the code with koogallery simulated show: each step is possible from some stages only."
	case errors.Is(err, errDeclined):
		return "not-confirmed", message, "Answer y, or give --yes."
	case errors.Is(err, errCallback):
		return "callback-refused", message, "Compare the steps above with the sender's: key, nonce, timestamp, and the body byte for byte."
	case errors.Is(err, merchant.ErrNotFound):
		return "not-found", message, "List what exists with codes list or devices list."
	case errors.Is(err, merchant.ErrState):
		return "wrong-state", message, "Look at it with codes show or devices show."
	case errors.Is(err, merchant.ErrInitialised):
		return "already-initialised", message, "Choose another --dir, or an empty database; nothing is ever overwritten. To move to another database use backup and restore."
	case errors.Is(err, errEmptyDatabase):
		return "empty-database", message, "Name the database that was in use until now (database in merchant.toml, or LICENSE_MERCHANT_DATABASE). To move to this one: license-merchant backup --out FILE with the old setting, then license-merchant restore FILE with the new one."
	case errors.Is(err, errKeysElsewhere):
		return "keys-elsewhere", message, "Another instance on this database needs no init: copy merchant.toml, keys/ and tls/ of one that runs into an empty data directory, then serve. If the keys were lost, put keys/ back from a backup."
	case errors.Is(err, merchant.ErrNotInitialised):
		return "not-initialised", message, "Run license-merchant init --issuer NAME --dir DIR."
	case errors.Is(err, merchant.ErrNewer):
		return "newer-database", message, "Install the version that wrote it, or a later one."
	case errors.Is(err, merchant.ErrAudit):
		return "audit-broken", message, "Somebody changed the database; compare with a backup."
	case errors.Is(err, merchant.ErrBackup):
		return "backup-unusable", message, "Take another backup; nothing was restored."
	case errors.Is(err, errNoCertificate):
		return "no-certificate", message, "Set tls.certificate and tls.key in merchant.toml, or make the data directory with init --tls loopback."
	case errors.Is(err, bundle.ErrInput), errors.Is(err, manifest.ErrManifest):
		return "bundle-input", message, "Correct what is named; license-merchant bundle --help explains each option."
	case errors.Is(err, bundle.ErrExists):
		return "bundle-exists", message, "Move the older package away, or choose another --out."
	case errors.Is(err, manifest.ErrAltered):
		return "bundle-altered", message, "Make the package again, or fetch it again from the marketplace; do not hand this one out."
	case errors.Is(err, manifest.ErrUntrusted):
		return "bundle-untrusted", message, "Check with the vendor's trust anchor: --anchor FILE. A retired bundle key needs a package that is made again."
	case errors.Is(err, manifest.ErrNotBundle), errors.Is(err, manifest.ErrTooLarge):
		return "not-a-bundle", message, "Packages are made by license-merchant bundle and not changed afterwards."
	case errors.Is(err, merchant.ErrKeyFile):
		return "key-file", message, "Files with keys, tokens or a PIN belong to the user who runs this, with mode 0600."
	case errors.Is(err, syscall.EADDRINUSE):
		return "address-taken", message, "Another program listens there, perhaps another license-merchant: find and stop it (ss -ltnp), or choose another address (--listen, admin.listen, metrics)."
	case errors.Is(err, license.ErrAnchor):
		return "anchor-unusable", message, "Name the file that init or keys anchor has written, anchor.json."
	case errors.Is(err, fs.ErrNotExist):
		return "no-such-file", message, "Correct the path."
	}
	return "unexpected", message, ""
}

// when prints a UTC second for people.
func when(t int64) string {
	switch t {
	case 0:
		return "never"
	case license.NoEnd:
		return "no end"
	}
	return time.Unix(t, 0).UTC().Format("2006-01-02 15:04:05 MST")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// createPrivate makes a file for codes, tokens, backups and the like, which others
// may not read. One that exists is never overwritten.
func createPrivate(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, merchant.PrivateFile)
}
