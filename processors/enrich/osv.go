package enrich

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/tocsin-project/tocsin/pipeline"
)

// osv is what the advisories of the Open Source Vulnerability format know beyond a scanner's report: which CVE another name
// stands for, what mends it, and whether it was withdrawn.
// https://ossf.github.io/osv-schema/
type osv struct {
	advisories map[string]*advisory // by id
	modified   time.Time            // the newest
}

type advisory struct {
	cve       string              // an alias of the id, "" where the id is one itself
	withdrawn string              // RFC 3339
	fixed     map[string][]string // versions that mend it, by package URL without version
}

// readOSV reads advisories: one a .json file, or many in a .zip, as OSV publishes the databases of its ecosystems.
func readOSV(files []*file) (part, error) {
	o := &osv{advisories: map[string]*advisory{}}
	var m mistakes
	for _, f := range files {
		if !bytes.HasPrefix(f.data, []byte("PK")) {
			o.add(f, &m)
			continue
		}
		archive, err := zip.NewReader(bytes.NewReader(f.data), int64(len(f.data)))
		if err != nil {
			m.at(f.path, 0, 0, err.Error(), "expected one advisory in JSON, or a .zip of them as OSV publishes it")
			continue
		}
		left := int64(maxFileBytes)
		for _, entry := range archive.File {
			if !strings.HasSuffix(entry.Name, ".json") {
				continue
			}
			data, err := unzip(entry, left)
			if left -= int64(len(data)); err != nil {
				m.at(f.path, 0, 0, entry.Name+": "+err.Error(), "")
				break
			}
			o.add(&file{path: f.path + "/" + entry.Name, data: data}, &m)
		}
	}
	return o, m.err()
}

// unzip returns what an entry holds, which may be limit bytes at most.
func unzip(entry *zip.File, limit int64) ([]byte, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes, unpacked", int64(maxFileBytes))
	}
	return data, err
}

// add takes one advisory.
func (o *osv) add(f *file, m *mistakes) {
	var v struct {
		ID        string    `json:"id"`
		Modified  time.Time `json:"modified"`
		Withdrawn string    `json:"withdrawn"`
		Aliases   []string  `json:"aliases"`
		Affected  []struct {
			Package struct {
				Purl string `json:"purl"`
			} `json:"package"`
			Ranges []struct {
				Type   string `json:"type"`
				Events []struct {
					Fixed string `json:"fixed"`
				} `json:"events"`
			} `json:"ranges"`
		} `json:"affected"`
	}
	if err := json.Unmarshal(f.data, &v); err != nil {
		m.atJSON(f, err, "expected an advisory of OSV")
		return
	}
	if v.ID == "" {
		m.at(f.path, 0, 0, "no id", "expected an advisory of OSV")
		return
	}
	a := &advisory{withdrawn: v.Withdrawn, fixed: map[string][]string{}}
	if i := slices.IndexFunc(v.Aliases, isCVE); i >= 0 && !isCVE(v.ID) {
		a.cve = v.Aliases[i]
	}
	for _, affected := range v.Affected {
		name := purlName(affected.Package.Purl)
		for _, r := range affected.Ranges {
			for _, event := range r.Events {
				if name != "" && r.Type != "GIT" && event.Fixed != "" && !slices.Contains(a.fixed[name], event.Fixed) {
					a.fixed[name] = append(a.fixed[name], event.Fixed)
				}
			}
		}
	}
	o.advisories[v.ID] = a
	if v.Modified.After(o.modified) {
		o.modified = v.Modified
	}
}

func (o *osv) install(s *set) { s.osv = o }

func (o *osv) size() (int, time.Time) { return len(o.advisories), o.modified }

// enrich adds the CVE that an advisory of the event is another name of, the versions that mend the event's package where its tool names
// none, and when an advisory was withdrawn.
func (o *osv) enrich(e *pipeline.Event) {
	if o == nil {
		return
	}
	for _, id := range e.Vulns {
		a := o.advisories[id]
		if a == nil {
			continue
		}
		if a.cve != "" && !slices.Contains(e.Vulns, a.cve) {
			e.Vulns = append([]string{a.cve}, e.Vulns...) // CVE first
		}
		setAttr(e, "vulnerability.withdrawn", a.withdrawn)
		switch fixed := a.fixed[purlName(e.Purl)]; len(fixed) {
		case 0:
		case 1:
			setAttr(e, "fixed_version", fixed[0])
		default: // which of them is for the event's line of versions, the advisory does not say
			setAttr(e, "fixed_versions", strings.Join(fixed, ", "))
		}
	}
}

func isCVE(id string) bool { return strings.HasPrefix(id, "CVE-") }

// purlName returns a package URL without version, qualifiers and subpath; "" for what is none.
func purlName(purl string) string {
	p, err := packageurl.FromString(purl)
	if err != nil {
		return ""
	}
	p.Version, p.Qualifiers, p.Subpath = "", nil, ""
	return p.ToString()
}

// atJSON notes a mistake in JSON, where the decoder says.
func (m *mistakes) atJSON(f *file, err error, mend string) {
	offset := 0
	if se := (*json.SyntaxError)(nil); errors.As(err, &se) {
		offset = int(se.Offset)
	}
	if te := (*json.UnmarshalTypeError)(nil); errors.As(err, &te) {
		offset = int(te.Offset)
	}
	line, column := lineColumn(f.data, offset)
	m.at(f.path, line, column, err.Error(), mend)
}
