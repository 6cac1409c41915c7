package merchant

import (
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// engineFaults names what a migration asks for that CockroachDB refuses within
// one transaction: an index name that is dropped and made again (its issue
// 98494), a partial index over a column that is being added (83593), a value for
// such a column (31463).
func engineFaults(up string) (faults []string) {
	names := func(pattern string) (list []string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(up, -1) {
			list = append(list, m[1])
		}
		return list
	}
	made := names(`CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(\w+)`)
	for _, name := range names(`DROP INDEX (\w+)`) {
		if slices.Contains(made, name) {
			faults = append(faults, "index "+name+" is dropped and made again")
		}
	}
	added := names(`ADD COLUMN (\w+)`)
	for _, where := range names(`(?s)CREATE (?:UNIQUE )?INDEX [^;]*? WHERE ([^;]*);`) {
		for _, column := range added {
			if regexp.MustCompile(`\b` + column + `\b`).MatchString(where) {
				faults = append(faults, "partial index over the new column "+column)
			}
		}
	}
	for _, name := range names(`\bSET (\w+) = `) {
		if slices.Contains(added, name) {
			faults = append(faults, "the new column "+name+" is written")
		}
	}
	return faults
}

// What migrations/README.md says of CockroachDB holds for the migrations
// themselves.
func TestMigrationsOnOtherEngines(t *testing.T) {
	list, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(list) < 7 {
		t.Fatal(list, err)
	}
	for _, name := range list {
		text := string(must(fs.ReadFile(migrations, name))(t))
		up, _, ok := strings.Cut(text, "-- +goose Down")
		if !ok {
			t.Errorf("%s has no way down", name)
		}
		for _, f := range engineFaults(up) {
			t.Errorf("%s: %s", name, f)
		}
	}
	for _, control := range []string{
		"DROP INDEX a;\nCREATE UNIQUE INDEX a ON t (x);",
		"ALTER TABLE t ADD COLUMN x BIGINT;\nCREATE INDEX a ON t (y)\n WHERE x > 0;",
		"ALTER TABLE t ADD COLUMN x BIGINT;\nUPDATE t SET x = 1;",
	} {
		if len(engineFaults(control)) != 1 {
			t.Errorf("control: %q passes", control)
		}
	}
}
