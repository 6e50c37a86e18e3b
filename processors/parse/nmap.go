package parse

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// nmap reads Nmap's XML: a host that is up is inventory, an open port is something that listens, a vulnerability that a
// script found is a finding. A host that is down is counted only.
// https://nmap.org/book/nmap-dtd.html
var nmap = Format{
	Name: "nmap", Title: "Nmap (XML)", Phase: pipeline.PhaseOperation,
	Types: []string{"net.listen", "inventory.observed", "vulnerability.found", "scan.completed"},
	Known: "XML nmaprun",
	Frame: Document,
	Match: func(s *Shape) bool { return s.Root == "nmaprun" },
	Parse: parseNmap,
}

type nmapHost struct {
	Start  string `xml:"starttime,attr"`
	End    string `xml:"endtime,attr"`
	Status struct {
		State string `xml:"state,attr"`
	} `xml:"status"`
	Addresses []struct {
		Addr   string `xml:"addr,attr"`
		Type   string `xml:"addrtype,attr"`
		Vendor string `xml:"vendor,attr"`
	} `xml:"address"`
	Names []struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	} `xml:"hostnames>hostname"`
	Ports   []nmapPort   `xml:"ports>port"`
	Scripts []nmapScript `xml:"hostscript>script"`
	OS      []struct {
		Name string `xml:"name,attr"`
	} `xml:"os>osmatch"`
}

type nmapPort struct {
	Protocol string `xml:"protocol,attr"`
	ID       string `xml:"portid,attr"`
	State    struct {
		State string `xml:"state,attr"`
	} `xml:"state"`
	Service struct {
		Name    string `xml:"name,attr"`
		Product string `xml:"product,attr"`
		Version string `xml:"version,attr"`
		Tunnel  string `xml:"tunnel,attr"`
	} `xml:"service"`
	Scripts []nmapScript `xml:"script"`
	Text    string       `xml:",innerxml"`
}

type nmapScript struct {
	ID     string      `xml:"id,attr"`
	Output string      `xml:"output,attr"`
	Tables []nmapTable `xml:"table"`
}

type nmapTable struct {
	Key   string `xml:"key,attr"`
	Elems []struct {
		Key   string `xml:"key,attr"`
		Value string `xml:",chardata"`
	} `xml:"elem"`
	Tables []nmapTable `xml:"table"`
}

func (t *nmapTable) elem(key string) string {
	for i := range t.Elems {
		if t.Elems[i].Key == key {
			return strings.TrimSpace(t.Elems[i].Value)
		}
	}
	return ""
}

func parseNmap(in *Input, out *Out) error {
	var start, end time.Time
	up, down, open, finished, known := 0, 0, 0, false, false
	args, version, summary := "", "", ""
	err := walkXML(in, func(d *xml.Decoder, e *xml.StartElement, at int64) error {
		switch e.Name.Local {
		case "nmaprun":
			known = true
			start, args, version = parseTime(xmlAttr(e, "start")), xmlAttr(e, "args"), xmlAttr(e, "version")
		case "host":
			var h nmapHost
			if err := decodeXML(d, e, &h); err != nil {
				return err
			}
			if h.Status.State == "down" {
				return nil
			}
			open += h.read(out, start, xmlText(in.Data, d, at))
		case "finished":
			finished, end, summary = true, parseTime(xmlAttr(e, "time")), xmlAttr(e, "summary")
		case "hosts":
			up, down = atoi(xmlAttr(e, "up")), atoi(xmlAttr(e, "down"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !known {
		return errors.New("no report of nmap: the root element is not nmaprun")
	}
	if finished || len(out.named) == 0 {
		e := out.scanned(first(end, start), first(summary, "Nmap done"))
		e.Raw = ""
		scanTimes(e, start, end)
		e.SetAttr("hosts.up", strconv.Itoa(up))
		e.SetAttr("hosts.down", strconv.Itoa(down))
		e.SetAttr("ports.open", strconv.Itoa(open))
		e.SetAttr("process.command_line", args)
		e.SetAttr("tool.version", version)
	}
	return nil
}

// read gives the events of a host and returns how many ports are open.
func (h *nmapHost) read(out *Out, start time.Time, raw string) int {
	at := first(parseTime(h.End), parseTime(h.Start), start)
	addr, mac, vendor := "", "", ""
	for _, a := range h.Addresses {
		if a.Type == "mac" {
			mac, vendor = a.Addr, a.Vendor
		} else {
			addr = first(addr, a.Addr)
		}
	}
	name := addr
	if len(h.Names) > 0 {
		name = first(strings.ToLower(h.Names[0].Name), addr)
	}
	about := func(e *pipeline.Event) {
		e.Time, e.Host, e.DstIP = at, name, addrOf(addr)
	}
	e := out.Event("inventory.observed")
	about(e)
	e.Severity, e.Title, e.Raw = pipeline.SeverityInfo, "host "+name+" is up", raw
	e.SetAttr("inventory.kind", "host")
	e.SetAttr("host.mac", mac)
	e.SetAttr("host.vendor", vendor)
	if len(h.OS) > 0 {
		e.SetAttr("host.os", h.OS[0].Name)
	}
	open := 0
	for i := range h.Ports {
		p := &h.Ports[i]
		if p.State.State != "open" {
			continue
		}
		open++
		p.event(out, about, name)
		for j := range p.Scripts {
			p.Scripts[j].vulnerabilities(out, about, name, p)
		}
	}
	for i := range h.Scripts {
		h.Scripts[i].vulnerabilities(out, about, name, nil)
	}
	return open
}

func (p *nmapPort) event(out *Out, about func(*pipeline.Event), host string) {
	e := out.Event("net.listen")
	about(e)
	e.Severity, e.Raw = pipeline.SeverityInfo, p.Text
	service := first(strings.TrimSpace(p.Service.Product+" "+p.Service.Version), p.Service.Name)
	e.Title = host + " listens on " + p.ID + "/" + p.Protocol
	if service != "" {
		e.Title += ": " + service
	}
	e.SetAttr("server.port", p.ID)
	e.SetAttr("network.transport", p.Protocol)
	e.SetAttr("service", p.Service.Name)
	e.SetAttr("service.product", p.Service.Product)
	e.SetAttr("service.version", p.Service.Version)
	e.SetAttr("service.tunnel", p.Service.Tunnel)
	e.SetAttr("port.state", p.State.State)
}

// vulnerabilities gives what the scripts vulners and those of the library vulns found.
func (s *nmapScript) vulnerabilities(out *Out, about func(*pipeline.Event), host string, p *nmapPort) {
	found := func(id, title string, severity uint8, cvss float64) {
		e := out.Event("vulnerability.found")
		settleFinding(e)
		about(e)
		e.Severity, e.Rule, e.Raw = severity, s.ID, ""
		if isVulnID(id) {
			e.Vulns = appendVulns(e.Vulns, id)
		}
		e.Title = first(id, s.ID) + " on " + host
		if p != nil {
			e.Title += ":" + p.ID
			e.SetAttr("server.port", p.ID)
			e.SetAttr("network.transport", p.Protocol)
			e.SetAttr("service.product", strings.TrimSpace(p.Service.Product+" "+p.Service.Version))
		}
		if title != "" {
			e.Title += ": " + oneLine(title, 120)
		}
		e.SetAttr("vulnerability.score.base", score(cvss))
		e.SetAttr("vulnerability.id", id)
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		if s.ID == "vulners" {
			for j := range t.Tables {
				v := &t.Tables[j]
				cvss := floatOf(v.elem("cvss"))
				if id := v.elem("id"); id != "" && (v.elem("type") == "cve" || isVulnID(id)) {
					found(id, "", severityCVSS(cvss), cvss)
				}
			}
			continue
		}
		if state := t.elem("state"); strings.HasPrefix(state, "VULNERABLE") || strings.HasPrefix(state, "LIKELY VULNERABLE") {
			id := t.Key
			for j := range t.Tables {
				if t.Tables[j].Key == "ids" && len(t.Tables[j].Elems) > 0 {
					id = strings.TrimPrefix(strings.TrimSpace(t.Tables[j].Elems[0].Value), "CVE:")
				}
			}
			found(id, t.elem("title"), pipeline.SeverityHigh, 0)
		}
	}
}
