package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// falco reads Falco's alerts: JSON as Falco and falcosidekick write it, and the text of its standard output.
// https://falco.org/docs/concepts/outputs/formatting/ https://falco.org/docs/concepts/rules/basic-elements/#priority
var falco = Format{
	Name: "falco", Title: "Falco alerts", Phase: pipeline.PhaseOperation,
	Types: []string{"detection"},
	Known: "JSON with rule, priority and output; lines of a time with nanoseconds and a priority",
	Frame: Reports, Log: true,
	Match: func(s *Shape) bool {
		if s.IsObject() {
			return s.Has("rule", "priority") && (s.Has("output") || s.Has("output_fields"))
		}
		_, _, ok := falcoLine(s.Line())
		return ok
	},
	Parse: parseFalco,
}

type falcoAlert struct {
	UUID     string  `json:"uuid"`
	Hostname string  `json:"hostname"`
	Output   string  `json:"output"`
	Priority Text    `json:"priority"`
	Rule     string  `json:"rule"`
	Source   string  `json:"source"`
	Time     string  `json:"time"`
	Tags     Strings `json:"tags"`
	Fields   struct {
		Time        Text `json:"evt.time"`
		TimeISO     Text `json:"evt.time.iso8601"`
		Type        Text `json:"evt.type"`
		User        Text `json:"user.name"`
		KAUser      Text `json:"ka.user.name"`
		CTUser      Text `json:"ct.user"`
		Cmdline     Text `json:"proc.cmdline"`
		Proc        Text `json:"proc.name"`
		Exe         Text `json:"proc.exepath"`
		Parent      Text `json:"proc.pname"`
		PID         Text `json:"proc.pid"`
		File        Text `json:"fd.name"`
		Client      Text `json:"fd.cip"`
		Server      Text `json:"fd.sip"`
		Remote      Text `json:"fd.rip"`
		CTSource    Text `json:"ct.srcip"`
		ContainerID Text `json:"container.id"`
		Container   Text `json:"container.name"`
		Image       Text `json:"container.image.repository"`
		Tag         Text `json:"container.image.tag"`
		Digest      Text `json:"container.image.digest"`
		Pod         Text `json:"k8s.pod.name"`
		Namespace   Text `json:"k8s.ns.name"`
	} `json:"output_fields"`
}

func parseFalco(in *Input, out *Out) error {
	if isJSON(in.Data) {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return falcoEvent(b, out) })
		}
		return falcoEvent(in.Data, out)
	}
	eachLine(in, out, func(l string) error {
		if !falcoLog(out, l) {
			return errors.New("falco: line is not 'time: Priority text'")
		}
		return nil
	})
	return nil
}

// falcoLog reads a line of Falco's text, where it is one.
func falcoLog(out *Out, l string) bool {
	priority, text, ok := falcoLine(l)
	if !ok {
		return false
	}
	e := out.Event("detection")
	e.Raw, e.Title, e.Severity, e.Disposition = l, text, falcoSeverity(priority), pipeline.DispositionDetected
	stamp := strings.TrimSuffix(firstWord(l), ":")
	if stamp[2] == ':' {
		if clock, err := time.Parse("15:04:05.999999999", stamp); err == nil {
			e.Time = clockTime(clock, e.Time)
		}
	} else if t := parseTime(stamp); !t.IsZero() {
		e.Time = t
	}
	e.SetAttr("falco.priority", priority)
	return true
}

// clockTime is the last time before now that a clock showed that.
func clockTime(clock, now time.Time) time.Time {
	now = now.UTC()
	t := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), time.UTC)
	if t.After(now) {
		t = t.AddDate(0, 0, -1)
	}
	return t
}

// falcoLine cuts "20:46:44.180672852: Notice text".
func falcoLine(l string) (priority, text string, ok bool) {
	stamp, rest, found := strings.Cut(l, ": ")
	if !found || len(stamp) < 15 || !strings.Contains(stamp, ".") || digits(stamp) == 0 || strings.Contains(stamp, " ") || strings.Count(stamp, ":") < 2 {
		return "", "", false
	}
	priority, text, found = strings.Cut(rest, " ")
	return priority, text, found && falcoSeverity(priority) > 0
}

func falcoEvent(b []byte, out *Out) error {
	v := scratch[falcoAlert](out)
	if err := decode(b, v); err != nil {
		return err
	}
	if v.Rule == "" || v.Priority == "" {
		return errors.New("falco: alert without rule or priority")
	}
	f := &v.Fields
	e := out.Event("detection")
	e.Raw, e.Rule, e.Host = alias(b), v.Rule, strings.ToLower(v.Hostname)
	e.Severity, e.Disposition = falcoSeverity(string(v.Priority)), pipeline.DispositionDetected
	if t := parseTime(first(v.Time, string(f.TimeISO), string(f.Time))); !t.IsZero() {
		e.Time = t
	}
	e.Title = v.Rule
	if what := said(f.Cmdline, f.File); what != "" {
		e.Title = out.join(v.Rule, ": ", what)
	}
	e.Actor = falcoText(f.User, f.KAUser, f.CTUser)
	e.SrcIP = addrOf(said(f.Client, f.CTSource))
	e.DstIP = addrOf(said(f.Server, f.Remote))
	for _, tag := range v.Tags {
		if len(tag) >= 5 && (tag[0] == 'T' || tag[0] == 't') && digits(tag[1:]) == 4 {
			e.Attacks = append(e.Attacks, strings.ToUpper(tag))
		}
	}
	e.Digest = falcoText(f.Digest)
	e.SetAttr("falco.priority", string(v.Priority))
	e.SetAttr("falco.source", v.Source)
	e.SetAttr("falco.output", v.Output)
	e.SetAttr("falco.event", falcoText(f.Type))
	e.SetAttr("falco.tags", out.list(v.Tags))
	e.SetAttr("process.command_line", falcoText(f.Cmdline))
	e.SetAttr("process.executable.name", falcoText(f.Proc))
	e.SetAttr("process.executable.path", falcoText(f.Exe))
	e.SetAttr("process.parent.name", falcoText(f.Parent))
	e.SetAttr("process.pid", falcoText(f.PID))
	e.SetAttr("file.path", falcoText(f.File))
	e.SetAttr("container.id", falcoText(f.ContainerID))
	e.SetAttr("container.name", falcoText(f.Container))
	e.SetAttr("container.image.name", falcoText(f.Image))
	e.SetAttr("container.image.tags", falcoText(f.Tag))
	e.SetAttr("k8s.pod.name", falcoText(f.Pod))
	e.SetAttr("k8s.namespace.name", falcoText(f.Namespace))
	if v.UUID != "" {
		out.ID(e, v.UUID)
	}
	return nil
}

// falcoText returns the first text that is not Falco's word for nothing.
func falcoText(s ...Text) string {
	for _, t := range s {
		if t != "" && t != "<NA>" {
			return string(t)
		}
	}
	return ""
}

func falcoSeverity(priority string) uint8 {
	switch strings.ToLower(priority) {
	case "emergency":
		return pipeline.SeverityFatal
	case "alert", "critical":
		return pipeline.SeverityCritical
	case "error":
		return pipeline.SeverityHigh
	case "warning":
		return pipeline.SeverityMedium
	case "notice":
		return pipeline.SeverityLow
	case "informational", "info", "debug":
		return pipeline.SeverityInfo
	}
	return pipeline.SeverityUnknown
}
