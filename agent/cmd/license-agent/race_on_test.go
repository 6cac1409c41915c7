//go:build race

package main

// detecting says that the race detector watches this program and its processes.
const detecting = true
