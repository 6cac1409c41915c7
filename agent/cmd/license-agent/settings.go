package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"licenseagent.example/agent/api"
	"licenseagent.example/platform/devicekey"
	"licenseagent.example/platform/paths"
	"licenseagent.example/platform/securefile"
)

// ConfigName is the file in the configuration directory.
const configName = "agent.toml"

// maxConfig bounds it.
const maxConfig = 64 << 10

// known is one setting of "run". Its value comes from the flag, else from the
// environment, else from the file, else it is the default.
type known struct{ name, def, help string }

func knownSettings() []known {
	return []known{
		{"log-level", "info", "debug, info, warn or error"},
		{"log-format", "text", "text or json"},
		{"admin-groups", "license-admin", "groups whose members may change things beside root, comma separated, names or numbers"},
		{"proxy", "", "proxy for the merchant service: a URL, direct, or empty for HTTPS_PROXY"},
		{"warn-days", "14", "days before the entitlement end at which the phase becomes expiring"},
		{"notices", "off", "on: hold a question open at the merchant and learn of a freeze or renewal within seconds"},
		{"smbios-file", "", "copy of the SMBIOS table, for agents that may not read it themselves"},
		{"tpm", devicekey.DefaultTPM, "where a new device key is made: the device of a TPM, such as /dev/tpmrm0; platform for the one that Windows knows (default there, used if there is one); none"},
	}
}

// settings are the resolved values with their sources.
type settings map[string]api.Setting

func (s settings) get(name string) string { return s[name].Value }

// list is for diagnose, sorted by name. A proxy may carry a password.
func (s settings) list() []api.Setting {
	out := make([]api.Setting, 0, len(s))
	for _, v := range s {
		if v.Name == "proxy" && strings.Contains(v.Value, "@") {
			v.Value = "(with credentials)"
		}
		out = append(out, v)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// resolve reads the file and puts the four sources together.
func (a *app) resolve(p paths.Paths, flags map[string]string) (settings, error) {
	s, err := settle(filepath.Join(p.Config, configName), a.env, flags)
	if err != nil {
		return nil, a.configProblem(err)
	}
	return s, nil
}

// settle is resolve for a file, an environment and flags.
func settle(path string, env func(string) string, flags map[string]string) (settings, error) {
	file, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	s := settings{}
	for _, k := range knownSettings() {
		v := api.Setting{Name: k.name, Value: k.def, Source: "default"}
		if text, ok := file[strings.ReplaceAll(k.name, "-", "_")]; ok {
			v.Value, v.Source = text, "file"
		}
		if text := env("LICENSE_AGENT_" + strings.ToUpper(strings.ReplaceAll(k.name, "-", "_"))); text != "" {
			v.Value, v.Source = text, "environment"
		}
		if text, ok := flags[k.name]; ok {
			v.Value, v.Source = text, "flag"
		}
		s[k.name] = v
	}
	return s, s.check()
}

// check refuses values that mean nothing, naming the source.
func (s settings) check() error {
	oneOf := func(name string, allowed ...string) error {
		v := s[name]
		for _, ok := range allowed {
			if v.Value == ok {
				return nil
			}
		}
		return fmt.Errorf("%s = %q (from %s): want one of %s", name, v.Value, v.Source, strings.Join(allowed, ", "))
	}
	days, err := strconv.Atoi(s.get("warn-days"))
	if err != nil || days < 0 || days > 3650 {
		err = fmt.Errorf("warn-days = %q (from %s): want a number of days from 0 to 3650", s.get("warn-days"), s["warn-days"].Source)
	} else {
		err = nil
	}
	return errors.Join(oneOf("log-level", "debug", "info", "warn", "error"), oneOf("log-format", "text", "json"), oneOf("notices", "on", "off"), err)
}

// readConfig reads the TOML file into texts. A file that does not exist is an
// empty one; one that somebody else may change is refused, because it names the
// proxy and the administrators.
func readConfig(path string) (map[string]string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	b, err := securefile.ReadPublic(path, maxConfig)
	if err != nil {
		return nil, err
	}
	return parseConfig(path, string(b))
}

func parseConfig(path, text string) (map[string]string, error) {
	var raw map[string]any
	if _, err := toml.Decode(text, &raw); err != nil {
		where := toml.ParseError{}
		if errors.As(err, &where) {
			return nil, fmt.Errorf("%s: line %d: %s", path, where.Position.Line, where.Message)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names := make([]string, 0, len(knownSettings()))
	for _, k := range knownSettings() {
		names = append(names, strings.ReplaceAll(k.name, "-", "_"))
	}
	out := map[string]string{}
	keys := make([]string, 0, len(raw))
	for key := range raw {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	sort.Strings(names)
	for _, key := range keys {
		if !slices.Contains(names, key) {
			return nil, unknownKey(path, text, key, names)
		}
		text, err := asText(raw[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, key, err)
		}
		out[key] = text
	}
	return out, nil
}

// unknownKey names the line and what may be meant: a slip of the pen has a near
// name, and a key that another version had may have none.
func unknownKey(path, text, key string, names []string) error {
	line := ""
	if n := lineOf(text, key); n > 0 {
		line = fmt.Sprintf("line %d: ", n)
	}
	near := nearest(key, names)
	if distance(key, near) > 1+len(key)/3 {
		return fmt.Errorf("%s: %sunknown key %q, known are %s", path, line, key, strings.Join(names, ", "))
	}
	return fmt.Errorf("%s: %sunknown key %q, did you mean %q?", path, line, key, near)
}

// lineOf is the first line that begins with a key or the table of that name, as
// it is usually written; 0 if there is none. The parser does not keep it.
func lineOf(text, key string) int {
	for i, line := range strings.Split(text, "\n") {
		rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t[\"'"), key)
		if ok && strings.Trim(rest[:min(1, len(rest))], " \t=.]\"'") == "" {
			return i + 1
		}
	}
	return 0
}

// asText turns a TOML value into the form that flags have.
func asText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			text, err := asText(e)
			if err != nil {
				return "", err
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ","), nil
	default:
		return "", fmt.Errorf("want a text, a number or a list of them, not %T", v)
	}
}

// nearest is the known name with the smallest edit distance (Levenshtein 1965).
func nearest(name string, names []string) string {
	best, least := "", 1<<30
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			before, row[j] = row[j], min(row[j]+1, row[j-1]+1, before+cost)
		}
	}
	return row[len(b)]
}
