package paths

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestValidInstance(t *testing.T) {
	for _, name := range []string{"", "a", "my-cad", "0", "cad2026", strings.Repeat("x", 32)} {
		if err := ValidInstance(name); err != nil {
			t.Errorf("ValidInstance(%q) = %v", name, err)
		}
	}
	for _, name := range []string{
		"-", "-a", "a-", "A", "My", "a b", "a/b", `a\b`, "..", ".", "a.b", "a_b", "a@b", "a:b", "a\x00", "é", "a\n",
		"%i", "a;rm", strings.Repeat("x", MaxInstance+1),
	} {
		if err := ValidInstance(name); !errors.Is(err, ErrInstance) {
			t.Errorf("ValidInstance(%q) = %v, want ErrInstance", name, err)
		}
		if _, err := For(name); !errors.Is(err, ErrInstance) {
			t.Errorf("For(%q) = %v, want ErrInstance", name, err)
		}
		if _, err := Under(t.TempDir(), name); !errors.Is(err, ErrInstance) {
			t.Errorf("Under(%q) = %v, want ErrInstance", name, err)
		}
	}
}

// fields lists the directories and the socket of a layout by name.
func fields(p Paths) map[string]string {
	out := map[string]string{}
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		switch name := v.Type().Field(i).Name; name {
		case "Instance", "Credentials":
		default:
			out[name] = v.Field(i).String()
		}
	}
	return out
}

// Two instances must have nothing in common, and no path may lie inside a path
// of the other: removing one instance would remove the other's.
func TestInstancesAreDisjoint(t *testing.T) {
	dir := t.TempDir()
	layouts := map[string]func(string) (Paths, error){
		"For":   For,
		"Under": func(i string) (Paths, error) { return Under(dir, i) },
	}
	for kind, layout := range layouts {
		var all []map[string]string
		for _, name := range []string{"", "a", "a-b", "b"} {
			p, err := layout(name)
			if err != nil {
				t.Fatal(err)
			}
			for field, value := range fields(p) {
				if value == "" {
					t.Errorf("%s(%q).%s is empty", kind, name, field)
				}
			}
			all = append(all, fields(p))
		}
		for i, one := range all {
			for j, two := range all {
				if i == j {
					continue
				}
				for field, a := range one {
					b := two[field]
					if a == b || strings.HasPrefix(a, b+string(filepath.Separator)) {
						t.Errorf("%s: %s of two instances overlap: %q and %q", kind, field, a, b)
					}
				}
			}
		}
	}
}

func TestUnder(t *testing.T) {
	dir := t.TempDir()
	p, err := Under(dir, "cad")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Config": p.Config, "State": p.State, "Runtime": p.Runtime, "Logs": p.Logs} {
		if !strings.HasPrefix(value, dir+string(filepath.Separator)) {
			t.Errorf("%s = %q is not below %q", name, value, dir)
		}
	}
	if _, err := Under("relative", ""); !errors.Is(err, ErrNotAbsolute) {
		t.Errorf("Under(relative) = %v, want ErrNotAbsolute", err)
	}
}

func TestWithUnitEnv(t *testing.T) {
	base, err := Under(t.TempDir(), "cad")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	env := map[string]string{
		"STATE_DIRECTORY":       filepath.Join(root, "s") + string(filepath.Separator),
		"RUNTIME_DIRECTORY":     filepath.Join(root, "r"),
		"CREDENTIALS_DIRECTORY": filepath.Join(root, "c"),
	}
	if filepath.Separator == '/' { // a colon is part of every absolute path on Windows
		env["RUNTIME_DIRECTORY"] += ":" + filepath.Join(root, "second")
	} else {
		delete(env, "STATE_DIRECTORY")
		delete(env, "RUNTIME_DIRECTORY")
	}
	got, err := base.WithUnitEnv(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	want := base
	want.Credentials = filepath.Join(root, "c")
	if filepath.Separator == '/' {
		want.State, want.Runtime = filepath.Join(root, "s"), filepath.Join(root, "r")
		want.Socket = filepath.Join(root, "r", SocketName)
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if same, err := base.WithUnitEnv(func(string) string { return "" }); err != nil || same != base {
		t.Errorf("empty environment: %+v, %v", same, err)
	}
	for _, name := range []string{"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY"} {
		_, err := base.WithUnitEnv(func(k string) string {
			if k == name {
				return "relative/dir"
			}
			return ""
		})
		if !errors.Is(err, ErrNotAbsolute) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=relative: %v", name, err)
		}
	}
}
