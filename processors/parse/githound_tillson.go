package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitHoundTillson reads what the search tool git-hound (tillson) finds on forges, as JSON lines (--json) or as its blocks
// of text. It has no severity: a secret in public is high.
// https://github.com/tillson/git-hound
var gitHoundTillson = Format{
	Name: "git-hound-tillson", Title: "git-hound (tillson) results", Phase: pipeline.PhaseWriting,
	Types: []string{"secret.detected"},
	Known: "JSON object with attributes, match and url; text blocks with the lines \"pattern:\", \"tags:\" and \"file:\"",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("match", "attributes") && (s.Has("url") || s.Has("repo") || s.Has("context"))
		}
		return strings.HasPrefix(plain(s.Line()), "[http") && strings.Contains(plain(alias(s.Data()[:min(len(s.Data()), 64<<10)])), "\nfile:")
	},
	Parse: parseGitHoundTillson,
}

type tillsonMatch struct {
	Attributes Strings `json:"attributes"`
	Context    Text    `json:"context"`
	Author     Text    `json:"file_last_author"`
	Updated    Text    `json:"file_last_updated"`
	Match      Text    `json:"match"`
	Repo       Text    `json:"repo"`
	URL        Text    `json:"url"`

	pattern, file string // of the text blocks
}

func parseGitHoundTillson(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return tillsonText(in, out)
	}
	if in.Data[0] == '[' {
		var list []part[tillsonMatch]
		if err := decode(in.Data, &list); err != nil {
			return err
		}
		for i := range list {
			list[i].Value.emit(out, list[i].Raw)
		}
		return nil
	}
	var m tillsonMatch
	if err := decode(in.Data, &m); err != nil {
		return err
	}
	if m.Match == "" && m.URL == "" && m.Repo == "" {
		return errors.New("git-hound: a result without match, url and repo")
	}
	m.emit(out, in.Text())
	return nil
}

// tillsonText reads blocks: the repository in brackets, then for each match the match, its pattern, tags and file, and at
// last its URL.
func tillsonText(in *Input, out *Out) error {
	var m tillsonMatch
	repo := ""
	found := 0
	start := 0
	for pos := 0; pos < len(in.Data); {
		l, rest := cutLine(in.Data[pos:])
		begin := pos
		pos = len(in.Data) - len(rest)
		text := strings.TrimSpace(plain(alias(l)))
		key, value, _ := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch {
		case text == "":
		case strings.HasPrefix(text, "[http") && strings.HasSuffix(text, "]"):
			repo, m, start = strings.Trim(text, "[]"), tillsonMatch{}, pos
		case key == "pattern" && m.Match != "":
			m.pattern = value
		case key == "tags" && m.Match != "":
			for _, tag := range strings.Split(value, ",") {
				m.Attributes = append(m.Attributes, strings.TrimSpace(tag))
			}
		case key == "file" && m.Match != "":
			m.file = value
		case strings.HasPrefix(text, "http") && m.file != "":
			m.URL, m.Repo = Text(text), Text(repo)
			m.emit(out, strings.TrimSpace(alias(in.Data[start:pos])))
			found++
			m, start = tillsonMatch{}, pos
		default:
			if m.Match == "" {
				start = begin
			}
			m.Match = Text(strings.TrimSpace(string(m.Match) + "\n" + text))
		}
	}
	if found == 0 {
		return errors.New("git-hound: no block that ends with the URL of a match")
	}
	return nil
}

func (m *tillsonMatch) emit(out *Out, raw string) {
	e := out.Event("secret.detected")
	e.Raw = raw
	e.Severity, e.Disposition, e.Outcome = pipeline.SeverityHigh, pipeline.DispositionDetected, pipeline.OutcomeFailure
	if len(m.Attributes) > 0 {
		e.Rule = m.Attributes[0]
	}
	e.Rule = first(e.Rule, m.pattern, "match")
	e.Repo, e.Actor, e.Time = repoOf(string(m.Repo)), string(m.Author), parseTime(string(m.Updated))
	file, commit := m.file, ""
	if _, blob, ok := strings.Cut(string(m.URL), "/blob/"); ok {
		ref, path, _ := strings.Cut(blob, "/")
		file = first(file, path)
		if commit = commitOf(ref); commit == "" {
			e.Ref = ref
		}
	}
	e.Commit = commit
	e.SetAttr("code.file.path", file)
	e.SetAttr("url.full", string(m.URL))
	e.SetAttr("tags", strings.Join(m.Attributes, ","))
	match := string(m.Match)
	secret := likelySecret(match)
	e.SetAttr("credential", out.Secret(secret))
	out.Secret(match)
	out.Secret(strings.TrimSpace(string(m.Context)))
	what := e.Rule
	if len(m.Attributes) > 1 {
		what = m.Attributes[1]
	}
	e.Title = what + " in " + first(file, e.Repo)
	out.ID(e, raw, strconv.Itoa(out.piece.Line), strconv.Itoa(len(out.batch.Events)-out.first))
}
