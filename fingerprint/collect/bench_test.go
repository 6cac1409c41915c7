package collect

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jaypipes/ghw"
)

// BenchmarkCollectWarm is what the daemon does at each check: the probe with
// time limits. Compare with BenchmarkProbeWarm and BenchmarkBareReads of package
// probe.
func BenchmarkCollectWarm(b *testing.B) {
	var c Collector
	b.ReportAllocs()
	for b.Loop() {
		c.Collect(context.Background())
	}
}

// BenchmarkCrossCheck is what it does at start and daily. On Windows this is a
// process.
func BenchmarkCrossCheck(b *testing.B) {
	var c Collector
	b.ReportAllocs()
	for b.Loop() {
		c.CrossCheck(context.Background())
	}
}

// ghwDefaults asks ghw, with all its defaults, for the four parts.
func ghwDefaults() {
	ghw.Network()
	ghw.Block()
	ghw.Baseboard()
	ghw.CPU()
}

// BenchmarkGhwDefaults is the same question to the library alone, as it is
// usually asked.
func BenchmarkGhwDefaults(b *testing.B) {
	b.Setenv("GHW_DISABLE_WARNINGS", "1") // the text on standard error, nothing else
	b.ReportAllocs()
	for b.Loop() {
		ghwDefaults()
	}
}

// BenchmarkFirst starts a new process for each call and reports how long the
// first one takes inside it.
func BenchmarkFirst(b *testing.B) {
	const variable = "COLLECT_BENCH_FIRST"
	if mode := os.Getenv(variable); mode != "" {
		start := time.Now()
		if mode == "collect" {
			new(Collector).Collect(context.Background())
		} else {
			ghwDefaults()
		}
		fmt.Printf("FIRST %d\n", time.Since(start).Nanoseconds())
		os.Exit(0)
	}
	for _, mode := range []string{"collect", "ghw"} {
		b.Run(mode, func(b *testing.B) {
			var sum, n float64
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkFirst$", "-test.benchtime=1x")
				cmd.Env = append(os.Environ(), variable+"="+mode, "GHW_DISABLE_WARNINGS=1")
				out, err := cmd.Output()
				_, text, ok := strings.Cut(string(out), "FIRST ")
				if err != nil || !ok {
					b.Fatalf("%v: %s", err, out)
				}
				text, _, _ = strings.Cut(text, "\n")
				ns, err := strconv.ParseFloat(text, 64)
				if err != nil {
					b.Fatal(err)
				}
				sum, n = sum+ns, n+1
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(sum/n, "ns/first")
		})
	}
}
