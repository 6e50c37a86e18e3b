package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// operatorReport is a custom resource of the Trivy Operator: one report of one workload. Which lists it has depends on its kind.
// https://aquasecurity.github.io/trivy-operator/latest/docs/crds/
type operatorReport struct {
	Kind     Text
	Metadata struct {
		Name, Namespace Text
		Created         Text `json:"creationTimestamp"`
		Labels          struct {
			Kind      Text `json:"trivy-operator.resource.kind"`
			Name      Text `json:"trivy-operator.resource.name"`
			Namespace Text `json:"trivy-operator.resource.namespace"`
			Container Text `json:"trivy-operator.container.name"`
		}
	}
	Report struct {
		Updated         Text `json:"updateTimestamp"`
		Artifact        struct{ Repository, Tag, Digest Text }
		Registry        struct{ Server Text }
		OS              struct{ Family Text }
		Vulnerabilities []part[operatorVulnerability]
		Checks          []part[operatorCheck]
		Secrets         []part[operatorSecret]
	}
	Status struct {
		Updated Text                                `json:"updateTimestamp"`
		Detail  struct{ Results []operatorControl } `json:"detailReport"`
		Summary struct {
			Controls []operatorControl `json:"controlCheck"`
		} `json:"summaryReport"`
	}
}

type operatorVulnerability struct {
	VulnerabilityID, Resource, InstalledVersion, FixedVersion, Severity, Title, PrimaryLink, Target, PackageType, PackagePURL, PkgPath Text

	Score Number
}

type operatorCheck struct {
	CheckID, Title, Severity, Category, Description, Remediation, Success Text

	Messages Strings
}

type operatorSecret struct{ Target, RuleID, Title, Category, Severity, Match Text }

// operatorControl is one control of a compliance report, with its checks or only with how many failed.
type operatorControl struct {
	ID, Name, Severity, TotalFail Text

	Checks []struct{ Success Text }
}

// isOperatorReport reports whether an object is of the operator, a list of such, or what its webhook says.
func isOperatorReport(s *Shape) bool {
	const group = "aquasecurity.github.io/"
	if strings.HasPrefix(s.String("apiVersion"), group) || strings.HasPrefix(textOf(s.Raw("operatorObject", "apiVersion")), group) {
		return true
	}
	items := s.Raw("items")
	return items != nil && strings.HasPrefix(textOf(member(firstMember(items), "apiVersion")), group)
}

// parseOperator reads one report, or all of a list.
func parseOperator(b []byte, in *Input, out *Out) error {
	if items := member(b, "items"); items != nil && items[0] == '[' {
		b = items
	}
	if b[0] == '[' {
		return eachElement(in, out, b, func(b []byte) error { return parseOperator(b, in, out) })
	}
	if object := member(b, "operatorObject"); object != nil && object[0] == '{' {
		b = object
	}
	var r operatorReport
	if err := decodeFold(b, &r); err != nil {
		return err
	}
	if r.Kind == "" {
		return errors.New("report of the Trivy Operator without kind")
	}
	before := len(out.batch.Events)
	if bom := member(member(b, "report"), "components"); member(bom, "bomFormat") != nil {
		out.within(lookup(out.parser.formats, "cyclonedx"), in.Line, in.Record, bom)
	}
	r.events(out)
	if len(out.batch.Events) == before {
		e := out.clean(parseTime(string(first(r.Report.Updated, r.Status.Updated, r.Metadata.Created))), string(r.Kind))
		e.Raw = alias(b)
	}
	return nil
}

func (r *operatorReport) events(out *Out) {
	l, p := &r.Metadata.Labels, &r.Report
	c := trivyContext{
		at: parseTime(string(first(p.Updated, r.Status.Updated, r.Metadata.Created))), digest: imageDigest(nil, string(p.Artifact.Digest)), os: string(p.OS.Family),
		resource: strings.Trim(string(first(l.Namespace, r.Metadata.Namespace))+"/"+string(l.Kind)+"/"+string(first(l.Name, r.Metadata.Name)), "/"),
	}
	if p.Artifact.Repository != "" {
		c.artifact = strings.TrimSuffix(strings.TrimPrefix(string(p.Registry.Server)+"/"+string(p.Artifact.Repository), "/")+":"+string(p.Artifact.Tag), ":")
	}
	about := func(e *pipeline.Event) {
		c.about(e)
		e.Phase = pipeline.PhaseOperation
		e.SetAttr("k8s.namespace.name", string(first(l.Namespace, r.Metadata.Namespace)))
		e.SetAttr("k8s.container.name", string(l.Container))
	}
	for i := range p.Vulnerabilities {
		v := &p.Vulnerabilities[i].Value
		e := c.vulnerability(out, &trivyResult{Target: v.Target, Type: v.PackageType}, &trivyVulnerability{
			VulnerabilityID: v.VulnerabilityID, PkgName: v.Resource, InstalledVersion: v.InstalledVersion, FixedVersion: v.FixedVersion, PkgPath: v.PkgPath,
			Title: v.Title, Severity: v.Severity, PrimaryURL: v.PrimaryLink, PkgIdentifier: struct{ PURL Text }{v.PackagePURL},
		}, p.Vulnerabilities[i].Raw)
		e.SetAttr("vulnerability.score.base", score(v.Score.Or(0)))
		about(e)
	}
	for i := range p.Secrets {
		s := &p.Secrets[i].Value
		about(c.secret(out, &trivyResult{Target: s.Target}, &trivySecret{RuleID: s.RuleID, Title: s.Title, Category: s.Category, Severity: s.Severity, Match: s.Match}, p.Secrets[i].Raw))
	}
	for i := range p.Checks {
		k := &p.Checks[i].Value
		e := r.check(out, first(k.CheckID, k.Title), k.Title, k.Severity, k.Success == "true")
		e.Raw = p.Checks[i].Raw
		e.SetAttr("details", oneLine(strings.Join(k.Messages, "; "), 500))
		e.SetAttr("remediation", string(k.Remediation))
		about(e)
	}
	controls := r.Status.Detail.Results
	if len(controls) == 0 {
		controls = r.Status.Summary.Controls
	}
	for i := range controls {
		k := &controls[i]
		failed := atoi(string(k.TotalFail))
		for _, check := range k.Checks {
			if check.Success != "true" {
				failed++
			}
		}
		e := r.check(out, k.ID, k.Name, k.Severity, failed == 0)
		if e.Raw = ""; len(k.Checks) == 0 && k.TotalFail == "" { // to be looked at by hand
			e.Outcome = pipeline.OutcomeUnknown
		}
		e.SetAttr("failed", positive(failed))
		about(e)
	}
}

// check appends the event of one check of configuration.
func (r *operatorReport) check(out *Out, id, title, severity Text, passed bool) *pipeline.Event {
	e := out.Event("compliance.checked")
	e.Rule, e.Severity = string(id), severityWord(string(severity))
	e.Title = placeTitle(string(id), string(title), "", 0)
	if passed {
		e.Outcome, e.Severity = pipeline.OutcomeSuccess, pipeline.SeverityInfo
	} else {
		e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
	}
	return e
}
