package parse

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dagda reads what Dagda answers: analyses of images, monitored containers, its history, and what it knows of a
// vulnerability. Vulnerabilities have a CVSS score, anomalous activities the priorities of Falco.
// https://github.com/eliasgranderubio/dagda#usage
var dagda = Format{
	Name: "dagda", Title: "Dagda analyses (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "malware.detected", "detection", "finding.suppressed", "scan.started", "scan.completed"},
	Known: "JSON object with image_name and static_analysis, runtime_analysis, status or os_vulns; array whose members have cveid",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("image_name") && (s.Has("static_analysis") || s.Has("runtime_analysis") || s.Has("status", "timestamp") || s.Has("os_vulns")) ||
			isDagdaAnswer(s) || len(s.members) > 0 && strings.HasPrefix(s.members[0].key, "CVE-") && dagdaInfos(s.Object()) != nil || s.Has("cveid") && (s.Has("cvss_base") || s.Has("summary")) || s.Has("bugtraq_id", "title") || s.Has("exploit_db_id", "description")
	},
	Parse: parseDagda,
}

// isDagdaAnswer reports whether an object is the answer to an order: its id, with what was ordered.
func isDagdaAnswer(s *Shape) bool {
	if len(s.members) > 3 || len(s.String("id")) != 24 {
		return false
	}
	return s.Has("image_name") || strings.HasPrefix(s.String("msg"), "Accepted the analysis of ") || strings.HasPrefix(s.String("msg"), "Monitoring of docker container ")
}

// dagdaInfos returns what Dagda knows of vulnerabilities by their ids, nil where the object holds something else.
func dagdaInfos(object []byte) (infos []byte) {
	scanMembers(object, func(name string, value []byte) bool {
		if strings.HasPrefix(name, "CVE-") && member(value, "cveid") != nil {
			infos = object
		}
		return false
	})
	return infos
}

type dagdaAnalysis struct {
	ID        Text
	Message   Text `json:"msg"`
	Image     Text `json:"image_name"`
	Timestamp Text
	StartDate Text `json:"start_date"`
	Status    Text

	Static *struct {
		Malware []struct{ File, Malware Text } `json:"malware_binaries"`
		OS      struct {
			Total   Number         `json:"total_os_packages"`
			Bad     Number         `json:"vuln_os_packages"`
			OK      Number         `json:"ok_os_packages"`
			Details []dagdaProduct `json:"os_packages_details"`
		} `json:"os_packages"`
		Lang struct {
			Bad     Number                    `json:"vuln_dependencies"`
			Details map[string][]dagdaProduct `json:"dependencies_details"`
		} `json:"prog_lang_dependencies"`
	} `json:"static_analysis"`

	Runtime *struct {
		Container Text `json:"container_id"`
		Start     Text `json:"start_timestamp"`
		Stop      Text `json:"stop_timestamp"`
		Anomalies struct {
			Details []part[struct{ Output, Priority, Rule, Time Text }] `json:"anomalous_activities_details"`
		} `json:"anomalous_activities_detected"`
	} `json:"runtime_analysis"`

	// Of the history.
	OSVulns     Text `json:"os_vulns"`
	LibVulns    Text `json:"libs_vulns"`
	MalwareBins Text `json:"malware_bins"`
	Anomalies   Text

	dagdaInfo
}

// dagdaInfo is what Dagda knows of a vulnerability.
type dagdaInfo struct {
	CVE     Text   `json:"cveid"`
	CWE     Text   `json:"cweid"`
	Base    Number `json:"cvss_base"`
	Summary Text
	BID     Text    `json:"bugtraq_id"`
	CVEs    Strings `json:"cve"`
	Title   Text
	EDB     Text `json:"exploit_db_id"`
	Text    Text `json:"description"`
}

type dagdaProduct struct {
	Product, Version Text
	File             Text              `json:"product_file_path"`
	FalsePositive    Text              `json:"is_false_positive"`
	Vulnerabilities  []json.RawMessage // {id: info}, or the id alone
}

func parseDagda(in *Input, out *Out) error {
	list := make([]part[dagdaAnalysis], 1)
	if in.Data[0] == '[' {
		if err := decodeFold(in.Data, &list); err != nil {
			return err
		}
	} else if err := list[0].UnmarshalJSON(in.Data); err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("empty answer of dagda")
	}
	for i := range list {
		if infos := dagdaInfos([]byte(list[i].Raw)); infos != nil {
			r := dagdaRun{out: out}
			if err := r.products("", []dagdaProduct{{Vulnerabilities: []json.RawMessage{infos}}}); err != nil {
				return err
			}
			continue
		}
		if err := list[i].Value.read(out, list[i].Raw); err != nil {
			return err
		}
	}
	return nil
}

func (a *dagdaAnalysis) read(out *Out, raw string) error {
	r := dagdaRun{out: out, at: first(parseTime(string(a.Timestamp)), parseTime(string(a.StartDate))), image: string(a.Image)}
	if a.Static == nil && a.Runtime == nil && a.Status == "" && a.ID != "" && a.OSVulns == "" {
		e := r.event("scan.started")
		e.Severity, e.Title = pipeline.SeverityInfo, string(first(a.Message, "dagda is told to look at "+a.Image))
		out.ID(e, string(a.ID), e.Title)
		return nil
	}
	if a.CVE != "" || a.BID != "" || a.EDB != "" {
		r.vulnerability("", &dagdaProduct{}, "", &a.dagdaInfo).Raw = raw
		return nil
	}
	if err := r.static(a); err != nil {
		return err
	}
	if a.Runtime != nil {
		r.runtime(a)
	}
	e := r.event("scan.completed")
	status := strings.ToLower(string(a.Status))
	e.Severity, e.Outcome = pipeline.SeverityInfo, pipeline.OutcomeSuccess
	e.Title = "dagda found " + strconv.Itoa(r.found) + " problems in " + r.image
	if status == "analyzing" || status == "monitoring" {
		e.Type, e.Outcome, e.Title = "scan.started", pipeline.OutcomeUnknown, "dagda is "+status+" "+r.image
	}
	if s := a.Static; s != nil {
		e.SetAttr("os_packages.total", score(s.OS.Total.Or(0)))
		e.SetAttr("os_packages.vulnerable", score(s.OS.Bad.Or(0)))
		e.SetAttr("os_packages.ok", score(s.OS.OK.Or(0)))
		e.SetAttr("dependencies.vulnerable", score(s.Lang.Bad.Or(0)))
	}
	if a.Runtime != nil {
		e.Phase = pipeline.PhaseOperation
		scanTimes(e, parseTime(string(a.Runtime.Start)), parseTime(string(a.Runtime.Stop)))
		e.SetAttr("container.id", string(a.Runtime.Container))
	}
	e.SetAttr("os_packages.vulnerable", string(a.OSVulns))
	e.SetAttr("dependencies.vulnerable", string(a.LibVulns))
	e.SetAttr("malware", string(a.MalwareBins))
	e.SetAttr("anomalies", string(a.Anomalies))
	return nil
}

// dagdaRun is one analysis of one image, or the watch of one container.
type dagdaRun struct {
	out   *Out
	at    time.Time
	image string
	found int
}

func (r *dagdaRun) event(typ string) *pipeline.Event {
	e := r.out.Event(typ)
	e.Time, e.Artifact = r.at, r.image
	return e
}

func (r *dagdaRun) static(a *dagdaAnalysis) error {
	if a.Static == nil {
		return nil
	}
	for _, m := range a.Static.Malware {
		e := r.event("malware.detected")
		settleFinding(e)
		e.Rule, e.Severity = string(m.Malware), pipeline.SeverityCritical
		e.Title, e.Raw = string(m.Malware)+" in "+r.image+": "+string(m.File), ""
		e.SetAttr("code.file.path", string(m.File))
		r.found++
	}
	if err := r.products("", a.Static.OS.Details); err != nil {
		return err
	}
	for _, language := range slices.Sorted(maps.Keys(a.Static.Lang.Details)) {
		if err := r.products(language, a.Static.Lang.Details[language]); err != nil {
			return err
		}
	}
	return nil
}

func (r *dagdaRun) runtime(a *dagdaAnalysis) {
	for i := range a.Runtime.Anomalies.Details {
		p := &a.Runtime.Anomalies.Details[i]
		d := &p.Value
		e := r.event("detection")
		e.Phase, e.Severity, e.Disposition = pipeline.PhaseOperation, falcoSeverity(string(d.Priority)), pipeline.DispositionDetected
		e.Rule, e.Title, e.Raw = string(d.Rule), string(d.Rule)+": "+oneLine(string(d.Output), 200), p.Raw
		e.Time = first(parseTime(string(d.Time)), r.at)
		e.SetAttr("container.id", string(a.Runtime.Container))
		r.found++
	}
}

func (r *dagdaRun) products(language string, list []dagdaProduct) error {
	for i := range list {
		p := &list[i]
		for _, raw := range p.Vulnerabilities {
			infos := map[string]dagdaInfo{}
			if len(raw) > 0 && raw[0] == '{' {
				if err := decodeFold(raw, &infos); err != nil {
					return err
				}
			} else {
				var id Text
				if err := id.UnmarshalJSON(raw); err != nil {
					return err
				}
				infos[string(id)] = dagdaInfo{}
			}
			for _, id := range slices.Sorted(maps.Keys(infos)) {
				info := infos[id]
				r.vulnerability(id, p, language, &info).Raw = alias(raw)
				r.found++
			}
		}
	}
	return nil
}

func (r *dagdaRun) vulnerability(id string, p *dagdaProduct, language string, info *dagdaInfo) *pipeline.Event {
	id = first(id, string(info.CVE), prefixed("BID-", string(info.BID)), prefixed("EDB-", string(info.EDB)))
	v := vulnerability{
		IDs: append([]string{id}, info.CVEs...), Rule: id, Title: string(first(info.Summary, info.Title, info.Text)), Severity: severityCVSS(info.Base.Or(0)), Score: info.Base.Or(0),
		Name: string(p.Product), Version: string(p.Version), File: string(p.File),
	}
	switch language {
	case "python", "nodejs", "js", "ruby": // Java's products have no group, PHP's no vendor
		v.Ecosystem = language
	}
	e := r.out.vulnerability(&v)
	if p.FalsePositive == "true" {
		e.Type, e.Class, e.Outcome = "finding.suppressed", kinds["finding.suppressed"].class, pipeline.OutcomeUnknown
		settleFinding(e)
	}
	e.Time, e.Artifact = r.at, r.image
	e.SetAttr("cwe", cweOf(strings.TrimPrefix(string(info.CWE), "CWE-")))
	return e
}
