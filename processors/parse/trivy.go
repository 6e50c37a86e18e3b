package parse

import (
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// trivy reads the JSON of Trivy: of images, file systems, repositories and clusters, and the bare array of versions before
// 0.20, and the reports of the Trivy Operator. Severity is a word. Vulnerabilities are of packaging; configuration is checked where infrastructure is planned, in a
// cluster where it is deployed.
// https://trivy.dev/latest/docs/configuration/reporting/#json
var trivy = Format{
	Name: "trivy", Title: "Trivy report (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "secret.detected", "compliance.checked", "finding.suppressed", "scan.completed"},
	Known: "JSON object with SchemaVersion or ArtifactName, or ClusterName; array whose members have Target; objects of aquasecurity.github.io",
	Frame: Values,
	Match: func(s *Shape) bool {
		if isOperatorReport(s) {
			return true
		}
		if s.Array {
			return s.Has("Target") && (s.Has("Vulnerabilities") || s.Has("Type") || s.Has("Class"))
		}
		return s.Has("SchemaVersion") && (s.Has("ArtifactName") || s.Has("Results") || s.Has("ArtifactType")) ||
			s.Has("ArtifactName", "Results") || s.Has("ArtifactName", "ArtifactType") ||
			s.Has("ClusterName") && (s.Has("Vulnerabilities") || s.Has("Misconfigurations") || s.Has("Findings") || s.Has("Resources"))
	},
	Parse: parseTrivy,
}

type trivyReport struct {
	SchemaVersion, CreatedAt, ArtifactName, ArtifactType Text

	Metadata struct {
		OS                      struct{ Family Text }
		RepoDigests             Strings
		RepoURL, Branch, Commit Text
	}
	Results []trivyResult

	// Of a cluster.
	ClusterName                                             Text
	Vulnerabilities, Misconfigurations, Findings, Resources []trivyResource
}

type trivyResource struct {
	Namespace, Kind, Name Text
	Results               []trivyResult
	Metadata              []struct{ RepoDigests Strings }
}

type trivyResult struct {
	Target, Type      Text
	Vulnerabilities   []part[trivyVulnerability]
	Misconfigurations []part[trivyMisconfiguration]
	Secrets           []part[trivySecret]
	Licenses          []part[trivyLicense]
	Modified          []part[struct {
		Status, Statement Text
		Finding           trivyVulnerability
	}] `json:"ExperimentalModifiedFindings"`
}

type trivyVulnerability struct {
	VulnerabilityID, PkgName, PkgPath, InstalledVersion, FixedVersion, Status Text
	PrimaryURL, Title, Description, Severity, SeveritySource                  Text

	VendorIDs, CweIDs Strings
	PkgIdentifier     struct{ PURL Text }
	Layer             struct{ Digest, DiffID Text }
	CVSS              map[string]struct{ V2Score, V3Score, V40Score Number }
}

type trivyMisconfiguration struct {
	ID, AVDID, Title, Message, Resolution, Severity, PrimaryURL, Status Text

	CauseMetadata struct {
		Resource  Text
		StartLine Number
	}
}

type trivySecret struct {
	RuleID, Category, Severity, Title, Match Text

	StartLine Number
	Code      struct {
		Lines []struct {
			Content, Highlighted Text
			IsCause              bool
		}
	}
}

type trivyLicense struct{ Severity, Category, PkgName, FilePath, Name Text }

// trivyContext is what is said of all results: of the artifact and, in a cluster, of the resource.
type trivyContext struct {
	at                   time.Time
	artifact, digest, os string
	repo, ref, commit    string
	code                 bool // a repository or file system, rather than an image
	cluster, resource    string
}

func parseTrivy(in *Input, out *Out) error {
	if isOperatorReport(newShape(in.Record, in.Data)) {
		return parseOperator(in.Data, in, out)
	}
	var v trivyReport
	if in.Data[0] == '[' {
		if err := decodeFold(in.Data, &v.Results); err != nil {
			return err
		}
	} else if err := decodeFold(in.Data, &v); err != nil {
		return err
	} else if v.SchemaVersion == "" && v.ArtifactName == "" && v.ClusterName == "" && v.ArtifactType == "" && v.Resources == nil {
		return errors.New("trivy report without SchemaVersion, ArtifactName and ClusterName")
	}
	m := &v.Metadata
	c := trivyContext{
		at: parseTime(string(v.CreatedAt)), artifact: string(v.ArtifactName), digest: imageDigest(m.RepoDigests, ""), os: string(m.OS.Family),
		repo: repoOf(string(m.RepoURL)), ref: refOf(string(m.Branch)), commit: commitOf(string(m.Commit)), cluster: string(v.ClusterName),
		code: v.ArtifactType == "filesystem" || v.ArtifactType == "repository",
	}
	found := 0
	for i := range v.Results {
		found += c.result(out, &v.Results[i])
	}
	for _, list := range [...][]trivyResource{v.Vulnerabilities, v.Misconfigurations, v.Findings, v.Resources} {
		for i := range list {
			r := &list[i]
			of := c
			of.resource = strings.Trim(string(r.Namespace)+"/"+string(r.Kind)+"/"+string(r.Name), "/")
			if len(r.Metadata) > 0 {
				of.digest = imageDigest(r.Metadata[0].RepoDigests, "")
			}
			for j := range r.Results {
				found += of.result(out, &r.Results[j])
			}
		}
	}
	if found == 0 {
		c.about(out.clean(c.at, "trivy"))
	}
	return nil
}

// about sets what is said of all results.
func (c *trivyContext) about(e *pipeline.Event) {
	e.Time, e.Digest, e.Repo, e.Ref, e.Commit = c.at, c.digest, c.repo, c.ref, c.commit
	e.Artifact = first(c.artifact, e.Artifact)
	e.SetAttr("k8s.cluster.name", c.cluster)
	e.SetAttr("k8s.resource", c.resource)
}

func (c *trivyContext) result(out *Out, r *trivyResult) int {
	for i := range r.Vulnerabilities {
		c.about(c.vulnerability(out, r, &r.Vulnerabilities[i].Value, r.Vulnerabilities[i].Raw))
	}
	for i := range r.Modified {
		m := &r.Modified[i].Value
		e := c.vulnerability(out, r, &m.Finding, r.Modified[i].Raw)
		e.Type, e.Class, e.Outcome = "finding.suppressed", kinds["finding.suppressed"].class, pipeline.OutcomeUnknown
		settleFinding(e)
		e.SetAttr("reason", string(first(m.Statement, m.Status)))
		c.about(e)
	}
	for i := range r.Misconfigurations {
		c.about(c.misconfiguration(out, r, &r.Misconfigurations[i].Value, r.Misconfigurations[i].Raw))
	}
	for i := range r.Secrets {
		c.about(c.secret(out, r, &r.Secrets[i].Value, r.Secrets[i].Raw))
	}
	for i := range r.Licenses {
		c.about(c.license(out, r, &r.Licenses[i].Value, r.Licenses[i].Raw))
	}
	return len(r.Vulnerabilities) + len(r.Modified) + len(r.Misconfigurations) + len(r.Secrets) + len(r.Licenses)
}

func (c *trivyContext) vulnerability(out *Out, r *trivyResult, w *trivyVulnerability, raw string) *pipeline.Event {
	v := vulnerability{
		IDs: append([]string{string(w.VulnerabilityID)}, w.VendorIDs...), Rule: string(w.VulnerabilityID), Title: string(first(w.Title, w.Description)),
		URL: string(w.PrimaryURL), Severity: severityWord(string(w.Severity)), Ecosystem: string(first(r.Type, Text(c.os))), Name: string(w.PkgName),
		Version: string(w.InstalledVersion), Purl: string(w.PkgIdentifier.PURL), Fixed: string(w.FixedVersion), File: string(first(w.PkgPath, r.Target)),
	}
	for _, source := range [...]string{string(w.SeveritySource), "nvd", "ghsa", "redhat"} {
		if s, ok := w.CVSS[source]; ok && v.Score == 0 {
			v.Score = first(s.V3Score.Or(0), s.V40Score.Or(0), s.V2Score.Or(0))
		}
	}
	e := out.vulnerability(&v)
	e.Raw, e.Artifact = raw, string(r.Target)
	e.SetAttr("status", string(w.Status))
	e.SetAttr("cwe", strings.Join(w.CweIDs, ","))
	e.SetAttr("container.image.layer", string(first(w.Layer.Digest, w.Layer.DiffID)))
	return e
}

func (c *trivyContext) misconfiguration(out *Out, r *trivyResult, m *trivyMisconfiguration, raw string) *pipeline.Event {
	e := out.Event("compliance.checked")
	e.Raw, e.Artifact, e.Phase = raw, string(r.Target), pipeline.PhaseRequirements
	if c.cluster != "" {
		e.Phase = pipeline.PhaseDeployment
	}
	e.Rule, e.Severity = string(first(m.ID, m.AVDID)), severityWord(string(m.Severity))
	line := int(m.CauseMetadata.StartLine.Or(0))
	e.Title = placeTitle(e.Rule, string(first(m.Title, m.Message)), string(r.Target), line)
	switch strings.ToUpper(string(m.Status)) {
	case "PASS":
		e.Outcome, e.Severity = pipeline.OutcomeSuccess, pipeline.SeverityInfo
	case "EXCEPTION":
		suppress(e)
	default:
		e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
	}
	e.SetAttr("result", string(m.Status))
	e.SetAttr("code.file.path", string(r.Target))
	e.SetAttr("code.line.number", positive(line))
	e.SetAttr("details", oneLine(string(m.Message), 500))
	e.SetAttr("remediation", string(m.Resolution))
	e.SetAttr("resource", string(m.CauseMetadata.Resource))
	e.SetAttr("vulnerability.reference", string(m.PrimaryURL))
	return e
}

// secret reads a secret. Newer versions mask it themselves in Match and Code, older ones do not.
func (c *trivyContext) secret(out *Out, r *trivyResult, s *trivySecret, raw string) *pipeline.Event {
	e := out.codeFinding("secret.detected", &codeFinding{
		Rule: string(s.RuleID), Title: string(s.Title), File: string(r.Target), Line: int(s.StartLine.Or(0)), Severity: severityWord(string(s.Severity)),
	})
	e.Raw = raw
	if c.code {
		e.Phase = pipeline.PhaseWriting
	}
	e.SetAttr("secret.category", string(s.Category))
	if match := string(s.Match); !strings.Contains(match, "***") {
		e.SetAttr("credential", out.Secret(match))
	}
	for i := range s.Code.Lines {
		if l := &s.Code.Lines[i]; l.IsCause && !strings.Contains(string(l.Content), "***") {
			out.Secret(strings.TrimSpace(string(l.Content)))
			out.Secret(strings.TrimSpace(string(l.Highlighted)))
		}
	}
	return e
}

func (c *trivyContext) license(out *Out, r *trivyResult, l *trivyLicense, raw string) *pipeline.Event {
	e := out.Event("compliance.checked")
	e.Rule, e.Severity, e.Raw = "license:"+string(l.Name), severityWord(string(l.Severity)), raw
	e.Outcome, e.Disposition = pipeline.OutcomeFailure, pipeline.DispositionDetected
	if e.Severity <= pipeline.SeverityLow {
		e.Outcome, e.Disposition = pipeline.OutcomeSuccess, 0
	}
	e.Title = "licence " + string(l.Name) + " (" + string(l.Category) + ") of " + string(first(l.PkgName, l.FilePath, r.Target))
	e.Purl = purlOf(string(r.Type), string(l.PkgName), "")
	e.SetAttr("package.name", string(l.PkgName))
	e.SetAttr("code.file.path", string(first(l.FilePath, r.Target)))
	e.SetAttr("license.category", string(l.Category))
	return e
}
