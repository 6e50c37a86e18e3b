package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitCrypt reads `git-crypt status`, with any of its options: a line a file. A file that must be encrypted and is not in
// what is committed is a secret in the open; one that nobody asked to encrypt is only noted.
// https://github.com/AGWA/git-crypt
var gitCrypt = Format{
	Name: "git-crypt", Title: "git-crypt status", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.encrypted", "secret.detected", "scan.completed", "log"},
	Known: "text whose first line begins with \"encrypted: \" or \"not encrypted: \", or tells of a staged encrypted version",
	Frame: Document,
	Match: func(s *Shape) bool {
		if !s.isText() {
			return false
		}
		line := strings.TrimSpace(s.Line())
		return strings.HasPrefix(line, "encrypted: ") || strings.HasPrefix(line, "not encrypted: ") ||
			strings.HasSuffix(line, ": staged encrypted version") || strings.HasPrefix(line, "Staged ") && strings.Contains(line, " encrypted file")
	},
	Parse: parseGitCrypt,
}

func parseGitCrypt(in *Input, out *Out) error {
	seen := 0
	var staged []string
	fixed := false
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		text := strings.TrimSpace(alias(l))
		if file, ok := strings.CutPrefix(text, "not encrypted: "); ok {
			seen++
			e := gitCryptEvent(out, "log", file, "not encrypted", alias(l))
			e.Severity = pipeline.SeverityInfo
			e.Title = file + " is not encrypted, nor marked to be"
		} else if file, ok := strings.CutPrefix(text, "encrypted: "); ok {
			seen++
			file, warning, warned := strings.Cut(file, " *** ")
			if !warned {
				e := gitCryptEvent(out, "secret.encrypted", file, "encrypted", alias(l))
				e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
				e.Title = file + " is encrypted"
				continue
			}
			e := gitCryptEvent(out, "secret.detected", file, "encrypted", alias(l))
			e.Severity, e.Outcome, e.Disposition = pipeline.SeverityHigh, pipeline.OutcomeFailure, pipeline.DispositionDetected
			e.Rule = "not-encrypted"
			e.SetAttr("warning", strings.Trim(warning, "* "))
			e.Title = file + " must be encrypted, but what is staged or committed is not"
		} else if file, ok := strings.CutSuffix(text, ": staged encrypted version"); ok {
			staged, fixed = append(staged, file), true
		} else if strings.HasPrefix(text, "Staged ") && strings.Contains(text, " encrypted file") {
			fixed = true
		}
	}
	if seen == 0 && !fixed {
		return errors.New("no line of git-crypt status: \"encrypted: FILE\" or \"not encrypted: FILE\"")
	}
	if fixed {
		e := out.Event("scan.completed")
		e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
		e.SetAttr("staged", strconv.Itoa(len(staged)))
		e.SetAttr("files", strings.Join(staged, ","))
		e.Title = "git-crypt staged encrypted versions of " + strconv.Itoa(len(staged)) + " files; older ones stay readable in the history"
	}
	return nil
}

func gitCryptEvent(out *Out, typ, file, state, raw string) *pipeline.Event {
	e := out.Event(typ)
	e.Raw = raw
	e.SetAttr("code.file.path", file)
	e.SetAttr("git_crypt.state", state)
	return e
}
