package parse

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// bundlerAudit reads the report of bundler-audit, as JSON (0.8 and newer) and as text in the layouts of all versions.
// Criticality follows its words; an insecure source of gems is medium.
// https://github.com/rubysec/bundler-audit#readme
var bundlerAudit = Format{
	Name: "bundler-audit", Title: "bundler-audit report (JSON, text)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "scan.completed"},
	Known: "JSON object with created_at and results; text with Name, Version and Criticality or its verdict",
	Frame: Reports,
	Match: func(s *Shape) bool {
		return !s.Array && s.Has("version", "created_at", "results") || matchBundlerAuditText(s)
	},
	Parse: parseBundlerAudit,
}

// bundlerVerdicts are the lines that end the text report, by version.
var bundlerVerdicts = []string{"No vulnerabilities found", "Vulnerabilities found!", "Unpatched versions found!", "Insecure Sources found!"}

func matchBundlerAuditText(s *Shape) bool {
	if s.IsObject() || s.Root != "" {
		return false
	}
	line := strings.TrimSpace(plain(s.Line()))
	text := alias(s.Data())
	return slices.Contains(bundlerVerdicts, line) ||
		strings.HasPrefix(line, "Insecure Source URI found: ") ||
		strings.HasPrefix(line, "Updating ") && strings.Contains(line, "ruby-advisory-db") ||
		strings.HasPrefix(line, "ruby-advisory-db:") || strings.HasPrefix(line, "Download ruby-advisory-db") ||
		strings.HasPrefix(line, "Name: ") && strings.Contains(text, "Version: ") &&
			(strings.Contains(text, "Criticality: ") || strings.Contains(text, "Advisory: ")) && strings.Contains(text, "Title: ")
}

type bundlerReport struct {
	CreatedAt string `json:"created_at"`
	Results   []part[bundlerResult]
}

type bundlerResult struct {
	Type   string
	Source Text
	Gem    struct{ Name, Version string }

	Advisory struct {
		ID, URL, Title, Description string
		CVE, GHSA, OSVDB            Text
		CVSSv2                      Number  `json:"cvss_v2"`
		CVSSv3                      Number  `json:"cvss_v3"`
		Patched                     Strings `json:"patched_versions"`
		Criticality                 Text
	}
}

func parseBundlerAudit(in *Input, out *Out) error {
	if isJSON(in.Data) {
		return parseBundlerAuditJSON(in.Data, out)
	}
	return parseBundlerAuditText(in, out)
}

func parseBundlerAuditJSON(data []byte, out *Out) error {
	var report bundlerReport
	if err := decodeFold(data, &report); err != nil {
		return err
	}
	if report.Results == nil {
		return errors.New("bundler-audit report without results")
	}
	at := parseTime(report.CreatedAt)
	for i := range report.Results {
		r := &report.Results[i].Value
		var e *pipeline.Event
		if r.Type == "insecure_source" || r.Gem.Name == "" && r.Source != "" {
			e = bundlerSource(out, string(r.Source))
		} else {
			a := &r.Advisory
			e = out.vulnerability(&vulnerability{
				IDs:      []string{prefixed("CVE-", string(a.CVE)), prefixed("GHSA-", string(a.GHSA)), prefixed("OSVDB-", string(a.OSVDB)), a.ID},
				Rule:     a.ID,
				Title:    a.Title,
				URL:      a.URL,
				Severity: bundlerSeverity(string(a.Criticality), a.CVSSv3.Or(0), a.CVSSv2.Or(0)),
				Score:    first(a.CVSSv3.Or(0), a.CVSSv2.Or(0)),
				// The advisory database speaks of gems only; the Ruby interpreter is not in a lock file.
				Ecosystem: "gem", Name: r.Gem.Name, Version: r.Gem.Version,
				Fixed: strings.Join(a.Patched, " || "),
			})
		}
		e.Time, e.Raw = at, report.Results[i].Raw
	}
	if len(report.Results) == 0 {
		bundlerClean(out, at)
	}
	return nil
}

// parseBundlerAuditText reads blocks of "Key: value" lines that a blank line ends.
func parseBundlerAuditText(in *Input, out *Out) error {
	var (
		v       vulnerability
		found   bool
		verdict string
		text    = in.Text()
		block   int // where the current block begins
	)
	flush := func(end int) {
		if v.Name != "" {
			found = true
			v.Ecosystem = "gem"
			out.vulnerability(&v).Raw = strings.TrimSpace(text[block:end])
		}
		v, block = vulnerability{}, end
	}
	for pos := 0; pos < len(text); {
		line, _, _ := strings.Cut(text[pos:], "\n")
		start := pos
		pos = min(pos+len(line)+1, len(text))
		line = strings.TrimRight(plain(line), " \t\r")
		if line != "" && !found && v.Name == "" && isJSON(in.Data[start:]) { // the report that follows the messages of --update
			return parseBundlerAuditJSON(in.Data[start:], out)
		}
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "Name":
			flush(start)
			v.Name = value
		case "Version":
			v.Version = value
		case "Advisory", "CVE", "GHSA", "OSVDB":
			v.IDs = append(v.IDs, value)
			v.Rule = first(v.Rule, value)
		case "Criticality":
			v.Severity = bundlerSeverity(value, 0, 0)
		case "URL":
			v.URL = value
		case "Title":
			v.Title = value
		case "Solution", "Patched Versions":
			v.Fixed = patchedVersions(value)
		case "Insecure Source URI found":
			flush(start)
			found = true
			bundlerSource(out, value).Raw = line
		default:
			if slices.Contains(bundlerVerdicts, line) {
				flush(start)
				verdict = line
			}
		}
	}
	flush(len(text))
	switch {
	case found:
	case verdict == bundlerVerdicts[0]:
		bundlerClean(out, time.Time{})
	default:
		return errors.New("bundler-audit text without findings and without its verdict; it may be cut off")
	}
	return nil
}

func bundlerSource(out *Out, source string) *pipeline.Event {
	e := out.Event("vulnerability.found")
	e.Rule, e.Title = "insecure_source", "gems are fetched over an insecure source: "+source
	e.Severity, e.Outcome, e.Disposition = pipeline.SeverityMedium, pipeline.OutcomeFailure, pipeline.DispositionDetected
	e.SetAttr("url.full", source)
	if u, err := url.Parse(source); err == nil {
		e.DstDomain = strings.ToLower(u.Hostname())
	}
	return e
}

func bundlerClean(out *Out, at time.Time) {
	e := out.Event("scan.completed")
	e.Time, e.Outcome, e.Severity, e.Title = at, pipeline.OutcomeSuccess, pipeline.SeverityInfo, "bundler-audit found no vulnerability"
}

// bundlerSeverity takes the tool's word, or works it out from the scores as the tool does where it left the word out.
func bundlerSeverity(word string, v3, v2 float64) uint8 {
	if s := severityWord(word); s != pipeline.SeverityUnknown {
		return s
	}
	if v3 > 0 {
		return severityCVSS(v3)
	}
	return min(severityCVSS(v2), pipeline.SeverityHigh) // CVSS 2 knows no critical
}

// patchedVersions takes the versions out of a solution: "upgrade to >= 1.2, ~> 1.1.3", "update to '~> 1.1, >= 1.1.3', '>= 1.2'".
func patchedVersions(solution string) string {
	for _, verb := range []string{"upgrade to ", "update to "} {
		if versions, ok := strings.CutPrefix(solution, verb); ok {
			versions = strings.ReplaceAll(versions, "', '", " || ")
			return strings.Trim(versions, "'")
		}
	}
	if strings.HasPrefix(solution, "remove ") {
		return ""
	}
	return solution
}

// prefixed puts the prefix before an id that the tool prints without it.
func prefixed(prefix, id string) string {
	if id == "" || strings.HasPrefix(id, prefix) {
		return id
	}
	return prefix + id
}
