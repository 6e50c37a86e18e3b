package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitHoundEzekg reads the lines of the git hook git-hound (ezekg): a failure blocks the commit, a warning does not.
// https://github.com/ezekg/git-hound
var gitHoundEzekg = Format{
	Name: "git-hound-ezekg", Title: "git-hound (ezekg) output", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.detected", "scan.completed"},
	Known: "text whose lines begin with \"failure: pattern `\" or \"warning: pattern `\"",
	Frame: Document,
	Match: func(s *Shape) bool {
		if s.Root != "" || s.IsObject() {
			return false
		}
		text := alias(s.Data())
		return strings.Contains(text, ": pattern `") && strings.Contains(text, "` match found for `") ||
			strings.Contains(text, "smell(s) detected")
	},
	Parse: parseGitHoundEzekg,
}

func parseGitHoundEzekg(in *Input, out *Out) error {
	found, summary := 0, ""
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		text := strings.TrimSpace(plain(alias(l)))
		if strings.Contains(text, "smell(s) detected") {
			summary = text
		}
		m, ok := houndLine(text)
		if !ok {
			continue
		}
		found++
		e := out.Event("secret.detected")
		e.Raw = plain(alias(l))
		e.Outcome = pipeline.OutcomeFailure
		e.Severity, e.Disposition = pipeline.SeverityLow, pipeline.DispositionDetected
		if m.failure {
			e.Severity, e.Disposition = pipeline.SeverityHigh, pipeline.DispositionBlocked
		}
		e.Rule = m.pattern
		e.SetAttr("code.file.path", m.file)
		e.SetAttr("code.line.number", m.line)
		secret := likelySecret(m.match)
		e.SetAttr("credential", out.Secret(secret))
		if m.match != secret {
			out.Secret(m.match)
		}
		e.Title = "secret pattern in " + m.file
		if !m.failure {
			e.Title = "smell in " + m.file
		}
	}
	switch {
	case found > 0:
		return nil
	case summary != "":
		e := out.Event("scan.completed")
		e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
		if !strings.HasPrefix(summary, "0 ") && !strings.HasPrefix(strings.ToLower(summary), "no ") {
			e.Severity, e.Outcome, e.Disposition = pipeline.SeverityHigh, pipeline.OutcomeFailure, pipeline.DispositionBlocked
		}
		e.Title = "git-hound: " + summary
		return nil
	}
	return errors.New("no line of git-hound: \"failure: pattern `...` match found for `...` starting at line N in FILE\"")
}

type houndMatch struct {
	failure                    bool
	pattern, match, line, file string
}

// houndLine reads one line. Pattern and match may hold backticks, so the words between them are what is looked for.
func houndLine(s string) (m houndMatch, ok bool) {
	if i := strings.Index(s, "failure: pattern `"); i >= 0 {
		m.failure, s = true, s[i+len("failure: pattern `"):]
	} else if i := strings.Index(s, "warning: pattern `"); i >= 0 {
		s = s[i+len("warning: pattern `"):]
	} else {
		return m, false
	}
	if m.pattern, s, ok = strings.Cut(s, "` match found for `"); !ok {
		return m, false
	}
	i := strings.LastIndex(s, "` starting at line ")
	if i < 0 {
		return m, false
	}
	m.match = s[:i]
	m.line, m.file, ok = strings.Cut(s[i+len("` starting at line "):], " in ")
	return m, ok
}
