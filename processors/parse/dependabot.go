package parse

import (
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// dependabot reads Dependabot's alerts as its APIs give them: GraphQL's vulnerabilityAlerts and the array of the REST API.
// Its webhooks are read with GitHub's others.
// https://docs.github.com/en/graphql/reference/objects#repositoryvulnerabilityalert and
// https://docs.github.com/en/rest/dependabot/alerts
var dependabot = Format{
	Name: "dependabot", Title: "Dependabot alerts (GraphQL, REST)", Phase: pipeline.PhaseTesting,
	Types: []string{"vulnerability.found", "finding.corrected", "finding.accepted", "finding.suppressed", "scan.completed"},
	Known: "JSON object with data and vulnerabilityAlerts in it, or objects with number, security_advisory and security_vulnerability",
	Frame: Values,
	Match: func(s *Shape) bool {
		if s.Has("number", "security_advisory", "security_vulnerability") {
			return true
		}
		return !s.Array && s.Has("data") && strings.Contains(alias(s.Raw("data")), `"vulnerabilityAlerts"`)
	},
	Parse: parseDependabot,
}

type dependabotList struct {
	Nodes []dependabotRepo
	Edges []struct{ Node dependabotRepo }
}

type dependabotRepo struct {
	NameWithOwner, URL Text
	Alerts             *struct {
		Nodes []part[dependabotAlert]
		Edges []struct{ Node part[dependabotAlert] }
	} `json:"vulnerabilityAlerts"`
	Search dependabotList
}

type dependabotAlert struct {
	Number, State, CreatedAt, FixedAt, DismissedAt, DismissReason Text

	Manifest     Text `json:"vulnerableManifestPath"`
	ManifestName Text `json:"vulnerableManifestFilename"`
	Requirements Text `json:"vulnerableRequirements"`
	Update       *struct {
		PullRequest *struct{ Permalink Text }
	} `json:"dependabotUpdate"`
	Vulnerability struct {
		Severity Text
		Range    Text `json:"vulnerableVersionRange"`
		Package  struct{ Name, Ecosystem Text }
		Patched  *struct{ Identifier Text } `json:"firstPatchedVersion"`
		Advisory struct {
			GHSAID, Summary, Description, Permalink Text

			CVSS        struct{ Score Number }
			Identifiers []struct{ Value Text }
			References  []struct{ URL Text }
		}
	} `json:"securityVulnerability"`
}

// dependabotREST is an alert of the REST API. It has the members of the webhook's, which the GitHub format knows.
type dependabotREST struct {
	githubAlert
	Repository struct {
		FullName Text `json:"full_name"`
		HTMLURL  Text `json:"html_url"`
	} `json:"repository"`
}

func parseDependabot(in *Input, out *Out) error {
	if in.Data[0] == '[' {
		var list []part[dependabotREST]
		if err := decodeFold(in.Data, &list); err != nil {
			return err
		}
		for i := range list {
			list[i].Value.event(out).Raw = list[i].Raw
		}
		if len(list) == 0 {
			out.clean(time.Time{}, "Dependabot")
		}
		return nil
	}
	if member(in.Data, "security_advisory") != nil {
		var a dependabotREST
		if err := decodeFold(in.Data, &a); err != nil {
			return err
		}
		a.event(out)
		return nil
	}
	var v struct {
		Data struct {
			Repository   dependabotRepo
			Search       dependabotList
			Organization struct{ Repositories dependabotList }
		}
	}
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	d := &v.Data
	if d.Repository.read(out, nil)+d.Search.read(out, nil)+d.Organization.Repositories.read(out, nil) == 0 {
		out.clean(time.Time{}, "Dependabot").Repo = repoOf(string(first(d.Repository.URL, d.Repository.NameWithOwner)))
	}
	return nil
}

func (s *dependabotList) read(out *Out, parent *dependabotRepo) int {
	n := 0
	for i := range s.Nodes {
		n += s.Nodes[i].read(out, parent)
	}
	for i := range s.Edges {
		n += s.Edges[i].Node.read(out, parent)
	}
	return n
}

// read gives the alerts of a repository, or of what was searched in it, and returns how many.
func (r *dependabotRepo) read(out *Out, parent *dependabotRepo) int {
	if r.URL == "" && r.NameWithOwner == "" && parent != nil {
		r.URL, r.NameWithOwner = parent.URL, parent.NameWithOwner
	}
	n := 0
	if a := r.Alerts; a != nil {
		for i := range a.Nodes {
			r.alert(out, &a.Nodes[i])
		}
		for i := range a.Edges {
			r.alert(out, &a.Edges[i].Node)
		}
		n = len(a.Nodes) + len(a.Edges)
	}
	return n + r.Search.read(out, r)
}

func (r *dependabotRepo) alert(out *Out, p *part[dependabotAlert]) {
	a := &p.Value
	w := &a.Vulnerability
	ad := &w.Advisory
	v := vulnerability{
		IDs: []string{string(ad.GHSAID)}, Title: string(first(ad.Summary, ad.Description)), URL: string(ad.Permalink),
		Severity: severityWord(string(w.Severity)), Score: ad.CVSS.Score.Or(0), Ecosystem: string(w.Package.Ecosystem), Name: string(w.Package.Name),
		Version: strings.TrimSpace(strings.TrimPrefix(string(a.Requirements), "=")), File: string(first(a.Manifest, a.ManifestName)),
	}
	for i := range ad.Identifiers {
		v.IDs = append(v.IDs, string(ad.Identifiers[i].Value))
	}
	if len(ad.References) > 0 {
		v.URL = first(v.URL, string(ad.References[0].URL))
	}
	if w.Patched != nil {
		v.Fixed = string(w.Patched.Identifier)
	}
	v.Ecosystem = first(v.Ecosystem, ecosystemOfFile(v.File))
	state := string(a.State)
	if a.FixedAt != "" {
		state = "fixed"
	} else if a.DismissedAt != "" {
		state = "dismissed"
	}
	e := out.vulnerability(&v)
	e.Type, e.Outcome, e.Disposition = dependabotType(state, string(a.DismissReason)), pipeline.OutcomeUnknown, 0
	settleFinding(e)
	e.Class = kinds[e.Type].class
	e.Raw, e.Repo = p.Raw, repoOf(string(first(r.URL, r.NameWithOwner)))
	e.Time = parseTime(string(first(a.FixedAt, a.DismissedAt, a.CreatedAt)))
	e.SetAttr("alert.number", string(a.Number))
	e.SetAttr("alert.state", strings.ToLower(string(a.State)))
	e.SetAttr("reason", string(a.DismissReason))
	e.SetAttr("vulnerable_range", string(w.Range))
	if u := a.Update; u != nil && u.PullRequest != nil {
		e.SetAttr("url.full", string(u.PullRequest.Permalink))
	}
}

// dependabotType gives an alert's type in the finding's life.
func dependabotType(state, reason string) string {
	switch strings.ToLower(state) {
	case "fixed":
		return "finding.corrected"
	case "dismissed", "auto_dismissed":
		return githubFinding("vulnerability.found", "dismissed", &githubAlert{DismissedReason: Text(reason)})
	}
	return "vulnerability.found"
}

func (a *dependabotREST) event(out *Out) *pipeline.Event {
	e := out.Event(dependabotType(string(a.State), string(a.DismissedReason)))
	settleFinding(e)
	e.Time = parseTime(string(first(a.FixedAt, a.DismissedAt, a.UpdatedAt, a.CreatedAt)))
	e.Repo = repoOf(string(first(a.Repository.HTMLURL, a.Repository.FullName)))
	if e.Repo == "" {
		e.Repo, _, _ = strings.Cut(repoOf(string(a.HTMLURL)), "/security/")
	}
	e.Title = dependencyAlert(e, &a.githubAlert)
	e.SetAttr("alert.number", string(a.Number))
	e.SetAttr("alert.state", string(a.State))
	e.SetAttr("url.full", string(a.HTMLURL))
	e.SetAttr("reason", string(a.DismissedReason))
	return e
}
