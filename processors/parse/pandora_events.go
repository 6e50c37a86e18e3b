package parse

import (
	"errors"
	"html"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// pandoraEvents reads events of the Pandora FMS server: its event_file, rows of table tevento in JSON (JDBC, API), and the
// server's own log.
//
// The event_file is written without quotes, and its source stands one column right of the header's name. So rows are read
// from what is certain: the date behind the event's text, and the criticity behind the alert's name.
// https://pandorafms.com/manual/!current/en/documentation/pandorafms/management_and_operation/02_events
var pandoraEvents = Format{
	Name: "pandora-events", Title: "Pandora FMS events (event_file, JSON rows) and server log", Phase: pipeline.PhaseMonitoring,
	Types: []string{"incident.detected", "incident.resolved", "alert.firing", "alert.resolved", "inventory.observed", "log"},
	Known: "a header with agent_name, evento and utimestamp, or such rows; JSON with evento and criticity; log lines with [V0] to [V10]",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("evento", "criticity") || s.Has("evento", "event_type")
		}
		var v pandoraEvent
		return pandoraHeader(s.Line()) || pandoraLogLine(s.Line()) || v.readRow(s.Line()) == nil
	},
	Parse: parsePandoraEvents,
}

func pandoraHeader(l string) bool {
	return strings.Contains(l, "evento") && strings.Contains(l, "utimestamp") && strings.Contains(l, "criticity")
}

// pandoraEvent is a row of tevento, with the names that the server joins to it.
type pandoraEvent struct {
	ID         Text `json:"id_evento"`
	Agent      Text `json:"agent_name"`
	AgentAlias Text `json:"agent_alias"`
	Group      Text `json:"group_name"`
	Text       Text `json:"evento"`
	Timestamp  Text `json:"timestamp"`
	Unix       Text `json:"utimestamp"`
	State      Text `json:"estado"`
	Type       Text `json:"event_type"`
	Module     Text `json:"module_name"`
	Alert      Text `json:"alert_name"`
	Criticity  Text `json:"criticity"`
	Tags       Text `json:"tags"`
	Source     Text `json:"source"`
	Extra      Text `json:"id_extra"`
	User       Text `json:"id_usuario"`
	Comment    Text `json:"user_comment"`
}

func parsePandoraEvents(in *Input, out *Out) error {
	if isJSON(in.Data) {
		row := func(b []byte) error {
			v := scratch[pandoraEvent](out)
			if err := decode(b, v); err != nil {
				return err
			}
			return v.event(out, alias(b))
		}
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, row)
		}
		return row(in.Data)
	}
	line, text := in.Line-1, in.Text()
	from := 0 // where the last log line begins
	for at := 0; at < len(text); {
		line++
		l, _, _ := strings.Cut(text[at:], "\n")
		start := at
		at += len(l) + 1
		if l = strings.TrimSpace(l); l == "" || pandoraHeader(l) {
			continue
		}
		if pandoraLogLine(l) {
			pandoraServerLog(out, l)
			from = start + 1
			continue
		}
		var v pandoraEvent
		err := v.readRow(l)
		if err == nil {
			err = v.event(out, l)
		}
		switch {
		case err == nil:
			from = 0
		case from > 0: // a message of the log goes on
			out.batch.Events[len(out.batch.Events)-1].Raw = strings.TrimSpace(text[from-1 : min(at, len(text))])
		default:
			out.reject(line, []byte(l), err.Error())
		}
	}
	return nil
}

var errPandoraRow = errors.New("pandora: not a row of event_file: no date, type and criticity behind the event's text")

// readRow reads "agent,group,text,date,state,utimestamp,type,module,alert,criticity,tags,,source,...".
func (v *pandoraEvent) readRow(l string) error {
	cells := strings.Split(l, ",")
	at := 3
	for at < len(cells) && !isPandoraDate(cells[at]) {
		at++
	}
	if at+6 >= len(cells) {
		return errPandoraRow
	}
	v.Agent, v.Group = Text(cells[0]), Text(cells[1])
	v.Text = Text(strings.Join(cells[2:at], ","))
	v.Timestamp, v.State, v.Unix, v.Type = Text(cells[at]), Text(cells[at+1]), Text(cells[at+2]), Text(cells[at+3])
	grade := at + 6
	for grade < len(cells) && pandoraSeverity(cells[grade]) == 0 { // a name with a comma shifts it
		grade++
	}
	if grade == len(cells) || v.Type == "" || parseTime(cells[at+2]).IsZero() {
		return errPandoraRow
	}
	v.Module, v.Alert = Text(cells[at+4]), Text(strings.Join(cells[at+5:grade], ","))
	v.Criticity = Text(cells[grade])
	rest := cells[grade+1:]
	for i, to := range []*Text{&v.Tags, nil, &v.Source, &v.Extra, &v.User} {
		if i < len(rest) && to != nil {
			*to = Text(rest[i])
		}
	}
	if v.Source == "" && len(rest) > 1 { // a server that writes what its header says
		v.Source = Text(rest[1])
	}
	return nil
}

// isPandoraDate reports whether s is "2006-01-02 15:04:05".
func isPandoraDate(s string) bool {
	return len(s) == 19 && s[4] == '-' && s[10] == ' ' && s[13] == ':' && !parseTime(s).IsZero()
}

func (v *pandoraEvent) event(out *Out, raw string) error {
	text := unescapeHTML(string(v.Text))
	if text == "" && v.Type == "" {
		return errors.New("pandora: a row has neither text nor event_type")
	}
	e := out.Event(pandoraType(string(v.Type)))
	if t := parseTime(first(string(v.Unix), string(v.Timestamp))); !t.IsZero() {
		e.Time = t
	}
	agent := unescapeHTML(first(string(v.Agent), string(v.AgentAlias)))
	e.Raw, e.Host, e.Title = raw, strings.ToLower(agent), text
	if agent != "" && !strings.Contains(text, agent) {
		e.Title = agent + ": " + text
	}
	e.Severity = pandoraSeverity(string(v.Criticity))
	switch e.Type {
	case "incident.detected":
		e.Outcome = pipeline.OutcomeFailure
	case "incident.resolved", "alert.resolved":
		e.Outcome = pipeline.OutcomeSuccess
	}
	e.Rule, e.Actor = unescapeHTML(string(v.Alert)), unescapeHTML(string(v.User))
	e.SetAttr("pandora.event_type", string(v.Type))
	e.SetAttr("pandora.criticity", string(v.Criticity))
	e.SetAttr("pandora.module", unescapeHTML(string(v.Module)))
	e.SetAttr("pandora.group", unescapeHTML(string(v.Group)))
	e.SetAttr("pandora.state", string(v.State))
	e.SetAttr("pandora.source", string(v.Source))
	e.SetAttr("pandora.tags", unescapeHTML(string(v.Tags)))
	e.SetAttr("pandora.comment", unescapeHTML(string(v.Comment)))
	e.SetAttr("pandora.extra", string(v.Extra))
	if v.ID != "" {
		e.SetAttr("pandora.event_id", string(v.ID))
		out.ID(e, string(v.ID), string(v.Unix), string(v.Timestamp), string(v.State))
	}
	return nil
}

// unescapeHTML undoes the console's escaping of texts in the database ("&#x20;", "&lt;").
func unescapeHTML(s string) string {
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	return html.UnescapeString(s)
}

func pandoraType(t string) string {
	switch t {
	case "alert_fired":
		return "alert.firing"
	case "alert_recovered", "alert_ceased", "alert_manual_validation":
		return "alert.resolved"
	case "new_agent", "recon_host_detected":
		return "inventory.observed"
	}
	switch {
	case strings.HasPrefix(t, "going_") && strings.HasSuffix(t, "_normal"), t == "going_normal":
		return "incident.resolved"
	case strings.HasPrefix(t, "going_"):
		return "incident.detected"
	}
	return "log"
}

// pandoraSeverity converts criticity, whose numbers are in no order: 0 maintenance, 1 informational, 2 normal, 3 warning,
// 4 critical, 5 minor, 6 major.
func pandoraSeverity(criticity string) uint8 {
	switch strings.ToLower(criticity) {
	case "0", "1", "2", "maintenance", "informational", "normal":
		return pipeline.SeverityInfo
	case "5", "minor":
		return pipeline.SeverityLow
	case "3", "warning":
		return pipeline.SeverityMedium
	case "6", "major":
		return pipeline.SeverityHigh
	case "4", "critical":
		return pipeline.SeverityCritical
	}
	return pipeline.SeverityUnknown
}

// pandoraLogLine reports whether l is "2006-01-02 15:04:05 [component: ]server [V3] text".
func pandoraLogLine(l string) bool {
	if len(l) < 25 || !isPandoraDate(l[:19]) {
		return false
	}
	_, level, _, _ := pandoraLogFields(l[20:])
	return level != ""
}

func pandoraLogFields(s string) (server, level, component, text string) {
	head, rest, ok := strings.Cut(s, " [V")
	if !ok || len(head) > 200 {
		return
	}
	level, text, ok = strings.Cut(rest, "]")
	if _, err := strconv.Atoi(level); !ok || err != nil {
		return "", "", "", ""
	}
	component, server, ok = strings.Cut(head, ": ")
	if !ok {
		component, server = "", head
	}
	return server, level, component, strings.TrimSpace(text)
}

func pandoraServerLog(out *Out, l string) {
	server, level, component, text := pandoraLogFields(l[20:])
	e := out.Event("log")
	if t := parseTime(l[:19]); !t.IsZero() {
		e.Time = t
	}
	e.Raw, e.Host, e.Title, e.Service = l, strings.ToLower(server), text, first(component, "pandora_server")
	e.Severity = pipeline.SeverityInfo
	switch {
	case strings.HasPrefix(text, "[E]"), strings.Contains(text, "unhandled error"):
		e.Severity, e.Outcome = pipeline.SeverityHigh, pipeline.OutcomeError
	case strings.HasPrefix(text, "[W]"), strings.HasPrefix(text, "Warning"), strings.Contains(text, "invalid data"):
		e.Severity = pipeline.SeverityMedium
	}
	e.SetAttr("pandora.verbosity", level)
}
