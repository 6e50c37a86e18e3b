package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// nuclei reads the JSON of Nuclei: a finding a line, or an array of them. Severity is a word.
// https://docs.projectdiscovery.io/opensource/nuclei/running
var nuclei = Format{
	Name: "nuclei", Title: "Nuclei findings (JSON)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "scan.completed"},
	Known: "JSON object, or array of them, with template-id and info",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("info") && (s.Has("template-id") || s.Has("templateID") || s.Has("template", "matcher-status") || s.Has("template", "matched"))
	},
	Parse: parseNuclei,
}

type nucleiFinding struct {
	Template    Text `json:"template-id"`
	OldTemplate Text `json:"templateID"`
	Path        Text `json:"template"`
	Info        struct {
		Name, Description, Severity, Remediation Text
		Author, Tags, Reference                  Strings

		Classification struct {
			CVE     Strings `json:"cve-id"`
			CWE     Strings `json:"cwe-id"`
			Metrics Text    `json:"cvss-metrics"`
			Score   Number  `json:"cvss-score"`
			EPSS    Number  `json:"epss-score"`
		}
	}
	Type       Text
	Host       Text
	Port       Text
	URL        Text
	IP         Text
	Matched    Text `json:"matched-at"`
	OldMatched Text `json:"matched"`
	Matcher    Text `json:"matcher-name"`
	OldMatcher Text `json:"matcher_name"`
	Time       Text `json:"timestamp"`
	Status     Text `json:"matcher-status"`
}

func parseNuclei(in *Input, out *Out) error {
	list := make([]part[nucleiFinding], 1)
	if in.Data[0] == '[' {
		if err := decodeFold(in.Data, &list); err != nil {
			return err
		}
	} else if err := list[0].UnmarshalJSON(in.Data); err != nil {
		return err
	}
	for i := range list {
		list[i].Value.event(out).Raw = list[i].Raw
	}
	if len(list) == 0 {
		out.clean(in.Time(), "nuclei")
	}
	return nil
}

func (f *nucleiFinding) event(out *Out) *pipeline.Event {
	e := out.Event("vulnerability.found")
	settleFinding(e)
	c := &f.Info.Classification
	for _, id := range c.CVE {
		e.Vulns = appendVulns(e.Vulns, strings.ToUpper(id))
	}
	if f.Status == "false" { // -matcher-status also prints what did not match
		e.Outcome, e.Disposition = pipeline.OutcomeSuccess, 0
	}
	e.Rule = string(first(f.Template, f.OldTemplate, f.Path))
	e.Severity, e.Time = severityWord(string(f.Info.Severity)), parseTime(string(f.Time))
	where := string(first(f.Matched, f.OldMatched, f.URL, f.Host))
	e.Host = hostOf(string(first(f.Host, f.Matched, f.OldMatched)))
	e.DstDomain, e.DstIP = e.Host, addrOf(string(f.IP))
	e.Title = string(first(f.Info.Name, f.Template, f.OldTemplate)) + " at " + where
	e.SetAttr("url.full", where)
	e.SetAttr("server.port", string(f.Port))
	e.SetAttr("protocol", string(f.Type))
	e.SetAttr("matcher", string(first(f.Matcher, f.OldMatcher)))
	e.SetAttr("rule.tags", strings.Join(f.Info.Tags, ","))
	e.SetAttr("cwe", strings.ToUpper(strings.Join(c.CWE, ",")))
	e.SetAttr("vulnerability.score.base", score(c.Score.Or(0)))
	e.SetAttr("vulnerability.reference", first(f.Info.Reference...))
	e.SetAttr("epss", score(c.EPSS.Or(0)))
	e.SetAttr("remediation", oneLine(string(f.Info.Remediation), 500))
	return e
}
