package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// windows reads Windows events as security data sets and shippers hold them: flat (NXLog, Mordor), under winlog
// (Winlogbeat) or as the event's XML turned into JSON; and rows of Azure Monitor's VMConnection that such sets hold too.
// https://learn.microsoft.com/en-us/windows/security/threat-protection/auditing/advanced-security-auditing
// https://learn.microsoft.com/en-us/sysinternals/downloads/sysmon
var windows = Format{
	Name: "security-datasets", Title: "Windows events (Security, Sysmon, PowerShell) in JSON", Phase: pipeline.PhaseOperation,
	Types: []string{"log", "auth.success", "auth.failed", "auth.logout", "process.exec", "log.cleared", "user.modified", "net.flow", "dns.query",
		"file.changed", "malware.detected", "detection"},
	Known: "JSON with EventID and Channel or SourceName, winlog.event_id, Event.System, or Type VMConnection",
	Frame: Values, Log: true,
	Match: func(s *Shape) bool {
		return (s.Has("EventID") || s.Has("event_id") || s.Has("EventId")) && (s.Has("Channel") || s.Has("SourceName") || s.Has("log_name") ||
			s.Has("ProviderGuid") || s.Has("Provider") || s.Has("ProviderName") || s.Has("source_name") || s.Has("Computer")) ||
			s.Raw("winlog", "event_id") != nil || s.Has("winlog.event_id") || s.Raw("Event", "System") != nil ||
			s.Has("TimeGenerated") && (s.Has("Type") || s.Has("SourceSystem"))
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return windowsEvent(b, out) })
		}
		return windowsEvent(in.Data, out)
	},
}

// windowsRecord has the fields that the events of interest use, by the last part of their names.
type windowsRecord struct {
	id, channel, provider, host, time, utc, level, message, keywords, kind string
	recordID                                                               string
	targetUser, subjectUser, user, targetDomain, member                    string
	ip, port, sourceIP, sourcePort, destIP, destPort, destHost, protocol   string
	logonType, status, substatus, reason, authPackage                      string
	image, command, parent, parentCommand, pid, hashes, cwd                string
	object, details, query, answers, script, service, task, target         string
	sent, received, ruleName, threat                                       string
}

// leaf takes one value in, whatever object it lies in.
func (v *windowsRecord) leaf(path string, value []byte) {
	name := path[strings.LastIndexByte(path, '.')+1:]
	if outer, ok := strings.CutSuffix(path, ".#text"); ok { // XML turned into JSON
		path = outer
		name = path[strings.LastIndexByte(path, '.')+1:]
	}
	s := textOf(value)
	if s == "" || s == "-" {
		return
	}
	to := v.field(name)
	if name == "id" || name == "name" || name == "type" { // of ECS, not of the event
		to = nil
		if path == "user.name" {
			to = &v.user
		} else if path == "host.name" {
			to = &v.host
		}
	}
	if to != nil && *to == "" {
		*to = s
	}
}

func (v *windowsRecord) field(name string) *string {
	switch name {
	case "EventID", "event_id", "EventId":
		return &v.id
	case "Channel", "channel", "log_name":
		return &v.channel
	case "SourceName", "provider_name", "Provider_Name", "ProviderName", "source_name", "Provider":
		return &v.provider
	case "Hostname", "Computer", "computer_name", "ComputerName", "MachineName":
		return &v.host
	case "TimeCreated", "SystemTime", "@SystemTime", "TimeGenerated", "@timestamp", "EventTime", "time_created":
		return &v.time
	case "UtcTime":
		return &v.utc
	case "Level", "level", "Severity":
		return &v.level
	case "Message", "message":
		return &v.message
	case "Keywords":
		return &v.keywords
	case "Type":
		return &v.kind
	case "EventRecordID", "RecordNumber", "record_id", "EventRecordId":
		return &v.recordID
	case "TargetUserName":
		return &v.targetUser
	case "SubjectUserName":
		return &v.subjectUser
	case "User", "AccountName":
		return &v.user
	case "TargetDomainName":
		return &v.targetDomain
	case "MemberName", "MemberSid":
		return &v.member
	case "IpAddress", "ClientAddress":
		return &v.ip
	case "IpPort":
		return &v.port
	case "SourceIp", "SourceAddress":
		return &v.sourceIP
	case "SourcePort":
		return &v.sourcePort
	case "DestinationIp", "DestAddress", "DestinationAddress":
		return &v.destIP
	case "DestinationPort", "DestPort":
		return &v.destPort
	case "DestinationHostname":
		return &v.destHost
	case "Protocol":
		return &v.protocol
	case "LogonType":
		return &v.logonType
	case "Status", "Result", "ErrorCode", "FailureCode":
		return &v.status
	case "SubStatus":
		return &v.substatus
	case "FailureReason":
		return &v.reason
	case "AuthenticationPackageName", "PackageName":
		return &v.authPackage
	}
	return v.activity(name)
}

func (v *windowsRecord) activity(name string) *string {
	switch name {
	case "NewProcessName", "Image", "SourceImage", "ProcessName":
		return &v.image
	case "CommandLine", "ProcessCommandLine":
		return &v.command
	case "ParentImage", "ParentProcessName":
		return &v.parent
	case "ParentCommandLine":
		return &v.parentCommand
	case "NewProcessId", "ProcessId", "ProcessID":
		return &v.pid
	case "Hashes":
		return &v.hashes
	case "CurrentDirectory":
		return &v.cwd
	case "TargetFilename", "TargetObject", "ObjectName", "ShareName", "ImageLoaded", "RelativeTargetName":
		return &v.object
	case "Details":
		return &v.details
	case "QueryName":
		return &v.query
	case "QueryResults":
		return &v.answers
	case "ScriptBlockText", "Payload":
		return &v.script
	case "ServiceName", "ImagePath":
		return &v.service
	case "TaskName":
		return &v.task
	case "TargetImage", "TargetServerName":
		return &v.target
	case "BytesSent":
		return &v.sent
	case "BytesReceived":
		return &v.received
	case "RuleName":
		return &v.ruleName
	case "Threat Name", "ThreatName":
		return &v.threat
	}
	return nil
}

func windowsEvent(b []byte, out *Out) error {
	var v windowsRecord
	if err := out.eachLeaf(b, "", v.leaf); err != nil {
		return err
	}
	if v.id == "" && v.kind == "" && v.time == "" {
		return errors.New("security-datasets: record without EventID")
	}
	e := out.Event(v.eventType())
	e.Raw, e.Host, e.Severity = alias(b), strings.ToLower(v.host), v.severity()
	if t := parseTime(first(v.time, v.utc)); !t.IsZero() {
		e.Time = t
	}
	message, _, _ := strings.Cut(v.message, "\n")
	message = strings.TrimRight(message, " .:\r")
	e.Title = first(message, strings.TrimSpace("event "+v.id+" of "+first(v.channel, v.provider, v.kind)))
	e.Actor = first(v.subjectUser, v.user, v.targetUser, messageAccount(v.message))
	e.SrcIP = addrOf(first(strings.TrimPrefix(v.ip, "::ffff:"), v.sourceIP))
	e.DstIP = addrOf(v.destIP)
	switch e.Type {
	case "auth.success", "auth.failed", "auth.logout":
		e.Actor = first(v.targetUser, v.user, v.subjectUser)
		e.Outcome = pipeline.OutcomeSuccess
		if e.Type == "auth.failed" {
			e.Outcome, e.Severity = pipeline.OutcomeFailure, max(e.Severity, pipeline.SeverityLow)
		}
		e.Title += ": " + e.Actor
		if e.SrcIP.IsValid() {
			e.Title += " from " + first(v.ip, v.sourceIP)
		}
		e.SetAttr("auth.evidence", "verdict")
		e.SetAttr("auth.method", first(v.authPackage, logonType(v.logonType)))
		e.SetAttr("auth.logon_type", v.logonType)
		e.SetAttr("auth.reason", first(v.reason, v.substatus))
		e.SetAttr("source.port", v.port)
	case "process.exec":
		if e.Title = first(v.command, v.image, firstLine(v.script)); v.command == "" && v.script != "" {
			e.Title = firstLine(v.script)
		}
	case "net.flow":
		e.Bytes = count(v.sent) + count(v.received)
		e.DstDomain = strings.ToLower(v.destHost)
		proto := transport(v.protocol)
		e.Title = out.flowTitle(first(proto, "flow"), v.sourceIP, v.sourcePort, v.destIP, v.destPort)
		e.SetAttr("network.transport", proto)
		e.SetAttr("source.port", v.sourcePort)
		e.SetAttr("destination.port", v.destPort)
		switch v.id {
		case "5152", "5157":
			e.Disposition = pipeline.DispositionBlocked
		}
	case "dns.query":
		e.DstDomain = strings.ToLower(v.query)
		e.Title = "DNS " + v.query
		e.SetAttr("dns.answer", v.answers)
	case "file.changed":
		e.Title = e.Title + ": " + v.object
	case "log.cleared":
		e.Severity = pipeline.SeverityHigh
	case "user.modified":
		e.Severity = max(e.Severity, pipeline.SeverityMedium)
		e.Title += ": " + first(v.targetUser, v.member)
		e.SetAttr("user.target", v.targetUser)
		e.SetAttr("user.member", v.member)
	case "malware.detected":
		e.Severity, e.Rule = pipeline.SeverityHigh, v.threat
	}
	e.Rule = first(e.Rule, v.ruleName)
	if i := strings.Index(v.ruleName, "technique_id=T"); i >= 0 { // Sysmon configurations name the technique
		id, _, _ := strings.Cut(v.ruleName[i+len("technique_id="):], ",")
		e.Attacks = append(e.Attacks, id)
	}
	e.SetAttr("winlog.event_id", v.id)
	e.SetAttr("winlog.channel", v.channel)
	e.SetAttr("winlog.provider", v.provider)
	e.SetAttr("winlog.record_id", v.recordID)
	e.SetAttr("process.executable.path", v.image)
	e.SetAttr("process.command_line", v.command)
	e.SetAttr("process.parent.executable", v.parent)
	e.SetAttr("process.parent.command_line", v.parentCommand)
	e.SetAttr("process.pid", v.pid)
	e.SetAttr("process.hashes", v.hashes)
	e.SetAttr("process.working_directory", v.cwd)
	e.SetAttr("process.target", v.target)
	e.SetAttr("powershell.script", v.script)
	e.SetAttr("service.target", v.service)
	e.SetAttr("task.name", v.task)
	e.SetAttr("file.path", v.object)
	e.SetAttr("registry.value", v.details)
	e.SetAttr("user.domain", v.targetDomain)
	e.SetAttr("winlog.status", v.status)
	e.SetAttr("table", ifKind(v.id == "", v.kind))
	return nil
}

// messageAccount finds the account in a message whose event carries no fields.
func messageAccount(m string) string {
	for rest := m; ; {
		var ok bool
		if _, rest, ok = strings.Cut(rest, "Account Name:"); !ok {
			return ""
		}
		if name := firstLine(rest); name != "-" && name != "" {
			return name
		}
	}
}

func firstLine(s string) string {
	l, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(l)
}

// isSysmon tells Sysmon's numbers from those of other providers.
func (v *windowsRecord) isSysmon() bool {
	return strings.Contains(v.channel, "Sysmon") || strings.Contains(v.provider, "Sysmon")
}

func (v *windowsRecord) eventType() string {
	if v.isSysmon() {
		switch v.id {
		case "1":
			return "process.exec"
		case "3":
			return "net.flow"
		case "2", "11", "15", "23", "26", "27", "28", "29":
			return "file.changed"
		case "22":
			return "dns.query"
		case "25":
			return "detection"
		}
		return "log"
	}
	failed := v.status != "" && strings.Trim(v.status, "0x") != ""
	switch v.id {
	case "4624", "4778":
		return "auth.success"
	case "4625", "4771":
		return "auth.failed"
	case "4768", "4769", "4770", "4776":
		if failed {
			return "auth.failed"
		}
		return "auth.success"
	case "4634", "4647", "4779":
		return "auth.logout"
	case "4688":
		return "process.exec"
	case "4103", "4104":
		if v.script != "" {
			return "process.exec"
		}
	case "1102", "104", "1100", "517":
		return "log.cleared"
	case "4720", "4722", "4723", "4724", "4725", "4726", "4727", "4728", "4729", "4731", "4732", "4733", "4735", "4737", "4738", "4740", "4741", "4742",
		"4743", "4756", "4757", "4767", "4781":
		return "user.modified"
	case "5152", "5154", "5156", "5157":
		return "net.flow"
	case "1116", "1117", "1006", "1007":
		if strings.Contains(v.channel+v.provider, "Defender") {
			return "malware.detected"
		}
	}
	if v.kind == "VMConnection" {
		return "net.flow"
	}
	return "log"
}

// severity converts Windows levels, 1 critical to 5 verbose, and raises what changes how the host starts programs.
func (v *windowsRecord) severity() uint8 {
	switch strings.ToLower(v.level) {
	case "1", "critical":
		return pipeline.SeverityCritical
	case "2", "error":
		return pipeline.SeverityHigh
	case "3", "warning":
		return pipeline.SeverityMedium
	}
	if !v.isSysmon() {
		switch v.id {
		case "4697", "7045", "4698", "4702", "4719":
			return pipeline.SeverityMedium
		}
	} else if v.id == "8" {
		return pipeline.SeverityMedium // a thread in another process
	}
	return pipeline.SeverityInfo
}

func logonType(n string) string {
	switch n {
	case "2":
		return "interactive"
	case "3":
		return "network"
	case "4":
		return "batch"
	case "5":
		return "service"
	case "7":
		return "unlock"
	case "8":
		return "network cleartext"
	case "9":
		return "new credentials"
	case "10":
		return "remote interactive"
	case "11":
		return "cached interactive"
	}
	return ""
}
