package honker

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write schema.sql")

// TestSchemaSQLIsWhatOpenMakes compares schema.sql with a new file. TestSchemaSQL of tests/drivers executes it.
func TestSchemaSQLIsWhatOpenMakes(t *testing.T) {
	db := open(t)
	rows, err := db.Query("SELECT sql, name = '_honker_schema' FROM sqlite_schema WHERE name GLOB '_honker_*' AND sql IS NOT NULL ORDER BY name <> '_honker_schema', rowid")
	must(t, rows, err)
	var version, minVersion int64
	must(t, 0, db.QueryRow("SELECT version, min_version FROM _honker_schema").Scan(&version, &minVersion))
	var text strings.Builder
	text.WriteString("-- The tables and indexes of honker, as honker.Open makes them; written by go test -run TestSchemaSQL -update .\n")
	for _, row := range rows {
		kind, rest, _ := strings.Cut(row.Values[0].(string), " _honker_")
		fmt.Fprintf(&text, "%s IF NOT EXISTS _honker_%s;\n", kind, rest)
		if row.Values[1] == int64(1) {
			fmt.Fprintf(&text, `-- A file that has tables without a version is an older one, which Open brings up to date.
INSERT INTO _honker_schema SELECT %d, %d
  WHERE NOT EXISTS (SELECT 1 FROM _honker_schema) AND NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_honker_live');
`, version, minVersion)
		}
	}
	if *update {
		must(t, 0, os.WriteFile("schema.sql", []byte(text.String()), 0o644))
	} else if SchemaSQL != text.String() {
		t.Error("schema.sql is not what Open makes: go test -run TestSchemaSQL -update .")
	}
}
