package parse

import (
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// GitHub's security alerts: code scanning, secret scanning, Dependabot and its forerunner, and advisories.

// githubAlert holds the members of all kinds of alert.
type githubAlert struct {
	Number           Text       `json:"number"`
	State            Text       `json:"state"`
	CreatedAt        Text       `json:"created_at"`
	UpdatedAt        Text       `json:"updated_at"`
	FixedAt          Text       `json:"fixed_at"`
	DismissedAt      Text       `json:"dismissed_at"`
	DismissedBy      *forgeUser `json:"dismissed_by"`
	DismissedReason  Text       `json:"dismissed_reason"`
	DismissedComment Text       `json:"dismissed_comment"`
	HTMLURL          Text       `json:"html_url"`

	// Code scanning.
	Rule *struct {
		ID               Text    `json:"id"`
		Name             Text    `json:"name"`
		Severity         Text    `json:"severity"`
		SecuritySeverity Text    `json:"security_severity_level"`
		Description      Text    `json:"description"`
		Tags             Strings `json:"tags"`
	} `json:"rule"`
	Tool *struct {
		Name    Text `json:"name"`
		Version Text `json:"version"`
	} `json:"tool"`
	Instance *struct {
		Ref      Text        `json:"ref"`
		Commit   Text        `json:"commit_sha"`
		Location githubPlace `json:"location"`
	} `json:"most_recent_instance"`

	// Secret scanning.
	SecretType    Text       `json:"secret_type"`
	SecretName    Text       `json:"secret_type_display_name"`
	Secret        Text       `json:"secret"`
	Validity      Text       `json:"validity"`
	Resolution    Text       `json:"resolution"`
	ResolvedAt    Text       `json:"resolved_at"`
	ResolvedBy    *forgeUser `json:"resolved_by"`
	PushBypassed  Text       `json:"push_protection_bypassed"`
	PushBypasser  *forgeUser `json:"push_protection_bypassed_by"`
	PubliclyLeak  Text       `json:"publicly_leaked"`
	FirstLocation *struct {
		Path   Text `json:"path"`
		Line   Text `json:"start_line"`
		Commit Text `json:"commit_sha"`
	} `json:"first_location_detected"`

	// Dependabot.
	Dependency *struct {
		Package  githubPkg `json:"package"`
		Manifest Text      `json:"manifest_path"`
		Scope    Text      `json:"scope"`
	} `json:"dependency"`
	Advisory      *githubAdvisory      `json:"security_advisory"`
	Vulnerability *githubVulnerability `json:"security_vulnerability"`

	// Until 2023: repository_vulnerability_alert.
	AffectedName  Text       `json:"affected_package_name"`
	AffectedRange Text       `json:"affected_range"`
	ExternalID    Text       `json:"external_identifier"`
	ExternalRef   Text       `json:"external_reference"`
	FixedIn       Text       `json:"fixed_in"`
	GHSA          Text       `json:"ghsa_id"`
	Severity      Text       `json:"severity"`
	DismissReason Text       `json:"dismiss_reason"`
	Dismisser     *forgeUser `json:"dismisser"`
}

type githubPlace struct {
	Path Text `json:"path"`
	Line Text `json:"start_line"`
}

type githubPkg struct {
	Ecosystem Text `json:"ecosystem"`
	Name      Text `json:"name"`
}

type githubVulnerability struct {
	Package  githubPkg `json:"package"`
	Severity Text      `json:"severity"`
	Range    Text      `json:"vulnerable_version_range"`
	Patched  *struct {
		Identifier Text `json:"identifier"`
	} `json:"first_patched_version"`
}

type githubAdvisory struct {
	GHSA        Text `json:"ghsa_id"`
	CVE         Text `json:"cve_id"`
	Summary     Text `json:"summary"`
	Severity    Text `json:"severity"`
	State       Text `json:"state"`
	PublishedAt Text `json:"published_at"`
	UpdatedAt   Text `json:"updated_at"`
	Withdrawn   Text `json:"withdrawn_at"`
	CVSS        struct {
		Score  Number `json:"score"`
		Vector Text   `json:"vector_string"`
	} `json:"cvss"`
	CWEs []struct {
		ID Text `json:"cwe_id"`
	} `json:"cwes"`
	Identifiers []struct {
		Type  Text `json:"type"`
		Value Text `json:"value"`
	} `json:"identifiers"`
	Vulnerabilities []githubVulnerability `json:"vulnerabilities"`
}

// ids returns the advisory's identifiers, CVE first.
func (a *githubAdvisory) ids() []string {
	ids := []string{string(a.CVE), string(a.GHSA)}
	for i := range a.Identifiers {
		ids = append(ids, string(a.Identifiers[i].Value))
	}
	return appendVulns(nil, ids...)
}

// githubAlertLocation is where a secret was found: in a commit, an issue, a wiki page ...
type githubAlertLocation struct {
	Type    Text `json:"type"`
	Details struct {
		Path     Text `json:"path"`
		Line     Text `json:"start_line"`
		Commit   Text `json:"commit_sha"`
		IssueURL Text `json:"issue_url"`
	} `json:"details"`
}

func (v *githubEvent) alertKind() string {
	a := v.Alert
	switch {
	case v.AlertLocation != nil:
		return "secret_scanning_alert_location"
	case a.SecretType != "":
		return "secret_scanning_alert"
	case a.AffectedName != "":
		return "repository_vulnerability_alert"
	case a.Advisory != nil || a.Vulnerability != nil || a.Dependency != nil:
		return "dependabot_alert"
	case a.Rule != nil || a.Tool != nil || a.Instance != nil:
		return "code_scanning_alert"
	}
	return "secret_scanning_alert"
}

func (v *githubEvent) alert(out *Out, kind string) {
	a := v.Alert
	if a == nil {
		v.other(out, kind)
		return
	}
	found := "vulnerability.found"
	if strings.HasPrefix(kind, "secret") {
		found = "secret.detected"
	}
	e := v.event(out, githubFinding(found, string(v.Action), a), kind)
	e.Phase = pipeline.PhaseTesting
	e.Time = parseTime(githubAlertTime(e.Type, v, a))
	settleFinding(e)
	e.SetAttr("alert.number", string(a.Number))
	e.SetAttr("alert.state", string(a.State))
	e.SetAttr("url.full", string(a.HTMLURL))
	e.SetAttr("reason", first(string(a.DismissedReason), string(a.DismissReason), string(a.Resolution)))
	e.SetAttr("comment", string(a.DismissedComment))
	e.Actor = first(e.Actor, a.DismissedBy.account(), a.Dismisser.account(), a.ResolvedBy.account())
	name := ""
	switch {
	case found == "secret.detected":
		name = v.secret(e, out)
	case kind == "code_scanning_alert":
		name = v.codeAlert(e)
	default:
		name = dependencyAlert(e, a)
	}
	if e.Repo != "" {
		name = e.Repo + ": " + name
	}
	e.Title = name + " (" + strings.TrimSpace("alert "+string(a.Number)) + " " + strings.ReplaceAll(string(v.Action), "_", " ") + ")"
}

// isGitHubAlerts reports whether a payload is what the REST API answers of code scanning and secret scanning: a list of
// alerts, or one. https://docs.github.com/en/rest/code-scanning https://docs.github.com/en/rest/secret-scanning
func isGitHubAlerts(s *Shape) bool {
	return s.Has("number", "state", "html_url") && (s.Has("rule", "tool") || s.Has("secret_type"))
}

func parseGitHubAlerts(in *Input, out *Out) error {
	read := func(b []byte) error {
		v := githubEvent{Alert: new(githubAlert)}
		if err := decode(b, v.Alert); err != nil {
			return err
		}
		a := v.Alert
		v.Action = a.State // as the webhook's action: fixed, dismissed, resolved
		if a.State == "open" {
			v.Action = "created"
		}
		repo, _, _ := strings.Cut(string(a.HTMLURL), "/security/")
		v.Repository.HTMLURL = Text(repo)
		v.alert(out, v.alertKind())
		out.events()[len(out.events())-1].Raw = alias(b)
		return nil
	}
	if in.Data[0] == '[' {
		return eachElement(in, out, in.Data, read)
	}
	return read(in.Data)
}

// githubFinding gives an alert's type in the finding's life: found, back, mended, accepted or hidden.
func githubFinding(found, action string, a *githubAlert) string {
	switch action {
	case "fixed", "resolve":
		return "finding.corrected"
	case "resolved", "closed_by_user", "dismissed", "dismiss", "auto_dismissed":
		switch strings.ToLower(strings.ReplaceAll(first(string(a.Resolution), string(a.DismissedReason), string(a.DismissReason)), "_", " ")) {
		case "revoked":
			return "finding.corrected"
		case "wont fix", "won't fix", "tolerable risk", "risk is tolerable to this project", "no bandwidth",
			"no bandwidth to fix this", "fix started", "a fix has already been started":
			return "finding.accepted"
		}
		return "finding.suppressed"
	case "reopened", "reopened_by_user", "reintroduced", "auto_reopened", "reopen":
		if found != "secret.detected" { // a secret's alert is a detection as long as it is open
			return "finding.reopened"
		}
	}
	return found
}

// githubAlertTime returns when the event happened. An alert that does not tell when it changed gives none: the day of its
// making is another thing.
func githubAlertTime(typ string, v *githubEvent, a *githubAlert) string {
	switch {
	case typ == "finding.corrected", typ == "finding.accepted", typ == "finding.suppressed":
		return string(first(a.FixedAt, a.DismissedAt, a.ResolvedAt, a.UpdatedAt))
	case v.Action == "created" || v.Action == "create":
		return string(a.CreatedAt)
	}
	return string(a.UpdatedAt)
}

// settleFinding sets disposition and outcome as a finding's type has them.
func settleFinding(e *pipeline.Event) {
	switch e.Type {
	case "secret.detected", "vulnerability.found", "finding.reopened", "malware.detected":
		e.Disposition, e.Outcome = pipeline.DispositionDetected, pipeline.OutcomeFailure
	case "finding.corrected":
		e.Disposition, e.Outcome = pipeline.DispositionCorrected, pipeline.OutcomeSuccess
	case "finding.accepted":
		e.Disposition = pipeline.DispositionAllowed
	case "finding.suppressed":
		e.Disposition = pipeline.DispositionExonerated
	}
}

func (v *githubEvent) secret(e *pipeline.Event, out *Out) string {
	a := v.Alert
	e.Severity, e.Rule = pipeline.SeverityHigh, string(a.SecretType)
	e.SetAttr("credential", out.Secret(string(a.Secret)))
	e.SetAttr("validity", string(a.Validity))
	if a.PushBypassed == "true" {
		e.SetAttr("push_protection_bypassed", "true")
		e.SetAttr("push_protection_bypassed_by", a.PushBypasser.account())
	}
	if a.Validity == "active" || a.PubliclyLeak == "true" {
		e.Severity = pipeline.SeverityCritical
	}
	if l := a.FirstLocation; l != nil {
		e.SetAttr("code.file.path", string(l.Path))
		e.SetAttr("code.line.number", string(l.Line))
		e.Commit = commitOf(string(l.Commit))
	}
	if l := v.AlertLocation; l != nil {
		e.SetAttr("code.file.path", string(l.Details.Path))
		e.SetAttr("code.line.number", string(l.Details.Line))
		e.SetAttr("location.type", string(l.Type))
		e.Commit = commitOf(string(l.Details.Commit))
	}
	return first(string(a.SecretName), string(a.SecretType), "secret")
}

// codeAlert reads a code scanning alert. Security queries have a level of their own; others have SARIF's, whose note is
// low. https://docs.github.com/en/code-security/code-scanning/managing-code-scanning-alerts/about-code-scanning-alerts
func (v *githubEvent) codeAlert(e *pipeline.Event) string {
	a := v.Alert
	name := "code scanning"
	if r := a.Rule; r != nil {
		e.Rule = string(r.ID)
		e.Severity = severityWord(string(r.SecuritySeverity))
		if e.Severity == pipeline.SeverityUnknown {
			e.Severity = severityWord(string(r.Severity))
			if strings.EqualFold(string(r.Severity), "note") {
				e.Severity = pipeline.SeverityLow
			}
		}
		name = first(string(r.Description), string(r.Name), e.Rule)
		e.SetAttr("rule.tags", strings.Join(r.Tags, ","))
	}
	e.Ref, e.Commit = refOf(string(v.Ref)), commitOf(string(v.CommitOID))
	if i := a.Instance; i != nil {
		e.Ref, e.Commit = first(e.Ref, refOf(string(i.Ref))), first(e.Commit, commitOf(string(i.Commit)))
		e.SetAttr("code.file.path", string(i.Location.Path))
		e.SetAttr("code.line.number", string(i.Location.Line))
		if i.Location.Path != "" {
			name += " in " + string(i.Location.Path)
		}
	}
	if a.Tool != nil {
		e.SetAttr("tool.name", string(a.Tool.Name))
		e.SetAttr("tool.version", string(a.Tool.Version))
	}
	return name
}

func dependencyAlert(e *pipeline.Event, a *githubAlert) string {
	pkg, name := githubPkg{Name: a.AffectedName}, ""
	severity, fixed, vulnerable := string(a.Severity), string(a.FixedIn), string(a.AffectedRange)
	if d := a.Dependency; d != nil {
		pkg = d.Package
		e.SetAttr("code.file.path", string(d.Manifest))
		e.SetAttr("dependency.scope", string(d.Scope))
	}
	if w := a.Vulnerability; w != nil {
		if pkg.Name == "" {
			pkg = w.Package
		}
		severity, vulnerable = first(string(w.Severity), severity), string(w.Range)
		if w.Patched != nil {
			fixed = string(w.Patched.Identifier)
		}
	}
	if s := a.Advisory; s != nil {
		e.Vulns, name = s.ids(), string(s.Summary)
		severity = first(severity, string(s.Severity))
		s.describe(e)
	} else {
		e.Vulns = appendVulns(nil, string(a.ExternalID), string(a.GHSA))
	}
	e.Severity = severityWord(severity)
	if len(e.Vulns) > 0 {
		e.Rule = e.Vulns[0]
	}
	e.Purl = purlOf(string(pkg.Ecosystem), string(pkg.Name), "")
	e.SetAttr("package.name", string(pkg.Name))
	e.SetAttr("vulnerable_range", vulnerable)
	e.SetAttr("fixed_version", fixed)
	return strings.TrimSuffix(string(pkg.Name)+" "+e.Rule+": "+name, ": ")
}

// describe adds score and weaknesses.
func (a *githubAdvisory) describe(e *pipeline.Event) {
	e.SetAttr("vulnerability.score.base", score(float64(a.CVSS.Score)))
	e.SetAttr("cvss.vector", string(a.CVSS.Vector))
	var cwes []string
	for i := range a.CWEs {
		cwes = append(cwes, string(a.CWEs[i].ID))
	}
	e.SetAttr("cwe", strings.Join(cwes, ","))
}

// advisory tells that a package has a vulnerability; whether anything here uses it others know.
func (v *githubEvent) advisory(out *Out, kind string) {
	a := v.Advisory
	if a == nil {
		a = v.RepoAdvisory
	}
	if a == nil {
		v.other(out, kind)
		return
	}
	typ := "vulnerability.found"
	if v.Action == "withdrawn" || a.Withdrawn != "" {
		typ = "finding.suppressed"
	}
	e := v.event(out, typ, kind)
	e.Phase = pipeline.PhaseMonitoring
	settleFinding(e)
	e.Vulns, e.Severity = a.ids(), severityWord(string(a.Severity))
	if len(e.Vulns) > 0 {
		e.Rule = e.Vulns[0]
	}
	e.Time = parseTime(first(string(a.UpdatedAt), string(a.PublishedAt)))
	a.describe(e)
	if len(a.Vulnerabilities) > 0 {
		w := &a.Vulnerabilities[0]
		e.Purl = purlOf(string(w.Package.Ecosystem), string(w.Package.Name), "")
		e.SetAttr("vulnerable_range", string(w.Range))
		if w.Patched != nil {
			e.SetAttr("fixed_version", string(w.Patched.Identifier))
		}
	}
	e.Title = "advisory " + e.Rule + " " + string(v.Action) + ": " + string(a.Summary)
}

func (v *githubEvent) secretScan(out *Out) {
	e := v.event(out, "scan.completed", "secret_scanning_scan")
	e.Phase, e.Outcome = pipeline.PhaseTesting, pipeline.OutcomeSuccess
	start, end := parseTime(string(v.ScanStarted)), parseTime(string(v.ScanCompleted))
	e.Time = end
	e.SetAttr("scan.type", string(v.ScanType))
	e.SetAttr("duration_seconds", seconds(start, end))
	e.Title = e.Repo + ": secret scan " + string(v.ScanType) + " completed"
}
