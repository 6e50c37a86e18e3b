package parse

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// openvas reads reports of OpenVAS and Greenbone, XML and CSV. The threat is a word, whose Log is informational; without it
// the CVSS score tells.
// https://docs.greenbone.net/API/GMP/gmp-22.5.html#type_report
var openvas = Format{
	Name: "openvas", Title: "OpenVAS report (XML, CSV)", Phase: pipeline.PhaseOperation,
	Types: []string{"vulnerability.found", "finding.suppressed", "scan.completed"},
	Known: "XML report with results of nvt; CSV with columns NVT Name or NVT OID and IP",
	Frame: Document,
	Match: func(s *Shape) bool {
		switch s.Root {
		case "report", "get_reports_response", "results", "get_results_response":
			text := alias(s.Data())
			return strings.Contains(text, "<nvt oid=") || strings.Contains(text, "<scan_run_status>") || strings.Contains(text[:min(len(text), 4096)], "<gmp>") ||
				strings.Contains(text[:min(len(text), 4096)], "<omp>")
		}
		return s.Root == "" && !s.IsObject() && strings.Contains(s.Line(), "NVT Name") && strings.Contains(s.Line(), "IP")
	},
	Parse: parseOpenVAS,
}

type openvasResult struct {
	ID          string      `xml:"id,attr"`
	Name        string      `xml:"name"`
	Created     string      `xml:"creation_time"`
	Modified    string      `xml:"modification_time"`
	Host        openvasHost `xml:"host"`
	Port        string      `xml:"port"`
	Threat      string      `xml:"threat"`
	Severity    string      `xml:"severity"`
	QoD         string      `xml:"qod>value"`
	Description string      `xml:"description"`
	NVT         struct {
		OID      string `xml:"oid,attr"`
		Name     string `xml:"name"`
		Family   string `xml:"family"`
		Base     string `xml:"cvss_base"`
		CVE      string `xml:"cve"`
		Solution string `xml:"solution"`
		Refs     []struct {
			Type string `xml:"type,attr"`
			ID   string `xml:"id,attr"`
		} `xml:"refs>ref"`
	} `xml:"nvt"`
	Text string `xml:",innerxml"`
}

type openvasHost struct {
	Addr string `xml:",chardata"`
	Name string `xml:"hostname"`
}

// openvasReport is what a report says of its run.
type openvasReport struct {
	id, task   string
	start, end time.Time
	n          counts
	results    int
}

func parseOpenVAS(in *Input, out *Out) error {
	if in.Data[skipSpace(in.Data)] != '<' {
		return openvasCSV(in, out)
	}
	var r openvasReport
	err := walkXML(in, func(d *xml.Decoder, e *xml.StartElement, _ int64) error {
		switch e.Name.Local {
		case "report":
			r.id = first(xmlAttr(e, "id"), r.id)
		case "task":
			var v struct {
				Name string `xml:"name"`
			}
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			r.task = first(r.task, v.Name)
		case "scan_start", "scan_end":
			var text string
			if err := decodeXML(d, e, &text); err != nil {
				return err
			}
			if e.Name.Local == "scan_start" {
				r.start = parseTime(text)
			} else {
				r.end = parseTime(text)
			}
		case "ports", "filters", "report_format", "hosts", "severity_class", "errors":
			return xmlSkip(d)
		case "result":
			var v openvasResult
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			r.event(out, &v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if r.results == 0 || !r.end.IsZero() || !r.start.IsZero() {
		e := out.scanned(first(r.end, r.start), "OpenVAS found "+strconv.Itoa(r.results)+" results")
		e.Run = r.id
		e.SetAttr("task", r.task)
		scanTimes(e, r.start, r.end)
		r.n.set(e)
	}
	return nil
}

func (r *openvasReport) event(out *Out, v *openvasResult) {
	e := out.Event("vulnerability.found")
	severity := openvasSeverity(v.Threat, floatOf(first(v.Severity, v.NVT.Base)))
	if strings.EqualFold(v.Threat, "False Positive") || floatOf(v.Severity) < 0 {
		e.Type, e.Class = "finding.suppressed", kinds["finding.suppressed"].class
	}
	settleFinding(e)
	r.results++
	r.n[severity]++
	e.Severity, e.Rule, e.Run, e.Raw = severity, v.NVT.OID, r.id, v.Text
	for _, ref := range v.NVT.Refs {
		if strings.EqualFold(ref.Type, "cve") {
			e.Vulns = appendVulns(e.Vulns, ref.ID)
		} else if strings.EqualFold(ref.Type, "url") {
			e.SetAttr("vulnerability.reference", first(e.Attr("vulnerability.reference"), ref.ID))
		}
	}
	if v.NVT.CVE != "NOCVE" {
		e.Vulns = appendVulns(e.Vulns, strings.FieldsFunc(v.NVT.CVE, func(c rune) bool { return c == ',' || c == ' ' })...)
	}
	e.Time = first(parseTime(v.Created), parseTime(v.Modified), r.end, r.start)
	addr := strings.TrimSpace(v.Host.Addr)
	e.Host, e.DstIP = strings.ToLower(first(strings.TrimSpace(v.Host.Name), addr)), addrOf(addr)
	port, transport, _ := strings.Cut(strings.TrimSpace(v.Port), "/")
	e.Title = first(v.NVT.Name, v.Name) + " on " + e.Host
	if atoi(port) > 0 {
		e.Title += ":" + port
		e.SetAttr("server.port", port)
	}
	e.SetAttr("network.transport", transport)
	e.SetAttr("vulnerability.score.base", score(floatOf(first(v.Severity, v.NVT.Base))))
	e.SetAttr("qod", v.QoD)
	e.SetAttr("rule.category", v.NVT.Family)
	e.SetAttr("result.id", v.ID)
	e.SetAttr("task", r.task)
	e.SetAttr("remediation", oneLine(v.NVT.Solution, 300))
}

func openvasSeverity(threat string, cvss float64) uint8 {
	switch strings.ToLower(strings.TrimSpace(threat)) {
	case "log", "debug", "none":
		return pipeline.SeverityInfo
	case "error", "alarm": // a test that failed says nothing of a weakness
		return pipeline.SeverityUnknown
	}
	s := severityWord(threat)
	if s == pipeline.SeverityUnknown {
		return severityCVSS(cvss)
	}
	return s
}

func openvasCSV(in *Input, out *Out) error {
	rows := newTable(in.Text())
	if err := rows.header(); err != nil {
		return err
	}
	if !rows.has("nvt name") {
		return errors.New("CSV without a column NVT Name")
	}
	var r openvasReport
	return rows.findings(out, "OpenVAS", func() bool {
		if rows.get("nvt name") == "" && rows.get("ip") == "" {
			return false
		}
		v := openvasResult{ID: rows.get("result id"), Created: rows.get("timestamp"), Threat: rows.get("severity"), Severity: rows.get("cvss"), QoD: rows.get("qod"), Text: rows.raw()}
		v.Host = openvasHost{Addr: rows.get("ip"), Name: rows.get("hostname")}
		v.Port = rows.get("port") + "/" + rows.get("port protocol")
		v.NVT.OID, v.NVT.Name, v.NVT.CVE, v.NVT.Solution = rows.get("nvt oid"), rows.get("nvt name"), rows.get("cves"), rows.get("solution")
		r.task = rows.get("task name")
		r.event(out, &v)
		return true
	})
}
