package parse

import (
	"encoding/xml"
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// cycloneDX reads CycloneDX BOMs and VEX documents, JSON and XML of all versions. Each component, nested ones too, is
// component.added of the artifact in the metadata; each vulnerability a finding, whose analysis tells its state. The
// severity is the highest of its ratings.
// https://cyclonedx.org/specification/overview/
var cycloneDX = Format{
	Name: "cyclonedx", Title: "CycloneDX BOM and VEX (JSON, XML)", Phase: pipeline.PhasePackaging,
	Types: []string{"component.added", "vulnerability.found", "finding.suppressed", "finding.corrected", "scan.completed"},
	Known: "JSON object with bomFormat or a CycloneDX schema; XML bom",
	Frame: Reports,
	Match: func(s *Shape) bool {
		return s.Root == "bom" || !s.Array && (s.String("bomFormat") == "CycloneDX" || strings.Contains(s.String("$schema"), "cyclonedx") ||
			s.Has("specVersion", "components"))
	},
	Parse: parseCycloneDX,
}

// cdxComponent is a component in either encoding.
type cdxComponent struct {
	Type     string `xml:"type,attr" json:"type"`
	Ref      string `xml:"bom-ref,attr" json:"bom-ref"`
	Group    string `xml:"group" json:"group"`
	Name     string `xml:"name" json:"name"`
	Version  string `xml:"version" json:"version"`
	Scope    string `xml:"scope" json:"scope"`
	Purl     string `xml:"purl" json:"purl"`
	Licenses []struct {
		License struct {
			ID   string `xml:"id" json:"id"`
			Name string `xml:"name" json:"name"`
		} `xml:"-" json:"license"`
		Expression string `xml:"-" json:"expression"`
	} `xml:"-" json:"licenses"`
	XMLLicenses []struct {
		ID   string `xml:"id"`
		Name string `xml:"name"`
	} `xml:"licenses>license" json:"-"`
	Hashes []struct {
		Alg     string `xml:"alg,attr" json:"alg"`
		Content string `xml:",chardata" json:"content"`
	} `xml:"hashes>hash" json:"hashes"`
	Components    []part[cdxComponent] `xml:"-" json:"components"`
	XMLComponents []cdxComponent       `xml:"components>component" json:"-"`
	Text          string               `xml:",innerxml" json:"-"`

	Vulnerabilities []cdxVulnerability `xml:"vulnerabilities>vulnerability" json:"-"` // of the extension of XML 1.0 to 1.3
}

type cdxVulnerability struct {
	ID     string `xml:"id" json:"id"`
	Source struct {
		Name string `xml:"name" json:"name"`
		URL  string `xml:"url" json:"url"`
	} `xml:"source" json:"source"`
	References []struct {
		ID string `xml:"id" json:"id"`
	} `xml:"references>reference" json:"references"`
	Ratings []struct {
		Severity string `xml:"severity" json:"severity"`
		Score    Text   `xml:"score" json:"score"`
	} `xml:"ratings>rating" json:"ratings"`
	CWEs        Strings `xml:"cwes>cwe" json:"cwes"`
	Description string  `xml:"description" json:"description"`
	Detail      string  `xml:"detail" json:"detail"`
	Recommend   string  `xml:"recommendation" json:"recommendation"`
	Analysis    struct {
		State         string  `xml:"state" json:"state"`
		Justification string  `xml:"justification" json:"justification"`
		Responses     Strings `xml:"responses>response" json:"response"`
		Detail        string  `xml:"detail" json:"detail"`
	} `xml:"analysis" json:"analysis"`
	Affects []struct {
		Ref string `xml:"ref" json:"ref"`
	} `xml:"affects>target" json:"affects"`
	Text string `xml:",innerxml" json:"-"`
}

// cdxBOM is what a document says of itself, and its components by their references.
type cdxBOM struct {
	serial, artifact, digest string
	at                       time.Time
	known                    map[string]*cdxComponent
}

func parseCycloneDX(in *Input, out *Out) error {
	b := cdxBOM{known: map[string]*cdxComponent{}}
	var err error
	if isJSON(in.Data) {
		err = b.readJSON(in, out)
	} else {
		err = b.readXML(in, out)
	}
	if err == nil && len(out.named) == 0 {
		b.about(out.scanned(b.at, "BOM of "+first(b.artifact, b.serial, "nothing")+" without components"))
	}
	return err
}

func (b *cdxBOM) readJSON(in *Input, out *Out) error {
	var v struct {
		BOMFormat   Text `json:"bomFormat"`
		SpecVersion Text `json:"specVersion"`
		Serial      Text `json:"serialNumber"`
		Metadata    struct {
			Timestamp Text         `json:"timestamp"`
			Component cdxComponent `json:"component"`
		} `json:"metadata"`
		Components      []part[cdxComponent]     `json:"components"`
		Vulnerabilities []part[cdxVulnerability] `json:"vulnerabilities"`
	}
	if err := decodeFold(in.Data, &v); err != nil {
		return err
	}
	if v.BOMFormat == "" && v.SpecVersion == "" {
		return errors.New("CycloneDX document without bomFormat and specVersion")
	}
	b.describe(string(v.Serial), string(v.Metadata.Timestamp), &v.Metadata.Component)
	b.components(out, v.Components)
	for i := range v.Vulnerabilities {
		b.vulnerability(out, &v.Vulnerabilities[i].Value, nil).Raw = v.Vulnerabilities[i].Raw
	}
	return nil
}

func (b *cdxBOM) components(out *Out, list []part[cdxComponent]) {
	for i := range list {
		c := &list[i].Value
		b.component(out, c).Raw = list[i].Raw
		b.components(out, c.Components)
	}
}

func (b *cdxBOM) readXML(in *Input, out *Out) error {
	known := false
	return walkXML(in, func(d *xml.Decoder, e *xml.StartElement, _ int64) error {
		switch e.Name.Local {
		case "bom":
			known = true
			b.serial = xmlAttr(e, "serialNumber")
		case "metadata":
			var v struct {
				Timestamp string       `xml:"timestamp"`
				Component cdxComponent `xml:"component"`
			}
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			b.describe(b.serial, v.Timestamp, &v.Component)
		case "component":
			c := &cdxComponent{}
			if err := decodeXML(d, e, c); err != nil {
				return err
			}
			b.xmlComponent(out, c)
		case "services", "dependencies", "externalReferences", "compositions", "formulation", "annotations":
			return xmlSkip(d)
		case "vulnerability":
			var v cdxVulnerability
			if err := decodeXML(d, e, &v); err != nil {
				return err
			}
			b.vulnerability(out, &v, nil).Raw = v.Text
		}
		if !known {
			return errors.New("no CycloneDX document: the root element is not bom")
		}
		return nil
	})
}

func (b *cdxBOM) xmlComponent(out *Out, c *cdxComponent) {
	b.component(out, c).Raw = c.Text
	for i := range c.Vulnerabilities {
		b.vulnerability(out, &c.Vulnerabilities[i], c).Raw = c.Vulnerabilities[i].Text
	}
	for i := range c.XMLComponents {
		b.xmlComponent(out, &c.XMLComponents[i])
	}
}

// describe notes what the document is about. A container has its digest as version or in its package URL.
func (b *cdxBOM) describe(serial, timestamp string, c *cdxComponent) {
	b.serial, b.at = serial, parseTime(timestamp)
	b.artifact = c.fullName()
	if strings.HasPrefix(c.Version, "sha256:") {
		b.digest = c.Version
	} else if _, version := purlParts(c.Purl); strings.HasPrefix(version, "sha256:") {
		b.digest = version
	} else if c.Version != "" && b.artifact != "" {
		b.artifact += "@" + c.Version
	}
	b.known[c.Ref] = c
}

func (b *cdxBOM) about(e *pipeline.Event) {
	e.Time, e.Artifact, e.Digest = b.at, b.artifact, b.digest
	e.SetAttr("bom.serial_number", b.serial)
}

func (c *cdxComponent) fullName() string {
	if c.Group == "" {
		return c.Name
	}
	return c.Group + "/" + c.Name
}

func (b *cdxBOM) component(out *Out, c *cdxComponent) *pipeline.Event {
	b.known[c.Ref] = c
	e := out.Event("component.added")
	b.about(e)
	e.Severity, e.Purl = pipeline.SeverityInfo, purlClean(c.Purl)
	e.Title = strings.TrimSpace(c.fullName() + " " + c.Version)
	e.SetAttr("package.name", c.fullName())
	e.SetAttr("package.version", c.Version)
	e.SetAttr("component.type", c.Type)
	e.SetAttr("component.scope", c.Scope)
	var licenses []string
	for i := range c.Licenses {
		licenses = append(licenses, first(c.Licenses[i].License.ID, c.Licenses[i].License.Name, c.Licenses[i].Expression))
	}
	for i := range c.XMLLicenses {
		licenses = append(licenses, first(c.XMLLicenses[i].ID, c.XMLLicenses[i].Name))
	}
	e.SetAttr("package.license", strings.Join(licenses, ", "))
	for i := range c.Hashes {
		if h := &c.Hashes[i]; strings.EqualFold(h.Alg, "SHA-256") {
			e.SetAttr("package.checksum", "sha256:"+strings.ToLower(strings.TrimSpace(h.Content)))
		}
	}
	return e
}

// vulnerability gives a vulnerability of the component of, or of the first that it names.
func (b *cdxBOM) vulnerability(out *Out, w *cdxVulnerability, of *cdxComponent) *pipeline.Event {
	v := vulnerability{IDs: []string{w.ID}, Rule: w.ID, Title: first(w.Description, w.Detail), URL: w.Source.URL}
	for i := range w.References {
		if isVulnID(w.References[i].ID) {
			v.IDs = append(v.IDs, w.References[i].ID)
		}
	}
	for i := range w.Ratings {
		r := &w.Ratings[i]
		v.Severity = max(v.Severity, severityWord(r.Severity))
		v.Score = max(v.Score, floatOf(string(r.Score)))
	}
	if v.Severity == pipeline.SeverityUnknown {
		v.Severity = severityCVSS(v.Score)
	}
	if of == nil && len(w.Affects) > 0 {
		of = b.known[w.Affects[0].Ref]
	}
	if of != nil {
		v.Name, v.Version, v.Purl = of.fullName(), of.Version, of.Purl
	} else if len(w.Affects) > 0 && strings.HasPrefix(w.Affects[0].Ref, "pkg:") {
		v.Purl = w.Affects[0].Ref
		v.Name, v.Version = purlParts(v.Purl)
	}
	e := out.vulnerability(&v)
	b.about(e)
	switch strings.ToLower(w.Analysis.State) {
	case "not_affected", "false_positive":
		e.Type = "finding.suppressed"
	case "resolved", "resolved_with_pedigree":
		e.Type = "finding.corrected"
	}
	e.Class, e.Outcome = kinds[e.Type].class, pipeline.OutcomeUnknown
	settleFinding(e)
	e.SetAttr("analysis.state", w.Analysis.State)
	e.SetAttr("reason", first(w.Analysis.Justification, oneLine(w.Analysis.Detail, 200)))
	e.SetAttr("analysis.response", strings.Join(w.Analysis.Responses, ","))
	e.SetAttr("cwe", strings.Join(cweIDs(w.CWEs), ","))
	e.SetAttr("remediation", oneLine(w.Recommend, 300))
	if len(w.Affects) > 1 {
		refs := make([]string, 0, len(w.Affects))
		for i := range w.Affects {
			refs = append(refs, w.Affects[i].Ref)
		}
		e.SetAttr("affects", strings.Join(refs, ", "))
	}
	return e
}
