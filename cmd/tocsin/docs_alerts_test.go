package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/schemas"
)

// TestDocsNameEveryPartOfAnAlert holds docs/alerts.md and the published schema together, and lists every kind of bridge.
func TestDocsNameEveryPartOfAnAlert(t *testing.T) {
	doc, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Enum       []string                   `json:"enum"`
	}
	var schema struct {
		Properties struct {
			Data object `json:"data"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(schemas.AlertSchema, &schema); err != nil {
		t.Fatal(err)
	}
	words := bridge.Kinds()
	for name, property := range schema.Properties.Data.Properties {
		words = append(words, name)
		var p object
		if err := json.Unmarshal(property, &p); err != nil {
			continue // a const, or a type of several
		}
		if name == "status" {
			words = append(words, p.Enum...)
		}
	}
	if len(words) < 40 {
		t.Fatalf("only %d words: the schema was not understood", len(words))
	}
	for _, word := range words {
		if !strings.Contains(string(doc), "`"+word+"`") {
			t.Errorf("docs/alerts.md has no word of `%s`", word)
		}
	}
}
