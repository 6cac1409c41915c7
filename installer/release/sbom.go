package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// errDrift is returned when a bill of materials and a program differ.
var errDrift = errors.New("the bill of materials is not that of the program")

// sbom is the CycloneDX bill of materials of a program, from what the linker
// wrote into it: the modules that are really inside, with their checksums, and
// the version of the compiler. made is a date that the same input repeats.
func sbom(program, version string, made time.Time) (*cdx.BOM, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	main := cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: path.Base(info.Path), Version: version,
		BOMRef: purl(info.Main.Path, version), PackageURL: purl(info.Main.Path, version),
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
	properties := []cdx.Property{{Name: "go:path", Value: info.Path}, {Name: "go:main", Value: info.Main.Path}}
	for _, s := range info.Settings {
		properties = append(properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	main.Properties = &properties
	components := []cdx.Component{component(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, component(m))
	}
	sort.Slice(components, func(i, j int) bool { return components[i].BOMRef < components[j].BOMRef })
	var refs []string
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: made.UTC().Format(time.RFC3339), Component: &main}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	return bom, nil
}

// purl is a package URL (github.com/package-url/purl-spec, type golang).
func purl(module, version string) string { return "pkg:golang/" + module + "@" + version }

func component(m *debug.Module) cdx.Component {
	c := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, BOMRef: purl(m.Path, m.Version), PackageURL: purl(m.Path, m.Version)}
	if m.Sum != "" { // "h1:" of go.sum is no digest of one file; CycloneDX has no name for it
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: m.Sum}}
	}
	return c
}

// sameAs compares a bill of materials with what "go version -m" prints about the
// program: another reader of the same facts, so that a module that one of the
// two leaves out is seen. The error wraps errDrift and names the difference.
func sameAs(bom *cdx.BOM, printed string) error {
	want := map[string]bool{}
	for line := range strings.Lines(printed) {
		switch f := strings.Fields(line); {
		case len(f) >= 2 && strings.HasPrefix(f[len(f)-1], "go1.") && strings.HasSuffix(f[0], ":"):
			want["std "+strings.TrimPrefix(f[len(f)-1], "go")+" "] = true
		case len(f) >= 3 && f[0] == "dep":
			want[f[1]+" "+f[2]+" "+strings.Join(f[3:], "")] = true
		case len(f) >= 3 && f[0] == "=>":
			return fmt.Errorf("%w: a replaced module: %s", errDrift, line)
		}
	}
	have := map[string]bool{}
	for _, c := range *bom.Components {
		sum := ""
		if c.Properties != nil {
			sum = (*c.Properties)[0].Value
		}
		have[c.Name+" "+c.Version+" "+sum] = true
	}
	var diff []string
	for k := range want {
		if !have[k] {
			diff = append(diff, "missing: "+k)
		}
	}
	for k := range have {
		if !want[k] {
			diff = append(diff, "not inside: "+k)
		}
	}
	if len(want) == 0 {
		return fmt.Errorf("%w: go version -m says nothing", errDrift)
	}
	if len(diff) > 0 {
		slices.Sort(diff)
		return fmt.Errorf("%w: %s", errDrift, strings.Join(diff, "; "))
	}
	return nil
}

func writeSBOM(w io.Writer, bom *cdx.BOM) error {
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}
