package parse

import (
	"errors"
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// wazuh reads Wazuh's alerts.json. Groups of the rule say what the alert is about; its level, 0 to 15, is the severity.
// https://documentation.wazuh.com/current/user-manual/ruleset/rules/rules-classification.html
var wazuh = Format{
	Name: "wazuh-alerts", Title: "Wazuh alerts", Phase: pipeline.PhaseMonitoring,
	Types: []string{"detection", "auth.failed", "auth.success", "auth.logout", "file.changed", "vulnerability.found", "finding.corrected", "compliance.checked",
		"log.cleared"},
	Known: "JSON with rule.level and agent, manager or location",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return s.Raw("rule", "level") != nil && (s.Has("agent") || s.Has("manager") || s.Has("location")) ||
			s.Raw("_source", "rule", "level") != nil
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return wazuhEvent(b, out) })
		}
		return wazuhEvent(in.Data, out)
	},
}

type wazuhAlert struct {
	Source    json.RawMessage `json:"_source"` // of a document of the indexer, the alert
	ID        Text            `json:"id"`
	Timestamp string          `json:"timestamp"`
	Stamp     string          `json:"@timestamp"`
	Location  string          `json:"location"`
	FullLog   string          `json:"full_log"`
	Rule      struct {
		ID          Text    `json:"id"`
		Level       Text    `json:"level"`
		Description string  `json:"description"`
		Groups      Strings `json:"groups"`
		Fired       Text    `json:"firedtimes"`
		Mitre       struct {
			ID Strings `json:"id"`
		} `json:"mitre"`
	} `json:"rule"`
	Agent struct {
		ID   Text   `json:"id"`
		Name string `json:"name"`
		IP   string `json:"ip"`
	} `json:"agent"`
	Manager struct {
		Name string `json:"name"`
	} `json:"manager"`
	Predecoder struct {
		Program  string `json:"program_name"`
		Hostname string `json:"hostname"`
	} `json:"predecoder"`
	Decoder struct {
		Name string `json:"name"`
	} `json:"decoder"`
	Data     wazuhData `json:"data"`
	Syscheck struct {
		Path   string  `json:"path"`
		Event  string  `json:"event"`
		Mode   string  `json:"mode"`
		SHA256 string  `json:"sha256_after"`
		Owner  string  `json:"uname_after"`
		Attrs  Strings `json:"changed_attributes"`
		Audit  struct {
			User struct {
				Name string `json:"name"`
			} `json:"user"`
			Process struct {
				Name string `json:"name"`
			} `json:"process"`
		} `json:"audit"` // who-data
	} `json:"syscheck"`
}

type wazuhData struct {
	SrcIP   Text `json:"srcip"`
	SrcIP2  Text `json:"src_ip"`
	SrcPort Text `json:"srcport"`
	DstIP   Text `json:"dstip"`
	DstIP2  Text `json:"dest_ip"`
	DstPort Text `json:"dstport"`
	SrcUser Text `json:"srcuser"`
	DstUser Text `json:"dstuser"`
	URL     Text `json:"url"`
	Command Text `json:"command"`
	Vuln    struct {
		CVE      Text `json:"cve"`
		Severity Text `json:"severity"`
		Title    Text `json:"title"`
		Status   Text `json:"status"`
		Package  struct {
			Name    Text `json:"name"`
			Version Text `json:"version"`
		} `json:"package"`
	} `json:"vulnerability"`
	SCA struct {
		Policy Text `json:"policy"`
		Check  struct {
			ID     Text `json:"id"`
			Title  Text `json:"title"`
			Result Text `json:"result"`
		} `json:"check"`
	} `json:"sca"`
	Win struct {
		Event struct {
			User    Text `json:"targetUserName"`
			Subject Text `json:"subjectUserName"`
			IP      Text `json:"ipAddress"`
			Image   Text `json:"image"`
			Command Text `json:"commandLine"`
		} `json:"eventdata"`
		System struct {
			ID       Text `json:"eventID"`
			Computer Text `json:"computer"`
		} `json:"system"`
	} `json:"win"`
}

// UnmarshalJSON implements json.Unmarshaler: what decoders put there may be of any kind.
func (d *wazuhData) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type object wazuhData
	if decode(b, (*object)(d)) == nil {
		return nil
	}
	*d = wazuhData{}
	return eachPair(b, func(key string, value []byte) error {
		switch key {
		case "srcip", "src_ip":
			d.SrcIP = Text(textOf(value))
		case "dstip":
			d.DstIP = Text(textOf(value))
		case "srcuser":
			d.SrcUser = Text(textOf(value))
		case "dstuser":
			d.DstUser = Text(textOf(value))
		}
		return nil
	})
}

func wazuhEvent(b []byte, out *Out) error {
	v := scratch[wazuhAlert](out)
	if err := decode(b, v); err != nil {
		return err
	}
	if v.Source != nil {
		return wazuhEvent(v.Source, out)
	}
	if v.Rule.ID == "" && v.Rule.Description == "" {
		return errors.New("wazuh-alerts: alert without a rule")
	}
	e := out.Event(v.eventType())
	e.Raw, e.Rule, e.Title = alias(b), string(v.Rule.ID), v.Rule.Description
	if t := parseTime(first(v.Timestamp, v.Stamp)); !t.IsZero() {
		e.Time = t
	}
	e.Host = strings.ToLower(first(v.Agent.Name, v.Predecoder.Hostname, string(v.Data.Win.System.Computer)))
	e.Severity = wazuhLevel(string(v.Rule.Level))
	e.Attacks = append(e.Attacks, v.Rule.Mitre.ID...)
	d := &v.Data
	e.Actor = said(d.DstUser, d.SrcUser, d.Win.Event.User, d.Win.Event.Subject, Text(v.Syscheck.Audit.User.Name))
	if v.Decoder.Name == "sudo" || v.Decoder.Name == "su" { // the other is who the command runs as
		e.Actor = said(d.SrcUser, d.DstUser)
		e.SetAttr("user.target", string(d.DstUser))
	}
	e.SrcIP, e.DstIP = addrOf(said(d.SrcIP, d.SrcIP2, d.Win.Event.IP)), addrOf(said(d.DstIP, d.DstIP2))
	e.Service = first(v.Predecoder.Program, v.Decoder.Name)
	switch e.Type {
	case "auth.failed":
		e.Outcome = pipeline.OutcomeFailure
		e.SetAttr("auth.evidence", "trace") // the host's own log tells of it as well
	case "auth.success", "auth.logout":
		e.Outcome = pipeline.OutcomeSuccess
		e.SetAttr("auth.evidence", "trace")
	case "file.changed":
		e.Title = out.join(strings.TrimSuffix(v.Rule.Description, "."), ": ", v.Syscheck.Path)
	case "vulnerability.found", "finding.corrected":
		e.Vulns = append(e.Vulns, string(d.Vuln.CVE))
		e.Severity = max(severityWord(string(d.Vuln.Severity)), pipeline.SeverityUnknown)
		settleFinding(e)
		if d.Vuln.Package.Name != "" {
			e.SetAttr("package.name", string(d.Vuln.Package.Name))
			e.SetAttr("package.version", string(d.Vuln.Package.Version))
		}
	case "compliance.checked":
		e.Outcome = pipeline.OutcomeFailure
		if d.SCA.Check.Result == "passed" {
			e.Outcome = pipeline.OutcomeSuccess
		}
		e.Rule = first(string(d.SCA.Check.ID), e.Rule)
		e.SetAttr("compliance.policy", string(d.SCA.Policy))
	default:
		e.Disposition = pipeline.DispositionDetected
	}
	e.SetAttr("wazuh.level", string(v.Rule.Level))
	e.SetAttr("wazuh.rule_id", string(v.Rule.ID))
	e.SetAttr("wazuh.groups", out.list(v.Rule.Groups))
	e.SetAttr("wazuh.agent_id", string(v.Agent.ID))
	e.SetAttr("wazuh.location", v.Location)
	e.SetAttr("wazuh.full_log", v.FullLog)
	e.SetAttr("source.port", string(d.SrcPort))
	e.SetAttr("destination.port", string(d.DstPort))
	e.SetAttr("url.full", string(d.URL))
	e.SetAttr("file.path", v.Syscheck.Path)
	e.SetAttr("file.event", v.Syscheck.Event)
	e.SetAttr("file.owner", v.Syscheck.Owner)
	e.SetAttr("file.changed_attributes", out.list(v.Syscheck.Attrs))
	e.SetAttr("file.hash.sha256", v.Syscheck.SHA256)
	e.SetAttr("winlog.event_id", string(d.Win.System.ID))
	e.SetAttr("process.executable.path", first(string(d.Win.Event.Image), v.Syscheck.Audit.Process.Name))
	e.SetAttr("process.command_line", first(string(d.Win.Event.Command), string(d.Command)))
	if v.ID != "" {
		out.ID(e, string(v.ID), v.Manager.Name, string(v.Rule.ID))
	}
	return nil
}

func (v *wazuhAlert) eventType() string {
	switch {
	case v.Data.Vuln.CVE != "" && strings.EqualFold(string(v.Data.Vuln.Status), "solved"): // from 4.8 on
		return "finding.corrected"
	case v.Data.Vuln.CVE != "":
		return "vulnerability.found"
	case v.Data.SCA.Check.Result != "":
		return "compliance.checked"
	case v.Syscheck.Path != "":
		return "file.changed"
	}
	for _, g := range v.Rule.Groups {
		switch g {
		case "authentication_failed", "authentication_failures", "invalid_login", "win_authentication_failed":
			return "auth.failed"
		case "authentication_success":
			return "auth.success"
		case "logs_cleared", "log_clearing_auditlog":
			return "log.cleared"
		}
	}
	return "detection"
}

// wazuhLevel converts the rule's level.
func wazuhLevel(s string) uint8 {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return pipeline.SeverityUnknown
	case n >= 15:
		return pipeline.SeverityCritical
	case n >= 12:
		return pipeline.SeverityHigh
	case n >= 7:
		return pipeline.SeverityMedium
	case n >= 4:
		return pipeline.SeverityLow
	}
	return pipeline.SeverityInfo
}
