package parse

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// nikto reads Nikto's reports: JSON (an object a host, or an array of them), XML and CSV. It has no severity.
// https://github.com/sullo/nikto/wiki/Export-Formats
var nikto = Format{
	Name: "nikto", Title: "Nikto report (JSON, XML, CSV)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "scan.completed"},
	Known: "JSON with host, banner and vulnerabilities; XML niktoscan; CSV that begins with \"Nikto - v\"",
	Frame: Reports,
	Match: func(s *Shape) bool {
		return s.Has("host", "vulnerabilities") && (s.Has("banner") || s.Has("port")) || s.Root == "niktoscan" || s.Root == "niktoscans" ||
			s.Begins(`"Nikto - v`)
	},
	Parse: parseNikto,
}

type niktoHost struct {
	Host, IP, Port, Banner Text
	Vulnerabilities        []part[niktoItem]
}

type niktoItem struct {
	ID         Text   `json:"id" xml:"id,attr"`
	OSVDB      Text   `json:"OSVDB" xml:"osvdbid,attr"`
	Method     Text   `json:"method" xml:"method,attr"`
	URL        Text   `json:"url" xml:"uri"`
	Msg        Text   `json:"msg" xml:"description"`
	References Text   `json:"references" xml:"references"`
	Text       string `json:"-" xml:",innerxml"`
}

func parseNikto(in *Input, out *Out) error {
	switch {
	case isJSON(in.Data):
		return niktoJSON(in, out)
	case in.Data[skipSpace(in.Data)] == '<':
		return niktoXML(in, out)
	}
	return niktoCSV(in, out)
}

func niktoJSON(in *Input, out *Out) error {
	hosts := make([]niktoHost, 1)
	if in.Data[0] == '[' {
		if err := decodeFold(in.Data, &hosts); err != nil {
			return err
		}
	} else if err := decodeFold(in.Data, &hosts[0]); err != nil {
		return err
	}
	for i := range hosts {
		h := &hosts[i]
		for j := range h.Vulnerabilities {
			h.event(out, &h.Vulnerabilities[j].Value).Raw = h.Vulnerabilities[j].Raw
		}
		if len(h.Vulnerabilities) == 0 {
			out.clean(time.Time{}, "nikto").Host = strings.ToLower(string(h.Host))
		}
	}
	if len(hosts) == 0 {
		out.clean(time.Time{}, "nikto")
	}
	return nil
}

func niktoXML(in *Input, out *Out) error {
	var h niktoHost
	var start, end time.Time
	found := 0
	err := walkXML(in, func(d *xml.Decoder, e *xml.StartElement, _ int64) error {
		switch e.Name.Local {
		case "scandetails":
			h = niktoHost{Host: Text(xmlAttr(e, "targethostname")), IP: Text(xmlAttr(e, "targetip")), Port: Text(xmlAttr(e, "targetport")), Banner: Text(xmlAttr(e, "targetbanner"))}
			start = parseTime(xmlAttr(e, "starttime"))
		case "item":
			var item niktoItem
			if err := decodeXML(d, e, &item); err != nil {
				return err
			}
			ev := h.event(out, &item)
			ev.Raw, ev.Time = item.Text, start
			found++
		case "statistics":
			end = parseTime(xmlAttr(e, "endtime"))
			s := out.scanned(first(end, start), "nikto found "+strconv.Itoa(found)+" items on "+string(h.Host))
			s.Host = strings.ToLower(string(h.Host))
			scanTimes(s, start, end)
			s.SetAttr("count.total", strconv.Itoa(found))
		}
		return nil
	})
	if err == nil && found == 0 && end.IsZero() {
		out.clean(start, "nikto")
	}
	return err
}

func niktoCSV(in *Input, out *Out) error {
	r := csv.NewReader(strings.NewReader(in.Text()))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	found := 0
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return errors.New("not well-formed CSV")
		}
		if len(row) < 7 || row[3] == "" && row[6] == "" { // title and banner
			continue
		}
		h := niktoHost{Host: Text(row[0]), IP: Text(row[1]), Port: Text(row[2])}
		h.event(out, &niktoItem{OSVDB: Text(row[3]), Method: Text(row[4]), URL: Text(row[5]), Msg: Text(row[6])}).Raw = strings.Join(row, ",")
		found++
	}
	if found == 0 {
		out.clean(time.Time{}, "nikto")
	}
	return nil
}

func (h *niktoHost) event(out *Out, v *niktoItem) *pipeline.Event {
	e := out.Event("vulnerability.found")
	settleFinding(e)
	e.Rule, e.Host, e.DstDomain, e.DstIP = string(v.ID), strings.ToLower(string(h.Host)), strings.ToLower(string(h.Host)), addrOf(string(h.IP))
	if v.OSVDB != "" && v.OSVDB != "0" {
		e.Vulns = appendVulns(e.Vulns, prefixed("OSVDB-", string(v.OSVDB)))
		e.Rule = first(e.Rule, e.Vulns[0])
	}
	e.Title = string(h.Host) + string(v.URL) + ": " + oneLine(strings.TrimPrefix(string(v.Msg), string(v.URL)+": "), 200)
	if _, rest, ok := strings.Cut(string(v.Msg), "PW '"); ok { // "Default account found ... (ID 'admin', PW '...')"
		secret, _, _ := strings.Cut(rest, "'")
		e.SetAttr("credential", out.Secret(secret))
	}
	e.SetAttr("url.path", string(v.URL))
	e.SetAttr("http.request.method", string(v.Method))
	e.SetAttr("server.port", string(h.Port))
	e.SetAttr("vulnerability.reference", string(v.References))
	return e
}
