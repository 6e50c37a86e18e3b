package parse

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// pandoraAgent reads the data files of Pandora FMS agents and satellites: one heartbeat for the agent, one metric for each
// module's datum, its severity by the thresholds that the file carries. A *_proc module is 1 while all is well.
// https://pandorafms.com/manual/!current/en/documentation/pandorafms/technical_annexes/01_agent_xml_format
var pandoraAgent = Format{
	Name: "pandora-agent-xml", Title: "Pandora FMS agent data (XML)", Phase: pipeline.PhaseMonitoring,
	Types: []string{"metric", "heartbeat", "inventory.observed", "log"},
	Known: "XML with root agent_data",
	Frame: Document,
	Match: func(s *Shape) bool { return s.Root == "agent_data" },
	Parse: parsePandoraAgent,
}

type pandoraModule struct {
	Name        string `xml:"name"`
	Description string `xml:"description"`
	Type        string `xml:"type"`
	Data        string `xml:"data"`
	List        []struct {
		Value     string `xml:"value"`
		Timestamp string `xml:"timestamp"`
	} `xml:"datalist>data"`
	Timestamp       string `xml:"timestamp"`
	Unit            string `xml:"unit"`
	Group           string `xml:"module_group"`
	Tags            string `xml:"tags"`
	Status          string `xml:"status"`
	MinWarning      string `xml:"min_warning"`
	MaxWarning      string `xml:"max_warning"`
	StrWarning      string `xml:"str_warning"`
	WarningInverse  string `xml:"warning_inverse"`
	MinCritical     string `xml:"min_critical"`
	MaxCritical     string `xml:"max_critical"`
	StrCritical     string `xml:"str_critical"`
	CriticalInverse string `xml:"critical_inverse"`
}

type pandoraInventory struct {
	Modules []struct {
		Name string   `xml:"name"`
		Type string   `xml:"type"`
		Data []string `xml:"datalist>data"`
		One  string   `xml:"data"`
	} `xml:"inventory_module"`
}

type pandoraLog struct {
	Source string `xml:"source"`
	Data   string `xml:"data"`
}

// pandoraFields are what users note of an agent.
type pandoraFields struct {
	Fields []struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
	} `xml:"field"`
}

// pandoraFile is what the root element says of the agent.
type pandoraFile struct {
	host, address string
	time          time.Time
	heartbeat     int // its event, among those of the file
}

func parsePandoraAgent(in *Input, out *Out) error {
	x := newXML(in.Data)
	var file *pandoraFile
	raw := func(from int64) string { // of the element that begins there and has been read
		if to := x.InputOffset(); isUTF8XML(in.Data) && int(to) <= len(in.Data) {
			return strings.TrimSpace(alias(in.Data[from:to]))
		}
		return in.Text()
	}
	for {
		from := x.InputOffset()
		t, err := x.Token()
		if errors.Is(err, io.EOF) {
			if file == nil {
				return errors.New("pandora: no element agent_data")
			}
			return nil
		}
		if err != nil {
			return xmlError(err)
		}
		start, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		switch name := start.Name.Local; {
		case name == "agent_data":
			if file, err = pandoraHeartbeat(&start, out, raw(from)); err != nil {
				return err
			}
		case file == nil:
			return errors.New("pandora: the root element is not agent_data")
		case name == "module":
			var m pandoraModule
			if err := x.DecodeElement(&m, &start); err != nil {
				return xmlError(err)
			}
			if strings.TrimSpace(m.Name) == "" {
				return errors.New("pandora: a module has no name")
			}
			m.events(out, file, raw(from))
		case name == "inventory":
			var v pandoraInventory
			if err := x.DecodeElement(&v, &start); err != nil {
				return xmlError(err)
			}
			v.events(out, file, raw(from))
		case name == "custom_fields":
			var v pandoraFields
			if err := x.DecodeElement(&v, &start); err != nil {
				return xmlError(err)
			}
			for _, field := range v.Fields {
				out.events()[file.heartbeat].SetAttr("infra_kind", pandoraInfra(field.Name, field.Value)) // people know better than the inventory
			}
		case name == "log_module":
			var l pandoraLog
			if err := x.DecodeElement(&l, &start); err != nil {
				return xmlError(err)
			}
			e := file.event(out, "log", raw(from))
			e.Title, e.Service = strings.TrimSpace(l.Data), strings.TrimSpace(l.Source)
		}
	}
}

// isUTF8XML reports whether offsets of the decoder are offsets of the document: agents before version 7 write ISO-8859-1.
func isUTF8XML(b []byte) bool {
	head, _, _ := bytes.Cut(b[:min(len(b), 200)], []byte("?>"))
	head = bytes.ToLower(head)
	return !bytes.Contains(head, []byte("encoding")) || bytes.Contains(head, []byte("utf-8"))
}

func (f *pandoraFile) event(out *Out, typ, raw string) *pipeline.Event {
	e := out.Event(typ)
	e.Host, e.SrcIP, e.Raw, e.Severity = f.host, addrOf(f.address), raw, pipeline.SeverityInfo
	if !f.time.IsZero() {
		e.Time = f.time
	}
	return e
}

func pandoraHeartbeat(root *xml.StartElement, out *Out, raw string) (*pandoraFile, error) {
	name := strings.TrimSpace(xmlAttr(root, "agent_name"))
	if name == "" {
		return nil, errors.New("pandora: agent_data has no agent_name")
	}
	address, _, _ := strings.Cut(xmlAttr(root, "address"), ",")
	f := &pandoraFile{host: strings.ToLower(name), address: address, heartbeat: len(out.events())}
	if f.time = parseTime(xmlAttr(root, "timestamp")); !f.time.IsZero() { // "AUTO" asks the server to take its own clock
		hours, _ := strconv.ParseFloat(xmlAttr(root, "timezone_offset"), 64)
		if math.Abs(hours) <= 24 {
			f.time = f.time.Add(time.Duration(hours * float64(time.Hour)))
		}
	}
	e := f.event(out, "heartbeat", strings.TrimSpace(raw))
	e.Outcome = pipeline.OutcomeSuccess
	e.Title = "agent " + name + " is alive"
	if alias := xmlAttr(root, "agent_alias"); alias != "" && alias != name {
		e.SetAttr("pandora.agent_alias", alias)
	}
	e.SetAttr("pandora.agent", name)
	e.SetAttr("pandora.group", first(xmlAttr(root, "group"), xmlAttr(root, "group_id")))
	e.SetAttr("pandora.interval_seconds", xmlAttr(root, "interval"))
	e.SetAttr("pandora.parent", xmlAttr(root, "parent_agent_name"))
	e.SetAttr("pandora.agent_version", xmlAttr(root, "version"))
	e.SetAttr("os.type", first(xmlAttr(root, "os_name"), xmlAttr(root, "os")))
	e.SetAttr("os.version", xmlAttr(root, "os_version"))
	e.SetAttr("os.description", xmlAttr(root, "description"))
	e.SetAttr("host.ip", xmlAttr(root, "address"))
	return f, nil
}

func (m *pandoraModule) events(out *Out, f *pandoraFile, raw string) {
	if len(m.List) == 0 {
		m.event(out, f, raw, m.Data, m.Timestamp)
		return
	}
	for _, d := range m.List {
		m.event(out, f, raw, d.Value, d.Timestamp)
	}
}

func (m *pandoraModule) event(out *Out, f *pandoraFile, raw, data, at string) {
	data = strings.TrimSpace(data)
	e := f.event(out, "metric", raw)
	if t := parseTime(at); !t.IsZero() {
		e.Time = t
	}
	e.Metric = strings.TrimSpace(m.Name)
	value, err := strconv.ParseFloat(strings.Replace(data, ",", ".", 1), 64)
	if err != nil {
		value = math.NaN()
	}
	e.Value = value
	status := m.status(value, data)
	switch status {
	case "critical":
		e.Severity, e.Outcome = pipeline.SeverityCritical, pipeline.OutcomeFailure
	case "warning":
		e.Severity = pipeline.SeverityMedium
	case "normal":
		if m.isProc() {
			e.Outcome = pipeline.OutcomeSuccess
		}
	}
	e.Title = e.Metric
	if data != "" {
		e.Title += " is " + data
		if m.Unit != "" {
			e.Title += " " + m.Unit
		}
	}
	if err != nil {
		e.SetAttr("metric.text", data)
	}
	e.SetAttr("pandora.status", status)
	e.SetAttr("pandora.module_type", m.Type)
	e.SetAttr("pandora.module_description", strings.TrimSpace(m.Description))
	e.SetAttr("pandora.module_group", m.Group)
	e.SetAttr("pandora.tags", m.Tags)
	e.SetAttr("metric.unit", m.Unit)
	for _, limit := range [...]pipeline.Attr{
		{Key: "pandora.min_warning", Value: m.MinWarning}, {Key: "pandora.max_warning", Value: m.MaxWarning},
		{Key: "pandora.min_critical", Value: m.MinCritical}, {Key: "pandora.max_critical", Value: m.MaxCritical},
	} {
		e.SetAttr(limit.Key, strings.TrimSpace(limit.Value))
	}
}

func (m *pandoraModule) isProc() bool { return strings.HasSuffix(strings.TrimSpace(m.Type), "_proc") }

// status is what the server would make of the datum, or what a plugin says itself.
func (m *pandoraModule) status(value float64, data string) string {
	switch s := strings.ToLower(strings.TrimSpace(m.Status)); s {
	case "critical", "warning", "normal", "unknown":
		return s
	case "bad", "0": // what agent plugins write
		return "critical"
	case "ok":
		return "normal"
	}
	if math.IsNaN(value) {
		switch {
		case data == "":
			return ""
		case m.StrCritical != "" && strings.Contains(data, strings.TrimSpace(m.StrCritical)):
			return "critical"
		case m.StrWarning != "" && strings.Contains(data, strings.TrimSpace(m.StrWarning)):
			return "warning"
		}
		return "normal"
	}
	set, inside := pandoraRange(value, m.MinCritical, m.MaxCritical)
	if !set && m.isProc() {
		set, inside = true, value <= 0
	}
	if set && inside != isTrue(m.CriticalInverse) {
		return "critical"
	}
	if set, inside := pandoraRange(value, m.MinWarning, m.MaxWarning); set && inside != isTrue(m.WarningInverse) {
		return "warning"
	}
	return "normal"
}

// pandoraRange reports whether a threshold is set, and whether the value lies in it. Equal bounds are no threshold; a
// maximum below the minimum is no upper bound.
func pandoraRange(value float64, low, high string) (set, inside bool) {
	lo, errLo := strconv.ParseFloat(strings.TrimSpace(low), 64)
	hi, errHi := strconv.ParseFloat(strings.TrimSpace(high), 64)
	switch {
	case errLo != nil && errHi != nil:
		return false, false
	case errLo != nil:
		lo = math.Inf(-1)
	case errHi != nil:
		hi = math.Inf(1)
	}
	if lo == hi {
		return false, false
	}
	return true, value >= lo && (value <= hi || hi < lo)
}

func isTrue(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	return s == "1" || s == "true" || s == "yes"
}

// pandoraInfra returns whether a host is physical, virtual or a container, by a field of its agent that is called so.
func pandoraInfra(name, value string) string {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "infra_kind", "infrastructure", "machine type", "chassis":
	default:
		return ""
	}
	switch value = strings.ToLower(strings.TrimSpace(value)); value {
	case "physical", "virtual", "container":
		return value
	case "vm":
		return "virtual"
	case "desktop", "laptop", "server", "bare metal":
		return "physical"
	}
	return ""
}

// hypervisors are what names virtual hardware, in lower case.
var hypervisors = []string{"vmware", "virtualbox", "qemu", "kvm", "hyper-v", "virtual machine", "xen", "bochs", "virtio", "red hat virtual", "amazon ec2", "google compute"}

// infra returns whether the hardware that an inventory lists is physical or virtual, "" where it lists none.
func (v *pandoraInventory) infra() (kind string) {
	for _, m := range v.Modules {
		switch strings.ToLower(strings.TrimSpace(m.Name)) {
		case "cpu", "ram", "hd", "video", "nic", "motherboard", "bios", "system":
		default:
			continue
		}
		kind = "physical"
		for _, item := range append(m.Data, m.One) {
			item = strings.ToLower(item)
			if slices.ContainsFunc(hypervisors, func(h string) bool { return strings.Contains(item, h) }) {
				return "virtual"
			}
		}
	}
	return kind
}

func (v *pandoraInventory) events(out *Out, f *pandoraFile, raw string) {
	if kind := v.infra(); kind != "" && out.events()[f.heartbeat].Attr("infra_kind") == "" {
		out.events()[f.heartbeat].SetAttr("infra_kind", kind)
	}
	for _, m := range v.Modules {
		items := m.Data
		if len(items) == 0 && strings.TrimSpace(m.One) != "" {
			items = []string{m.One}
		}
		for _, item := range items {
			e := f.event(out, "inventory.observed", raw)
			e.Title = strings.TrimSpace(m.Name) + ": " + strings.TrimSpace(item)
			e.SetAttr("inventory.kind", strings.TrimSpace(m.Name))
			e.SetAttr("inventory.item", strings.TrimSpace(item))
		}
	}
}
