package parse

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// lynis reads Lynis' report.dat: keys and values. Warnings are high, suggestions low, vulnerable packages high; the
// hardening index is the scan's metric.
// https://cisofy.com/documentation/lynis/
var lynis = Format{
	Name: "lynis", Title: "Lynis report (report.dat)", Phase: pipeline.PhaseOperation,
	Types: []string{"compliance.checked", "vulnerability.found", "scan.completed"},
	Known: "text that begins with \"# Lynis Report\" or with report_version_major=",
	Frame: Document,
	Match: func(s *Shape) bool {
		return s.Begins("# Lynis Report", "report_version_major=", "lynis_version=")
	},
	Parse: parseLynis,
}

func parseLynis(in *Input, out *Out) error {
	var start, end time.Time
	var host, version, index, tests, os string
	warnings, suggestions, keys := 0, 0, 0
	for line := range strings.Lines(in.Text()) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		keys++
		switch strings.TrimSuffix(key, "[]") {
		case "report_datetime_start":
			start = parseTime(value)
		case "report_datetime_end":
			end = parseTime(value)
		case "hostname":
			host = strings.ToLower(value)
		case "lynis_version":
			version = value
		case "hardening_index":
			index = value
		case "lynis_tests_done", "tests_executed":
			if key == "tests_executed" {
				value = strconv.Itoa(strings.Count(strings.Trim(value, "|"), "|") + 1)
			}
			tests = first(tests, value)
		case "os_fullname", "os_name":
			os = first(os, value)
		case "warning":
			warnings++
			lynisFinding(out, "compliance.checked", value, pipeline.SeverityHigh, line)
		case "suggestion":
			suggestions++
			lynisFinding(out, "compliance.checked", value, pipeline.SeverityLow, line)
		case "vulnerable_package":
			lynisFinding(out, "vulnerability.found", value, pipeline.SeverityHigh, line)
		}
	}
	if keys == 0 {
		return errors.New("report of lynis without a key")
	}
	e := out.scanned(time.Time{}, "Lynis audit of "+first(host, "a host")+": hardening index "+first(index, "unknown"))
	e.Raw = ""
	if v, err := strconv.ParseFloat(index, 64); err == nil {
		e.Metric, e.Value = "lynis.hardening_index", v
	}
	scanTimes(e, start, end)
	e.SetAttr("count.warning", strconv.Itoa(warnings))
	e.SetAttr("count.suggestion", strconv.Itoa(suggestions))
	e.SetAttr("tests", tests)
	e.SetAttr("tool.version", version)
	e.SetAttr("host.os", os)
	events := out.events()
	for i := range events {
		events[i].Host, events[i].Time = host, first(end, start)
	}
	return nil
}

// lynisFinding reads "TEST-0000|text|details|solution|".
func lynisFinding(out *Out, typ, value string, severity uint8, line string) {
	id, rest, _ := strings.Cut(value, "|")
	text, rest, _ := strings.Cut(rest, "|")
	details, rest, _ := strings.Cut(rest, "|")
	solution, _, _ := strings.Cut(rest, "|")
	e := out.Event(typ)
	e.Outcome, e.Disposition, e.Severity = pipeline.OutcomeFailure, pipeline.DispositionDetected, severity
	e.Rule, e.Title, e.Raw = id, id+": "+oneLine(text, 200), line
	if typ == "vulnerability.found" {
		e.Rule, e.Title = "vulnerable_package", "vulnerable package "+id
		e.SetAttr("package.name", id)
		e.SetAttr("package.version", text)
		return
	}
	e.SetAttr("details", strings.TrimPrefix(details, "-"))
	e.SetAttr("remediation", strings.TrimPrefix(solution, "-"))
}
