package parse

import (
	"encoding/xml"
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// nessus reads reports of Nessus and Tenable's web scanner: XML of version 2 and CSV. Severity is 0 informational to 4
// critical, in CSV the word of Risk. A check for compliance is compliance.checked.
// https://static.tenable.com/documentation/nessus_v2_file_format.pdf
var nessus = Format{
	Name: "nessus", Title: "Nessus report (XML, CSV)", Phase: pipeline.PhaseOperation,
	Types: []string{"vulnerability.found", "compliance.checked", "scan.completed"},
	Known: "XML NessusClientData_v2; CSV with columns Plugin ID, Risk and Host, or Plugin Name, Severity and IP Address",
	Frame: Document,
	Match: func(s *Shape) bool {
		if strings.HasPrefix(s.Root, "NessusClientData") {
			return true
		}
		if !s.isText() {
			return false
		}
		line := s.Line()
		return (strings.Contains(line, "Risk") || strings.Contains(line, "Severity")) &&
			(strings.Contains(line, "Plugin ID") && strings.Contains(line, "Host") || strings.Contains(line, "Plugin Name") && strings.Contains(line, "IP Address")) ||
			strings.Contains(line, "asset.") && strings.Contains(line, "definition.id")
	},
	Parse: parseNessus,
}

type nessusItem struct {
	Port     string   `xml:"port,attr"`
	Service  string   `xml:"svc_name,attr"`
	Protocol string   `xml:"protocol,attr"`
	Severity string   `xml:"severity,attr"`
	ID       string   `xml:"pluginID,attr"`
	Name     string   `xml:"pluginName,attr"`
	Family   string   `xml:"pluginFamily,attr"`
	CVEs     []string `xml:"cve"`
	CWE      []string `xml:"cwe"`
	Base     string   `xml:"cvss_base_score"`
	Base3    string   `xml:"cvss3_base_score"`
	Risk     string   `xml:"risk_factor"`
	Synopsis string   `xml:"synopsis"`
	Solution string   `xml:"solution"`
	SeeAlso  string   `xml:"see_also"`
	Check    string   `xml:"compliance-check-name"`
	Result   string   `xml:"compliance-result"`
	Exploit  string   `xml:"exploit_available"`
	Text     string   `xml:",innerxml"`
}

// nessusHost is what a report says of a host.
type nessusHost struct {
	name, ip, fqdn, os string
	start, end         time.Time
	n                  counts
	items              int
}

func parseNessus(in *Input, out *Out) error {
	if in.Data[skipSpace(in.Data)] != '<' {
		return nessusCSV(in, out)
	}
	var h *nessusHost
	report, hosts := "", 0
	finish := func() {
		if h == nil {
			return
		}
		if !h.end.IsZero() || h.items == 0 {
			e := out.scanned(first(h.end, h.start), "Nessus scan of "+hostOf(first(h.fqdn, h.name))+" ended")
			h.about(e, report)
			scanTimes(e, h.start, h.end)
			h.n.set(e)
			e.Raw = ""
		}
		h = nil
	}
	err := walkXML(in, func(d *xml.Decoder, e *xml.StartElement, _ int64) error {
		switch e.Name.Local {
		case "Policy":
			return xmlSkip(d)
		case "Report":
			report = xmlAttr(e, "name")
		case "ReportHost":
			finish()
			hosts++
			h = &nessusHost{name: xmlAttr(e, "name")}
		case "tag":
			if h == nil {
				return nil
			}
			var value string
			if err := decodeXML(d, e, &value); err != nil {
				return err
			}
			h.tag(xmlAttr(e, "name"), strings.TrimSpace(value))
		case "ReportItem":
			var v nessusItem
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			if h == nil {
				h = &nessusHost{}
			}
			h.event(out, &v, report)
		}
		return nil
	})
	if err != nil {
		return err
	}
	finish()
	if hosts == 0 {
		out.clean(time.Time{}, "Nessus")
	}
	return nil
}

func (h *nessusHost) tag(name, value string) {
	switch name {
	case "host-ip":
		h.ip = value
	case "host-fqdn", "host_fqdn":
		h.fqdn = first(h.fqdn, value)
	case "operating-system":
		h.os = value
	case "HOST_START_TIMESTAMP":
		h.start = parseTime(value)
	case "HOST_END_TIMESTAMP":
		h.end = parseTime(value)
	case "HOST_START":
		h.start = first(h.start, parseTime(value))
	case "HOST_END":
		h.end = first(h.end, parseTime(value))
	}
}

func (h *nessusHost) about(e *pipeline.Event, report string) {
	e.Time = first(h.end, h.start)
	e.Host = hostOf(first(h.fqdn, h.name, h.ip))
	e.DstIP = addrOf(first(h.ip, h.name))
	e.SetAttr("host.os", oneLine(h.os, 120))
	e.SetAttr("report.name", report)
}

func (h *nessusHost) event(out *Out, v *nessusItem, report string) {
	typ := "vulnerability.found"
	if v.Check != "" || v.Result != "" {
		typ = "compliance.checked"
	}
	e := out.Event(typ)
	settleFinding(e)
	e.Rule, e.Raw = v.ID, v.Text
	e.Vulns = appendVulns(e.Vulns, v.CVEs...)
	e.Severity = nessusSeverity(v.Severity, v.Risk)
	if typ == "compliance.checked" {
		e.Rule = first(v.Check, v.ID)
		switch strings.ToUpper(v.Result) {
		case "PASSED":
			e.Outcome, e.Severity = pipeline.OutcomeSuccess, pipeline.SeverityInfo
		case "FAILED":
			e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
		}
		e.SetAttr("result", v.Result)
	}
	h.about(e, report)
	where := e.Host
	if v.Port != "" && v.Port != "0" {
		where += ":" + v.Port
		e.SetAttr("server.port", v.Port)
	}
	e.Title = first(v.Check, v.Name) + " on " + where
	e.SetAttr("network.transport", strings.ToLower(v.Protocol))
	e.SetAttr("service", v.Service)
	e.SetAttr("rule.category", v.Family)
	e.SetAttr("vulnerability.score.base", score(floatOf(first(v.Base3, v.Base))))
	e.SetAttr("cwe", strings.Join(cweIDs(v.CWE), ","))
	e.SetAttr("details", oneLine(v.Synopsis, 300))
	e.SetAttr("remediation", oneLine(v.Solution, 300))
	e.SetAttr("vulnerability.reference", oneLine(v.SeeAlso, 200))
	if v.Exploit == "true" {
		e.SetAttr("exploit_available", "true")
	}
	h.n[e.Severity]++
	h.items++
}

func nessusSeverity(number, word string) uint8 {
	switch number {
	case "0":
		return pipeline.SeverityInfo
	case "1":
		return pipeline.SeverityLow
	case "2":
		return pipeline.SeverityMedium
	case "3":
		return pipeline.SeverityHigh
	case "4":
		return pipeline.SeverityCritical
	}
	return severityWord(first(word, number))
}

// nessusCSV reads the export by columns. Rows of the same plugin, host and port differ by CVE; each is one event.
func nessusCSV(in *Input, out *Out) error {
	rows := newTable(in.Text())
	if line, _, _ := strings.Cut(in.Text(), "\n"); strings.Contains(line, ";definition.") {
		rows.r.Comma = ';' // Tenable Vulnerability Management's findings, whose columns have the names of its API
	}
	if err := rows.header(); err != nil {
		return err
	}
	if !rows.has("plugin id") && !rows.has("plugin") && !rows.has("definition.id") {
		return errors.New("CSV without a column Plugin ID or Plugin")
	}
	return rows.findings(out, "Nessus", func() bool {
		host := rows.get("host", "ip address", "dns name", "asset name", "asset.display_fqdn", "asset.host_name", "asset.name", "asset.display_ipv4_address")
		if host == "" && rows.get("plugin id", "plugin", "definition.id") == "" {
			return false
		}
		h := nessusHost{name: host, ip: rows.get("ip address", "asset.display_ipv4_address"), fqdn: rows.get("dns name", "fqdn", "asset.display_fqdn")}
		risk := rows.get("risk", "severity", "risk factor")
		v := nessusItem{
			ID: rows.get("plugin id", "plugin", "definition.id"), Name: rows.get("name", "plugin name", "definition.name"), Protocol: rows.get("protocol"), Port: rows.get("port"), Severity: risk, Risk: risk,
			Base:  rows.get("cvss", "cvss v2.0 base score", "cvss base score", "cvss v2 base score", "definition.cvss2.base_score"),
			Base3: rows.get("cvssv3", "cvss v3.0 base score", "cvss v3 base score", "definition.cvss3.base_score"), Synopsis: rows.get("synopsis", "definition.synopsis"),
			Solution: rows.get("solution", "steps to remediate", "definition.solution"), SeeAlso: rows.get("see also", "definition.see_also"), Family: rows.get("plugin family", "family", "definition.family"), Text: rows.raw(),
			Exploit: strings.Replace(rows.get("exploit?"), "Yes", "true", 1),
		}
		v.CVEs = strings.FieldsFunc(rows.get("cve", "definition.cve"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })
		h.event(out, &v, "")
		return true
	})
}
