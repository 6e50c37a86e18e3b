package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/schemas"
	"github.com/tocsin-project/tocsin/sql"
)

var update = flag.Bool("update", false, "rewrite the documents that are made from the code (make generate)")

// TestDocsAreUpToDate compares what is generated from the code with what is in the repository.
func TestDocsAreUpToDate(t *testing.T) {
	for path, want := range map[string]string{
		"docs/fields.md":            fieldsDoc(),
		"docs/sources.md":           sourcesDoc(),
		"docs/cli.md":               cliDoc(),
		"docs/metrics.md":           metricsDoc(t),
		"docs/sql.md":               sqlDoc(t),
		"schemas/event.schema.json": eventSchema(t),
	} {
		path = filepath.Join("../..", path)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(got), "\n")); diff != "" {
			t.Errorf("%s is not what the code says; `make generate` rewrites it (-code +file):\n%s", path, diff)
		}
	}
}

const generated = "<!-- Generated from the code by `make generate`; a test compares them. -->\n\n"

func fieldsDoc() string {
	var b strings.Builder
	b.WriteString("# Fields of an event\n\n" + generated)
	b.WriteString("One list for all: the columns of `tocsin.events`, the keys of `tocsin parse`, and in rules `ev.<name>`. Empty fields are left out of JSON.\n")
	group := ""
	for _, f := range schemas.EventFields {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n## %s\n\n| column | in rules | type | meaning |\n|---|---|---|---|\n", group)
		}
		typ := f.ClickHouse
		if values, ok := strings.CutPrefix(typ, "Enum8("); ok {
			typ = "enumeration: " + strings.Join(enumWords(values), ", ")
		}
		fmt.Fprintf(&b, "| `%s` | `ev.%s` | %s | %s |\n", f.Column, f.Go, typ, f.Doc)
	}
	b.WriteString("\n## Event types\n\n| type | OCSF class | meaning |\n|---|---|---|\n")
	for _, e := range schemas.EventTypes {
		class := "-"
		if e.Class != 0 {
			class = fmt.Sprint(e.Class)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.Name, class, e.Doc)
	}
	return b.String()
}

var enumWord = regexp.MustCompile(`'([a-z]+)'`)

func enumWords(s string) []string {
	var words []string
	for _, m := range enumWord.FindAllStringSubmatch(s, -1) {
		words = append(words, m[1])
	}
	return words
}

func sourcesDoc() string {
	var b strings.Builder
	b.WriteString("# Source formats\n\n" + generated)
	fmt.Fprintf(&b, "%d formats. A record's format is named by its header `tocsin_source`, else by its topic's binding (`parse.topics`), else recognised\n"+
		"by its shape. Other headers `tocsin_<column>` fill a field that the record leaves empty: `tocsin_project`, `tocsin_repo`, `tocsin_run_id` ...; `tocsin_phase` goes before the format's own phase.\n\n", len(parse.Formats))
	b.WriteString("| source | format | phase | recognised by | event types |\n|---|---|---|---|---|\n")
	for _, f := range parse.Formats {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, cell(f.Title), f.Phase, cell(f.Known), strings.Join(f.Types, ", "))
	}
	return b.String()
}

func sqlDoc(t *testing.T) string {
	queries, err := sql.Queries()
	if err != nil {
		t.Fatal(err)
	}
	migrations, err := sql.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# SQL for analysts\n\n" + generated)
	b.WriteString("Ask the views, not the tables: they show each thing once, in its newest version, with numbers in place of states. Every column has a\n" +
		"comment: `DESCRIBE TABLE events SETTINGS describe_compact_output = 0`, or [fields.md](fields.md).\n\n| view | made by |\n|---|---|\n")
	for _, m := range migrations {
		for _, statement := range m.Statements {
			if view := viewName.FindStringSubmatch(statement); view != nil {
				fmt.Fprintf(&b, "| `%s` | `sql/migrations/%04d_%s.sql` |\n", view[1], m.Version, m.Name)
			}
		}
	}
	b.WriteString("\n## Questions\n\nEach is a file of `sql/queries` and is run by `tocsin sql NAME [PARAM=VALUE...]`; `tocsin sql --show NAME` prints it. The demo checks every answer.\n\n" +
		"| name | question | parameters |\n|---|---|---|\n")
	for _, q := range queries {
		var params []string
		for _, p := range q.Params {
			params = append(params, "`"+p.Name+"` "+p.Type)
		}
		fmt.Fprintf(&b, "| [`%s`](../sql/queries/%s.sql) | %s | %s |\n", q.Name, q.Name, cell(q.Question), strings.Join(params, ", "))
	}
	return b.String()
}

var viewName = regexp.MustCompile(`CREATE VIEW IF NOT EXISTS (v_\w+)`)

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

func cliDoc() string {
	var b strings.Builder
	b.WriteString("# Commands\n\n" + generated)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			return
		}
		fmt.Fprintf(&b, "## %s\n\n", c.CommandPath())
		text := c.Long
		if text == "" {
			text = c.Short
		}
		fmt.Fprintf(&b, "%s\n\n", strings.TrimSpace(text))
		if c.Runnable() {
			fmt.Fprintf(&b, "```\n%s\n", c.UseLine())
			if flags := c.NonInheritedFlags().FlagUsages(); flags != "" {
				fmt.Fprintf(&b, "\n%s", flags)
			}
			b.WriteString("```\n\n")
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	root := newRoot()
	root.InitDefaultHelpFlag()
	walk(root)
	return b.String()
}

// eventSchema is the JSON Schema of what `tocsin parse` prints.
func eventSchema(t *testing.T) string {
	type property struct {
		Type        string    `json:"type,omitempty"`
		Format      string    `json:"format,omitempty"`
		Enum        []string  `json:"enum,omitempty"`
		Items       *property `json:"items,omitempty"`
		Properties  any       `json:"additionalProperties,omitempty"`
		Description string    `json:"description"`
	}
	var keys []string
	properties := map[string]property{}
	for _, f := range schemas.EventFields {
		p := property{Type: "string", Description: f.Doc}
		switch {
		case f.ClickHouse == "UUID":
			p.Format = "uuid"
		case strings.HasPrefix(f.ClickHouse, "DateTime"):
			p.Format = "date-time"
		case strings.HasPrefix(f.ClickHouse, "Enum8"):
			p.Enum = enumWords(f.ClickHouse)[1:] // the first stands for nothing, and is left out
		case strings.HasPrefix(f.ClickHouse, "UInt"), strings.HasPrefix(f.ClickHouse, "Int"):
			p.Type = "integer"
		case f.ClickHouse == "Float64":
			p.Type = "number"
		case strings.HasPrefix(f.ClickHouse, "Array"):
			p.Type, p.Items = "array", &property{Type: "string", Description: "one of them"}
		case strings.HasPrefix(f.ClickHouse, "Map"):
			p.Type, p.Properties = "object", map[string]string{"type": "string"}
		}
		properties[f.Column] = p
		keys = append(keys, f.Column)
	}
	var b bytes.Buffer
	b.WriteString(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "tocsin event",
  "description": "A normalized event as tocsin parse prints it. Empty fields are left out.",
  "type": "object",
  "required": ["event_id", "event_time", "ingest_time", "source", "event_type"],
  "additionalProperties": false,
  "properties": {
`)
	for i, k := range keys {
		p, err := json.Marshal(properties[k])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "    %q: %s", k, p)
		if i < len(keys)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("  }\n}\n")
	return b.String()
}
