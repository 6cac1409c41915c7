package merchant

import (
	"crypto/ed25519"
	"crypto/x509"
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

	"licenseagent.example/activation/license"
)

// ErrKeyFile is returned when a file that holds a key, a token or another secret
// is missing, readable by others, or not what it should be.
var ErrKeyFile = errors.New("merchant: unusable file of a secret")

// ErrKeyStore is wrapped by the errors of a key store that does not answer: a
// token that was taken out, a PIN that is wrong.
var ErrKeyStore = errors.New("merchant: the key store does not answer")

// KeyStore keeps the online signing keys. A kid is a key's license.KeyID.
type KeyStore interface {
	// Create draws an Ed25519 key and keeps it.
	Create() (license.Signer, error)
	// Load returns the signer of a key; the error wraps fs.ErrNotExist when the
	// store has no such key.
	Load(kid string) (license.Signer, error)
	// Remove forgets a key that has never signed anything.
	Remove(kid string) error
}

// FileKeys are online keys in files of a directory that only the owner can read.
type FileKeys struct {
	Dir  string
	Rand io.Reader
}

// Create writes a new file.
func (k FileKeys) Create() (license.Signer, error) { return createKey(k.Dir, "", k.Rand) }

// Load reads the file of a key.
func (k FileKeys) Load(kid string) (license.Signer, error) {
	signer, err := loadKey(filepath.Join(k.Dir, keyFileName(kid)))
	if err == nil && license.KeyID(signer.Public()) != kid {
		err = fmt.Errorf("%w: the file of %s holds another key", ErrKeyFile, kid)
	}
	return signer, err
}

// Remove deletes the file of a key.
func (k FileKeys) Remove(kid string) error { return os.Remove(filepath.Join(k.Dir, keyFileName(kid))) }

// createKey draws an Ed25519 key and writes it as PKCS#8 PEM (RFC 5958), which
// openssl reads, to a new file that only the owner can read.
func createKey(dir, name string, rand io.Reader) (license.Signer, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("merchant: drawing a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, fmt.Errorf("merchant: key: %w", err)
	}
	signer, err := license.NewEd25519Signer(seed)
	if err != nil {
		return nil, fmt.Errorf("merchant: key: %w", err)
	}
	if name == "" {
		name = keyFileName(license.KeyID(signer.Public()))
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return signer, writeSecret(filepath.Join(dir, name), text)
}

// keyFileName is the file of an online key: its id without the colon, which
// Windows does not allow in names.
func keyFileName(kid string) string { return strings.ReplaceAll(kid, ":", "-") + ".pem" }

// Permissions of what the service and its commands create. ATTACK_SURFACE.md
// lists them beside those of platform/securefile, which a service on a server of
// the vendor's does not import; a test holds the three together.
const (
	// PrivateDir is the permission of directories that hold keys.
	PrivateDir fs.FileMode = 0o700
	// PrivateFile is the permission of keys, codes, tokens, backups and the database.
	PrivateFile fs.FileMode = 0o600
)

// writeSecret creates a file of mode PrivateFile and syncs it. An existing file is
// never overwritten: a key that signed something must not vanish.
func writeSecret(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, PrivateFile)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return nil
}

// maxSecret is how many bytes a file that holds a secret may have.
const maxSecret = 64 << 10

// ReadSecret reads a small file that nobody else may read: a key, a pepper, a
// token, a configuration with keys. What is checked is what is read, whatever
// link or pipe led to it. Whose file it is needs no check: one that only its
// owner can read was opened by its owner or by root. Every error is ErrKeyFile
// and names the file.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	// Windows has no mode bits; there the directory's access list protects.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s can be read by others (mode %04o): chmod 600", ErrKeyFile, path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	if len(b) > maxSecret {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrKeyFile, path, maxSecret)
	}
	return b, nil
}

// loadKey reads what createKey wrote.
func loadKey(path string) (license.Signer, error) {
	text, err := ReadSecret(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: %s is not PEM", ErrKeyFile, path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not PKCS#8", ErrKeyFile, path)
	}
	ed, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %s is not an Ed25519 key", ErrKeyFile, path)
	}
	return license.NewEd25519Signer(ed.Seed())
}

// secret returns 32 random bytes kept in a file, which is created when create
// is set and it does not exist. Creating one over a database that was written
// with another would make every code unknown, so only InitKeys creates.
func secret(path string, rand io.Reader, create bool) ([]byte, error) {
	text, err := ReadSecret(path)
	if create && errors.Is(err, fs.ErrNotExist) {
		raw := make([]byte, 32)
		if _, err := io.ReadFull(rand, raw); err != nil {
			return nil, fmt.Errorf("merchant: drawing a key: %w", err)
		}
		return raw, writeSecret(path, []byte(hex.EncodeToString(raw)+"\n"))
	}
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("%w: %s does not hold 64 hexadecimal digits", ErrKeyFile, path)
	}
	return raw, nil
}

// loadRoots reads the root keys found in the given directories, for instance
// two removable media. Files that are not there are simply not there; a file
// that cannot be used is an error.
func loadRoots(dirs []string) ([]license.Signer, error) {
	var roots []license.Signer
	seen := map[string]bool{}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "root-*.pem"))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
		}
		sort.Strings(files)
		for _, f := range files {
			s, err := loadKey(f)
			if err != nil {
				return nil, err
			}
			if id := license.KeyID(s.Public()); !seen[id] {
				seen[id] = true
				roots = append(roots, s)
			}
		}
	}
	return roots, nil
}
