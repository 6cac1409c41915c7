//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"licenseagent.example/activation/license"
	"licenseagent.example/agent/api"
	"licenseagent.example/agent/client"
)

// TestReal runs the proofs that need the agent as it is shipped.
func TestReal(t *testing.T) {
	bin := built(t)
	for _, p := range []struct {
		name string
		run  func(*testing.T, string)
