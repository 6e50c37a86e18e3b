package parse

import (
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// zap reads the reports of ZAP, traditional and with requests, as JSON and XML. An alert of a site is one event, however
// many instances it has; the API's list of alerts has one for each instance. Risk 0 to 3 is informational, low, medium,
// high; confidence 0 is a false positive.
// https://www.zaproxy.org/docs/desktop/addons/report-generation/report-traditional-json/
var zap = Format{
	Name: "zap", Title: "ZAP report (JSON, XML)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "finding.suppressed", "scan.completed"},
	Known: "JSON object with site, whose members have @name and alerts, or with alerts of a pluginId; XML OWASPZAPReport",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if s.Root == "OWASPZAPReport" || s.Root == "report" && strings.Contains(alias(s.Data()[:min(len(s.Data()), 2048)]), "<alertitem") {
			return true
		}
		if s.Array {
			return s.Has("@name", "alerts")
		}
		if alert := firstMember(s.Raw("alerts")); member(alert, "pluginId") != nil && member(alert, "risk") != nil {
			return true
		}
		site := s.Raw("site")
		if len(site) > 0 && site[0] == '[' {
			list := site
			if site = firstMember(list); site == nil {
				return s.Has("@programName") || s.Has("@generated") || s.Has("@version")
			}
		}
		return member(site, "alerts") != nil && (member(site, "@name") != nil || member(site, "@host") != nil)
	},
	Parse: parseZAP,
}

// zapAlert is an alert in either encoding. JSON has its numbers as strings.
type zapAlert struct {
	PluginID   Text `xml:"pluginid" json:"pluginid"`
	Ref        Text `xml:"alertRef" json:"alertRef"`
	Alert      Text `xml:"alert" json:"alert"`
	Name       Text `xml:"name" json:"name"`
	Risk       Text `xml:"riskcode" json:"riskcode"`
	Confidence Text `xml:"confidence" json:"confidence"`
	RiskDesc   Text `xml:"riskdesc" json:"riskdesc"`
	Solution   Text `xml:"solution" json:"solution"`
	Reference  Text `xml:"reference" json:"reference"`
	CWE        Text `xml:"cweid" json:"cweid"`
	WASC       Text `xml:"wascid" json:"wascid"`
	Count      Text `xml:"count" json:"count"`
	URI        Text `xml:"uri" json:"uri"` // before instances
	Instances  []struct {
		URI    Text `xml:"uri" json:"uri"`
		Method Text `xml:"method" json:"method"`
		Param  Text `xml:"param" json:"param"`
		Attack Text `xml:"attack" json:"attack"`
	} `xml:"instances>instance" json:"instances"`
	Text string `xml:",innerxml" json:"-"`

	// Of the API's list.
	RiskWord Text `xml:"-" json:"risk"`
	URL      Text `xml:"-" json:"url"`
	Method   Text `xml:"-" json:"method"`
	Param    Text `xml:"-" json:"param"`
	Attack   Text `xml:"-" json:"attack"`
}

type zapSite struct {
	Name    Text             `json:"@name"`
	Host    Text             `json:"@host"`
	Port    Text             `json:"@port"`
	Alerts  []part[zapAlert] `json:"alerts"`
	version string
	at      time.Time
}

type zapSites []zapSite

// UnmarshalJSON implements json.Unmarshaler: a single site is no array in some versions.
func (z *zapSites) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return decodeFold(b, (*[]zapSite)(z))
	}
	*z = make(zapSites, 1)
	return decodeFold(b, &(*z)[0])
}

func parseZAP(in *Input, out *Out) error {
	found := 0
	var at time.Time
	version := ""
	if !isJSON(in.Data) {
		var err error
		if found, at, version, err = zapXML(in, out); err != nil {
			return err
		}
	} else {
		var v struct {
			Version   Text      `json:"@version"`
			Generated Text      `json:"@generated"`
			Created   Text      `json:"created"`
			Sites     *zapSites `json:"site"`

			Alerts []part[zapAlert] `json:"alerts"`
		}
		if in.Data[0] == '[' {
			v.Sites = new(zapSites)
			if err := v.Sites.UnmarshalJSON(in.Data); err != nil {
				return err
			}
		} else if err := decode(in.Data, &v); err != nil {
			return err
		}
		if v.Alerts != nil {
			v.Sites = &zapSites{{Alerts: v.Alerts}}
		}
		if v.Sites == nil {
			return errors.New("ZAP report without site")
		}
		at, version = first(parseTime(string(v.Created)), zapTime(string(v.Generated))), string(v.Version)
		for i := range *v.Sites {
			s := &(*v.Sites)[i]
			s.at, s.version = at, version
			for j := range s.Alerts {
				s.alert(out, &s.Alerts[j].Value).Raw = s.Alerts[j].Raw
				found++
			}
		}
	}
	if found == 0 {
		out.clean(at, "ZAP").SetAttr("tool.version", version)
	}
	return nil
}

func zapXML(in *Input, out *Out) (found int, at time.Time, version string, err error) {
	var site zapSite
	known := false
	err = walkXML(in, func(d *xml.Decoder, e *xml.StartElement, _ int64) error {
		switch e.Name.Local {
		case "OWASPZAPReport", "report":
			known = true
			at, version = zapTime(xmlAttr(e, "generated")), xmlAttr(e, "version")
		case "generated": // before 2.6 an element
			var text string
			if err := decodeXML(d, e, &text); err != nil {
				return err
			}
			at = first(at, zapTime(text))
		case "site":
			site = zapSite{Name: Text(xmlAttr(e, "name")), Host: Text(xmlAttr(e, "host")), Port: Text(xmlAttr(e, "port")), at: at, version: version}
		case "alertitem":
			var a zapAlert
			if err := decodeXML(d, e, &a); err != nil {
				return err
			}
			site.alert(out, &a).Raw = a.Text
			found++
		}
		if !known {
			return errors.New("no report of ZAP: the root element is not OWASPZAPReport")
		}
		return nil
	})
	return found, at, version, err
}

// zapTime reads when a report was made: "Fri, 30 Sep 2022 08:40:35", in the language of the machine.
func zapTime(s string) time.Time {
	s = strings.TrimSpace(s)
	if t := parseTime(s); !t.IsZero() {
		return t
	}
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05", "Mon, 02 Jan 2006 15:04:05", "Mon., 2 Jan. 2006 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func (s *zapSite) alert(out *Out, a *zapAlert) *pipeline.Event {
	e := out.Event("vulnerability.found")
	if a.Confidence == "0" || a.Confidence == "False Positive" {
		e.Type, e.Class = "finding.suppressed", kinds["finding.suppressed"].class
	}
	settleFinding(e)
	e.Time, e.Rule = s.at, string(first(a.PluginID, a.Ref))
	e.Severity = zapSeverity(string(a.Risk), string(first(a.RiskDesc, a.RiskWord)))
	e.DstDomain = first(strings.ToLower(string(s.Host)), hostOf(string(first(s.Name, a.URL))))
	e.Host = e.DstDomain
	title := string(first(a.Name, a.Alert))
	uri, n := string(a.URI), max(len(a.Instances), atoi(string(a.Count)))
	if a.URL != "" {
		uri, n = string(a.URL), 1
	}
	e.SetAttr("http.request.method", string(a.Method))
	e.SetAttr("parameter", string(a.Param))
	e.SetAttr("attack", string(a.Attack))
	if len(a.Instances) > 0 {
		i := &a.Instances[0]
		uri = string(i.URI)
		e.SetAttr("http.request.method", string(i.Method))
		e.SetAttr("parameter", string(i.Param))
		e.SetAttr("attack", string(i.Attack))
	}
	e.Title = oneLine(title, 160) + " at " + first(string(s.Name), uri)
	e.SetAttr("url.full", uri)
	e.SetAttr("server.port", string(s.Port))
	e.SetAttr("instances", strconv.Itoa(n))
	e.SetAttr("confidence", zapConfidence(string(a.Confidence)))
	e.SetAttr("cwe", cweOf(string(a.CWE)))
	if id := string(a.WASC); id != "" && id != "0" && id != "-1" {
		e.SetAttr("wasc", "WASC-"+id)
	}
	e.SetAttr("alert.ref", string(a.Ref))
	e.SetAttr("remediation", oneLine(stripTags(string(a.Solution)), 500))
	e.SetAttr("vulnerability.reference", oneLine(stripTags(string(a.Reference)), 300))
	e.SetAttr("tool.version", s.version)
	return e
}

func zapSeverity(code, desc string) uint8 {
	switch strings.TrimSpace(code) {
	case "0":
		return pipeline.SeverityInfo
	case "1":
		return pipeline.SeverityLow
	case "2":
		return pipeline.SeverityMedium
	case "3":
		return pipeline.SeverityHigh
	}
	word, _, _ := strings.Cut(desc, " ")
	return severityWord(word)
}

func zapConfidence(code string) string {
	switch code {
	case "0":
		return "false positive"
	case "1":
		return "low"
	case "2":
		return "medium"
	case "3":
		return "high"
	case "4":
		return "confirmed"
	}
	return strings.ToLower(code) // the API's word
}

// stripTags takes the markup out of HTML texts.
func stripTags(s string) string {
	if !strings.Contains(s, "<") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		end := strings.IndexByte(s[i:], '>')
		if end < 0 {
			s = ""
			break
		}
		if tag := s[i : i+end+1]; strings.HasPrefix(tag, "</p") || strings.HasPrefix(tag, "<br") {
			b.WriteByte('\n')
		}
		s = s[i+end+1:]
	}
	b.WriteString(s)
	return strings.TrimSpace(b.String())
}
