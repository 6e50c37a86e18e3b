package parse

import (
	"errors"
	"strings"

	"github.com/segmentio/encoding/json"

	"github.com/tocsin-project/tocsin/pipeline"
)

// grype reads the JSON of Grype. Severity is a word; Negligible is informational. What its rules ignore is
// finding.suppressed.
// https://github.com/anchore/grype#output-formats
var grype = Format{
	Name: "grype", Title: "Grype report (JSON)", Phase: pipeline.PhasePackaging,
	Types: []string{"vulnerability.found", "finding.suppressed", "scan.completed"},
	Known: "JSON object with matches, and descriptor, distro, source or matchDetails",
	Frame: Values,
	Match: func(s *Shape) bool {
		return !s.Array && s.Has("matches") && (s.Has("descriptor") || s.Has("distro") || s.Has("source") ||
			member(firstMember(s.Raw("matches")), "matchDetails") != nil)
	},
	Parse: parseGrype,
}

type grypeVulnerability struct {
	ID, DataSource, Severity, Description Text

	CVSS []struct{ Metrics struct{ BaseScore Number } }
	Fix  struct {
		Versions Strings
		State    Text
	}
	EPSS []struct{ EPSS Number }
	KEV  []struct{ CVE Text } `json:"knownExploited"`
}

type grypeMatch struct {
	Vulnerability grypeVulnerability
	Related       []grypeVulnerability `json:"relatedVulnerabilities"`
	Artifact      struct {
		Name, Version, Type, PURL Text
		Locations                 []struct{ Path Text }
	}
	Rules []struct{ Reason Text } `json:"appliedIgnoreRules"`
}

type grypeReport struct {
	Matches    *[]part[grypeMatch]
	Ignored    []part[grypeMatch] `json:"ignoredMatches"`
	Source     struct{ Target json.RawMessage }
	Distro     struct{ Name Text }
	Descriptor struct{ Version, Timestamp Text }
}

func parseGrype(in *Input, out *Out) error {
	var v grypeReport
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.Matches == nil {
		if string(member(in.Data, "matches")) != "null" {
			return errors.New("grype report without matches")
		}
		v.Matches = &[]part[grypeMatch]{}
	}
	name, digest, err := v.target()
	if err != nil {
		return err
	}
	at := parseTime(string(v.Descriptor.Timestamp))
	about := func(e *pipeline.Event) {
		e.Time, e.Artifact, e.Digest = at, name, digest
		e.SetAttr("tool.version", string(v.Descriptor.Version))
	}
	distro := string(v.Distro.Name)
	for i := range *v.Matches {
		about((*v.Matches)[i].Value.event(out, "vulnerability.found", (*v.Matches)[i].Raw, distro))
	}
	for i := range v.Ignored {
		e := v.Ignored[i].Value.event(out, "finding.suppressed", v.Ignored[i].Raw, distro)
		about(e)
		if rules := v.Ignored[i].Value.Rules; len(rules) > 0 {
			e.SetAttr("reason", string(rules[0].Reason))
		}
	}
	if len(*v.Matches) == 0 {
		about(out.clean(at, "grype"))
	}
	return nil
}

// target returns what was scanned: an image with its digest, or a folder, whose name is all that there is.
func (v *grypeReport) target() (name, digest string, err error) {
	t := v.Source.Target
	if len(t) == 0 {
		return "", "", nil
	}
	if t[0] != '{' {
		var text Text
		err := text.UnmarshalJSON(t)
		return strings.Trim(string(text), `"`), "", err
	}
	var image struct {
		UserInput, ManifestDigest Text
		RepoDigests               Strings
	}
	if err := decodeFold(t, &image); err != nil {
		return "", "", err
	}
	return string(image.UserInput), imageDigest(image.RepoDigests, string(image.ManifestDigest)), nil
}

func (m *grypeMatch) event(out *Out, typ, raw, distro string) *pipeline.Event {
	w := &m.Vulnerability
	v := vulnerability{
		IDs: []string{string(w.ID)}, Rule: string(w.ID), Title: string(w.Description), URL: string(w.DataSource), Severity: severityWord(string(w.Severity)),
		Ecosystem: string(m.Artifact.Type), Name: string(m.Artifact.Name), Version: string(m.Artifact.Version), Purl: string(m.Artifact.PURL),
		Fixed: strings.Join(w.Fix.Versions, ", "),
	}
	switch v.Ecosystem {
	case "deb", "apk", "rpm":
		v.Ecosystem = distro
	}
	for i := range w.CVSS {
		v.Score = max(v.Score, w.CVSS[i].Metrics.BaseScore.Or(0))
	}
	for i := range m.Related {
		v.IDs = append(v.IDs, string(m.Related[i].ID))
		if v.Score == 0 && len(m.Related[i].CVSS) > 0 {
			v.Score = m.Related[i].CVSS[0].Metrics.BaseScore.Or(0)
		}
		v.Title = first(v.Title, string(m.Related[i].Description))
	}
	if len(m.Artifact.Locations) > 0 {
		v.File = string(m.Artifact.Locations[0].Path)
	}
	e := out.vulnerability(&v)
	e.Type, e.Class, e.Raw = typ, kinds[typ].class, raw
	e.Outcome = pipeline.OutcomeUnknown
	settleFinding(e)
	e.SetAttr("fix.state", string(w.Fix.State))
	if len(w.EPSS) > 0 {
		e.SetAttr("epss", score(w.EPSS[0].EPSS.Or(0)))
	}
	if len(w.KEV) > 0 {
		e.SetAttr("known_exploited", "true")
	}
	return e
}

// imageDigest returns the digest of an image: of its name in a registry, else that of its manifest.
func imageDigest(repoDigests []string, manifest string) string {
	for _, d := range repoDigests {
		if _, digest, ok := strings.Cut(d, "@"); ok {
			return digest
		}
	}
	return manifest
}
