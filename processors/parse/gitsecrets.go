package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitSecrets reads what git-secrets prints when it finds something: a line per match as git grep prints it, with the
// commit before it when the history was scanned, then the verdict. It names no pattern and no severity; a match is high.
// The offending line is a secret as a whole, as no one can tell which part of it is.
// https://github.com/awslabs/git-secrets
var gitSecrets = Format{
	Name: "git-secrets", Title: "git-secrets output", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.detected", "scan.completed"},
	Known: "text with the line \"[ERROR] Matched one or more prohibited patterns\"",
	Frame: Document,
	Match: func(s *Shape) bool {
		return s.Root == "" && !s.IsObject() && strings.Contains(alias(s.Data()), gitSecretsVerdict)
	},
	Parse: parseGitSecrets,
}

const gitSecretsVerdict = "[ERROR] Matched one or more prohibited pattern"

func parseGitSecrets(in *Input, out *Out) error {
	disposition := uint8(pipeline.DispositionDetected)
	blocked := strings.Contains(in.Text(), gitSecretsVerdict)
	if blocked {
		disposition = pipeline.DispositionBlocked
	}
	found := 0
	for rest, n := in.Data, 0; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		n++
		text := plain(alias(l))
		if strings.Contains(text, gitSecretsVerdict) {
			break // advice follows
		}
		m, ok := gitSecretsLine(text)
		if !ok {
			continue
		}
		found++
		e := out.Event("secret.detected")
		e.Raw = alias(l)
		e.Severity, e.Disposition, e.Outcome = pipeline.SeverityHigh, disposition, pipeline.OutcomeFailure
		e.Rule, e.Commit = "prohibited-pattern", m.commit
		e.SetAttr("code.file.path", m.file)
		e.SetAttr("code.line.number", m.line)
		secret := likelySecret(m.match)
		e.SetAttr("credential", out.Secret(secret))
		if m.match != secret {
			out.Secret(m.match)
		}
		e.Title = "prohibited pattern in " + m.file
		if m.commit != "" {
			e.Title += " of commit " + short(m.commit)
		}
	}
	switch {
	case found > 0:
		return nil
	case blocked:
		e := out.Event("scan.completed")
		e.Outcome, e.Disposition, e.Severity = pipeline.OutcomeFailure, disposition, pipeline.SeverityHigh
		e.Title = "git-secrets found prohibited patterns; which ones was not recorded"
		return nil
	}
	return errors.New("no line of git-secrets: neither file:line:match nor its verdict")
}

type gitSecretsMatch struct{ commit, file, line, match string }

// gitSecretsLine reads [commit:]file:line:match, or git grep's note about a binary file.
func gitSecretsLine(s string) (m gitSecretsMatch, ok bool) {
	if rest, isBinary := strings.CutPrefix(s, "Binary file "); isBinary {
		file, matches := strings.CutSuffix(rest, " matches")
		m.file = file
		return m.cutCommit(), matches
	}
	for i := 0; ; {
		j := strings.IndexByte(s[i:], ':')
		if j < 0 {
			return m, false
		}
		i += j + 1
		end := i
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if end > i && end < len(s) && s[end] == ':' && i > 1 {
			m.file, m.line, m.match = s[:i-1], s[i:end], strings.TrimSpace(s[end+1:])
			return m.cutCommit(), true
		}
	}
}

func (m gitSecretsMatch) cutCommit() gitSecretsMatch {
	if sha, file, ok := strings.Cut(m.file, ":"); ok && commitOf(sha) != "" {
		m.commit, m.file = commitOf(sha), file
	}
	return m
}

// likelySecret returns the longest word of a line that mixes letters and digits: what stands behind a key's name, in
// quotes, or alone. The line itself where there is none.
func likelySecret(line string) string {
	best := ""
	for word := range strings.FieldsFuncSeq(line, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("+/_-.*~", r))
	}) {
		if len(word) > len(best) && strings.ContainsAny(word, "0123456789") && strings.ContainsAny(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			best = word
		}
	}
	if len(best) < 8 {
		return line
	}
	return best
}
