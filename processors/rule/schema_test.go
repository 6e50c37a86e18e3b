package rule

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tocsin-project/tocsin/schemas"
)

// The schema that editors read names the keys that the reader knows, for each kind.
func TestSchemaNamesTheKeys(t *testing.T) {
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
	if err := json.Unmarshal(schemas.RuleSchema, &schema); err != nil {
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

const exceptionFile = `exceptions:
  - {id: scan, rules: [C11], when: ev.Actor == "svc", why: it logs in everywhere, owner: "sec:maria", ticket: SEC-90, expires: 2027-01-31}
  - {id: all, rules: "*", when: true, why: a drill, owner: "sec:maria", ticket: SEC-91, expires: 2027-01-31}
`

// The files that are shipped fit the schemas that editors read, and what the schemas refuse is refused.
func TestSchemasFitTheFiles(t *testing.T) {
	rules, tests, exceptions := compileSchema(t, schemas.RuleSchema), compileSchema(t, schemas.RuleTestSchema), compileSchema(t, schemas.ExceptionsSchema)
	fits := func(schema *jsonschema.Schema, f File) error {
		var v any
		if err := yaml.Unmarshal(f.Data, &v); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	for _, f := range Library() {
		if err := fits(rules, f); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	for _, f := range LibraryTests() {
		if err := fits(tests, f); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	own := File{"a.exceptions.yaml", []byte(exceptionFile)}
	if _, err := Load(append(Library(), own)); err != nil {
		t.Error(err)
	}
	if err := fits(exceptions, own); err != nil {
		t.Error(err)
	}
	for schema, text := range map[*jsonschema.Schema]string{
		rules: "kind: match\nwhen: x", tests: "rule: C01\ntests: [{name: n, input: [{at: 0s}], alerts: []}]", exceptions: strings.Replace(exceptionFile, ", ticket: SEC-90", "", 1),
	} {
		if err := fits(schema, File{Data: []byte(text)}); err == nil {
			t.Errorf("%s fits", text)
		}
	}
}

func compileSchema(t *testing.T, data []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// The schemas of exceptions and tests name the keys that their readers know: those that a reader offers for one that it
// does not know.
func TestSchemasNameTheReadersKeys(t *testing.T) {
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	type schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	var exceptions, tests schema
	for data, v := range map[*[]byte]*schema{&schemas.ExceptionsSchema: &exceptions, &schemas.RuleTestSchema: &tests} {
		if err := json.Unmarshal(*data, v); err != nil {
			t.Fatal(err)
		}
	}
	set, err := Load(Library())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]object{
		"qqqqqqqqqqqq: 1":                             exceptions.object,
		"exceptions: [{qqqqqqqqqqqq: 1}]":             exceptions.Defs["exception"],
		"test qqqqqqqqqqqq: 1":                        tests.object,
		"test tests: [{qqqqqqqqqqqq: 1}]":             tests.Defs["test"],
		"test tests: [{input: [{qqqqqqqqqqqq: 1}]}]":  tests.Defs["input"],
		"test tests: [{alerts: [{qqqqqqqqqqqq: 1}]}]": tests.Defs["alert"],
	} {
		var errs error
		if own, ok := strings.CutPrefix(text, "test "); ok {
			_, errs = ReadCases(set, []File{{"x.test.yaml", []byte(own)}})
		} else {
			_, errs = Load([]File{{"x.exceptions.yaml", []byte(text)}})
		}
		if errs == nil {
			t.Fatalf("%s is taken", text)
		}
		_, list, _ := strings.Cut(errs.Error(), "expected one of ")
		list, _, _ = strings.Cut(list, "\n")
		if got, want := strings.Split(list, ", "), slices.Sorted(maps.Keys(want.Properties)); !slices.Equal(got, want) {
			t.Errorf("%s: the reader knows %q, the schema %q", text, got, want)
		}
	}
}
