package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// ocsf reads events of the Open Cybersecurity Schema Framework (Amazon Security Lake, Prowler, agents). Class, severity and
// disposition are already those of our events; the class and its activity choose the type.
// https://schema.ocsf.io/
var ocsf = Format{
	Name: "ocsf", Title: "Open Cybersecurity Schema Framework (JSON)", Phase: pipeline.PhaseOperation,
	Types: []string{"log", "file.changed", "process.exec", "log.cleared", "vulnerability.found", "compliance.checked", "detection",
		"incident.detected", "incident.resolved", "user.modified", "auth.success", "auth.failed", "auth.logout", "net.flow", "http.request",
		"dns.query", "inventory.observed", "api.call", "db.statement", "scan.started", "scan.completed", "finding.corrected", "finding.suppressed", "malware.detected"},
	Known: "JSON with class_uid and category_uid, activity_id or metadata",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("class_uid") && (s.Has("category_uid") || s.Has("activity_id") || s.Has("metadata") || s.Has("type_uid"))
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return ocsfEvent(b, out) })
		}
		return ocsfEvent(in.Data, out)
	},
}

type ocsfRecord struct {
	Class        Text   `json:"class_uid"`
	ClassName    string `json:"class_name"`
	Activity     Text   `json:"activity_id"`
	ActivityName string `json:"activity_name"`
	Severity     Text   `json:"severity_id"`
	SeverityName string `json:"severity"`
	Disposition  Text   `json:"disposition_id"`
	Action       Text   `json:"action_id"`
	Status       string `json:"status"`
	StatusID     Text   `json:"status_id"`
	StatusCode   Text   `json:"status_code"`
	StatusDetail Text   `json:"status_detail"`
	Message      string `json:"message"`
	Time         Text   `json:"time"`
	TimeDT       Text   `json:"time_dt"`
	Start        Text   `json:"start_time"`
	Metadata     struct {
		UID     Text   `json:"uid"`
		Version Text   `json:"version"`
		Code    string `json:"event_code"`
		Product struct {
			Name   string `json:"name"`
			Vendor string `json:"vendor_name"`
		} `json:"product"`
	} `json:"metadata"`
	Actor struct {
		User    ocsfUser `json:"user"`
		Invoked string   `json:"invoked_by"`
		Process ocsfProc `json:"process"`
	} `json:"actor"`
	User   ocsfUser     `json:"user"`
	Src    ocsfEndpoint `json:"src_endpoint"`
	Dst    ocsfEndpoint `json:"dst_endpoint"`
	Device struct {
		Hostname string `json:"hostname"`
		Name     string `json:"name"`
		IP       string `json:"ip"`
	} `json:"device"`
	API struct {
		Operation string `json:"operation"`
		Service   struct {
			Name string `json:"name"`
		} `json:"service"`
		Response struct {
			Error   Text `json:"error"`
			Message Text `json:"message"`
		} `json:"response"`
	} `json:"api"`
	Query struct {
		Hostname string `json:"hostname"`
		Type     Text   `json:"type"`
	} `json:"query"`
	RCode      Text `json:"rcode"`
	Connection struct {
		Name Text `json:"protocol_name"`
		Num  Text `json:"protocol_num"`
		Dir  Text `json:"direction"`
	} `json:"connection_info"`
	Traffic struct {
		Bytes   Number `json:"bytes"`
		In      Number `json:"bytes_in"`
		Out     Number `json:"bytes_out"`
		Packets Text   `json:"packets"`
	} `json:"traffic"`
	Request struct {
		Method string  `json:"http_method"`
		Agent  string  `json:"user_agent"`
		URL    ocsfURL `json:"url"`
	} `json:"http_request"`
	Response struct {
		Code Text `json:"code"`
	} `json:"http_response"`
	HTTPStatus Text        `json:"http_status"`
	Info       ocsfFinding `json:"finding_info"`
	Finding    ocsfFinding `json:"finding"`
	Vulns      []struct {
		CVE struct {
			UID string `json:"uid"`
		} `json:"cve"`
		Title    string `json:"title"`
		Packages []struct {
			Name    string `json:"name"`
			Version Text   `json:"version"`
			Purl    string `json:"purl"`
			Fixed   Text   `json:"fixed_in_version"`
		} `json:"affected_packages"`
		Code []struct {
			File struct {
				Path string `json:"path"`
			} `json:"file"`
		} `json:"affected_code"`
	} `json:"vulnerabilities"`
	Compliance struct {
		Control  string `json:"control"`
		Status   string `json:"status"`
		StatusID Text   `json:"status_id"`
	} `json:"compliance"`
	Malware []struct {
		Name string `json:"name"`
	} `json:"malware"`
	Resources []struct {
		Name Text `json:"name"`
		UID  Text `json:"uid"`
		Type Text `json:"type"`
	} `json:"resources"`
	Attacks []struct {
		Technique struct {
			UID string `json:"uid"`
		} `json:"technique"`
	} `json:"attacks"`
	Process ocsfProc `json:"process"`
	File    struct {
		Path string `json:"path"`
		Name string `json:"name"`
	} `json:"file"`
	Cloud struct {
		Provider string `json:"provider"`
		Region   string `json:"region"`
		Account  struct {
			UID Text `json:"uid"`
		} `json:"account"`
		AccountUID Text `json:"account_uid"`
	} `json:"cloud"`
	Remediation struct {
		Text string `json:"desc"`
	} `json:"remediation"`
	Database struct {
		Name string `json:"name"`
	} `json:"database"`
	Table struct {
		Name string `json:"name"`
	} `json:"table"`
}

type ocsfUser struct {
	Name       Text `json:"name"`
	UID        Text `json:"uid"`
	Email      Text `json:"email_addr"`
	Credential Text `json:"credential_uid"`
}

type ocsfEndpoint struct {
	IP       string `json:"ip"`
	Port     Text   `json:"port"`
	Hostname string `json:"hostname"`
	Domain   string `json:"domain"`
	Service  string `json:"svc_name"`
}

type ocsfProc struct {
	Name    Text `json:"name"`
	PID     Text `json:"pid"`
	Cmdline Text `json:"cmd_line"`
}

type ocsfFinding struct {
	Title    string  `json:"title"`
	UID      Text    `json:"uid"`
	Desc     string  `json:"desc"`
	Types    Strings `json:"types"`
	Analytic struct {
		UID  Text   `json:"uid"`
		Name string `json:"name"`
	} `json:"analytic"`
}

// rule returns what found it: the analytic, or a type that names one (Amazon's) rather than a kind of findings.
func (f *ocsfFinding) rule() string {
	if len(f.Types) > 0 && strings.ContainsAny(f.Types[0], ":/") {
		return first(string(f.Analytic.UID), f.Analytic.Name, f.Types[0])
	}
	return first(string(f.Analytic.UID), f.Analytic.Name)
}

// ocsfURL is a URL as text or as an object.
type ocsfURL struct{ text, host string }

// UnmarshalJSON implements json.Unmarshaler.
func (u *ocsfURL) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		u.text = first(textOf(member(b, "url_string")), textOf(member(b, "text")), textOf(member(b, "path")))
		u.host = textOf(member(b, "hostname"))
		return nil
	}
	u.text = textOf(b)
	return nil
}

func ocsfEvent(b []byte, out *Out) error {
	v := scratch[ocsfRecord](out)
	if err := decode(b, v); err != nil {
		return err
	}
	class, rest := number(string(v.Class))
	if class == 0 || rest != "" || class > 65535 {
		return errors.New("ocsf: class_uid is not a number")
	}
	e := out.Event(v.eventType(class))
	e.Raw, e.Class = alias(b), uint16(class)
	if t := parseTime(string(v.Time)); !t.IsZero() {
		e.Time = t
	} else if t := parseTime(first(string(v.TimeDT), ocsfStart(string(v.Start)))); !t.IsZero() {
		e.Time = t
	}
	if n, rest := number(string(v.Severity)); rest == "" && n <= pipeline.SeverityFatal && v.Severity != "" {
		e.Severity = uint8(n)
	} else {
		e.Severity = severityWord(v.SeverityName)
	}
	if n, rest := number(string(v.Disposition)); rest == "" && n < 99 && n > 0 {
		e.Disposition = uint8(n)
	} else if v.Action == "1" || v.Action == "2" { // allowed, denied
		e.Disposition = pipeline.DispositionAllowed + v.Action[0] - '1'
	}
	e.Outcome = v.outcome(e)
	who := &v.Actor.User
	if class == 3002 && said(v.User.Name, v.User.UID) != "" { // the user that logs in; the actor may be the system
		who = &v.User
	}
	e.Actor = said(who.Name, who.Email, v.Actor.User.Name, v.Actor.User.Email, Text(arnName(string(v.Actor.User.UID))), v.Actor.User.UID, v.User.Name, v.User.UID,
		Text(v.Actor.Invoked))
	e.SrcIP, e.DstIP = addrOf(v.Src.IP), addrOf(v.Dst.IP)
	e.Host = out.lower(first(v.Device.Hostname, v.Device.Name))
	e.DstDomain = out.lower(strings.TrimSuffix(first(v.Query.Hostname, v.Request.URL.host, v.Dst.Domain, v.Dst.Hostname), "."))
	e.Service = v.API.Service.Name
	e.Bytes = max(bytesOf(v.Traffic.Bytes), bytesOf(v.Traffic.In)+bytesOf(v.Traffic.Out))
	e.DBName, e.DBObject = v.Database.Name, v.Table.Name
	v.fillFinding(e)
	proto := transport(first(string(v.Connection.Name), string(v.Connection.Num)))
	if e.Title == "" {
		e.Title = first(v.Message, strings.TrimSpace(out.join(v.API.Operation, " ", v.ActivityName)))
		switch {
		case e.Type == "dns.query":
			e.Title = strings.TrimSpace(out.join(string(v.Query.Type), " ", v.Query.Hostname))
		case e.Type == "net.flow" && v.Src.IP != "":
			e.Title = out.flowTitle(first(proto, "flow"), v.Src.IP, string(v.Src.Port), v.Dst.IP, string(v.Dst.Port))
		case e.Type == "http.request" && v.Request.URL.text != "":
			e.Title = strings.TrimSpace(out.join(v.Request.Method, " ", v.Request.URL.host, v.Request.URL.text, " ", v.httpStatus()))
		case v.API.Operation != "":
			e.Title = strings.TrimSpace(out.join(v.API.Operation, " by ", e.Actor))
		}
		e.Title = first(e.Title, v.ClassName, v.ActivityName, strings.TrimSpace(out.join(e.Type, " ", e.Actor)))
	}
	e.SetAttr("ocsf.class_name", v.ClassName)
	e.SetAttr("ocsf.activity_id", string(v.Activity))
	e.SetAttr("ocsf.activity_name", v.ActivityName)
	e.SetAttr("ocsf.version", string(v.Metadata.Version))
	e.SetAttr("ocsf.product", v.Metadata.Product.Name)
	e.SetAttr("ocsf.status", first(v.Status, string(v.StatusCode)))
	e.SetAttr("ocsf.status_detail", string(v.StatusDetail))
	e.SetAttr("source.port", string(v.Src.Port))
	e.SetAttr("destination.port", string(v.Dst.Port))
	e.SetAttr("source.domain", first(v.Src.Hostname, v.Src.Domain))
	e.SetAttr("network.transport", proto)
	e.SetAttr("network.direction", out.lower(string(v.Connection.Dir)))
	e.SetAttr("flow.packets", string(v.Traffic.Packets))
	e.SetAttr("dns.question.type", string(v.Query.Type))
	e.SetAttr("dns.response_code", string(v.RCode))
	e.SetAttr("api.operation", v.API.Operation)
	e.SetAttr("error.message", first(string(v.API.Response.Error), string(v.API.Response.Message)))
	e.SetAttr("http.request.method", v.Request.Method)
	e.SetAttr("url.full", v.Request.URL.text)
	e.SetAttr("http.response.status_code", v.httpStatus())
	e.SetAttr("user_agent.original", v.Request.Agent)
	e.SetAttr("credential.id", said(v.Actor.User.Credential, v.User.Credential))
	e.SetAttr("user.target", ifKind(who != &v.User && said(who.Name, who.UID) != "", string(v.User.Name)))
	e.SetAttr("process.command_line", first(string(v.Process.Cmdline), string(v.Actor.Process.Cmdline)))
	e.SetAttr("process.executable.name", first(string(v.Process.Name), string(v.Actor.Process.Name)))
	e.SetAttr("file.path", first(v.File.Path, v.File.Name))
	e.SetAttr("cloud.provider", out.lower(v.Cloud.Provider))
	e.SetAttr("cloud.region", v.Cloud.Region)
	e.SetAttr("cloud.account.id", first(string(v.Cloud.Account.UID), string(v.Cloud.AccountUID)))
	if v.Metadata.UID != "" { // the finding's own uid names the finding, of which there may be several events
		out.ID(e, string(v.Class), string(v.Activity), string(v.Metadata.UID), string(v.Time), string(v.TimeDT))
	}
	return nil
}

// ocsfStart reads SiLK's dates, which have slashes.
func ocsfStart(s string) string {
	if len(s) > 10 && s[4] == '/' {
		return strings.Replace(s, "/", "-", 2)
	}
	return s
}

func (v *ocsfRecord) fillFinding(e *pipeline.Event) {
	e.Title = first(v.Info.Title, v.Finding.Title)
	for i := range v.Vulns {
		w := &v.Vulns[i]
		if w.CVE.UID != "" {
			e.Vulns = append(e.Vulns, w.CVE.UID)
		}
		e.Title = first(e.Title, w.Title)
		if i == 0 && len(w.Packages) > 0 {
			p := &w.Packages[0]
			e.Purl = purlClean(p.Purl)
			e.SetAttr("package.name", p.Name)
			e.SetAttr("package.version", string(p.Version))
			e.SetAttr("fixed_version", string(p.Fixed))
		}
		if i == 0 && len(w.Code) > 0 {
			e.SetAttr("file.path", w.Code[0].File.Path)
		}
	}
	if len(e.Vulns) > 0 {
		e.Rule = e.Vulns[0]
	}
	e.Rule = first(e.Rule, v.Metadata.Code, v.Compliance.Control, v.Info.rule(), v.Finding.rule())
	if len(v.Malware) > 0 {
		e.SetAttr("malware", v.Malware[0].Name)
		e.Rule = first(e.Rule, v.Malware[0].Name)
	}
	e.Rule = first(e.Rule, e.Title, string(v.Info.UID), string(v.Finding.UID)) // a uid is another for each finding
	if e.Type == "compliance.checked" && e.Outcome == pipeline.OutcomeSuccess {
		e.Severity = pipeline.SeverityInfo // what it would be had the check failed
	}
	for i := range v.Attacks {
		if id := v.Attacks[i].Technique.UID; id != "" {
			e.Attacks = append(e.Attacks, id)
		}
	}
	if len(v.Resources) > 0 {
		r := &v.Resources[0]
		e.SetAttr("resource.name", first(string(r.Name), string(r.UID)))
		e.SetAttr("resource.type", string(r.Type))
	}
	e.SetAttr("finding.description", first(v.Info.Desc, v.Finding.Desc))
	e.SetAttr("remediation", v.Remediation.Text)
}

func (v *ocsfRecord) httpStatus() string { return first(string(v.Response.Code), string(v.HTTPStatus)) }

// outcome tells it from the record's status, which findings have another of, or from what is checked or asked for.
func (v *ocsfRecord) outcome(e *pipeline.Event) string {
	finding := e.Class >= 2000 && e.Class < 3000
	switch {
	case strings.EqualFold(v.Status, "success"), v.StatusCode == "PASS", v.StatusID == "1" && !finding:
		return pipeline.OutcomeSuccess
	case strings.EqualFold(v.Status, "failure"), v.StatusCode == "FAIL", v.StatusID == "2" && !finding:
		return pipeline.OutcomeFailure
	case e.Type == "compliance.checked":
		switch {
		case v.Compliance.StatusID == "1", strings.HasPrefix(strings.ToLower(v.Compliance.Status), "pass"):
			return pipeline.OutcomeSuccess
		case v.Compliance.StatusID == "3", strings.HasPrefix(strings.ToLower(v.Compliance.Status), "fail"):
			return pipeline.OutcomeFailure
		}
	case e.Type == "finding.corrected":
		return pipeline.OutcomeSuccess
	case e.Type == "http.request":
		return httpOutcome(v.httpStatus())
	}
	return pipeline.OutcomeUnknown
}

func (v *ocsfRecord) eventType(class int) string {
	switch class {
	case 1001:
		return "file.changed"
	case 1007:
		if v.Activity == "2" { // Terminate
			return "log"
		}
		return "process.exec"
	case 1008:
		if v.Activity == "1" || v.Activity == "5" { // Clear, Stop
			return "log.cleared"
		}
	case 2001: // of all kinds, before there were classes of them
		switch {
		case len(v.Vulns) > 0:
			return "vulnerability.found"
		case len(v.Malware) > 0:
			return "malware.detected"
		case v.Compliance.Control != "" || v.Compliance.Status != "":
			return "compliance.checked"
		}
		return "detection"
	case 2002, 2007:
		switch v.StatusID {
		case "3":
			return "finding.suppressed"
		case "4":
			return "finding.corrected"
		}
		return "vulnerability.found"
	case 2003, 5002:
		return "compliance.checked"
	case 2004, 2006, 2008:
		if v.StatusCode == "PASS" || v.StatusCode == "FAIL" || v.StatusCode == "MANUAL" { // Prowler's checks
			return "compliance.checked"
		}
		return "detection"
	case 2005:
		if v.StatusID == "4" || v.StatusID == "5" {
			return "incident.resolved"
		}
		return "incident.detected"
	case 3001, 3004, 3005, 3006, 3007:
		return "user.modified"
	case 3002:
		switch {
		case v.Activity == "2":
			return "auth.logout"
		case v.StatusID == "2" || strings.EqualFold(v.Status, "failure"):
			return "auth.failed"
		}
		return "auth.success"
	case 4001, 4014:
		return "net.flow"
	case 4002:
		return "http.request"
	case 4003:
		return "dns.query"
	case 5001, 5020, 5003:
		return "inventory.observed"
	case 6001, 6003:
		return "api.call"
	case 6005:
		return "db.statement"
	case 6007:
		if v.Activity == "1" {
			return "scan.started"
		}
		return "scan.completed"
	case 7001, 7002, 7003, 7004:
		return "finding.corrected"
	}
	return "log"
}
