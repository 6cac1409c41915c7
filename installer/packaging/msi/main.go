// Command msi does for .ci/msi what wixl leaves open: codes that follow from
// the content and a package without times of its own, so that two builds of one
// commit are the same bytes. It is never shipped.
//
//	msi codes INSTANCE VERSION PROGRAM   prints PRODUCT, UPGRADE, COMPONENT and PACKAGE
//	msi normalise FILE SECONDS           sets every time in the package to SECONDS since 1970
package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "msi:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 4 && args[0] == "codes":
		return codes(args[1], args[2], args[3], out)
	case len(args) == 3 && args[0] == "normalise":
		seconds, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		if err := normalise(b, seconds); err != nil {
			return fmt.Errorf("%s: %w", args[1], err)
		}
		return os.WriteFile(args[1], b, 0o644)
	}
	return errors.New("usage: msi codes INSTANCE VERSION PROGRAM | msi normalise FILE SECONDS")
}

// codes prints the identifiers of Windows Installer. The upgrade code belongs
// to the instance for ever, the product and package codes to the content.
func codes(instance, version, program string, out io.Writer) error {
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	content := version + " " + hex.EncodeToString(sum[:])
	for _, c := range []struct{ name, of string }{
		{"PRODUCT", "product " + content}, {"UPGRADE", "upgrade"}, {"COMPONENT", "component"}, {"PACKAGE", "package " + content},
	} {
		if _, err := fmt.Fprintf(out, "%s=%s\n", c.name, guid("license-agent msi "+instance+" "+c.of)); err != nil {
			return err
		}
	}
	return nil
}

// guid is a UUID of version 5 (RFC 9562, section 5.5) in capital letters, as
// Windows Installer wants them, in the name space for URLs.
func guid(name string) string {
	space := [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(space[:], "https://licenseagent.example/"+name...))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16]))
}

// summary is the stream with author, dates and code of the package.
const summary = "\x05SummaryInformation"

// normalise sets the times in the directory to nothing and those of the summary
// to the given one.
func normalise(b []byte, seconds int64) error {
	c, err := openCompound(b)
	if err != nil {
		return err
	}
	for _, e := range c.entries {
		clear(b[e+100 : e+116]) // creation and change of the entry
	}
	at, err := c.stream(summary)
	if err != nil {
		return err
	}
	text := make([]byte, len(at))
	for i, a := range at {
		text[i] = b[a]
	}
	times, err := fileTimes(text)
	if err != nil {
		return err
	}
	// FILETIME counts 100 ns since 1601.
	value := binary.LittleEndian.AppendUint64(nil, uint64(seconds+11644473600)*10_000_000)
	for _, t := range times {
		for i, v := range value {
			b[at[t+i]] = v
		}
	}
	return nil
}

// fileTimes finds the values of type VT_FILETIME in a property set ([MS-OLEPS]):
// a header of 28 bytes, class and offset of the set, then pairs of id and offset.
func fileTimes(b []byte) ([]int, error) {
	bad := fmt.Errorf("%w: summary", errCompound)
	if len(b) < 48 {
		return nil, bad
	}
	set := int(binary.LittleEndian.Uint32(b[44:]))
	if set+8 > len(b) {
		return nil, bad
	}
	n := int(binary.LittleEndian.Uint32(b[set+4:]))
	if n > 64 || set+8+8*n > len(b) {
		return nil, bad
	}
	var out []int
	for i := range n {
		at := set + int(binary.LittleEndian.Uint32(b[set+8+8*i+4:]))
		if at+4 > len(b) {
			return nil, bad
		}
		const fileTime = 0x40
		if binary.LittleEndian.Uint32(b[at:]) != fileTime {
			continue
		}
		if at+12 > len(b) {
			return nil, bad
		}
		out = append(out, at+4)
	}
	if len(out) == 0 {
		return nil, bad
	}
	return out, nil
}
