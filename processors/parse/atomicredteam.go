package parse

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// atomicRedTeam reads the logs of Invoke-AtomicRedTeam: the default CSV, its rows as JSON (syslog and event log loggers),
// and the ATTiRe document. Each test that ran is an attack that is simulated.
// https://github.com/redcanaryco/invoke-atomicredteam/wiki/Execution-Logging
var atomicRedTeam = Format{
	Name: "atomic-red-team", Title: "Atomic Red Team executions (CSV, JSON, ATTiRe)", Phase: pipeline.PhaseOperation,
	Types: []string{"attack"},
	Known: "CSV header with Technique and Test Number; JSON with Technique and Test Name, or attire-version",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("attire-version") || s.Has("Technique", "Test Name") || s.Has("Technique", "TestName")
		}
		return strings.Contains(s.Line(), "Technique") && strings.Contains(s.Line(), "Test N") && strings.Contains(s.Line(), ",")
	},
	Parse: parseAtomic,
}

// atomicTest is one test that ran.
type atomicTest struct {
	time, technique, number, name, host, ip, user, guid, pid, exit, command, executor string
}

func (t *atomicTest) set(column, value string) {
	switch column {
	case "Execution Time (UTC)":
		t.time = value
	case "Execution Time (Local)":
		t.time = first(t.time, value)
	case "Technique":
		t.technique = value
	case "Test Number", "TestNumber":
		t.number = value
	case "Test Name", "TestName":
		t.name = value
	case "Hostname":
		t.host = value
	case "IP Address":
		t.ip = value
	case "Username":
		t.user = value
	case "GUID", "Test GUID":
		t.guid = value
	case "ProcessId", "Process Id":
		t.pid = value
	case "ExitCode", "Exit Code":
		t.exit = value
	case "Command":
		t.command = value
	case "Executor":
		t.executor = value
	}
}

func parseAtomic(in *Input, out *Out) error {
	if isJSON(in.Data) {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return atomicJSON(b, out) })
		}
		return atomicJSON(in.Data, out)
	}
	text := in.Text()
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	var columns []string
	for {
		from := r.InputOffset()
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("atomic-red-team: not well-formed CSV")
		}
		line, _ := r.FieldPos(0)
		raw := strings.TrimSpace(text[from:r.InputOffset()])
		if columns == nil || strings.HasPrefix(row[0], "Execution Time") { // logs are appended to, header and all
			columns = row
			continue
		}
		var t atomicTest
		for i := range min(len(row), len(columns)) {
			t.set(strings.TrimSpace(columns[i]), strings.TrimSpace(row[i]))
		}
		if len(row) < len(columns) || t.technique == "" {
			out.reject(in.Line+line-1, []byte(raw), "atomic-red-team: row that does not have the columns of its header")
			continue
		}
		t.event(out, raw)
	}
}

func atomicJSON(b []byte, out *Out) error {
	if member(b, "attire-version") != nil {
		return attire(b, out)
	}
	var t atomicTest
	if err := eachMember(b, func(key string, value []byte) { t.set(key, textOf(value)) }); err != nil {
		return err
	}
	if t.technique == "" {
		return errors.New("atomic-red-team: record without Technique")
	}
	t.event(out, alias(b))
	return nil
}

func attire(b []byte, out *Out) error {
	var v struct {
		Data struct {
			ID     Text `json:"execution-id"`
			Source Text `json:"execution-source"`
			Target struct {
				Host string `json:"host"`
				IP   string `json:"ip"`
				User string `json:"user"`
			} `json:"target"`
			Generated string `json:"time-generated"`
		} `json:"execution-data"`
		Procedures []struct {
			Technique string `json:"mitre-technique-id"`
			Name      string `json:"procedure-name"`
			ID        struct {
				ID Text `json:"id"`
			} `json:"procedure-id"`
			Steps []struct {
				Start    string `json:"time-start"`
				Stop     string `json:"time-stop"`
				Executor string `json:"executor"`
				Command  string `json:"command"`
				PID      Text   `json:"process-id"`
				Exit     Text   `json:"exit-code"`
			} `json:"steps"`
		} `json:"procedures"`
	}
	if err := decode(b, &v); err != nil {
		return err
	}
	for _, p := range v.Procedures {
		t := atomicTest{technique: p.Technique, name: p.Name, guid: string(p.ID.ID), host: v.Data.Target.Host, ip: v.Data.Target.IP,
			user: v.Data.Target.User, time: v.Data.Generated}
		if len(p.Steps) == 0 {
			t.event(out, alias(b))
		}
		for _, s := range p.Steps {
			t.time, t.executor, t.command, t.pid, t.exit = first(s.Start, t.time), s.Executor, s.Command, string(s.PID), string(s.Exit)
			t.event(out, alias(b))
		}
	}
	if len(v.Procedures) == 0 {
		return errors.New("atomic-red-team: ATTiRe document without procedures")
	}
	return nil
}

func (t *atomicTest) event(out *Out, raw string) {
	e := out.Event("attack")
	e.Raw, e.Rule, e.Host, e.Actor = raw, t.technique, strings.ToLower(t.host), t.user
	if at := parseTime(t.time); !at.IsZero() {
		e.Time = at
	}
	e.Attacks = append(e.Attacks, strings.ToUpper(t.technique))
	e.Labels = append(e.Labels, "simulated")
	e.DstIP = addrOf(t.ip)
	e.Title = t.name + " (" + t.technique + ")"
	if e.Host != "" {
		e.Title += " on " + e.Host
	}
	e.Severity = pipeline.SeverityLow
	switch t.exit {
	case "":
	case "0":
		e.Outcome, e.Severity = pipeline.OutcomeSuccess, pipeline.SeverityMedium
	default:
		e.Outcome = pipeline.OutcomeFailure
	}
	e.SetAttr("atomic.test_number", t.number)
	e.SetAttr("atomic.test_guid", t.guid)
	e.SetAttr("process.pid", t.pid)
	e.SetAttr("process.exit_code", t.exit)
	e.SetAttr("process.command_line", t.command)
	e.SetAttr("process.executor", t.executor)
}
