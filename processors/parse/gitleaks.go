package parse

import (
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitleaks reads the JSON report of gitleaks: an array of findings, [] or null where there are none. Keys are those of
// version 8; version 7 and older wrote them in camel case. It has no severity: a secret in the code is high.
// https://github.com/gitleaks/gitleaks#reporting
var gitleaks = Format{
	Name: "gitleaks", Title: "gitleaks report (JSON)", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.detected", "scan.completed"},
	Known: "JSON array whose members have RuleID and Secret, or rule and offender",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Array && (s.Has("RuleID", "Secret") || s.Has("rule", "offender"))
	},
	Parse: parseGitleaks,
}

type gitleaksFinding struct {
	RuleID, Description, Match, Secret, File, SymlinkFile string
	Commit, Author, Email, Date, Message, Fingerprint     string
	StartLine                                             int
	Tags                                                  []string

	// Version 7.
	OldRule    string `json:"rule"`
	Offender   string `json:"offender"`
	Line       string `json:"line"`
	LineNo     int    `json:"lineNumber"`
	OldFile    string `json:"file"`
	OldCommit  string `json:"commit"`
	OldAuthor  string `json:"author"`
	OldDate    string `json:"date"`
	OldRepo    string `json:"repo"`
	OldRepoURL string `json:"repoURL"`
}

func parseGitleaks(in *Input, out *Out) error {
	var findings []gitleaksFinding
	if err := decode(in.Data, &findings); err != nil {
		return err
	}
	if len(findings) == 0 {
		e := out.Event("scan.completed")
		e.Outcome = pipeline.OutcomeSuccess
		e.Title = "gitleaks found no secret"
		return nil
	}
	for i := range findings {
		f := &findings[i]
		rule, file, line := first(f.RuleID, f.OldRule), first(f.File, f.OldFile), max(f.StartLine, f.LineNo)
		e := out.Event("secret.detected")
		e.Severity, e.Disposition, e.Outcome = pipeline.SeverityHigh, pipeline.DispositionDetected, pipeline.OutcomeFailure
		e.Title = rule + " in " + file
		e.Rule = rule
		e.Commit = strings.ToLower(first(f.Commit, f.OldCommit))
		e.Actor = first(f.Email, f.Author, f.OldAuthor)
		e.Time = parseTime(first(f.Date, f.OldDate))
		e.Repo = repoOf(first(f.OldRepoURL, f.OldRepo))
		e.SetAttr("code.file.path", file)
		e.SetAttr("code.line.number", positive(line))
		secret := first(f.Secret, f.Offender)
		e.SetAttr("credential", out.Secret(secret))
		out.Secret(f.Match)
		out.Secret(f.Line)
		out.ID(e, e.Commit, file, rule, strconv.Itoa(line), out.parser.fingerprint(secret))
	}
	return nil
}
