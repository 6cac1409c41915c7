//go:build race

package store

// racing says that the race detector watches: everything is an order slower,
// and its processes wait a second at their end unless told otherwise.
const racing = true
