package ipc

import (
	"io"
	"net"
	"testing"
)

// BenchmarkEcho is one 256-byte request and answer over a kept connection: the
// floor under everything that is built on the socket.
func BenchmarkEcho(b *testing.B) {
	path := shortDir(b) + "/s"
	go mirror(listen(b, path, Options{}))
	c, err := Dial(b.Context(), path, DialOptions{})
	must(b, err)
	defer c.Close()
	roundTrips(b, func() (net.Conn, error) { return c, nil }, false)
}

// BenchmarkEchoNewConnection adds what Dial and Accept check to each request.
func BenchmarkEchoNewConnection(b *testing.B) {
	path := shortDir(b) + "/s"
	go mirror(listen(b, path, Options{}))
	roundTrips(b, func() (net.Conn, error) { return Dial(b.Context(), path, DialOptions{}) }, true)
}

// BenchmarkEchoNewConnectionBare is the same without any check on either side.
func BenchmarkEchoNewConnectionBare(b *testing.B) {
	path := shortDir(b) + "/s"
	l, err := net.Listen("unix", path)
	must(b, err)
	defer l.Close()
	go mirror(l)
	roundTrips(b, func() (net.Conn, error) { return net.Dial("unix", path) }, true)
}

func mirror(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // by read and write, not by splice
		}()
	}
}

func roundTrips(b *testing.B, dial func() (net.Conn, error), hangUp bool) {
	request, answer := make([]byte, 256), make([]byte, 256)
	for b.Loop() {
		c, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			b.Fatal(err)
		}
		if hangUp {
			c.Close()
		}
	}
}
