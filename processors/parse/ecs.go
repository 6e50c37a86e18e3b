package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ecs reads JSON in the Elastic Common Schema, its keys dotted, nested or both. The categorization fields choose the event's
// type; what has no field of its own is an attribute under its ECS name.
// https://www.elastic.co/guide/en/ecs/current/ecs-category-field-values-reference.html
var ecs = Format{
	Name: "ecs", Title: "Elastic Common Schema (JSON)", Phase: pipeline.PhaseOperation,
	Types: []string{"log", "auth.success", "auth.failed", "auth.logout", "net.flow", "dns.query", "http.request", "process.exec",
		"file.changed", "user.modified", "db.statement", "detection", "vulnerability.found", "metric"},
	Known: "JSON with ecs.version, or @timestamp with log.level or event.category",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return s.Has("ecs.version") || s.Raw("ecs", "version") != nil ||
			s.Has("@timestamp") && (s.Has("log.level") || s.Raw("log", "level") != nil || s.Has("event.category") || s.Raw("event", "category") != nil)
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return ecsEvent(b, out) })
		}
		return ecsEvent(in.Data, out)
	},
}

// ecsRecord holds what chooses the event's type.
type ecsRecord struct {
	category, types, action, kind, outcome, level, dataset string
	source, client, destination, hostname, host            string
	message, errorMessage, domain                          string
	severity, bytes, vulnSeverity, score                   string
	method, path, status, question, rcode, transport       string
	sourcePort, destinationPort, file, fixed               string
	techniques                                             []string
}

func ecsEvent(b []byte, out *Out) error {
	e := out.Event("log")
	e.Raw = alias(b)
	var v ecsRecord
	err := out.eachLeaf(b, "", func(path string, value []byte) { v.leaf(e, path, value) })
	if err == nil && v.message == "" && v.level == "" && v.category == "" && len(e.Attrs) == 0 {
		err = errors.New("ecs: record without any field of the schema")
	}
	if err != nil {
		out.takeBack()
		return err
	}
	e.Host = strings.ToLower(first(v.host, v.hostname))
	e.SrcIP, e.DstIP = addrOf(first(v.source, v.client)), addrOf(v.destination)
	e.DstDomain = strings.ToLower(first(e.DstDomain, v.domain))
	e.Bytes = count(v.bytes)
	e.Attacks = append(e.Attacks, v.techniques...)
	e.Title = first(v.message, v.errorMessage, v.action, v.dataset)
	e.Severity = ecsLevel(v.level, v.severity)
	switch v.outcome {
	case "success":
		e.Outcome = pipeline.OutcomeSuccess
	case "failure":
		e.Outcome = pipeline.OutcomeFailure
	}
	e.Type = v.eventType()
	e.Class = kinds[e.Type].class
	v.fill(e, out)
	return nil
}

// fill completes an event of a type that says more than a log does.
func (v *ecsRecord) fill(e *pipeline.Event, out *Out) {
	title := ""
	switch e.Type {
	case "detection":
		e.Disposition, e.Severity = pipeline.DispositionDetected, max(e.Severity, pipeline.SeverityMedium)
		switch {
		case strings.Contains(v.action, "quarantine"):
			e.Disposition = pipeline.DispositionQuarantined
		case hasWord(v.types, "denied"), strings.Contains(v.action, "block"), strings.Contains(v.action, "prevent"), strings.Contains(v.action, "drop"):
			e.Disposition = pipeline.DispositionBlocked
		}
		title = e.Rule
	case "auth.failed":
		e.Severity = max(e.Severity, pipeline.SeverityLow)
	case "http.request":
		e.Outcome = first(httpOutcome(v.status), e.Outcome)
		title = out.join(v.method, " ", v.domain, v.path, " ", v.status)
	case "dns.query":
		if e.Outcome == pipeline.OutcomeUnknown && v.rcode != "" {
			if e.Outcome = pipeline.OutcomeFailure; strings.EqualFold(v.rcode, "NOERROR") {
				e.Outcome = pipeline.OutcomeSuccess
			}
		}
		title = out.join(v.question, " ", e.DstDomain)
	case "net.flow":
		if v.source != "" {
			title = out.flowTitle(first(v.transport, "flow"), v.source, v.sourcePort, v.destination, v.destinationPort)
		}
	case "file.changed":
		title = out.join(v.types, " ", v.file)
	case "vulnerability.found":
		e.Severity = severityWord(v.vulnSeverity)
		if score := floatOf(v.score); e.Severity == pipeline.SeverityUnknown && v.score != "" {
			e.Severity = severityCVSS(score)
		}
		settleFinding(e)
		if len(e.Vulns) > 0 {
			e.Rule = first(e.Rule, e.Vulns[0])
		}
		title = out.join(e.Rule, " ", e.Attr("package.name"), " ", e.Attr("package.version"))
		e.SetAttr("fixed_version", v.fixed)
	}
	e.Title = first(e.Title, strings.TrimSpace(title))
}

func hasWord(words, w string) bool {
	return words == w || strings.Contains(","+words+",", ","+w+",")
}

// leaf takes one value of the record.
func (v *ecsRecord) leaf(e *pipeline.Event, path string, value []byte) {
	text := textOf(value)
	if text == "" || string(value) == "[]" {
		return
	}
	switch path {
	case "@timestamp":
		if t := parseTime(text); !t.IsZero() {
			e.Time = t
		}
		return
	case "message":
		v.message = text
		return
	case "log.level":
		v.level = text
	case "event.category":
		v.category = strings.Join(listOf(value), ",")
		text = v.category
	case "event.type":
		v.types = strings.Join(listOf(value), ",")
		text = v.types
	case "event.action":
		v.action = text
	case "event.kind":
		v.kind = text
	case "event.outcome":
		v.outcome = text
		return
	case "event.severity":
		v.severity = text
	case "event.dataset":
		v.dataset = text
	case "service.name":
		e.Service = text
		return
	case "service.environment":
		e.Environment = text
		return
	case "host.name":
		v.host = text
		return
	case "host.hostname":
		v.hostname = text
		return
	case "source.ip":
		v.source = text
		return
	case "client.ip":
		v.client = text
		return
	case "destination.ip", "server.ip":
		v.destination = first(v.destination, text)
		return
	case "destination.domain", "url.domain":
		v.domain = text
	case "dns.question.name":
		e.DstDomain = strings.ToLower(text)
		return
	case "user.name":
		e.Actor = text
		return
	case "rule.id", "rule.name", "signal.rule.name", "kibana.alert.rule.name":
		e.Rule = first(e.Rule, text)
	case "vulnerability.id":
		e.Vulns = append(e.Vulns, listOf(value)...)
		return
	case "threat.technique.id", "threat.technique.subtechnique.id":
		v.techniques = append(v.techniques, listOf(value)...)
		return
	case "vulnerability.severity":
		v.vulnSeverity = text
	case "vulnerability.score.base":
		v.score = text
	case "package.fixed_version":
		v.fixed = text
		return
	case "http.request.method":
		v.method = text
	case "http.response.status_code":
		v.status = text
	case "url.path":
		v.path = text
	case "url.original":
		v.path = first(v.path, text)
	case "dns.question.type":
		v.question = text
	case "dns.response_code":
		v.rcode = text
	case "network.transport":
		v.transport = text
	case "source.port":
		v.sourcePort = text
	case "destination.port":
		v.destinationPort = text
	case "file.path":
		v.file = text
	case "network.bytes":
		v.bytes = text
		return
	case "error.message":
		v.errorMessage = text
	case "tags":
		text = strings.Join(listOf(value), ",")
	case "ecs.version", "agent.ephemeral_id", "agent.id", "input.type":
		return
	}
	e.SetAttr(path, text)
}

func (v *ecsRecord) eventType() string {
	has := hasWord
	switch {
	case v.kind == "alert" || v.kind == "signal" || has(v.category, "intrusion_detection") || has(v.category, "malware") || has(v.category, "threat"):
		return "detection"
	case has(v.category, "authentication") || has(v.category, "session") && v.outcome != "":
		switch {
		case has(v.types, "end") || strings.Contains(v.action, "log_out") || strings.Contains(v.action, "logout") || strings.Contains(v.action, "logged-out"):
			return "auth.logout"
		case v.outcome == "failure":
			return "auth.failed"
		case v.outcome == "success" || has(v.types, "start"):
			return "auth.success"
		}
	case has(v.category, "iam"):
		return "user.modified"
	case has(v.category, "vulnerability"):
		return "vulnerability.found"
	case has(v.category, "process") && !has(v.types, "end"):
		return "process.exec"
	case has(v.category, "file") && v.types != "access":
		return "file.changed"
	case has(v.category, "web"):
		return "http.request"
	case has(v.category, "database"):
		return "db.statement"
	case has(v.category, "network"):
		if strings.Contains(v.dataset, "dns") || v.question != "" {
			return "dns.query"
		}
		return "net.flow"
	}
	return "log"
}

// ecsLevel converts a log level, or event.severity of 0 to 100 as Elastic's detections use it.
func ecsLevel(level, severity string) uint8 {
	switch strings.ToLower(level) {
	case "fatal", "emergency", "panic":
		return pipeline.SeverityFatal
	case "critical", "alert":
		return pipeline.SeverityCritical
	case "trace", "debug", "information", "informational":
		return pipeline.SeverityInfo
	case "notice":
		return pipeline.SeverityLow
	case "":
		switch n, _ := number(severity); {
		case n >= 99:
			return pipeline.SeverityCritical
		case n >= 73:
			return pipeline.SeverityHigh
		case n >= 47:
			return pipeline.SeverityMedium
		case n >= 21:
			return pipeline.SeverityLow
		}
		return pipeline.SeverityInfo
	}
	return severityWord(level)
}
