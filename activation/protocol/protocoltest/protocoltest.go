// Package protocoltest is for tests: how hostile and broken endpoints answer.
// The tests of the client and those of the whole agent use the same ones. It is
// not stable API.
package protocoltest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Behaviour is one way in which an endpoint answers. Serve gets the connection
// after the request was read and writes what it likes until the client goes
// away. Silent ones say too little to be an answer: only the client's patience
// ends them. All others must be refused as no answer of the protocol.
type Behaviour struct {
	Name   string
	Silent bool
	Serve  func(w io.Writer) error
}

// forever repeats a piece until writing fails, which is when the client left.
func forever(w io.Writer, piece string) error {
	for {
		if _, err := io.WriteString(w, piece); err != nil {
			return err
		}
	}
}

func say(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros) // into memory
	}
	_ = z.Close()
	return b.String()
}

// Behaviours returns all of them. contentType is what the client wants to see;
// self is the address that it asked.
func Behaviours(contentType, self string) []Behaviour {
	okHead := "HTTP/1.1 200 OK\r\nContent-Type: " + contentType + "\r\n"
	kilobyte := strings.Repeat("x", 1<<10)
	zip := bomb()
	return []Behaviour{
		{"endless body", false, func(w io.Writer) error {
			return errors.Join(say(okHead+"Connection: close\r\n\r\n")(w), forever(w, kilobyte))
		}},
		{"endless chunks", false, func(w io.Writer) error {
			return errors.Join(say(okHead+"Transfer-Encoding: chunked\r\n\r\n")(w), forever(w, "400\r\n"+kilobyte+"\r\n"))
		}},
		{"64 MiB announced", false, func(w io.Writer) error {
			return errors.Join(say(okHead+"Content-Length: 67108864\r\n\r\n")(w), forever(w, kilobyte))
		}},
		{"decompression bomb", false, say(okHead + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", len(zip)) + zip)},
		{"endless headers", false, func(w io.Writer) error {
			return errors.Join(say(okHead)(w), forever(w, "X-Y: "+kilobyte+"\r\n"))
		}},
		{"endless status line", false, func(w io.Writer) error { return errors.Join(say("HTTP/1.1 200 ")(w), forever(w, kilobyte)) }},
		{"endless interim replies", false, func(w io.Writer) error { return forever(w, "HTTP/1.1 103 Early Hints\r\n\r\n") }},
		{"drip", true, func(w io.Writer) error {
			// One byte, then silence until the client leaves.
			return say(okHead + "Content-Length: 1000\r\n\r\n{")(w)
		}},
		{"silence", true, func(io.Writer) error { return nil }},
		{"login page", false, say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>")},
		{"redirect to itself", false, say("HTTP/1.1 307 Temporary Redirect\r\nLocation: " + self + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")},
		{"deep JSON", false, say(okHead + "Content-Length: 200000\r\n\r\n" + strings.Repeat("[", 200000))},
		{"nonsense", false, say("SSH-2.0-OpenSSH_9.9\r\n")},
		{"switching protocols", false, say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")},
		{"no content", false, say("HTTP/1.1 204 No Content\r\n\r\n")},
		{"empty object", false, say(okHead + "Content-Length: 2\r\n\r\n{}")},
		{"refusal without form", false, say("HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno")},
		{"error that never ends", false, func(w io.Writer) error {
			return errors.Join(say("HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")(w), forever(w, kilobyte))
		}},
	}
}
