package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version and build", Long: "Prints what the build recorded about itself. " + exitHelp,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.runVersion() },
	}
}

// versionInfo is what the build recorded about itself.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func build() versionInfo {
	v := versionInfo{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if version != "" {
		v.Version = version
	}
	return v
}

func (a *app) runVersion() error {
	v := build()
	return a.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "license-merchant %s %s (%s, %s)\n", v.Version, v.Revision, v.Go, v.Platform)
	})
}
