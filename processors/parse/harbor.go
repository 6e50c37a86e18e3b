package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// harbor reads Harbor's webhooks (version 1 and 2, default and CloudEvents format), its vulnerability reports, and of the
// log of its core the lines about logins.
// https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/
var harbor = Format{
	Name: "harbor", Title: "Harbor webhooks, vulnerability reports and core log", Phase: pipeline.PhaseRelease,
	Types: []string{
		"artifact.published", "artifact.downloaded", "artifact.deleted", "scan.completed", "vulnerability.found",
		"repository.modified", "auth.failed", "log",
	},
	Known: "JSON object with type, occur_at and event_data; type harbor.*; vulnerability report; log lines of core",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.isText() && !s.Array {
			return strings.Contains(s.Line(), "[/core/") || strings.Contains(s.Line(), "[/server/middleware/security/") ||
				strings.Contains(s.Line(), "/server/middleware/") && strings.Contains(s.Line(), "core[")
		}
		return !s.Array && (s.Has("type", "event_data") || strings.HasPrefix(s.String("type"), "harbor.") && s.Has("data") ||
			s.Raw(harborReport11) != nil || s.Raw(harborReport10) != nil || isHarborReport(s))
	},
	Parse: parseHarbor,
}

const (
	harborReport10 = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"
	harborReport11 = "application/vnd.security.vulnerability.report; version=1.1"
)

type harborEvent struct {
	Type     Text       `json:"type"`
	OccurAt  Text       `json:"occur_at"`
	Operator Text       `json:"operator"`
	Data     harborData `json:"event_data"`

	// CloudEvents.
	ID     Text       `json:"id"`
	Time   Text       `json:"time"`
	CEData harborData `json:"data"`
}

type harborData struct {
	Operator  Text `json:"operator"`
	Resources []struct {
		Digest Text                       `json:"digest"`
		Tag    Text                       `json:"tag"`
		URL    Text                       `json:"resource_url"`
		Scan   map[string]*harborOverview `json:"scan_overview"`
	} `json:"resources"`
	Repository struct {
		Name     Text `json:"name"`
		FullName Text `json:"repo_full_name"`
		Type     Text `json:"repo_type"`
	} `json:"repository"`
	Replication *struct {
		Host    Text `json:"harbor_hostname"`
		Status  Text `json:"job_status"`
		Trigger Text `json:"trigger_type"`
		Creator Text `json:"policy_creator"`
		Source  struct {
			Endpoint  Text `json:"endpoint"`
			Namespace Text `json:"namespace"`
		} `json:"src_resource"`
		Dest struct {
			Endpoint  Text `json:"endpoint"`
			Namespace Text `json:"namespace"`
		} `json:"dest_resource"`
		Done []struct {
			NameTag Text `json:"name_tag"`
		} `json:"successful_artifact"`
		Failed []struct {
			NameTag Text `json:"name_tag"`
		} `json:"failed_artifact"`
	} `json:"replication"`
	Retention *struct {
		Total    Text `json:"total"`
		Retained Text `json:"retained"`
		Status   Text `json:"status"`
		Project  Text `json:"project_name"`
	} `json:"retention"`
	Custom map[string]Text `json:"custom_attributes"`
}

type harborOverview struct {
	Status   Text `json:"scan_status"`
	Severity Text `json:"severity"`
	Start    Text `json:"start_time"`
	End      Text `json:"end_time"`
	Summary  struct {
		Total   Text            `json:"total"`
		Fixable Text            `json:"fixable"`
		Counts  map[string]Text `json:"summary"`
	} `json:"summary"`
	Scanner struct {
		Name    Text `json:"name"`
		Version Text `json:"version"`
	} `json:"scanner"`
}

// UnmarshalJSON implements json.Unmarshaler. Version 1 has texts and numbers beside the reports.
func (s *harborOverview) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type plain harborOverview
	return decode(b, (*plain)(s))
}

type harborVulnerabilities struct {
	Generated Text `json:"generated_at"`
	Severity  Text `json:"severity"`
	Scanner   struct {
		Name    Text `json:"name"`
		Version Text `json:"version"`
	} `json:"scanner"`
	List []part[struct {
		ID          Text    `json:"id"`
		Package     Text    `json:"package"`
		Version     Text    `json:"version"`
		Fix         Text    `json:"fix_version"`
		Severity    Text    `json:"severity"`
		Description Text    `json:"description"`
		Links       Strings `json:"links"`
		Digests     Strings `json:"artifact_digests"`
		CVSS        struct {
			V3 Number `json:"score_v3"`
		} `json:"preferred_cvss"`
		CWEs Strings `json:"cwe_ids"`
	}] `json:"vulnerabilities"`
}

// isHarborReport reports whether an object has the keys of a scan's report that stands alone.
func isHarborReport(s *Shape) bool {
	return s.Has("generated_at", "scanner", "severity", "vulnerabilities")
}

func parseHarbor(in *Input, out *Out) error {
	if !isJSON(in.Data) {
		return harborLog(in, out)
	}
	reports := [][]byte{member(in.Data, harborReport11), member(in.Data, harborReport10)}
	if isHarborReport(shapeOf(in.Data)) {
		reports = [][]byte{in.Data}
	}
	for _, b := range reports {
		if b != nil {
			var r harborVulnerabilities
			if err := decode(b, &r); err != nil {
				return err
			}
			r.emit(out)
			return nil
		}
	}
	var v harborEvent
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	data := &v.Data
	if strings.HasPrefix(string(v.Type), "harbor.") {
		data = &v.CEData
	}
	switch typ := harborType(string(v.Type)); typ {
	case "":
		return errors.New("harbor: type is empty")
	default:
		v.emit(out, typ, data)
	}
	return nil
}

// harborType converts the names that versions 1 and 2 and CloudEvents have for an event.
func harborType(typ string) string {
	name := strings.ToLower(strings.NewReplacer("_", "", ".", "", "-", "").Replace(strings.TrimPrefix(typ, "harbor.")))
	switch {
	case name == "":
		return ""
	case strings.Contains(name, "replication"):
		return "replication"
	case strings.Contains(name, "retention"):
		return "retention"
	case strings.Contains(name, "quota"):
		return "quota"
	case strings.Contains(name, "scan"):
		return "scan.completed"
	case strings.HasPrefix(name, "push"), strings.HasPrefix(name, "upload"), strings.HasSuffix(name, "pushed"):
		return "artifact.published"
	case strings.HasPrefix(name, "pull"), strings.HasPrefix(name, "download"), strings.HasSuffix(name, "pulled"):
		return "artifact.downloaded"
	case strings.HasPrefix(name, "delete"), strings.HasSuffix(name, "deleted"):
		return "artifact.deleted"
	}
	return "log"
}

func (v *harborEvent) emit(out *Out, kind string, data *harborData) {
	typ := kind
	switch kind {
	case "replication":
		typ = "artifact.published"
	case "retention", "quota":
		typ = "repository.modified"
	}
	n := max(len(data.Resources), 1)
	for i := range n {
		e := out.Event(typ)
		e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
		e.Time, e.Actor = parseTime(string(first(v.OccurAt, v.Time))), string(first(v.Operator, data.Operator))
		e.Artifact = string(first(data.Repository.FullName, data.Repository.Name))
		e.SetAttr("action", string(v.Type))
		e.SetAttr("visibility", string(data.Repository.Type))
		e.Title = strings.ToLower(strings.ReplaceAll(string(v.Type), "_", " ")) + " " + e.Artifact
		if i < len(data.Resources) {
			r := &data.Resources[i]
			e.Digest = string(r.Digest)
			e.Purl = ociPurl(e.Artifact, e.Digest)
			host, _, _ := strings.Cut(string(r.URL), "/")
			e.Host = hostOf(host)
			e.SetAttr("artifact.type", "oci")
			e.SetAttr("tag", strings.TrimPrefix(string(r.Tag), string(r.Digest)))
			e.SetAttr("url.full", string(r.URL))
			e.Title = registryTitle(strings.ToLower(strings.ReplaceAll(string(v.Type), "_", " ")), e.Artifact, string(r.Tag), e.Digest)
			for _, s := range r.Scan {
				s.describe(e)
			}
		}
		lower := strings.ToLower(string(v.Type))
		switch {
		case kind == "scan.completed" && strings.Contains(lower, "failed"):
			e.Outcome = pipeline.OutcomeError
		case kind == "scan.completed" && strings.Contains(lower, "stopped"):
			e.Outcome = pipeline.OutcomeCancel
		case kind == "quota":
			e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityMedium
			e.SetAttr("details", oneLine(string(data.Custom["Details"]), 300))
		}
		data.jobs(e)
		if v.ID != "" {
			out.ID(e, string(v.ID), strconv.Itoa(i))
		}
	}
}

// jobs reads what replication and retention did.
func (d *harborData) jobs(e *pipeline.Event) {
	if r := d.Replication; r != nil {
		e.Outcome, e.Host = runOutcome(string(r.Status)), hostOf(string(r.Host))
		e.SetAttr("status", strings.ToLower(string(r.Status)))
		e.SetAttr("trigger", string(r.Trigger))
		e.SetAttr("from", string(r.Source.Endpoint)+"/"+string(r.Source.Namespace))
		e.SetAttr("to", string(r.Dest.Endpoint)+"/"+string(r.Dest.Namespace))
		e.SetAttr("artifacts", positive(len(r.Done)))
		e.SetAttr("artifacts.failed", positive(len(r.Failed)))
		for _, a := range append(r.Done, r.Failed...) {
			name, _, _ := strings.Cut(string(a.NameTag), " [")
			name, tag, _ := strings.Cut(name, ":")
			e.Artifact = string(r.Dest.Namespace) + "/" + name
			e.SetAttr("tag", tag)
			break
		}
		e.Title = "replication of " + first(e.Artifact, "artifacts") + " " + strings.ToLower(string(r.Status))
	}
	if r := d.Retention; r != nil {
		e.Outcome = runOutcome(string(r.Status))
		e.SetAttr("total", string(r.Total))
		e.SetAttr("retained", string(r.Retained))
		e.Title = "tag retention of " + string(r.Project) + " " + strings.ToLower(string(r.Status))
	}
}

func (s *harborOverview) describe(e *pipeline.Event) {
	if s == nil {
		return
	}
	if t := parseTime(string(s.End)); !t.IsZero() {
		e.SetAttr("duration_seconds", seconds(parseTime(string(s.Start)), t))
	}
	e.Outcome = runOutcome(string(s.Status))
	e.SetAttr("scan.severity", string(s.Severity))
	e.SetAttr("vulnerabilities.total", string(s.Summary.Total))
	e.SetAttr("vulnerabilities.fixable", string(s.Summary.Fixable))
	for _, word := range []string{"Critical", "High", "Medium", "Low", "Negligible", "Unknown"} {
		e.SetAttr("vulnerabilities."+strings.ToLower(word), string(s.Summary.Counts[word]))
	}
	e.SetAttr("tool.name", string(s.Scanner.Name))
	e.SetAttr("tool.version", string(s.Scanner.Version))
}

// emit gives a report's vulnerabilities; a report without any is a scan that found none.
func (r *harborVulnerabilities) emit(out *Out) {
	at := parseTime(string(r.Generated))
	if len(r.List) == 0 {
		e := out.Event("scan.completed")
		e.Time, e.Severity, e.Outcome = at, pipeline.SeverityInfo, pipeline.OutcomeSuccess
		e.Title = string(first(r.Scanner.Name, "the scanner")) + " found no vulnerability"
		return
	}
	for i := range r.List {
		v := &r.List[i].Value
		link := ""
		if len(v.Links) > 0 {
			link = v.Links[0]
		}
		e := out.vulnerability(&vulnerability{
			IDs: []string{string(v.ID)}, Title: string(v.Description), URL: link, Severity: severityWord(string(v.Severity)),
			Score: v.CVSS.V3.Or(0), Name: string(v.Package), Version: string(v.Version), Fixed: string(v.Fix),
		})
		e.Raw, e.Time = r.List[i].Raw, at
		if len(v.Digests) > 0 {
			e.Digest = v.Digests[0]
		}
		e.SetAttr("cwe", strings.Join(v.CWEs, ","))
		e.SetAttr("tool.name", string(r.Scanner.Name))
		e.SetAttr("tool.version", string(r.Scanner.Version))
	}
}

// harborLog reads lines of core: "<time> [LEVEL] [/file.go:72][client IP="..." ...]: message", often behind a syslog header.
func harborLog(in *Input, out *Out) error {
	line := 0
	for rest := in.Data; len(rest) > 0; {
		var l []byte
		l, rest = cutLine(rest)
		line++
		text := alias(l)
		if strings.TrimSpace(text) == "" {
			continue
		}
		i := strings.Index(text, "] [/") // between level and place
		if i < 0 {
			out.Reject(line, "harbor: no line of core: time, level, place and message")
			continue
		}
		head, message, _ := strings.Cut(text[i+2:], "]: ")
		open := strings.LastIndexByte(text[:i], '[')
		level := text[open+1 : i]
		at := strings.TrimSpace(text[:max(open, 0)])
		at = at[strings.LastIndexByte(at, ' ')+1:]
		typ := "log"
		user := ""
		if i := strings.Index(message, "failed to authenticate user:"); i >= 0 {
			typ = "auth.failed"
			user, _, _ = strings.Cut(message[i+len("failed to authenticate user:"):], ",")
		}
		e := out.Event(typ)
		e.Raw, e.Phase, e.Time, e.Severity = text, pipeline.PhaseOperation, parseTime(at), severityLog(level)
		e.Actor = strings.TrimSpace(user)
		ip, _, _ := strings.Cut(quoted(head, `client IP="`), ",") // the first is the client's, the others are proxies'
		e.SrcIP = addrOf(ip)
		e.SetAttr("log.level", strings.ToLower(level))
		e.SetAttr("request.id", quoted(head, `requestID="`))
		e.SetAttr("user_agent.original", quoted(head, `user agent="`))
		e.Title = oneLine(message, 160)
		if typ == "auth.failed" {
			e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
			e.Title = "Harbor: failed login of " + e.Actor
		}
	}
	return nil
}

// quoted returns what follows an opening that ends in a quote, up to the next quote.
func quoted(s, opening string) string {
	_, rest, ok := strings.Cut(s, opening)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
