package parse

import (
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitleaks reads the JSON report of gitleaks: an array of findings, [] or null where there are none. Keys are those of
// version 8; version 7 and older wrote them in camel case. It has no severity: a secret in the code is high.
// https://github.com/gitleaks/gitleaks#reporting
var gitleaks = Format{
	Name: "gitleaks", Title: "gitleaks report (JSON)", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.detected", "scan.completed"},
	Known: "JSON array whose members have RuleID and Secret, or rule and offender; a bare [] or null",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.IsObject() && !s.Array {
			return false
		}
		bare := strings.TrimSpace(alias(s.Data()[:min(len(s.Data()), 64)]))
		if inner, array := strings.CutPrefix(bare, "["); array && strings.TrimSpace(inner) == "]" || bare == "null" {
			return true // of all tools, gitleaks is the one documented to write that where it found nothing
		}
		return s.Array && (s.Has("RuleID", "Secret") || s.Has("RuleID", "Fingerprint") || s.Has("rule", "offender"))
	},
	Parse: parseGitleaks,
}

type gitleaksFinding struct {
	RuleID, Description, Match, Secret, File, SymlinkFile string
	Commit, Author, Email, Date, Message, Fingerprint     string
	StartLine, StartColumn                                Number
	Link                                                  string
	Tags                                                  Strings

	// Version 7.
	OldRule    string `json:"rule"`
	Offender   string `json:"offender"`
	Line       string `json:"line"`
	LineNo     Number `json:"lineNumber"`
	OldFile    string `json:"file"`
	OldCommit  string `json:"commit"`
	OldAuthor  string `json:"author"`
	OldEmail   string `json:"email"`
	OldDate    string `json:"date"`
	OldRepo    string `json:"repo"`
	OldRepoURL string `json:"repoURL"`
	OldLink    string `json:"leakURL"`
}

// gitleaksPart is a finding with its text. Its two layouts differ by the case of their keys.
type gitleaksPart struct {
	Value gitleaksFinding
	Raw   string
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *gitleaksPart) UnmarshalJSON(b []byte) error {
	p.Raw = alias(b)
	return decode(b, &p.Value)
}

func parseGitleaks(in *Input, out *Out) error {
	var findings []gitleaksPart
	if err := decode(in.Data, &findings); err != nil {
		return err
	}
	if len(findings) == 0 {
		out.scanned(time.Time{}, "gitleaks found no secret")
		return nil
	}
	for i := range findings {
		f := &findings[i].Value
		rule, file := first(f.RuleID, f.OldRule), first(f.File, f.OldFile)
		line := int(max(f.StartLine.Or(0), f.LineNo.Or(0)))
		e := out.Event("secret.detected")
		e.Raw = findings[i].Raw
		e.Severity, e.Disposition, e.Outcome = pipeline.SeverityHigh, pipeline.DispositionDetected, pipeline.OutcomeFailure
		e.Title = rule + " in " + file
		e.Rule = rule
		e.Commit = commitOf(first(f.Commit, f.OldCommit))
		e.Actor = first(f.Email, f.OldEmail, f.Author, f.OldAuthor)
		e.Time = parseTime(first(f.Date, f.OldDate))
		e.Repo = repoOf(first(f.OldRepoURL, f.OldRepo))
		e.SetAttr("code.file.path", file)
		e.SetAttr("code.line.number", positive(line))
		e.SetAttr("url.full", first(f.Link, f.OldLink))
		secret := first(f.Secret, f.Offender)
		e.SetAttr("credential", out.Secret(secret))
		out.Secret(f.Match)
		out.Secret(f.Line)
		out.ID(e, e.Commit, file, rule, strconv.Itoa(line), strconv.Itoa(int(f.StartColumn.Or(0))), out.parser.fingerprint(secret))
	}
	return nil
}
