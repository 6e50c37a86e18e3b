package parse

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dockerBench reads the results of Docker Bench for Security: its JSON file, and the log that it prints. WARN is medium,
// everything else informational. Section 4 is about images, so packaging; the others are about a host that runs containers.
// https://github.com/docker/docker-bench-security#readme
var dockerBench = Format{
	Name: "docker-bench", Title: "Docker Bench for Security (JSON, log)", Phase: pipeline.PhaseDeployment,
	Types: []string{"compliance.checked", "scan.completed", "log"},
	Known: "JSON object with dockerbenchsecurity; log lines such as [WARN] 1.1.1 - ...",
	Frame: Reports,
	Match: func(s *Shape) bool {
		return s.Has("dockerbenchsecurity") || !s.IsObject() && s.Root == "" && matchDockerBenchLog(s)
	},
	Parse: parseDockerBench,
}

type dockerBenchReport struct {
	Version    Text `json:"dockerbenchsecurity"`
	Start, End Text
	Checks     Number
	Score      Number
	Tests      []struct {
		ID, Desc Text
		Results  []part[dockerBenchResult]
	}
}

type dockerBenchResult struct {
	ID, Desc, Result, Details, Remediation Text
	Items                                  Strings
}

func parseDockerBench(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return parseDockerBenchLog(in, out)
	}
	var v dockerBenchReport
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Version == "" {
		return errors.New("docker-bench report without dockerbenchsecurity")
	}
	run := dockerBenchRun{start: parseTime(string(v.Start)), end: parseTime(string(v.End)), score: v.Score, checks: v.Checks}
	for i := range v.Tests {
		for j := range v.Tests[i].Results {
			p := &v.Tests[i].Results[j]
			r := &p.Value
			e := run.check(out, string(r.ID), string(r.Desc), string(r.Result))
			e.Raw = p.Raw
			e.SetAttr("section", string(v.Tests[i].Desc))
			e.SetAttr("details", string(r.Details))
			e.SetAttr("items", strings.Join(r.Items, ", "))
			e.SetAttr("remediation", string(r.Remediation))
		}
	}
	run.finish(out, string(v.Version))
	return nil
}

// dockerBenchRun is one run of the tool.
type dockerBenchRun struct {
	start, end             time.Time
	score, checks          Number
	pass, warn, note, info int
}

// check appends the event of one check.
func (d *dockerBenchRun) check(out *Out, id, desc, result string) *pipeline.Event {
	result = strings.ToUpper(strings.TrimSpace(result))
	e := out.Event("compliance.checked")
	e.Time, e.Rule, e.Severity = first(d.end, d.start), id, pipeline.SeverityInfo
	e.Title = result + " " + id + ": " + oneLine(desc, 200)
	if section, _, _ := strings.Cut(id, "."); section == "4" {
		e.Phase = pipeline.PhasePackaging
	}
	switch result {
	case "PASS":
		e.Outcome = pipeline.OutcomeSuccess
		d.pass++
	case "WARN":
		e.Outcome, e.Severity, e.Disposition = pipeline.OutcomeFailure, pipeline.SeverityMedium, pipeline.DispositionDetected
		d.warn++
	case "NOTE":
		d.note++
	default:
		d.info++
	}
	e.SetAttr("result", result)
	return e
}

// finish appends the event of the run.
func (d *dockerBenchRun) finish(out *Out, version string) {
	e := out.Event("scan.completed")
	e.Time, e.Severity, e.Outcome = first(d.end, d.start), pipeline.SeverityInfo, pipeline.OutcomeSuccess
	e.Metric, e.Value = "docker_bench.score", d.score.Or(0)
	e.Title = "Docker Bench " + version + ": score " + strconv.FormatFloat(e.Value, 'f', -1, 64) + ", " + strconv.Itoa(d.warn) + " warnings"
	e.SetAttr("tool.version", version)
	e.SetAttr("checks", strconv.FormatFloat(d.checks.Or(float64(d.pass+d.warn+d.note+d.info)), 'f', -1, 64))
	e.SetAttr("count.pass", strconv.Itoa(d.pass))
	e.SetAttr("count.warn", strconv.Itoa(d.warn))
	e.SetAttr("count.note", strconv.Itoa(d.note))
	e.SetAttr("count.info", strconv.Itoa(d.info))
	if !d.start.IsZero() {
		e.SetAttr("start", d.start.Format(time.RFC3339))
	}
}

// dockerBenchLine takes a line of the log apart: its level, the check's number where there is one, and the text. A line
// with a number but without a dot in it opens a section.
func dockerBenchLine(line string) (level, id, text string, ok bool) {
	line = strings.TrimSpace(line)
	if len(line) < 7 || line[0] != '[' || line[5] != ']' {
		return "", "", "", false
	}
	switch level = line[1:5]; level {
	case "PASS", "WARN", "INFO", "NOTE":
	default:
		return "", "", "", false
	}
	text = strings.TrimSpace(line[6:])
	if number, rest, cut := strings.Cut(text, " "); cut && number != "" && strings.Trim(number, "0123456789.") == "" {
		id, text = number, strings.TrimLeft(rest, "- ")
	}
	return level, id, text, true
}

func matchDockerBenchLog(s *Shape) bool {
	if s.Begins("# ---", "# Docker Bench") {
		head := s.Data()[:min(len(s.Data()), 1024)]
		return strings.Contains(alias(head), "Docker Bench for Security")
	}
	_, id, text, ok := dockerBenchLine(plain(s.Line()))
	return ok && (id != "" || strings.HasPrefix(text, "* ") || strings.HasPrefix(text, "Checks: ") || strings.HasPrefix(text, "Score: "))
}

func parseDockerBenchLog(in *Input, out *Out) error {
	var (
		run     dockerBenchRun
		version string
		section string
		lines   int
		last    *pipeline.Event
		details []string
	)
	closeCheck := func() {
		if last != nil && details != nil {
			last.SetAttr("details", strings.Join(details, "; "))
		}
		last, details = nil, nil
	}
	run.score, run.checks = Number(math.NaN()), Number(math.NaN())
	for line := range strings.Lines(in.Text()) {
		line = strings.TrimSpace(plain(line))
		if v, ok := strings.CutPrefix(line, "# Docker Bench for Security "); ok {
			version = strings.TrimPrefix(v, "v")
		} else if at, ok := strings.CutPrefix(line, "Initializing "); ok {
			run.start = parseTime(strings.Join(strings.Fields(at), " "))
		}
		level, id, text, ok := dockerBenchLine(line)
		if !ok {
			continue
		}
		lines++
		switch {
		case strings.Contains(id, "."):
			closeCheck()
			last = run.check(out, id, text, level)
			last.SetAttr("section", section)
			last.Raw = line
		case id != "":
			closeCheck()
			section = text
		case strings.HasPrefix(text, "Checks: "):
			closeCheck()
			run.checks.set(text[len("Checks: "):])
		case strings.HasPrefix(text, "Score: "):
			closeCheck()
			run.score.set(text[len("Score: "):])
		default:
			details = append(details, strings.TrimPrefix(text, "* "))
		}
	}
	closeCheck()
	switch checked := run.pass+run.warn+run.note+run.info > 0; {
	case !math.IsNaN(float64(run.score)):
		run.finish(out, version)
	case lines == 0:
		return errors.New("log of docker-bench without a result line")
	case !checked: // a line of its own: a heading, a detail or the number of checks
		e := out.Event("log")
		e.Title, e.Severity = oneLine(in.Text(), 200), pipeline.SeverityInfo
	}
	return nil
}
