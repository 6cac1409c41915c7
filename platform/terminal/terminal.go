// Package terminal asks a person for a secret without showing it.
//
// An authorization code that is echoed stays in the scroll-back of a shared
// screen and in session recordings; on a command line it would be in the shell
// history and in every user's process list.
//
// It is not part of the stable API.
package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLine bounds what is read: a pasted file is not a code.
const maxLine = 4096

// ErrNotTerminal is returned when the file is no terminal.
var ErrNotTerminal = errors.New("terminal: not a terminal")

// Is reports whether f is a terminal.
func Is(f *os.File) bool { return isTerminal(f) }

// ReadSecret prints the prompt to out and reads one line from the terminal in
// without echo, also when the caller is interrupted meanwhile: restore runs in
// any case. The line end is not part of the result. It returns ErrNotTerminal,
// or io.EOF when the person ended the input.
func ReadSecret(in *os.File, out io.Writer, prompt string) (string, error) {
	if !isTerminal(in) {
		return "", ErrNotTerminal
	}
	restore, err := noEcho(in)
	if err != nil {
		return "", fmt.Errorf("terminal: echo cannot be switched off: %w", err)
	}
	defer restore()
	if _, err := io.WriteString(out, prompt); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxLine)).ReadString('\n')
	if _, werr := io.WriteString(out, "\n"); werr != nil {
		return "", werr
	}
	if line == "" && err != nil {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
