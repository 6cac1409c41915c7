package store

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// schemaVersion is the version this program writes. See FORMAT.md for what
// each version means and the golden files under testdata for how it looks.
const schemaVersion = 1

// step turns the data of one schema version into those of the next. Steps work
// on plain values; the result is written as a new file, so an interrupted
// migration leaves the old file whole.
type step func(data map[entry][]byte) (map[entry][]byte, error)

// steps returns the migrations: element i leads from version i+1 to i+2.
func steps() []step { return nil }

// migrate brings an image to version target, one step at a time.
func migrate(m image, target int, steps []step) (image, error) {
	for m.schema < target {
		i := m.schema - 1
		if i < 0 || i >= len(steps) {
			return m, fmt.Errorf("no migration leads from schema %d to %d", m.schema, m.schema+1)
		}
		data, err := steps[i](m.data)
		if err != nil {
			return m, fmt.Errorf("migrating schema %d to %d: %w", m.schema, m.schema+1, err)
		}
		m = image{schema: m.schema + 1, gen: m.gen + 1, data: data}
	}
	return m, nil
}

// schemaLine is the value of meta/schema. It is not sealed, so that a version
// with another seal can still read which version it meets, and it carries a
// checksum, so that a flipped bit is damage and not "a newer version".
func schemaLine(version int, keyID string) []byte {
	body := fmt.Sprintf("license-agent-store %d %s", version, keyID)
	return fmt.Appendf(nil, "%s %08x", body, crc32.ChecksumIEEE([]byte(body)))
}

func parseSchema(line []byte) (version int, keyID string, err error) {
	s := string(line)
	i := strings.LastIndexByte(s, ' ')
	if i < 0 || fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s[:i]))) != s[i+1:] {
		return 0, "", errSchema
	}
	if n, err := fmt.Sscanf(s[:i], "license-agent-store %d %s", &version, &keyID); err != nil || n != 2 || version < 1 {
		return 0, "", errSchema
	}
	return version, keyID, nil
}

// newer says in words what to do about a state from the future.
func newer(file string, version int) error {
	return fmt.Errorf("%w: %s has schema %d and this version knows up to %d; install the newer version again, or move the state away to start afresh",
		ErrNewerSchema, file, version, schemaVersion)
}
