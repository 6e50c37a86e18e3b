package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gitLog reads what `git log` prints in its own formats (medium, full, fuller, raw, reference of one line with full hashes),
// with --stat, --numstat, --shortstat or --name-status. Each commit is a push: the log tells that it arrived.
// https://git-scm.com/docs/git-log
var gitLog = Format{
	Name: "git-log", Title: "git log output", Phase: pipeline.PhaseWriting,
	Types: []string{"branch.push"},
	Known: "text whose first line is \"commit\" and a full hash",
	Frame: Document,
	Match: func(s *Shape) bool {
		if !s.isText() {
			return false
		}
		rest, ok := strings.CutPrefix(s.Line(), "commit ")
		hash, _, _ := strings.Cut(rest, " ")
		if ok && commitOf(hash) != "" {
			return true
		}
		// A sum and two blanks is sha256sum's list of files, a bucket's owner and a date in brackets S3's access log.
		hash, rest, ok = strings.Cut(s.Line(), " ")
		return ok && len(hash) >= 40 && commitOf(hash) != "" && !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "*") && !strings.Contains(rest, " [")
	},
	Parse: parseGitLog,
}

// gitCommit is a commit whose end has not been read yet.
type gitCommit struct {
	hash, decoration, subject string
	author, authorDate        string
	committer, commitDate     string
	merge                     string
	files, added, deleted     int
	start                     int // its offset
}

func parseGitLog(in *Input, out *Out) error {
	var c *gitCommit
	told := map[string]bool{}
	flush := func(end int) {
		if c != nil && !told[c.hash] { // a commit that the log lists twice arrived once
			told[c.hash] = true
			c.emit(out, strings.TrimSpace(alias(in.Data[c.start:end])))
		}
	}
	found := 0
	for pos := 0; pos < len(in.Data); {
		begin := pos
		l, rest := cutLine(in.Data[pos:])
		pos = len(in.Data) - len(rest)
		text := plain(alias(l))
		if hash, decoration, ok := gitCommitLine(text); ok {
			flush(begin)
			found++
			c = &gitCommit{hash: hash, start: begin}
			if strings.HasPrefix(text, "commit ") {
				c.decoration = decoration
			} else {
				c.subject = decoration
			}
			continue
		}
		if c != nil {
			c.line(text)
		}
	}
	flush(len(in.Data))
	if found == 0 {
		return errors.New("git log: no line \"commit <hash>\"")
	}
	return nil
}

// gitCommitLine reads "commit <hash> (<refs>)", or "<hash> <subject>" as --oneline prints it.
func gitCommitLine(s string) (hash, rest string, ok bool) {
	hash, rest, _ = strings.Cut(strings.TrimPrefix(s, "commit "), " ")
	if commitOf(hash) == "" {
		return "", "", false
	}
	return commitOf(hash), strings.Trim(strings.TrimSpace(rest), "()"), true
}

// line reads a header, the first line of the message, or a changed file.
func (c *gitCommit) line(s string) {
	if strings.HasPrefix(s, "    ") {
		if c.subject == "" {
			c.subject = strings.TrimSpace(s)
		}
		return
	}
	if c.subject == "" {
		key, value, ok := strings.Cut(s, ":")
		if value = strings.TrimSpace(value); ok {
			switch key {
			case "Author":
				c.author = value
			case "AuthorDate", "Date":
				c.authorDate = value
			case "Commit":
				c.committer = value
			case "CommitDate":
				c.commitDate = value
			case "Merge":
				c.merge = value
			}
			return
		}
		key, value, _ = strings.Cut(s, " ")
		switch key { // --pretty=raw: "author Name <mail> 1772615200 +0100"
		case "author":
			c.author, c.authorDate = gitRawPerson(value)
		case "committer":
			c.committer, c.commitDate = gitRawPerson(value)
		}
		return
	}
	if added, rest, ok := strings.Cut(s, "\t"); ok {
		deleted, _, numstat := strings.Cut(rest, "\t")
		switch {
		case numstat && (added == "-" || strings.Trim(added, "0123456789") == ""):
			a, _ := strconv.Atoi(added)
			d, _ := strconv.Atoi(deleted)
			c.files, c.added, c.deleted = c.files+1, c.added+a, c.deleted+d
		case len(added) <= 4: // --name-status: M<TAB>path, R100<TAB>old<TAB>new
			c.files++
		}
		return
	}
	if strings.Contains(s, " changed") && strings.Contains(s, " file") { // --stat, --shortstat
		for _, part := range strings.Split(s, ",") {
			f := strings.Fields(part)
			if len(f) < 2 {
				continue
			}
			n, _ := strconv.Atoi(f[0])
			switch {
			case strings.HasPrefix(f[1], "file"):
				c.files = n
			case strings.HasPrefix(f[1], "insertion"):
				c.added = n
			case strings.HasPrefix(f[1], "deletion"):
				c.deleted = n
			}
		}
	}
}

func gitRawPerson(s string) (who, when string) {
	i := strings.LastIndexByte(s, '>')
	if i < 0 {
		return s, ""
	}
	when, _, _ = strings.Cut(strings.TrimSpace(s[i+1:]), " ")
	return s[:i+1], when
}

// gitPerson splits "Name <mail>".
func gitPerson(s string) (name, mail string) {
	name, mail, _ = strings.Cut(s, "<")
	return strings.TrimSpace(name), strings.TrimSuffix(mail, ">")
}

func (c *gitCommit) emit(out *Out, raw string) {
	e := out.Event("branch.push")
	e.Raw, e.Severity, e.Commit = raw, pipeline.SeverityInfo, c.hash
	author, mail := gitPerson(c.author)
	e.Actor = author
	e.Time = gitTime(first(c.commitDate, c.authorDate))
	for _, ref := range strings.Split(c.decoration, ",") {
		ref = strings.TrimSpace(ref)
		if branch, ok := strings.CutPrefix(ref, "HEAD -> "); ok {
			e.Ref = branch
		} else if tag, ok := strings.CutPrefix(ref, "tag: "); ok {
			e.SetAttr("tag", tag)
		}
	}
	e.SetAttr("author", author)
	e.SetAttr("author.email", mail)
	committer, _ := gitPerson(c.committer)
	e.SetAttr("committer", committer)
	e.SetAttr("merge", c.merge)
	e.SetAttr("files", positive(c.files))
	e.SetAttr("lines.added", positive(c.added))
	e.SetAttr("lines.deleted", positive(c.deleted))
	e.Title = short(c.hash) + " " + oneLine(c.subject, 120)
	out.ID(e, "commit", c.hash)
}

// gitTime reads git's default date "Wed Mar 4 16:20:00 2026 +0100", and its others.
func gitTime(s string) time.Time {
	if t, err := time.Parse("Mon Jan 2 15:04:05 2006 -0700", s); err == nil {
		return sane(t.UTC())
	}
	return sane(parseTime(s))
}
