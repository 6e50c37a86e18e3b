package parse

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
)

// spdx reads SPDX documents: JSON and YAML of version 2, tag-value, and the JSON-LD of version 3. Each package is component.added;
// version 3 may hold vulnerabilities.
// https://spdx.github.io/spdx-spec/
var spdx = Format{
	Name: "spdx", Title: "SPDX (JSON, YAML, tag-value, JSON-LD)", Phase: pipeline.PhasePackaging,
	Types: []string{"component.added", "vulnerability.found", "scan.completed"},
	Known: "JSON object with spdxVersion, or @context of SPDX; text with SPDXVersion: or spdxVersion:",
	Frame: Reports,
	Match: func(s *Shape) bool {
		if !s.IsObject() {
			return s.Begins("SPDXVersion:") || s.Root == "" && (isSPDXText(s.Data(), "SPDXVersion: SPDX-") || isSPDXYAML(s.Data()))
		}
		return !s.Array && (s.Has("spdxVersion") || strings.Contains(alias(s.Raw("@context")), "spdx.org/rdf") || s.Raw("SPDXID") != nil && s.Has("packages"))
	},
	Parse: parseSPDX,
}

// isSPDXText reports whether a document has a line with that beginning, which may stand behind comments.
func isSPDXText(b []byte, line string) bool {
	return bytes.HasPrefix(b, []byte(line)) || bytes.Contains(b[:min(len(b), 4096)], []byte("\n"+line))
}

// isSPDXYAML reports whether a text is a document in YAML. Tools write its keys in any order.
func isSPDXYAML(b []byte) bool {
	return isSPDXText(b, "SPDXID:") && bytes.Contains(b, []byte("\nspdxVersion:")) || isSPDXText(b, "spdxVersion:")
}

type spdxPackage struct {
	Name, VersionInfo Text

	Declared  Text `json:"licenseDeclared"`
	Concluded Text `json:"licenseConcluded"`
	Kind      Text `json:"primaryPackagePurpose"`
	Checksums []struct{ Algorithm, ChecksumValue Text }
	Refs      []struct {
		Type    Text `json:"referenceType"`
		Locator Text `json:"referenceLocator"`
	} `json:"externalRefs"`
}

// spdxElement is an element of version 3's graph.
type spdxElement struct {
	Type        Text
	Name        Text
	Summary     Text
	Version     Text `json:"software_packageVersion"`
	URL         Text `json:"software_packageUrl"`
	Purpose     Text `json:"software_primaryPurpose"`
	Created     Text
	Identifiers []struct {
		Type       Text `json:"externalIdentifierType"`
		Identifier Text
	} `json:"externalIdentifier"`
	VerifiedUsing []struct{ Algorithm, HashValue Text }
}

// spdxDocument is what a document says of itself.
type spdxDocument struct {
	name, namespace string
	at              time.Time
}

func parseSPDX(in *Input, out *Out) error {
	var d spdxDocument
	var err error
	switch {
	case isJSON(in.Data):
		err = d.readJSON(in.Data, out)
	case isSPDXYAML(in.Data):
		var b []byte
		if b, err = yamlToJSON(in.Data); err == nil {
			err = d.readJSON(b, out)
		}
	default:
		err = d.readTags(in, out)
	}
	if err == nil && len(out.named) == 0 {
		d.about(out.scanned(d.at, "SPDX document "+first(d.name, d.namespace)+" without packages"))
	}
	return err
}

func (d *spdxDocument) readJSON(b []byte, out *Out) error {
	var v struct {
		SPDXVersion, Name, DocumentNamespace Text

		CreationInfo struct{ Created Text }
		Packages     []part[spdxPackage]
		Graph        *[]part[spdxElement] `json:"@graph"`
	}
	if err := decodeFold(b, &v); err != nil {
		return err
	}
	if v.SPDXVersion == "" && v.Graph == nil && v.Packages == nil {
		return errors.New("SPDX document without spdxVersion, packages and @graph")
	}
	d.name, d.namespace, d.at = string(v.Name), string(v.DocumentNamespace), parseTime(string(v.CreationInfo.Created))
	for i := range v.Packages {
		d.component(out, &v.Packages[i].Value).Raw = v.Packages[i].Raw
	}
	if v.Graph != nil {
		d.graph(out, *v.Graph)
	}
	return nil
}

func (d *spdxDocument) about(e *pipeline.Event) {
	e.Time, e.Artifact = d.at, d.name
	e.SetAttr("bom.serial_number", d.namespace)
}

func (d *spdxDocument) component(out *Out, p *spdxPackage) *pipeline.Event {
	e := out.Event("component.added")
	d.about(e)
	e.Severity, e.Title = pipeline.SeverityInfo, strings.TrimSpace(string(p.Name)+" "+string(p.VersionInfo))
	for i := range p.Refs {
		switch r := &p.Refs[i]; strings.ToLower(string(r.Type)) {
		case "purl":
			e.Purl = first(e.Purl, purlClean(string(r.Locator)))
		case "advisory", "fix", "url", "swid":
			e.SetAttr("vulnerability.reference", string(r.Locator))
		}
	}
	e.SetAttr("package.name", string(p.Name))
	e.SetAttr("package.version", string(p.VersionInfo))
	e.SetAttr("component.type", strings.ToLower(string(p.Kind)))
	license := p.Declared
	if license == "" || license == "NOASSERTION" || license == "NONE" {
		license = p.Concluded
	}
	if license != "NOASSERTION" && license != "NONE" {
		e.SetAttr("package.license", string(license))
	}
	for i := range p.Checksums {
		if c := &p.Checksums[i]; strings.EqualFold(string(c.Algorithm), "SHA256") {
			e.SetAttr("package.checksum", "sha256:"+strings.ToLower(string(c.ChecksumValue)))
		}
	}
	return e
}

// graph reads the elements of version 3.
func (d *spdxDocument) graph(out *Out, elements []part[spdxElement]) {
	for i := range elements {
		switch el := &elements[i].Value; el.Type {
		case "SpdxDocument":
			d.name = first(d.name, string(el.Name))
		case "CreationInfo":
			d.at = first(d.at, parseTime(string(el.Created)))
		}
	}
	for i := range elements {
		el := &elements[i].Value
		switch el.Type {
		case "software_Package", "ai_AIPackage", "dataset_DatasetPackage", "Package":
			p := spdxPackage{Name: el.Name, VersionInfo: el.Version, Kind: el.Purpose}
			e := d.component(out, &p)
			e.Raw, e.Purl = elements[i].Raw, purlClean(string(el.URL))
			for _, id := range el.Identifiers {
				if t := strings.ToLower(string(id.Type)); t == "packageurl" || t == "purl" {
					e.Purl = first(e.Purl, purlClean(string(id.Identifier)))
				}
			}
			for _, h := range el.VerifiedUsing {
				if strings.EqualFold(string(h.Algorithm), "sha256") {
					e.SetAttr("package.checksum", "sha256:"+strings.ToLower(string(h.HashValue)))
				}
			}
		case "security_Vulnerability":
			v := vulnerability{Title: string(el.Summary)}
			for _, id := range el.Identifiers {
				v.IDs = append(v.IDs, string(id.Identifier))
			}
			if len(v.IDs) == 0 {
				v.IDs = []string{string(el.Name)}
			}
			e := out.vulnerability(&v)
			d.about(e)
			e.Raw = elements[i].Raw
		}
	}
}

// readTags reads tag-value: "Tag: value" a line, texts over several lines in <text>. A package begins with PackageName.
func (d *spdxDocument) readTags(in *Input, out *Out) error {
	text := in.Text()
	var p *spdxPackage
	start := 0
	flush := func(end int) {
		if p != nil {
			d.component(out, p).Raw = strings.TrimSpace(text[start:end])
		}
		p = nil
	}
	known := false
	for pos := 0; pos < len(text); {
		begin := pos
		line, _, _ := strings.Cut(text[pos:], "\n")
		pos = min(pos+len(line)+1, len(text))
		tag, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || strings.HasPrefix(tag, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		if strings.HasPrefix(value, "<text>") && !strings.Contains(value, "</text>") {
			end := strings.Index(text[pos:], "</text>")
			if end < 0 {
				return &lineError{line: strings.Count(text[:begin], "\n"), err: errors.New("text without its end </text>")}
			}
			pos += end + len("</text>")
			continue
		}
		switch tag {
		case "SPDXVersion":
			known = true
		case "DocumentName":
			d.name = value
		case "DocumentNamespace":
			d.namespace = value
		case "Created":
			d.at = parseTime(value)
		case "PackageName":
			flush(begin)
			p, start = &spdxPackage{Name: Text(value)}, begin
		case "FileName", "SnippetSPDXID", "LicenseID", "Relationship":
			flush(begin)
		}
		if p != nil {
			p.tag(tag, value)
		}
	}
	flush(len(text))
	if !known {
		return errors.New("SPDX tag-value without SPDXVersion")
	}
	return nil
}

func (p *spdxPackage) tag(tag, value string) {
	switch tag {
	case "PackageVersion":
		p.VersionInfo = Text(value)
	case "PackageLicenseDeclared":
		p.Declared = Text(value)
	case "PackageLicenseConcluded":
		p.Concluded = Text(value)
	case "PrimaryPackagePurpose":
		p.Kind = Text(value)
	case "PackageChecksum":
		algorithm, sum, _ := strings.Cut(value, ":")
		p.Checksums = append(p.Checksums, struct{ Algorithm, ChecksumValue Text }{Text(algorithm), Text(strings.TrimSpace(sum))})
	case "ExternalRef": // category type locator
		if f := strings.Fields(value); len(f) == 3 {
			p.Refs = append(p.Refs, struct {
				Type    Text `json:"referenceType"`
				Locator Text `json:"referenceLocator"`
			}{Text(f[1]), Text(f[2])})
		}
	}
}
