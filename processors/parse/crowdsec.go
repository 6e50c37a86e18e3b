package parse

import (
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

// crowdSec reads CrowdSec's alerts, as `cscli alerts list -o json` prints them and as its HTTP notifications hand them on:
// one detection for each overflow of a scenario. They have no severity of their own; all are medium.
// https://docs.crowdsec.net/docs/local_api/notification_plugins/http https://docs.crowdsec.net/docs/cscli/cscli_alerts_list
var crowdSec = Format{
	Name: "crowdsec", Title: "CrowdSec alerts (JSON)", Phase: pipeline.PhaseOperation,
	Types: []string{"detection", "log"},
	Known: "JSON with scenario, scenario_version and a source that has a scope",
	Frame: Values,
	Match: func(s *Shape) bool { return s.Has("scenario", "scenario_version") && s.Raw("source", "scope") != nil },
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return crowdSecAlert(b, out) })
		}
		return crowdSecAlert(in.Data, out)
	},
}

type crowdSecRecord struct {
	ID        Text           `json:"id"`
	UUID      Text           `json:"uuid"`
	Machine   Text           `json:"machine_id"`
	Created   Text           `json:"created_at"`
	Start     Text           `json:"start_at"`
	Stop      Text           `json:"stop_at"`
	Scenario  Text           `json:"scenario"`
	Version   Text           `json:"scenario_version"`
	Message   Text           `json:"message"`
	Count     Text           `json:"events_count"`
	Simulated Text           `json:"simulated"`
	Meta      []crowdSecPair `json:"meta"`
	Source    struct {
		Scope   Text `json:"scope"`
		Value   Text `json:"value"`
		IP      Text `json:"ip"`
		Range   Text `json:"range"`
		ASName  Text `json:"as_name"`
		ASN     Text `json:"as_number"`
		Country Text `json:"cn"`
	} `json:"source"`
	Decisions []struct {
		Type     Text `json:"type"`
		Duration Text `json:"duration"`
		Origin   Text `json:"origin"`
	} `json:"decisions"`
	Events []struct {
		Meta []crowdSecPair `json:"meta"`
	} `json:"events"`
}

type crowdSecPair struct {
	Key   Text `json:"key"`
	Value Text `json:"value"`
}

// crowdSecContext are the keys of the alert's context and of its events that have a name here.
var crowdSecContext = map[Text]string{
	"service": "service.name", "target_user": "user.target", "target_fqdn": "server.address", "target_uri": "url.path",
	"http_path": "url.path", "method": "http.request.method", "http_verb": "http.request.method", "status": "http.response.status_code",
	"http_status": "http.response.status_code", "user_agent": "user_agent.original", "http_user_agent": "user_agent.original",
}

func crowdSecAlert(b []byte, out *Out) error {
	var v crowdSecRecord
	if err := decodeFold(b, &v); err != nil {
		return err
	}
	src := &v.Source
	if v.Scenario == "" || src.Scope == "" {
		return errors.New("crowdsec: alert without scenario, or without the scope of its source")
	}
	typ := "detection"
	if scope := string(src.Scope); strings.HasPrefix(scope, "crowdsecurity/") || strings.HasPrefix(scope, "lists:") {
		typ = "log" // a blocklist that was fetched
	}
	e := out.Event(typ)
	e.Raw, e.Rule, e.Severity = alias(b), string(v.Scenario), pipeline.SeverityInfo
	e.Title = string(v.Scenario)
	if typ == "detection" {
		e.Severity, e.Disposition = pipeline.SeverityMedium, pipeline.DispositionDetected
		e.Title += " by " + string(first(src.Value, src.IP))
		e.Vulns = appendVulns(e.Vulns, cveIn(string(v.Scenario)))
	}
	if t := parseTime(string(first(v.Stop, v.Created, v.Start))); !t.IsZero() {
		e.Time = t
	}
	e.SrcIP = addrOf(string(first(src.IP, src.Value)))
	if v.Simulated == "true" {
		e.Labels = append(e.Labels, "simulated")
	} else if len(v.Decisions) > 0 && typ == "detection" {
		d := &v.Decisions[0]
		e.Disposition = pipeline.DispositionBlocked
		e.Title += ": " + string(d.Type) + " for " + string(d.Duration)
		e.SetAttr("decision", string(d.Type))
		e.SetAttr("decision.duration", string(d.Duration))
		e.SetAttr("decision.origin", string(d.Origin))
	}
	e.SetAttr("crowdsec.message", string(v.Message))
	e.SetAttr("crowdsec.machine_id", string(v.Machine))
	e.SetAttr("crowdsec.events_count", string(v.Count))
	e.SetAttr("crowdsec.scenario.version", string(v.Version))
	e.SetAttr("source.scope", string(src.Scope))
	e.SetAttr("source.value", string(src.Value))
	e.SetAttr("source.range", string(src.Range))
	e.SetAttr("source.as.number", string(src.ASN))
	e.SetAttr("source.as.organization.name", string(src.ASName))
	e.SetAttr("source.geo.country_iso_code", string(src.Country))
	e.SetAttr("start", string(v.Start))
	for _, p := range v.Meta {
		crowdSecSet(e, p)
	}
	for i := range v.Events {
		for _, p := range v.Events[i].Meta {
			crowdSecSet(e, p)
		}
	}
	switch {
	case uuid.Validate(string(v.UUID)) == nil:
		out.ID(e, string(v.UUID))
	case v.ID != "" && digits(string(v.ID)) == len(v.ID): // a number of one local API's
		out.ID(e, string(v.Machine), string(v.ID), string(first(v.Created, v.Start)))
	}
	return nil
}

// crowdSecSet notes a pair that has a name here; the first value of several is kept. Contexts hold lists, as text.
func crowdSecSet(e *pipeline.Event, p crowdSecPair) {
	key := crowdSecContext[p.Key]
	if key == "" || e.Attr(key) != "" {
		return
	}
	value := string(p.Value)
	if strings.HasPrefix(value, "[") {
		var list Strings
		if list.UnmarshalJSON([]byte(value)) == nil {
			value = strings.Join(list, ",")
		}
	}
	e.SetAttr(key, value)
}

// cveIn returns the CVE that a rule's name has in it, as "crowdsecurity/CVE-2022-26134" and "vpatch-CVE-2023-1389-2" do; "" where
// there is none.
func cveIn(s string) string {
	i := strings.Index(strings.ToUpper(s), "CVE-")
	if i < 0 {
		return ""
	}
	year, rest, _ := strings.Cut(s[i+len("CVE-"):], "-")
	number := rest[:digits(rest)]
	if len(year) != 4 || digits(year) != 4 || len(number) < 4 {
		return ""
	}
	return "CVE-" + year + "-" + number
}
