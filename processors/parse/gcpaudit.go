package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// gcpAudit reads Google Cloud's audit logs: LogEntry records with an AuditLog in protoPayload, in lines as a sink writes them or in
// an array as `gcloud logging read --format json` prints them.
// https://cloud.google.com/logging/docs/audit/understanding-audit-logs
// https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
var gcpAudit = Format{
	Name: "gcp-audit", Title: "Google Cloud audit logs", Phase: pipeline.PhaseOperation,
	Types: []string{"api.call", "auth.success", "auth.failed", "auth.logout", "user.modified", "log.cleared"},
	Known: "JSON with a protoPayload that has serviceName and methodName",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return s.Raw("protoPayload", "serviceName") != nil && s.Raw("protoPayload", "methodName") != nil
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return gcpAuditEntry(b, out) })
		}
		return gcpAuditEntry(in.Data, out)
	},
}

type gcpEntry struct {
	InsertID  Text `json:"insertId"`
	LogName   Text `json:"logName"`
	Timestamp Text `json:"timestamp"`
	Received  Text `json:"receiveTimestamp"`
	Resource  struct {
		Type   Text `json:"type"`
		Labels struct {
			Project  Text `json:"project_id"`
			Zone     Text `json:"zone"`
			Location Text `json:"location"`
		} `json:"labels"`
	} `json:"resource"`
	Payload struct {
		Service  Text `json:"serviceName"`
		Method   Text `json:"methodName"`
		Resource Text `json:"resourceName"`
		Who      struct {
			Email   Text `json:"principalEmail"`
			Subject Text `json:"principalSubject"`
			Key     Text `json:"serviceAccountKeyName"`
		} `json:"authenticationInfo"`
		Granted []struct {
			Permission Text `json:"permission"`
		} `json:"authorizationInfo"`
		Request struct {
			IP    Text `json:"callerIp"`
			Agent Text `json:"callerSuppliedUserAgent"`
		} `json:"requestMetadata"`
		Status struct {
			Code    Text `json:"code"`
			Message Text `json:"message"`
		} `json:"status"`
	} `json:"protoPayload"`
}

func gcpAuditEntry(b []byte, out *Out) error {
	v := scratch[gcpEntry](out)
	if err := decode(b, v); err != nil {
		return err
	}
	p := &v.Payload
	if p.Service == "" || p.Method == "" {
		return errors.New("gcp-audit: protoPayload without serviceName or methodName")
	}
	method := string(p.Method)
	verb := method[strings.LastIndexByte(method, '.')+1:]
	failed := p.Status.Code != "" && p.Status.Code != "0" || verb == "loginFailure"
	e := out.Event(gcpType(string(p.Service), verb, failed))
	e.Raw, e.Severity, e.Outcome = alias(b), pipeline.SeverityInfo, pipeline.OutcomeSuccess
	if t := parseTime(string(first(v.Timestamp, v.Received))); !t.IsZero() {
		e.Time = t
	}
	e.Service = strings.TrimSuffix(string(p.Service), ".googleapis.com")
	e.Actor = string(first(p.Who.Email, p.Who.Subject))
	if e.SrcIP = addrOf(string(p.Request.IP)); !e.SrcIP.IsValid() {
		e.SetAttr("source.domain", string(p.Request.IP)) // "private", "gce-internal-ip"
	}
	by, why := "", ""
	if e.Actor != "" {
		by = " by "
	}
	switch {
	case failed:
		e.Outcome, e.Severity = pipeline.OutcomeFailure, pipeline.SeverityLow
		why = ": " + first(oneLine(string(p.Status.Message), 120), "failed")
		if p.Status.Code == "7" || p.Status.Code == "16" { // PERMISSION_DENIED, UNAUTHENTICATED
			e.Disposition = pipeline.DispositionUnauthorized
		}
	case e.Type == "log.cleared":
		e.Severity = pipeline.SeverityHigh
	case e.Type == "user.modified":
		e.Severity = pipeline.SeverityMedium
	}
	what := verb
	if noun, ok := strings.CutSuffix(method, "."+verb); ok && verb != "" && verb[0] >= 'a' { // compute.instances.stop
		what = noun[strings.LastIndexByte(noun, '.')+1:] + "." + verb
	}
	e.Title = out.join(e.Service, " ", what, by, e.Actor, why)
	e.SetAttr("cloud.provider", "gcp")
	e.SetAttr("cloud.account.id", string(v.Resource.Labels.Project))
	e.SetAttr("cloud.region", string(first(v.Resource.Labels.Location, v.Resource.Labels.Zone)))
	e.SetAttr("gcp.method", method)
	e.SetAttr("gcp.resource", string(p.Resource))
	e.SetAttr("gcp.resource_type", string(v.Resource.Type))
	e.SetAttr("gcp.log", gcpLog(string(v.LogName)))
	if len(p.Granted) > 0 {
		e.SetAttr("gcp.permission", string(p.Granted[0].Permission))
	}
	key := string(p.Who.Key)
	e.SetAttr("credential.id", key[strings.LastIndexByte(key, '/')+1:])
	e.SetAttr("error.type", ifKind(failed, string(p.Status.Code)))
	e.SetAttr("error.message", string(p.Status.Message))
	e.SetAttr("user_agent.original", string(p.Request.Agent))
	if v.InsertID != "" {
		out.ID(e, string(v.LogName), string(v.Timestamp), string(v.InsertID), method)
	}
	return nil
}

// gcpLog returns a log's own name: "projects/p/logs/cloudaudit.googleapis.com%2Factivity" is "activity".
func gcpLog(name string) string {
	if _, rest, ok := strings.Cut(name, "cloudaudit.googleapis.com%2F"); ok {
		return rest
	}
	return name
}

func gcpType(service, verb string, failed bool) string {
	switch service {
	case "login.googleapis.com":
		switch {
		case failed:
			return "auth.failed"
		case verb == "loginSuccess":
			return "auth.success"
		case verb == "logout":
			return "auth.logout"
		}
		return "user.modified"
	case "logging.googleapis.com":
		if verb == "DeleteSink" || verb == "DeleteLog" || verb == "DeleteBucket" {
			return "log.cleared"
		}
	case "admin.googleapis.com":
		return "user.modified"
	case "iam.googleapis.com":
		for _, change := range [...]string{"Create", "Delete", "Update", "Patch", "Set", "Disable", "Enable", "Undelete", "Upload"} {
			if strings.HasPrefix(verb, change) {
				return "user.modified"
			}
		}
	}
	if strings.EqualFold(verb, "setIamPolicy") {
		return "user.modified"
	}
	return "api.call"
}
