package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"licenseagent.example/agent/api"
	"licenseagent.example/platform/terminal"
)

// maxCode bounds an authorization code.
const maxCode = 256

// codeOptions say where an authorization code comes from. There is no option
// that takes the code itself: arguments are in the shell history and in every
// local user's process list.
type codeOptions struct{ file string }

// readCode reads the code from a file, from the terminal without echo, or from
// standard input when that is no terminal.
func (a *app) readCode(o codeOptions) (string, error) {
	var text string
	switch {
	case o.file != "" && o.file != "-":
		b, err := readLimited(o.file, maxCode+2)
		if err != nil {
			return "", a.problem(api.CodeFileAccess, err)
		}
		text = string(b)
	case o.file == "" && terminal.Is(a.stdin):
		line, err := terminal.ReadSecret(a.stdin, a.stderr, a.label("prompt"))
		if err != nil {
			return "", a.problem(api.CodeUsage, err)
		}
		text = line
	default:
		line, err := bufio.NewReader(io.LimitReader(a.stdin, maxCode+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", a.problem(api.CodeFileAccess, err)
		}
		text = line
	}
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxCode || strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", a.problem(api.CodeUsage, fmt.Errorf("an authorization code is one line of 1 to %d characters", maxCode))
	}
	return text, nil
}

// readLimited reads a file that must not be longer than limit.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return b, nil
}

// confirm shows what will leave the machine and asks whether it may. Where
// nobody can be asked only --yes is an answer.
func (a *app) confirm(p api.Preview, yes bool) error {
	fmt.Fprintln(a.stderr, a.label("sent"))
	t := &table{out: a.stderr}
	t.row(a.label("to"), p.Merchant+" ("+p.Issuer+")")
	t.row(a.label("fingerprint"), p.Fingerprint)
	t.row(a.label("environment"), p.Environment)
	t.row(a.label("device"), p.DeviceID)
	t.row(a.label("code"), a.label("codehidden"))
	if err := t.print(); err != nil {
		return err
	}
	if yes {
		return nil
	}
	if !terminal.Is(a.stdin) {
		return a.problem(api.CodeNotConfirmed, nil)
	}
	fmt.Fprint(a.stderr, a.label("ask"))
	line, err := bufio.NewReader(io.LimitReader(a.stdin, 16)).ReadString('\n')
	if err != nil && line == "" {
		return a.problem(api.CodeNotConfirmed, err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes", "是":
		return nil
	}
	return a.problem(api.CodeNotConfirmed, nil)
}
