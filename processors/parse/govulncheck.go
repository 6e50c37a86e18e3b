package parse

import (
	"errors"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// govulncheck reads the JSON of govulncheck: messages one after the other, or collected in an array, and the single object
// of versions before 1.0. It says a weakness of a module several times, the further it can be reached; each becomes one
// event, which tells how far. The tool has no severity.
// https://pkg.go.dev/golang.org/x/vuln/internal/govulncheck
var govulncheck = Format{
	Name: "govulncheck", Title: "govulncheck output (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "scan.completed", "scan.started", "log"},
	Known: "JSON objects with config of govulncheck, progress, osv or finding; before 1.0 one with Vulns",
	Frame: Document,
	Match: func(s *Shape) bool {
		return s.Raw("config", "scanner_name") != nil || s.Raw("config", "protocol_version") != nil || s.Raw("finding", "osv") != nil ||
			s.Raw("osv", "schema_version") != nil || s.Raw("progress", "message") != nil || s.Raw("SBOM", "go_version") != nil ||
			!s.Array && s.Has("Vulns", "Requires")
	},
	Parse: parseGovulncheck,
}

type govulnMessage struct {
	Config  *struct{}
	OSV     *osvEntry
	Finding *struct {
		OSV   Text
		Fixed Text `json:"fixed_version"`
		Trace []struct {
			Module, Version, Package, Function Text
			Position                           *struct {
				Filename Text
				Line     Number
			}
		}
	}
	Vulns *[]struct { // before 1.0
		OSV                  osvEntry
		ModPath              Text
		FoundIn, FixedIn     Text
		CallSink, ImportSink Number
	}
}

// govulnFinding is one weakness of one module.
type govulnFinding struct {
	id, module, version, fixed string
	reach                      int // 1 module, 2 package, 3 symbol
	file                       string
	line                       int
	raw                        string
}

var govulnReach = [...]string{"", "module", "package", "symbol"}

// govulnReport is what the messages say together.
type govulnReport struct {
	entries  map[string]*osvEntry
	findings []*govulnFinding
	seen     map[[2]string]*govulnFinding
	begun    bool // the messages begin with the configuration, or are all of a version before 1.0
	others   int
}

func parseGovulncheck(in *Input, out *Out) error {
	r := govulnReport{entries: map[string]*osvEntry{}, seen: map[[2]string]*govulnFinding{}}
	err := eachValue(in.Data, func(b []byte) error {
		var list []part[govulnMessage]
		if b[0] != '[' {
			list = make([]part[govulnMessage], 1)
			list[0].Raw = alias(b)
			if err := decodeFold(b, &list[0].Value); err != nil {
				return err
			}
		} else if err := decodeFold(b, &list); err != nil {
			return err
		}
		for i := range list {
			r.read(&list[i].Value, list[i].Raw)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range r.findings {
		v := vulnerability{IDs: []string{f.id}, Rule: f.id, Ecosystem: "golang", Name: f.module, Version: f.version, Fixed: f.fixed, URL: "https://pkg.go.dev/vuln/" + f.id}
		if o := r.entries[f.id]; o != nil {
			v.IDs, v.Title = append(v.IDs, o.Aliases...), string(first(o.Summary, o.Details))
			v.Severity = severityWord(string(o.Database.Severity))
		}
		e := out.vulnerability(&v)
		e.Raw = f.raw
		e.SetAttr("reachable", govulnReach[f.reach])
		e.SetAttr("code.file.path", f.file)
		e.SetAttr("code.line.number", positive(f.line))
	}
	switch {
	case len(r.findings) > 0:
	case r.begun && r.others == 0:
		out.Event("scan.started").Title = "govulncheck began"
	case r.begun:
		out.clean(time.Time{}, "govulncheck")
	case r.others > 0: // a message shipped alone
		out.Event("log").Title = "message of govulncheck"
	default:
		return errors.New("no message of govulncheck")
	}
	return nil
}

func (r *govulnReport) read(v *govulnMessage, raw string) {
	if v.Config != nil {
		r.begun = true
	} else {
		r.others++
	}
	if v.OSV != nil {
		r.entries[string(v.OSV.ID)] = v.OSV
	}
	if f := v.Finding; f != nil {
		g := govulnFinding{id: string(f.OSV), fixed: string(f.Fixed), reach: 1, raw: raw}
		if len(f.Trace) > 0 {
			t := &f.Trace[0]
			g.module, g.version = string(t.Module), string(t.Version)
			switch {
			case t.Function != "":
				g.reach = 3
			case t.Package != "":
				g.reach = 2
			}
			if last := &f.Trace[len(f.Trace)-1]; last.Position != nil {
				g.file, g.line = string(last.Position.Filename), int(last.Position.Line.Or(0))
			}
		}
		r.note(g)
	}
	if v.Vulns != nil {
		r.begun = true
		for i := range *v.Vulns {
			w := &(*v.Vulns)[i]
			r.entries[string(w.OSV.ID)] = &w.OSV
			g := govulnFinding{id: string(w.OSV.ID), module: string(w.ModPath), version: string(w.FoundIn), fixed: string(w.FixedIn), reach: 1, raw: raw}
			switch {
			case w.CallSink > 0:
				g.reach = 3
			case w.ImportSink > 0:
				g.reach = 2
			}
			r.note(g)
		}
	}
}

// note keeps the furthest finding of a weakness of a module.
func (r *govulnReport) note(f govulnFinding) {
	key := [2]string{f.id, f.module}
	if old := r.seen[key]; old == nil {
		r.seen[key] = &f
		r.findings = append(r.findings, &f)
	} else if f.reach > old.reach {
		*old = f
	}
}
