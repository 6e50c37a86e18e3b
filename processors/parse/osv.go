package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// osvScanner reads the JSON of OSV-Scanner. A weakness's severity is the word of its database, else the highest score of
// its group.
// https://google.github.io/osv-scanner/output/ and https://ossf.github.io/osv-schema/
var osvScanner = Format{
	Name: "osv-scanner", Title: "OSV-Scanner report (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "compliance.checked", "scan.completed"},
	Known: "JSON object with results whose members have source and packages, or with experimental_config",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.Has("results") {
			return false
		}
		result := firstMember(s.Raw("results"))
		if isEmptyArray(s.Raw("results")) && len(s.members) == 1 {
			return true
		}
		return member(result, "packages") != nil && member(result, "source") != nil || s.Has("experimental_config")
	},
	Parse: parseOSVScanner,
}

// osvEntry is a weakness in the OSV schema; govulncheck has it as well.
type osvEntry struct {
	ID, Summary, Details Text
	Aliases              Strings
	Database             struct{ Severity Text } `json:"database_specific"`
	Affected             []struct {
		Package struct{ Name Text }
		Ranges  []struct{ Events []struct{ Fixed Text } }
	}
}

// fixed returns the versions of the package that mend the weakness.
func (o *osvEntry) fixed(name string) string {
	var versions []string
	for i := range o.Affected {
		if a := &o.Affected[i]; strings.EqualFold(string(a.Package.Name), name) {
			for j := range a.Ranges {
				for _, ev := range a.Ranges[j].Events {
					if ev.Fixed != "" {
						versions = append(versions, string(ev.Fixed))
					}
				}
			}
		}
	}
	return strings.Join(versions, ", ")
}

type osvPackage struct {
	Package         struct{ Name, Version, Ecosystem Text }
	Vulnerabilities []part[osvEntry]
	Groups          []struct {
		IDs Strings
		Max Text `json:"max_severity"`
	}
	Violations Strings `json:"license_violations"`
}

func parseOSVScanner(in *Input, out *Out) error {
	var v struct {
		Results *[]struct {
			Source   struct{ Path Text }
			Packages []osvPackage
		}
	}
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Results == nil {
		if member(in.Data, "results") == nil {
			return errors.New("osv-scanner report without results")
		}
		out.clean(time.Time{}, "osv-scanner")
		return nil
	}
	found := 0
	for i := range *v.Results {
		r := &(*v.Results)[i]
		for j := range r.Packages {
			found += r.Packages[j].read(out, string(r.Source.Path))
		}
	}
	if found == 0 {
		out.clean(time.Time{}, "osv-scanner")
	}
	return nil
}

func (p *osvPackage) read(out *Out, file string) int {
	ecosystem, name, version := string(p.Package.Ecosystem), string(p.Package.Name), string(p.Package.Version)
	for i := range p.Vulnerabilities {
		o := &p.Vulnerabilities[i].Value
		score := p.score(string(o.ID))
		severity := severityWord(string(o.Database.Severity))
		if severity == pipeline.SeverityUnknown {
			severity = severityCVSS(score)
		}
		e := out.vulnerability(&vulnerability{
			IDs: append([]string{string(o.ID)}, o.Aliases...), Rule: string(o.ID), Title: string(first(o.Summary, o.Details)),
			URL: "https://osv.dev/" + string(o.ID), Severity: severity, Score: score, Fixed: o.fixed(name),
			Ecosystem: ecosystem, Name: name, Version: version, File: file,
		})
		e.Raw = p.Vulnerabilities[i].Raw
		if strings.HasPrefix(string(o.ID), "MAL-") {
			e.SetAttr("malware", "true")
		}
	}
	for _, licence := range p.Violations {
		e := out.Event("compliance.checked")
		e.Rule, e.Outcome, e.Severity, e.Disposition = "license:"+licence, pipeline.OutcomeFailure, pipeline.SeverityMedium, pipeline.DispositionDetected
		e.Purl = purlOf(ecosystem, name, version)
		e.Title = "licence " + licence + " of " + name + " is not allowed"
		e.SetAttr("code.file.path", file)
	}
	return len(p.Vulnerabilities) + len(p.Violations)
}

// score returns the highest score of the group that the weakness is in.
func (p *osvPackage) score(id string) float64 {
	for _, g := range p.Groups {
		for _, member := range g.IDs {
			if member == id {
				score, _ := strconv.ParseFloat(string(g.Max), 64) // empty where no database has one
				return score
			}
		}
	}
	return 0
}
