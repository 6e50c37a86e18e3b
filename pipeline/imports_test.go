package pipeline_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tocsin-project/tocsin/"

// allowed lists which packages of ours each package may import: `cmd -> processors/* -> pipeline`, with schemas and sql as
// leaves. Processors do not know each other, they speak through the Event; the exceptions say why. Changing this list is
// a design decision: write down the reason here.
var allowed = map[string][]string{
	"schemas":               {},
	"sql":                   {"schemas"},
	"pipeline":              {"schemas"},
	"pipeline/file":         {"pipeline"},
	"pipeline/bridge":       {"pipeline"},
	"pipeline/kafka":        {"pipeline"},
	"pipeline/clickhouse":   {"pipeline", "schemas", "sql"},
	"pipeline/embedded":     {},
	"deploy/grafana":        {},
	"deploy/image":          {}, // a program that packs what is built
	"pipeline/console":      {"pipeline", "pipeline/clickhouse", "schemas", "deploy/grafana"},
	"pipeline/pipelinetest": {"pipeline"},
	// The way in for what speaks HTTP: a request becomes a record of Kafka and nothing else.
	"pipeline/receive": {"pipeline", "pipeline/kafka"},
	"pipeline/sample":  {},

	"processors/parse":           {"pipeline", "schemas"},
	"processors/parse/parsetest": {"pipeline", "processors/parse", "schemas"},
	"processors/enrich":          {"pipeline", "schemas"},
	"processors/rule":            {"pipeline", "schemas"},
	"processors/detect":          {},
	// A Sigma rule becomes a rule of the engine: it holds its state, and words its alerts.
	"processors/sigma": {"pipeline", "processors/rule"},
	// A mapping file makes a format of the parser's kind, with expressions of its own.
	"processors/mapping": {"pipeline", "processors/parse", "schemas"},
	// A rule is one thing: its definition is read by those who hold its state and by those who word its alerts.
	"processors/alert":     {"pipeline", "processors/rule", "schemas"},
	"processors/correlate": {"pipeline", "processors/alert", "processors/detect", "processors/rule", "schemas"},
}

// knownTo lists the clients that must stay in one place, and where that is.
var knownTo = map[string][]string{
	"github.com/twmb/franz-go":      {"pipeline/kafka", "pipeline/embedded", "cmd/tocsin/internal/"},
	"github.com/ClickHouse/":        {"pipeline/clickhouse"},
	"github.com/expr-lang/expr":     {"processors/rule", "processors/mapping"},
	"github.com/ebitengine/purego":  {"pipeline/embedded"},
	"github.com/gaissmai/bart":      {"processors/enrich", "processors/rule"},
	"github.com/oschwald/":          {"processors/enrich"},
	"github.com/google/osv-scalibr": {"processors/rule"},
	"github.com/jackc/":             {"pipeline/sample"},
	"github.com/go-sql-driver/":     {"pipeline/sample"},
}

func TestImportsRunDownwards(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	for dec.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		free := strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "bench/") || name == "pipeline/embedded/fetch"
		edges, listed := allowed[name]
		if !listed && !free && !strings.Contains(name, "test") && !strings.Contains(name, "/internal/") {
			t.Errorf("package %s is not in the list of imports: say there what it may know", name)
		}
		for _, imp := range p.Imports {
			if ours, ok := strings.CutPrefix(imp, module); ok {
				if strings.HasPrefix(ours, "bench") && !strings.HasPrefix(name, "bench") {
					t.Errorf("%s imports %s: nothing may depend on the benchmarks", name, ours)
				}
				if listed && !slices.Contains(edges, ours) && !strings.HasPrefix(ours, name+"/internal/") {
					t.Errorf("%s imports %s, which the list does not allow", name, ours)
				}
				continue
			}
			for client, places := range knownTo {
				if !strings.HasPrefix(imp, client) || strings.HasPrefix(name, "bench/") {
					continue
				}
				if !slices.ContainsFunc(places, func(place string) bool { return strings.HasPrefix(name, place) }) {
					t.Errorf("%s imports %s; only %s may", name, imp, strings.Join(places, ", "))
				}
			}
		}
	}
}
