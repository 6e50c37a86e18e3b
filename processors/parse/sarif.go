package parse

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// sarif reads SARIF 2.1.0. A result's level is its own, else that of its rule, else warning; error, warning, note and none
// are high, medium, low and informational. What its suppressions hide is finding.suppressed.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
var sarif = Format{
	Name: "sarif", Title: "SARIF 2.1.0", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "secret.detected", "compliance.checked", "finding.suppressed", "finding.corrected", "scan.completed"},
	Known: "JSON object with runs, and version 2.x or a SARIF schema",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Array || !s.Has("runs") {
			return false
		}
		run := firstMember(s.Raw("runs")) // of a log that names neither schema nor version
		return strings.Contains(strings.ToLower(s.String("$schema")), "sarif") || strings.HasPrefix(s.String("version"), "2.") ||
			member(member(run, "tool"), "driver") != nil
	},
	Parse: parseSARIF,
}

type sarifText struct{ Text, ID Text }

type sarifRule struct {
	ID, Name, HelpURI Text
	ShortDescription  sarifText
	FullDescription   sarifText
	MessageStrings    map[string]sarifText
	Default           struct{ Level Text } `json:"defaultConfiguration"`
	Properties        struct {
		Tags     Strings
		Security Text `json:"security-severity"`
	}
}

type sarifComponent struct {
	Name, Version, SemanticVersion Text
	Rules                          []sarifRule
}

type sarifRun struct {
	Tool struct {
		Driver     sarifComponent
		Extensions []sarifComponent
	}
	Results     *[]part[sarifResult]
	Artifacts   []struct{ Location struct{ URI Text } }
	Invocations []struct {
		Start      Text `json:"startTimeUtc"`
		End        Text `json:"endTimeUtc"`
		Successful Text `json:"executionSuccessful"`
	}
	Provenance []struct{ RepositoryURI, RevisionID, Branch Text } `json:"versionControlProvenance"`
	Automation struct{ ID Text }                                  `json:"automationDetails"`
}

type sarifResult struct {
	RuleID    Text
	RuleIndex *int
	Rule      struct {
		ID            Text
		Index         *int
		ToolComponent struct{ Index *int }
	}
	Kind, Level Text
	Message     struct {
		Text, ID  Text
		Arguments Strings
	}
	Locations []struct {
		Physical struct {
			Artifact struct {
				URI   Text
				Index *int
			} `json:"artifactLocation"`
			Region struct {
				StartLine Number
				Snippet   sarifText
			}
		} `json:"physicalLocation"`
		Logical []struct {
			Name     Text
			FullName Text `json:"fullyQualifiedName"`
		} `json:"logicalLocations"`
	}
	Suppressions  []struct{ Kind, State, Status, Justification Text }
	Fingerprints  map[string]Text
	Partial       map[string]Text `json:"partialFingerprints"`
	BaselineState Text
	Properties    struct {
		Security Text `json:"security-severity"`
	}
}

func parseSARIF(in *Input, out *Out) error {
	var v struct{ Runs *[]sarifRun }
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Runs == nil {
		return errors.New("SARIF without runs")
	}
	for i := range *v.Runs {
		(*v.Runs)[i].read(out)
	}
	if len(*v.Runs) == 0 {
		out.clean(time.Time{}, "SARIF without runs: the analysis")
	}
	return nil
}

func (r *sarifRun) read(out *Out) {
	tool := string(r.Tool.Driver.Name)
	var start, end time.Time
	failed := false
	for i := range r.Invocations {
		start = first(start, parseTime(string(r.Invocations[i].Start)))
		end = parseTime(string(r.Invocations[i].End))
		failed = failed || r.Invocations[i].Successful == "false"
	}
	at := first(end, start)
	var n counts
	results := 0
	if r.Results != nil {
		results = len(*r.Results)
		for i := range *r.Results {
			p := &(*r.Results)[i]
			e := r.result(out, &p.Value)
			e.Raw = p.Raw
			r.about(e, at)
			n[e.Severity]++
		}
	}
	if results > 0 && at.IsZero() && !failed {
		return
	}
	e := out.scanned(at, tool+" gave "+strconv.Itoa(results)+" results")
	if failed {
		e.Outcome, e.Title = pipeline.OutcomeError, tool+" did not run to its end"
	}
	r.about(e, at)
	scanTimes(e, start, end)
	n.set(e)
}

// about sets what the run says of all its results.
func (r *sarifRun) about(e *pipeline.Event, at time.Time) {
	e.Time = at
	e.SetAttr("tool.name", string(r.Tool.Driver.Name))
	e.SetAttr("tool.version", string(first(r.Tool.Driver.SemanticVersion, r.Tool.Driver.Version)))
	e.SetAttr("category", string(r.Automation.ID))
	if len(r.Provenance) > 0 {
		p := &r.Provenance[0]
		e.Repo, e.Ref, e.Commit = repoOf(string(p.RepositoryURI)), refOf(string(p.Branch)), first(e.Commit, commitOf(string(p.RevisionID)))
	}
}

func (r *sarifRun) result(out *Out, v *sarifResult) *pipeline.Event {
	rule := r.rule(v)
	id := string(first(v.RuleID, v.Rule.ID, rule.ID))
	file, line, snippet := "", 0, ""
	if len(v.Locations) > 0 {
		l := &v.Locations[0]
		file, line = string(l.Physical.Artifact.URI), int(l.Physical.Region.StartLine.Or(0))
		if i := l.Physical.Artifact.Index; file == "" && i != nil && *i >= 0 && *i < len(r.Artifacts) {
			file = string(r.Artifacts[*i].Location.URI)
		}
		snippet = string(l.Physical.Region.Snippet.Text)
	}
	secret := secretScanner(string(r.Tool.Driver.Name))
	text := v.text(rule)
	if secret && id == "" { // gitleaks 7: the rule is only in "AWS Access Key secret detected"
		id = strings.TrimSuffix(text, " secret detected")
	}
	var vulns []string
	if isVulnID(id) {
		vulns = []string{id}
	}
	typ := v.typ(secret)
	e := out.codeFinding(typ, &codeFinding{
		Rule: id, Title: first(text, string(first(rule.ShortDescription.Text, rule.FullDescription.Text, rule.Name))), File: file, Line: line,
		Severity: sarifLevel(string(v.level(rule))), URL: string(rule.HelpURI), Vulns: vulns, CWE: sarifCWE(rule.Properties.Tags),
	})
	e.Phase = codePhase(file)
	sarifPackage(e, text)
	if typ == "compliance.checked" {
		e.Outcome = pipeline.OutcomeSuccess
		if !strings.EqualFold(string(v.Kind), "pass") {
			e.Outcome = pipeline.OutcomeSkipped
		}
	}
	if secret {
		e.Commit = commitOf(string(v.Partial["commitSha"]))
		e.Actor = string(first(v.Partial["email"], v.Partial["author"]))
		e.SetAttr("credential", out.Secret(strings.TrimSpace(snippet)))
	}
	if len(v.Locations) > 0 && len(v.Locations[0].Logical) > 0 {
		l := &v.Locations[0].Logical[0]
		e.SetAttr("code.function.name", string(first(l.FullName, l.Name)))
	}
	e.SetAttr("vulnerability.score.base", string(first(v.Properties.Security, rule.Properties.Security)))
	e.SetAttr("fingerprint", first(fingerprintOf(v.Fingerprints), fingerprintOf(v.Partial)))
	e.SetAttr("baseline_state", string(v.BaselineState))
	if len(v.Suppressions) > 0 {
		e.SetAttr("reason", string(v.Suppressions[0].Justification))
		e.SetAttr("suppression", string(v.Suppressions[0].Kind))
	}
	return e
}

// typ tells what a result is: hidden, gone since the baseline, passed, or found.
func (v *sarifResult) typ(secret bool) string {
	switch {
	case v.suppressed():
		return "finding.suppressed"
	case v.BaselineState == "absent":
		return "finding.corrected"
	case strings.EqualFold(string(v.Kind), "pass"), strings.EqualFold(string(v.Kind), "notApplicable"):
		return "compliance.checked"
	case secret:
		return "secret.detected"
	}
	return "vulnerability.found"
}

// rule returns the description of a result's rule: by index in the component that it names, else by id, also by the part
// of it before a slash.
func (r *sarifRun) rule(v *sarifResult) *sarifRule {
	component := &r.Tool.Driver
	if i := v.Rule.ToolComponent.Index; i != nil && *i >= 0 && *i < len(r.Tool.Extensions) {
		component = &r.Tool.Extensions[*i]
	}
	index := v.RuleIndex
	if index == nil {
		index = v.Rule.Index
	}
	id := first(v.RuleID, v.Rule.ID)
	if index != nil && *index >= 0 && *index < len(component.Rules) {
		// Tools that drop rules from a report leave indices behind that mean another rule.
		if rule := &component.Rules[*index]; id == "" || rule.ID == "" || rule.ID == id || strings.HasPrefix(string(id), string(rule.ID)+"/") {
			return rule
		}
	}
	family, _, _ := strings.Cut(string(id), "/")
	found := &sarifRule{}
	for c := -1; c < len(r.Tool.Extensions) && id != ""; c++ {
		rules := r.Tool.Driver.Rules
		if c >= 0 {
			rules = r.Tool.Extensions[c].Rules
		}
		for i := range rules {
			if rules[i].ID == id {
				return &rules[i]
			}
			if string(rules[i].ID) == family {
				found = &rules[i]
			}
		}
	}
	return found
}

// level returns a result's level (3.27.10 of the standard).
func (v *sarifResult) level(rule *sarifRule) Text {
	switch {
	case v.Level != "":
		return v.Level
	case v.Kind != "" && !strings.EqualFold(string(v.Kind), "fail"):
		return "none"
	}
	return first(rule.Default.Level, "warning")
}

func sarifLevel(level string) uint8 {
	switch strings.ToLower(level) {
	case "error":
		return pipeline.SeverityHigh
	case "warning":
		return pipeline.SeverityMedium
	case "note":
		return pipeline.SeverityLow
	}
	return pipeline.SeverityInfo
}

// suppressed reports whether a result's suppressions hide it: none of them is under review or rejected.
func (v *sarifResult) suppressed() bool {
	for i := range v.Suppressions {
		switch strings.ToLower(string(first(v.Suppressions[i].Status, v.Suppressions[i].State))) {
		case "underreview", "rejected":
			return false
		}
	}
	return len(v.Suppressions) > 0
}

// text returns a result's message, by its id among the rule's messages where it has only that.
func (v *sarifResult) text(rule *sarifRule) string {
	text := string(v.Message.Text)
	if text == "" && v.Message.ID != "" {
		text = string(rule.MessageStrings[string(v.Message.ID)].Text)
	}
	for i, a := range v.Message.Arguments {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", a)
	}
	return text
}

// sarifPackage takes the package out of the messages of Trivy, which are lines of "Package: ...".
func sarifPackage(e *pipeline.Event, text string) {
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			return
		}
		switch key {
		case "Package":
			e.SetAttr("package.name", value)
			e.Title = vulnerabilityTitle(e.Rule, value, "", "")
		case "Installed Version":
			e.SetAttr("package.version", value)
			e.Title += " " + value
		case "Fixed Version":
			e.SetAttr("fixed_version", value)
		}
	}
}

// fingerprintOf returns the first fingerprint by name, so that the same result gives the same.
func fingerprintOf(m map[string]Text) string {
	name := ""
	for k, v := range m {
		switch k {
		case "commitSha", "commitMessage", "author", "email", "date": // gitleaks keeps the commit there
		default:
			if v != "" && (name == "" || k < name) {
				name = k
			}
		}
	}
	return string(m[name])
}

// sarifCWE returns the weaknesses among a rule's tags: "CWE-78: ..." and "external/cwe/cwe-078".
func sarifCWE(tags []string) string {
	var ids []string
	for _, t := range tags {
		t = strings.TrimPrefix(strings.ToLower(t), "external/cwe/")
		if number, ok := strings.CutPrefix(t, "cwe-"); ok {
			if id := "CWE-" + strconv.Itoa(atoi(number)); id != "CWE-0" && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return strings.Join(ids, ",")
}

// secretScanner reports whether a tool looks for secrets only.
func secretScanner(tool string) bool {
	tool = strings.ToLower(tool)
	for _, name := range []string{"gitleaks", "trufflehog", "detect-secrets", "ggshield", "gitguardian", "git-secrets", "whispers", "secretlint", "kingfisher", "noseyparker", "nosey parker"} {
		if strings.HasPrefix(tool, name) {
			return true
		}
	}
	return false
}

// isVulnID reports whether a rule's id is that of a published vulnerability.
func isVulnID(id string) bool {
	for _, prefix := range []string{"CVE-", "GHSA-", "GO-20", "PYSEC-", "RUSTSEC-", "OSV-20", "MAL-20", "DSA-", "USN-", "RHSA-", "ALAS"} {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return false
}
