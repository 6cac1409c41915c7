// Command release makes what stands beside the built files of a release: bills
// of materials, module proxy, checksums, signature and provenance. It is a tool
// of .ci/release and no part of any product.
package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const usage = `usage:
  release finish DIST VERSION COMMIT EPOCH [KEY]   bills of materials, proxy tree, checksums, signature, provenance
  release proxy DIR VERSION COMMIT EPOCH           the proxy tree alone
  release verify DIST PUBLIC-KEY                   check a release that was received
  release zip OUT.zip EPOCH FILE…                  an archive that is the same each time`

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	switch {
	case len(args) >= 5 && len(args) <= 6 && args[0] == "finish":
		key := ""
		if len(args) == 6 {
			key = args[5]
		}
		made, err := moment(args[4])
		if err != nil {
			return err
		}
		return finish(".", args[1], args[2], args[3], key, made)
	case len(args) == 5 && args[0] == "proxy":
		made, err := moment(args[4])
		if err != nil {
			return err
		}
		_, err = moduleTree(".", args[1], args[2], args[3], made)
		return err
	case len(args) == 3 && args[0] == "verify":
		st, err := verify(args[1], args[2])
		if err != nil {
			return err
		}
		def := st.Predicate.BuildDefinition
		_, err = fmt.Fprintf(out, "%d files, version %s, commit %s, built with %s by: %s\n", len(st.Subject), def.ExternalParameters.Version, def.Dependencies[0].Digest.GitCommit, def.InternalParameters.Go, def.ExternalParameters.Command)
		return err
	case len(args) >= 4 && args[0] == "zip":
		made, err := moment(args[2])
		if err != nil {
			return err
		}
		return pack(args[1], made, args[3:])
	}
	return errors.New(usage)
}

// moment reads an EPOCH, seconds since 1970.
func moment(text string) (time.Time, error) {
	epoch, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(epoch, 0), err
}

// finish completes a folder of built files from the repository at repo.
func finish(repo, dist, version, commit, key string, made time.Time) error {
	programs, err := filepath.Glob(filepath.Join(dist, "bin", "*"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dist, "sbom"), 0o755); err != nil {
		return err
	}
	for _, program := range programs {
		if err := describe(program, filepath.Join(dist, "sbom", filepath.Base(program)+".cdx.json"), version, made); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
	}
	module, err := moduleTree(repo, filepath.Join(dist, "proxy"), version, commit, made)
	if err != nil {
		return err
	}
	return sign(dist, key, version, commit, module, os.Getenv("TARGETS"), made)
}

// moduleTree writes the proxy tree of a commit and returns the module's path.
func moduleTree(repo, dir, version, commit string, made time.Time) (string, error) {
	module, err := modulePath(filepath.Join(repo, "go.mod"))
	if err != nil {
		return "", err
	}
	return module, proxy(dir, repo, commit, module, moduleVersion(version, commit, made), made)
}

// describe writes the bill of materials of one program, after comparing it with
// what the go command says.
func describe(program, to, version string, made time.Time) error {
	bom, err := sbom(program, version, made)
	if err != nil {
		return err
	}
	printed, err := exec.Command("go", "version", "-m", program).Output()
	if err != nil {
		return err
	}
	if err := sameAs(bom, string(printed)); err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(writeSBOM(f, bom), f.Close())
}

func modulePath(gomod string) (string, error) {
	b, err := os.ReadFile(gomod)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("%s names no module", gomod)
}

// pack writes a zip file with one date and plain modes.
func pack(name string, made time.Time, files []string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := zip.NewWriter(f)
	for _, file := range files {
		h := &zip.FileHeader{Name: filepath.Base(file), Method: zip.Deflate, Modified: made.UTC()}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return z.Close()
}
