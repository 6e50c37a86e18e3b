package parse

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/tocsin-project/tocsin/pipeline"
)

// cdEvents reads CDEvents of any version: type dev.cdevents.<subject>.<predicate>.<version>, and tools' own events
// (dev.cdeventsx...). A subject or predicate that the vocabulary lacks gives a log event that keeps the type.
// https://github.com/cdevents/spec
var cdEvents = Format{
	Name: "cdevents", Title: "CDEvents (JSON)", Phase: pipeline.PhaseUnknown,
	Types: append([]string{"log"}, cdEventTypes...),
	Known: "JSON object with subject and context, whose type begins with dev.cdevents",
	Frame: Values,
	Match: func(s *Shape) bool {
		return strings.HasPrefix(s.String("context", "type"), "dev.cdevents") ||
			!s.Array && s.Has("context", "subject") && s.Raw("context", "type") != nil && s.Raw("subject", "content") != nil
	},
	Parse: parseCDEvents,
}

// cdEventTypes are the words of CDEvents 0.5, and approval.* of the draft of 0.6.
var cdEventTypes = []string{
	"approval.created", "approval.closed", "artifact.packaged", "artifact.signed", "artifact.published", "artifact.downloaded",
	"artifact.deleted", "branch.created", "branch.deleted", "build.queued", "build.started", "build.finished", "change.created",
	"change.updated", "change.reviewed", "change.merged", "change.abandoned", "environment.created", "environment.modified",
	"environment.deleted", "incident.detected", "incident.reported", "incident.resolved", "pipelinerun.queued",
	"pipelinerun.started", "pipelinerun.finished", "repository.created", "repository.modified", "repository.deleted",
	"service.deployed", "service.published", "service.removed", "service.rolledback", "service.upgraded", "taskrun.started",
	"taskrun.finished", "testcaserun.queued", "testcaserun.started", "testcaserun.finished", "testcaserun.skipped",
	"testoutput.published", "testsuiterun.queued", "testsuiterun.started", "testsuiterun.finished", "ticket.created",
	"ticket.updated", "ticket.closed",
}

type cdEvent struct {
	Context struct {
		SpecVersion Text `json:"specversion"`
		Version     Text `json:"version"` // until 0.4
		ID          Text `json:"id"`
		ChainID     Text `json:"chainId"`
		Source      Text `json:"source"`
		Type        Text `json:"type"`
		Timestamp   Text `json:"timestamp"`
	} `json:"context"`
	Subject struct {
		ID      Text           `json:"id"`
		Source  Text           `json:"source"`
		Type    Text           `json:"type"`
		Content cdEventContent `json:"content"`
	} `json:"subject"`
}

// cdEventRef points to another subject.
type cdEventRef struct {
	ID      Text `json:"id"`
	Source  Text `json:"source"`
	Name    Text `json:"name"`
	Type    Text `json:"type"`
	URI     Text `json:"uri"`
	Version Text `json:"version"`
}

// UnmarshalJSON implements json.Unmarshaler. Tools' own events may name a subject by its id alone.
func (r *cdEventRef) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return r.ID.UnmarshalJSON(b)
	}
	type plain cdEventRef
	return decode(b, (*plain)(r))
}

// cdEventContent holds the members of all subjects.
type cdEventContent struct {
	Repository   cdEventRef `json:"repository"`
	Change       cdEventRef `json:"change"`
	Environment  cdEventRef `json:"environment"`
	Service      cdEventRef `json:"service"`
	PipelineRun  cdEventRef `json:"pipelineRun"`
	TestCase     cdEventRef `json:"testCase"`
	TestCaseRun  cdEventRef `json:"testCaseRun"`
	TestSuite    cdEventRef `json:"testSuite"`
	TestSuiteRun cdEventRef `json:"testSuiteRun"`
	Trigger      cdEventRef `json:"trigger"`
	SBOM         cdEventRef `json:"sbom"`

	PipelineName Text    `json:"pipelineName"`
	TaskName     Text    `json:"taskName"`
	Outcome      Text    `json:"outcome"`
	Errors       Text    `json:"errors"`
	Reason       Text    `json:"reason"`
	Severity     Text    `json:"severity"`
	ArtifactID   Text    `json:"artifactId"`
	User         Text    `json:"user"`
	Signature    Text    `json:"signature"`
	Description  Text    `json:"description"`
	Name         Text    `json:"name"`
	Owner        Text    `json:"owner"`
	URL          Text    `json:"url"`
	ViewURL      Text    `json:"viewUrl"`
	URI          Text    `json:"uri"`
	OutputType   Text    `json:"outputType"`
	Format       Text    `json:"format"`
	Summary      Text    `json:"summary"`
	TicketType   Text    `json:"ticketType"`
	Group        Text    `json:"group"`
	Creator      Text    `json:"creator"`
	Assignees    Strings `json:"assignees"`
	Priority     Text    `json:"priority"`
	Labels       Strings `json:"labels"`
	Milestone    Text    `json:"milestone"`
	UpdatedBy    Text    `json:"updatedBy"`
	Resolution   Text    `json:"resolution"`
	DetailsURL   Text    `json:"approvalDetailsUrl"`
	TargetURL    Text    `json:"resourceTargetUrl"`
	Requester    Text    `json:"requester"`
	Responder    Text    `json:"responder"`
	Decision     Text    `json:"decision"`
	Status       Text    `json:"status"`
}

// UnmarshalJSON implements json.Unmarshaler. In tools' own events it may be anything.
func (c *cdEventContent) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	type plain cdEventContent
	return decode(b, (*plain)(c))
}

func parseCDEvents(in *Input, out *Out) error {
	var list []part[cdEvent]
	if in.Data[0] == '[' {
		if err := decode(in.Data, &list); err != nil {
			return err
		}
	} else {
		list = make([]part[cdEvent], 1)
		if err := list[0].UnmarshalJSON(in.Data); err != nil {
			return err
		}
	}
	for i := range list {
		if list[i].Value.Context.Type == "" {
			return errors.New("CDEvents: context.type is missing")
		}
		list[i].Value.emit(out, list[i].Raw)
	}
	return nil
}

// cdEventName cuts subject.predicate and the version out of a type.
func cdEventName(typ string) (name, version string) {
	rest, ok := strings.CutPrefix(typ, "dev.cdevents.")
	if !ok {
		rest = strings.TrimPrefix(typ, "dev.cdeventsx.")
	}
	parts := strings.SplitN(rest, ".", 3)
	if len(parts) < 2 {
		return rest, ""
	}
	if len(parts) == 3 {
		version = parts[2]
	}
	name = strings.ToLower(parts[0] + "." + parts[1])
	name = strings.Replace(name, "testcase.", "testcaserun.", 1) // 0.1
	return strings.Replace(name, "testsuite.", "testsuiterun.", 1), version
}

func (v *cdEvent) emit(out *Out, raw string) {
	c := &v.Context
	name, version := cdEventName(string(c.Type))
	typ := name
	if !slices.Contains(cdEventTypes, name) || strings.HasPrefix(string(c.Type), "dev.cdeventsx") {
		typ = "log"
	}
	e := out.Event(typ)
	e.Raw = raw
	e.Phase, e.Severity, e.Time = phaseOf(name), pipeline.SeverityInfo, parseTime(string(c.Timestamp))
	e.SetAttr("cdevents.type", string(c.Type))
	e.SetAttr("cdevents.type_version", version)
	e.SetAttr("cdevents.spec_version", string(first(c.SpecVersion, c.Version)))
	e.SetAttr("cdevents.source", string(c.Source))
	e.SetAttr("cdevents.chain_id", string(c.ChainID))
	e.SetAttr("subject.id", string(v.Subject.ID))
	v.content(e)
	subject, predicate, _ := strings.Cut(name, ".")
	v.subject(e, subject, predicate)
	e.Title = subject + " " + string(v.Subject.ID) + " " + predicate
	if e.Outcome != "" && e.Outcome != pipeline.OutcomeUnknown {
		e.Title += ": " + e.Outcome
	}
	if why := first(v.Subject.Content.Summary, v.Subject.Content.Description, v.Subject.Content.Reason, v.Subject.Content.Errors); why != "" {
		e.Title += ": " + oneLine(string(why), 120)
	}
	if c.ID != "" {
		out.ID(e, string(c.Source), string(c.ID), string(c.Type))
	}
}

// phaseOf gives the phase that an event type belongs to where its source does not tell.
func phaseOf(typ string) string {
	subject, predicate, _ := strings.Cut(typ, ".")
	switch subject {
	case "ticket", "threatmodel", "training", "inventory":
		return pipeline.PhaseRequirements
	case "change", "approval", "branch", "repository", "secret":
		return pipeline.PhaseWriting
	case "pipelinerun", "taskrun", "testcaserun", "testsuiterun", "testoutput", "scan":
		return pipeline.PhaseTesting
	case "build", "component":
		return pipeline.PhasePackaging
	case "artifact":
		if predicate == "packaged" || predicate == "signed" {
			return pipeline.PhasePackaging
		}
		return pipeline.PhaseRelease
	case "environment", "service", "netprobe":
		return pipeline.PhaseDeployment
	case "incident", "detection", "attack", "auth", "user", "credential", "api", "http", "dns", "net", "tls", "db", "process",
		"file", "log", "span", "malware", "maintenance":
		return pipeline.PhaseOperation
	case "alert", "metric", "heartbeat", "backup", "replica", "recommendation", "policy", "rule", "campaign", "chaos":
		return pipeline.PhaseMonitoring
	}
	return pipeline.PhaseUnknown
}

// content reads what several subjects have.
func (v *cdEvent) content(e *pipeline.Event) {
	c := &v.Subject.Content
	e.Outcome = runOutcome(string(c.Outcome))
	e.Environment, e.Service = string(c.Environment.ID), string(first(c.Service.Name, c.Service.ID))
	e.Repo = cdEventRepo(&c.Repository)
	e.Pipeline, e.Task, e.Run = string(c.PipelineName), string(c.TaskName), string(c.PipelineRun.ID)
	e.Actor = string(first(c.User, c.Responder, c.UpdatedBy, c.Creator, c.Requester))
	cdEventArtifact(e, string(c.ArtifactID))
	e.SetAttr("error.message", oneLine(string(c.Errors), 500))
	e.SetAttr("reason", string(c.Reason))
	e.SetAttr("description", string(c.Description))
	e.SetAttr("url.full", string(first(c.URI, c.ViewURL, c.URL, c.DetailsURL)))
	e.SetAttr("trigger", string(c.Trigger.Type))
	e.SetAttr("sbom.uri", string(c.SBOM.URI))
	e.SetAttr("artifact.signature", string(c.Signature))
	if c.Severity != "" {
		e.Severity = severityWord(string(c.Severity))
		e.SetAttr("severity", string(c.Severity))
	}
	if c.Change.ID != "" {
		e.Change = changeID(e.Repo, string(c.Change.ID))
	}
}

// cdEventRepo returns the repository that a reference names: by a URL, or by an id at a source that is one.
func cdEventRepo(r *cdEventRef) string {
	if strings.Contains(string(r.Source), "://") && !strings.Contains(string(r.ID), "://") && r.ID != "" {
		return repoOf(strings.TrimRight(string(r.Source), "/") + "/" + string(r.ID))
	}
	return repoOf(string(r.ID))
}

// changeID returns a change's canonical id; an id that holds its repository already is one.
func changeID(repo, id string) string {
	if strings.Contains(id, "!") || repo == "" {
		return id
	}
	return changeOf(repo, id)
}

// cdEventArtifact reads an artifact's id, which is a package URL.
func cdEventArtifact(e *pipeline.Event, id string) {
	if id == "" {
		return
	}
	e.Artifact = id
	if e.Purl = purlClean(id); e.Purl == "" {
		return
	}
	p, err := packageurl.FromString(id)
	if err != nil {
		return
	}
	e.Artifact = p.Name
	if strings.HasPrefix(p.Version, "sha256:") || strings.HasPrefix(p.Version, "sha512:") {
		e.Digest = strings.ToLower(p.Version)
	} else if commit := commitOf(p.Version); commit != "" && p.Type != "oci" && p.Type != "docker" {
		e.Commit = commit
	}
	e.SetAttr("artifact.version", p.Version)
	e.SetAttr("artifact.type", p.Type)
}

// subject reads what the subject itself is.
func (v *cdEvent) subject(e *pipeline.Event, subject, predicate string) {
	c, id := &v.Subject.Content, string(v.Subject.ID)
	switch subject {
	case "change":
		e.Change = changeID(e.Repo, id)
		switch predicate {
		case "merged":
			e.Outcome = pipeline.OutcomeSuccess
		case "abandoned":
			e.Outcome = pipeline.OutcomeCancel
		}
	case "branch":
		e.Ref = refOf(id)
	case "repository":
		e.Repo = repoOf(string(first(c.URL, c.URI, c.ViewURL, Text(cdEventRepo(&cdEventRef{ID: v.Subject.ID, Source: v.Subject.Source})))))
		e.SetAttr("owner", string(c.Owner))
	case "approval":
		if predicate == "closed" {
			setDecision(e, cdEventDecision(string(first(c.Decision, c.Status))))
		}
		e.SetAttr("approval.id", id)
		e.SetAttr("status", string(c.Status))
		e.SetAttr("target.url", string(c.TargetURL))
	case "pipelinerun":
		e.Run = id
		e.Pipeline = first(e.Pipeline, id)
	case "taskrun":
		e.Task = first(e.Task, id)
		e.SetAttr("cicd.pipeline.task.run.id", id)
	case "build":
		e.Run = id
	case "testcaserun":
		e.Task, e.Pipeline = string(first(c.TestCase.Name, c.TestCase.ID, v.Subject.ID)), string(first(c.TestSuite.Name, c.TestSuiteRun.ID))
		e.Run = first(e.Run, string(c.TestSuiteRun.ID))
		e.SetAttr("test.kind", string(c.TestCase.Type))
		if predicate == "skipped" {
			e.Outcome = pipeline.OutcomeSkipped
		}
	case "testsuiterun":
		e.Pipeline, e.Run = string(first(c.TestSuite.Name, c.TestSuite.ID, v.Subject.ID)), id
	case "testoutput":
		e.Task = string(c.TestCaseRun.ID)
		e.SetAttr("output.type", string(c.OutputType))
		e.SetAttr("output.format", string(c.Format))
	case "artifact":
		cdEventArtifact(e, id)
		if c.Change.ID != "" {
			e.Change = changeID(e.Repo, string(c.Change.ID))
		}
	case "environment":
		e.Environment = string(first(c.Name, v.Subject.ID))
	case "service":
		e.Service = id
		if predicate != "published" && e.Outcome == pipeline.OutcomeUnknown {
			e.Outcome = pipeline.OutcomeSuccess
		}
	case "incident":
		if predicate == "resolved" {
			e.Outcome = pipeline.OutcomeSuccess
		} else if c.Severity == "" {
			e.Severity = pipeline.SeverityHigh // something is wrong; CDEvents has no scale for how wrong
		}
	case "ticket":
		e.SetAttr("ticket.id", id)
		e.SetAttr("ticket.title", string(c.Summary))
		e.SetAttr("ticket.type", string(c.TicketType))
		e.SetAttr("ticket.labels", strings.Join(c.Labels, ","))
		e.SetAttr("assignee", strings.Join(c.Assignees, ","))
		e.SetAttr("priority", string(c.Priority))
		e.SetAttr("milestone", string(c.Milestone))
		e.SetAttr("resolution", string(c.Resolution))
		if predicate == "closed" {
			e.Outcome = pipeline.OutcomeSuccess
		}
	}
	if e.Repo == "" && subject == "change" {
		if u, err := url.Parse(string(v.Subject.Source)); err == nil && u.Host != "" {
			e.Repo = repoOf(string(v.Subject.Source))
			e.Change = changeID(e.Repo, id)
		}
	}
}

// cdEventDecision converts the words for a verdict.
func cdEventDecision(s string) string {
	switch strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s)) {
	case "approved", "approve", "accepted", "granted":
		return decisionApproved
	case "rejected", "reject", "denied", "declined":
		return decisionRejected
	case "requestchanges", "changesrequested", "requestedchanges":
		return decisionChanges
	case "dismissed", "cancelled", "canceled", "expired", "withdrawn":
		return decisionDismissed
	}
	return s
}
