package rule

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

type event = pipeline.Event

// textFields are the event's fields of text, by the name that rules use.
var textFields = map[string]func(*event) string{
	"Phase":       func(e *event) string { return e.Phase },
	"Team":        func(e *event) string { return e.Team },
	"Source":      func(e *event) string { return e.Source },
	"Type":        func(e *event) string { return e.Type },
	"Outcome":     func(e *event) string { return e.Outcome },
	"Title":       func(e *event) string { return e.Title },
	"Project":     func(e *event) string { return e.Project },
	"Environment": func(e *event) string { return e.Environment },
	"Service":     func(e *event) string { return e.Service },
	"Repo":        func(e *event) string { return e.Repo },
	"Ref":         func(e *event) string { return e.Ref },
	"Commit":      func(e *event) string { return e.Commit },
	"Change":      func(e *event) string { return e.Change },
	"Pipeline":    func(e *event) string { return e.Pipeline },
	"Run":         func(e *event) string { return e.Run },
	"Task":        func(e *event) string { return e.Task },
	"Artifact":    func(e *event) string { return e.Artifact },
	"Digest":      func(e *event) string { return e.Digest },
	"Purl":        func(e *event) string { return e.Purl },
	"Rule":        func(e *event) string { return e.Rule },
	"Actor":       func(e *event) string { return e.Actor },
	"Host":        func(e *event) string { return e.Host },
	"DstDomain":   func(e *event) string { return e.DstDomain },
	"NetScope":    func(e *event) string { return e.NetScope },
	"DBName":      func(e *event) string { return e.DBName },
	"DBObject":    func(e *event) string { return e.DBObject },
	"Metric":      func(e *event) string { return e.Metric },
	"Campaign":    func(e *event) string { return e.Campaign },
	"Raw":         func(e *event) string { return e.Raw },
	"Topic":       func(e *event) string { return e.Topic },
}

// numberFields are those of numbers that a float64 holds exactly as far as rules compare them. FindingKey is none: it
// is a hash of 64 bits.
var numberFields = map[string]func(*event) float64{
	"Class":       func(e *event) float64 { return float64(e.Class) },
	"Severity":    func(e *event) float64 { return float64(e.Severity) },
	"Disposition": func(e *event) float64 { return float64(e.Disposition) },
	"Bytes":       func(e *event) float64 { return float64(e.Bytes) },
	"Value":       func(e *event) float64 { return e.Value },
	"Partition":   func(e *event) float64 { return float64(e.Partition) },
	"Offset":      func(e *event) float64 { return float64(e.Offset) },
}

var listFields = map[string]func(*event) []string{
	"Vulns":   func(e *event) []string { return e.Vulns },
	"Attacks": func(e *event) []string { return e.Attacks },
	"Labels":  func(e *event) []string { return e.Labels },
}

var addrFields = map[string]func(*event) netip.Addr{
	"SrcIP": func(e *event) netip.Addr { return e.SrcIP },
	"DstIP": func(e *event) netip.Addr { return e.DstIP },
}

// methods are the event's methods that a rule may call; the others change it.
var methods = []string{"Attr", "HasLabel"}

// attrPrefix begins the name of an attribute where a column is wanted: attributes.forced.
const attrPrefix = "attributes."

// isColumn reports whether the name is a column, or an attribute as a column, that a template or entity may name.
func isColumn(name string) bool {
	if key, ok := strings.CutPrefix(name, attrPrefix); ok {
		return key != ""
	}
	return name != "attributes" && slices.ContainsFunc(schemas.EventFields, func(f schemas.Field) bool { return f.Column == name })
}

// columns lists the columns' names.
func columns() []string {
	names := make([]string, len(schemas.EventFields))
	for i, f := range schemas.EventFields {
		names[i] = f.Column
	}
	return names
}

// isGoField reports whether a rule may write ev.<name>.
func isGoField(name string) bool {
	return name != "Attrs" && slices.ContainsFunc(schemas.EventFields, func(f schemas.Field) bool { return f.Go == name })
}

// unknownField is the hint for ev.<name>: the field that was probably meant, with both of its names.
func unknownField(name string) string {
	if name == "Attrs" || strings.EqualFold(name, "attributes") || strings.EqualFold(name, "attr") {
		return `attributes are read by ev.Attr("name")`
	}
	var words []string
	goName := map[string]string{}
	for _, f := range schemas.EventFields {
		if f.Go == "Attrs" {
			continue
		}
		words = append(words, f.Go, f.Column)
		goName[f.Go], goName[f.Column] = f.Go, f.Go
	}
	words = append(words, methods...)
	w := nearest(name, words)
	if w == "" {
		return "docs/fields.md lists the fields"
	}
	if slices.Contains(methods, w) {
		return "did you mean ev." + w + "(...)?"
	}
	for _, f := range schemas.EventFields {
		if f.Go == goName[w] {
			return "did you mean ev." + f.Go + " (column " + f.Column + ")?"
		}
	}
	return ""
}
