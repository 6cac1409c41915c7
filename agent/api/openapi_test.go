package api_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"licenseagent.example/agent/api"
)

// document is the part of openapi.yaml that the Go types must agree with.
type document struct {
	Paths      map[string]map[string]any `yaml:"paths"`
	Components struct {
		Schemas map[string]struct {
			Required   []string                  `yaml:"required"`
			Properties map[string]map[string]any `yaml:"properties"`
		} `yaml:"schemas"`
		Codes map[string]struct {
			HTTP int `yaml:"http"`
			Exit int `yaml:"exit"`
		} `yaml:"x-codes"`
	} `yaml:"components"`
}

func load(t *testing.T) document {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := yaml.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// wire is one value of every type that travels.
func wire() []any {
	return []any{
		api.Version{},
		api.Status{},
		api.License{},
		api.Verdict{},
		api.CheckRequest{},
		api.CheckAnswer{},
		api.SeatRequest{},
		api.SeatAnswer{},
		api.Seat{},
		api.SeatCount{},
		api.Seats{},
		api.Files{},
		api.Explanation{},
		api.Comparison{},
		api.Part{},
		api.Clock{},
		api.Contact{},
		api.Worse{},
		api.SimulateRequest{},
		api.Preview{},
		api.PreviewPart{},
		api.ActivateRequest{},
		api.KeyRequest{},
		api.RebindRequest{},
		api.OfflineRequest{},
		api.RequestFile{},
		api.ImportRequest{},
		api.Outcome{},
		api.Events{},
		api.Event{},
		api.Diagnosis{},
		api.Process{},
		api.Setting{},
		api.Hardware{},
		api.ErrorBody{},
		api.Error{},
	}
}

// The document and the types carry the same members with the same obligation
// and the same JSON type.
func TestSchemasAreTheTypes(t *testing.T) {
	d := load(t)
	seen := map[string]bool{}
	for _, v := range wire() {
		rt := reflect.TypeOf(v)
		seen[rt.Name()] = true
		schema, ok := d.Components.Schemas[rt.Name()]
		if !ok {
			t.Errorf("openapi.yaml has no schema %s", rt.Name())
			continue
		}
		var names, required []string
		for i := range rt.NumField() {
			name, option, _ := strings.Cut(rt.Field(i).Tag.Get("json"), ",")
			names = append(names, name)
			if option == "" {
				required = append(required, name)
			}
			if got, want := jsonType(schema.Properties[name]), goType(rt.Field(i).Type); got != want {
				t.Errorf("%s.%s is %q in openapi.yaml and %q in Go", rt.Name(), name, got, want)
			}
		}
		var have []string
		for name := range schema.Properties {
			have = append(have, name)
		}
		slices.Sort(have)
		slices.Sort(names)
		slices.Sort(required)
		slices.Sort(schema.Required)
		if diff := cmp.Diff(names, have); diff != "" {
			t.Errorf("%s (-Go +openapi.yaml):\n%s", rt.Name(), diff)
		}
		if diff := cmp.Diff(required, schema.Required); diff != "" {
			t.Errorf("%s, required (-Go +openapi.yaml):\n%s", rt.Name(), diff)
		}
	}
	for name := range d.Components.Schemas {
		if !seen[name] {
			t.Errorf("openapi.yaml describes %s, which this test does not know", name)
		}
	}
}

func jsonType(property map[string]any) string {
	if ref, ok := property["$ref"].(string); ok {
		return "object " + ref[strings.LastIndex(ref, "/")+1:]
	}
	s, _ := property["type"].(string)
	return s
}

func goType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return goType(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "integer"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "array"
	case reflect.Map:
		return "object"
	default:
		return "object " + t.Name()
	}
}

func TestCodesAreTheTable(t *testing.T) {
	d := load(t)
	got := map[string]api.CodeInfo{}
	for name, c := range d.Components.Codes {
		got[name] = api.CodeInfo{Code: name, HTTP: c.HTTP, Exit: c.Exit}
	}
	want := map[string]api.CodeInfo{}
	for _, c := range api.Codes() {
		if _, twice := want[c.Code]; twice {
			t.Errorf("%s stands twice in the table", c.Code)
		}
		want[c.Code] = c
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("codes (-Go +openapi.yaml):\n%s", diff)
	}
}

func TestEveryPathIsDescribed(t *testing.T) {
	d := load(t)
	paths := []string{
		api.PathVersion, api.PathStatus, api.PathCheck, api.PathWhy, api.PathEvents, api.PathFiles, api.PathActivate, api.PathPreview,
		api.PathRenew, api.PathRelease, api.PathRebind, api.PathRequest, api.PathImport, api.PathMetrics, api.PathSimulate, api.PathDiagnose,
		api.PathSeats, api.PathHolders,
	}
	for _, p := range paths {
		if _, ok := d.Paths[p]; !ok {
			t.Errorf("openapi.yaml does not describe %s", p)
		}
	}
	if len(d.Paths) != len(paths) {
		t.Errorf("openapi.yaml describes %d paths, the package names %d", len(d.Paths), len(paths))
	}
}
