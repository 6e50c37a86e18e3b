package rule

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
)

// The schema that editors read names the keys that the reader knows, for each kind.
func TestSchemaNamesTheKeys(t *testing.T) {
	data, err := os.ReadFile("../../schemas/rule.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	var schema struct {
		object
		AllOf []struct {
			If struct {
				Properties struct {
					Kind struct{ Const Kind } `json:"kind"`
				} `json:"properties"`
			} `json:"if"`
			Then object `json:"then"`
		} `json:"allOf"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, branch := range schema.AllOf {
		kind := branch.If.Properties.Kind.Const
		kinds = append(kinds, kind)
		r := &reader{document: &document{}, rule: &Rule{}}
		known, required := r.keysOf(kind)
		want := slices.Sorted(maps.Keys(known))
		got := slices.Sorted(maps.Keys(schema.Properties))
		for key := range branch.Then.Properties {
			got = append(got, key)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the schema has the keys\n%v, the reader\n%v", kind, got, want)
		}
		needs := append(slices.Clone(schema.Required), branch.Then.Required...)
		slices.Sort(needs)
		slices.Sort(required)
		if !slices.Equal(needs, required) {
			t.Errorf("%s: the schema requires\n%v, the reader\n%v", kind, needs, required)
		}
	}
	if !slices.Equal(kinds, Kinds) {
		t.Errorf("the schema has the kinds %v, the reader %v", kinds, Kinds)
	}
}
