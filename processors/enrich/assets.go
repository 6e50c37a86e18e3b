package enrich

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/schemas"
)

// Kinds of assets, in the order in which an event is asked for them: what an earlier one fills in, a later one leaves.
const (
	repoAsset     = iota // Event.Repo
	serviceAsset         // Event.Service, as it came or as the repo's row gives it
	databaseAsset        // host/db and host/db/schema.table
	imageAsset           // Event.Artifact
	hostAsset            // Event.Host
	kinds
)

var assetKinds = [kinds]string{"repo", "service", "database", "image", "host"}

// asset is what a row says of a thing. Empty fields say nothing.
type asset struct {
	project, team, service, environment, exposure, owner, infra string
}

// fill takes over from b what a does not say.
func (a *asset) fill(b *asset) {
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&a.project, b.project}, {&a.team, b.team}, {&a.service, b.service},
		{&a.environment, b.environment}, {&a.exposure, b.exposure}, {&a.owner, b.owner}, {&a.infra, b.infra},
	} {
		if *f.to == "" {
			*f.to = f.from
		}
	}
}

// assetPattern is a row whose name is a pattern.
type assetPattern struct {
	glob  glob
	asset *asset
}

// assetIndex holds the rows of one kind.
type assetIndex struct {
	names    map[string]*asset // in lower case; what patterns say of the name is filled in already
	patterns []assetPattern    // the last row first: as in a CODEOWNERS file, a later one goes before an earlier one
}

// assets tells whose is what.
type assets struct {
	kinds   [kinds]assetIndex
	entries int
}

var assetColumns = []string{"kind", "name", "project", "team", "service", "environment", "exposure", "owner", "infra_kind"}

// infraKinds are what a host may be.
var infraKinds = []string{"physical", "virtual", "container"}

// readAssets reads the tables of assets: rows of kind, name (may be a pattern), and what is known of it.
func readAssets(files []*file) (part, error) {
	as := &assets{}
	for k := range as.kinds {
		as.kinds[k].names = map[string]*asset{}
	}
	var m mistakes
	where := map[string]string{} // kind and name to the place of its row
	for _, f := range files {
		rows(f, assetColumns, 2, &m, func(c []cell) {
			kind := slices.Index(assetKinds[:], c[0].text)
			if kind < 0 {
				m.at(f.path, c[0].line, c[0].column, fmt.Sprintf("unknown kind %q", c[0].text), "one of "+strings.Join(assetKinds[:], ", "))
				return
			}
			if c[3].text != "" && !slices.Contains(schemas.Teams[1:], c[3].text) {
				m.at(f.path, c[3].line, c[3].column, fmt.Sprintf("unknown team %q", c[3].text), "one of "+strings.Join(schemas.Teams[1:], ", ")+"; the name of a group goes into owner")
				return
			}
			if c[8].text != "" && !slices.Contains(infraKinds, c[8].text) {
				m.at(f.path, c[8].line, c[8].column, fmt.Sprintf("unknown infra_kind %q", c[8].text), "one of "+strings.Join(infraKinds, ", "))
				return
			}
			a := &asset{project: c[2].text, team: c[3].text, service: c[4].text, environment: c[5].text, exposure: c[6].text, owner: c[7].text, infra: c[8].text}
			if *a == (asset{}) {
				m.at(f.path, c[1].line, c[1].column, "the row says nothing of "+c[1].text, "fill in one of "+strings.Join(assetColumns[2:], ", "))
				return
			}
			name := newGlob(c[1].text)
			key := assetKinds[kind] + " " + string(name)
			if first, twice := where[key]; twice {
				m.at(f.path, c[1].line, c[1].column, key+" is listed twice", "first at "+first+"; remove one")
				return
			}
			where[key] = fmt.Sprintf("%s:%d", f.path, c[1].line)
			as.entries++
			index := &as.kinds[kind]
			if name.plain() {
				index.names[string(name)] = a
			} else {
				index.patterns = append(index.patterns, assetPattern{name, a})
			}
		})
	}
	for k := range as.kinds {
		index := &as.kinds[k]
		slices.Reverse(index.patterns)
		for name, a := range index.names {
			index.matching(name, a)
		}
	}
	return as, m.err()
}

// matching fills into a what patterns say of the name. It returns whether one matched.
func (x *assetIndex) matching(name string, a *asset) (found bool) {
	for i := range x.patterns {
		if x.patterns[i].glob.match(name) {
			a.fill(x.patterns[i].asset)
			found = true
		}
	}
	return found
}

func (as *assets) install(s *set) { s.assets = as }

func (as *assets) size() (int, time.Time) { return as.entries, time.Time{} }

// enrich fills in the event's project, team, service and environment, and attributes owner, exposure and infra_kind.
func (as *assets) enrich(e *pipeline.Event, l *lookups) {
	if as == nil {
		return
	}
	for kind := range as.kinds {
		if index := &as.kinds[kind]; len(index.names) == 0 && len(index.patterns) == 0 {
			continue
		}
		switch name := nameOf(e, kind); {
		case name == "":
		case kind == databaseAsset:
			// host/db/schema.table is asked first: its row knows more than that of the database.
			l.buf = appendDatabase(l.buf[:0], e)
			if e.DBObject != "" {
				n := len(l.buf)
				l.buf = appendLower(append(l.buf, '/'), e.DBObject)
				as.fill(e, kind, l)
				l.buf = l.buf[:n]
			}
			as.fill(e, kind, l)
		default:
			l.buf = appendLower(l.buf[:0], name)
			as.fill(e, kind, l)
		}
	}
}

// nameOf returns the event's name for a kind, "" where it has none.
func nameOf(e *pipeline.Event, kind int) string {
	switch kind {
	case repoAsset:
		return e.Repo
	case serviceAsset:
		return e.Service
	case databaseAsset:
		return e.DBName
	case imageAsset:
		return e.Artifact
	}
	return e.Host
}

// appendDatabase appends host/db in lower case, as entities are written.
func appendDatabase(dst []byte, e *pipeline.Event) []byte {
	return appendLower(append(appendLower(dst, e.Host), '/'), e.DBName)
}

// fill looks the name in l.buf up and fills in what the event leaves empty.
func (as *assets) fill(e *pipeline.Event, kind int, l *lookups) {
	a := as.kinds[kind].find(l.buf, &l.found[kind])
	if a == nil {
		return
	}
	if e.Project == "" {
		e.Project = a.project
	}
	if e.Team == pipeline.TeamNone && a.team != "" {
		e.Team = a.team
	}
	if e.Service == "" {
		e.Service = a.service
	}
	if e.Environment == "" {
		e.Environment = a.environment
	}
	setAttr(e, "exposure", a.exposure)
	setAttr(e, "owner", a.owner)
	setAttr(e, "infra_kind", a.infra)
}

// find returns what is known of a name in lower case, nil where that is nothing. What patterns make of a name is kept in
// memory.
func (x *assetIndex) find(name []byte, memory *map[string]*asset) *asset {
	if a := x.names[string(name)]; a != nil || len(x.patterns) == 0 {
		return a
	}
	a, known := (*memory)[string(name)]
	if !known {
		if *memory == nil || len(*memory) >= maxRemembered {
			*memory = map[string]*asset{}
		}
		key := string(name)
		if made := new(asset); x.matching(key, made) {
			a = made
		}
		(*memory)[key] = a
	}
	return a
}
