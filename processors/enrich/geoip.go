package enrich

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/tocsin-project/tocsin/pipeline"
)

// geoip tells addresses' countries and autonomous systems, from MaxMind databases. They are read into memory rather than
// mapped: a file that is overwritten under a mapping takes the process down.
type geoip struct {
	databases []*maxminddb.Reader
	asOf      time.Time // of the oldest
}

// readGeoIP opens the databases and checks their structure.
func readGeoIP(files []*file) (part, error) {
	g := &geoip{}
	var errs []error
	for _, f := range files {
		db, err := maxminddb.OpenBytes(f.data)
		if err == nil {
			err = db.Verify()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; expected a MaxMind database (.mmdb)", f.path, err))
			continue
		}
		g.databases = append(g.databases, db)
		if t := db.Metadata.BuildTime(); g.asOf.IsZero() || t.Before(g.asOf) {
			g.asOf = t
		}
	}
	return g, errors.Join(errs...)
}

func (g *geoip) install(s *set) { s.geoip = g }

func (g *geoip) size() (entries int, asOf time.Time) {
	for _, db := range g.databases {
		entries += int(db.Metadata.NodeCount)
	}
	return entries, g.asOf
}

// place names a record of a database; all addresses of a network have the same.
type place struct {
	database int
	offset   uintptr
}

// located is what a record says. Empty fields say nothing.
type located struct{ country, number, organization string }

// enrich adds country and autonomous system of the event's public addresses.
func (g *geoip) enrich(e *pipeline.Event, l *lookups) {
	if g == nil {
		return
	}
	g.locate(e, e.SrcIP, &sourceKeys, l)
	g.locate(e, e.DstIP, &destinationKeys, l)
}

// geoKeys are the names of an end's attributes, as in ECS.
type geoKeys struct{ country, number, organization string }

var (
	sourceKeys      = geoKeys{"source.geo.country_iso_code", "source.as.number", "source.as.organization.name"}
	destinationKeys = geoKeys{"destination.geo.country_iso_code", "destination.as.number", "destination.as.organization.name"}
)

func (g *geoip) locate(e *pipeline.Event, a netip.Addr, keys *geoKeys, l *lookups) {
	if a = a.Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() {
		return
	}
	for i, db := range g.databases {
		if db.Metadata.IPVersion == 4 && a.Is6() {
			continue
		}
		r := db.Lookup(a)
		if !r.Found() {
			continue
		}
		at := place{i, r.Offset()}
		f, known := l.places[at]
		if !known {
			f = decode(r)
			if l.places == nil || len(l.places) >= maxRemembered {
				l.places = map[place]located{}
			}
			l.places[at] = f
		}
		setAttr(e, keys.country, f.country)
		setAttr(e, keys.number, f.number)
		setAttr(e, keys.organization, f.organization)
	}
}

// decode reads a record of a database of countries, cities or autonomous systems. A record that breaks off says what it
// has: the rest of the event stands without it.
func decode(r maxminddb.Result) located {
	var v struct {
		Country struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Number       uint   `maxminddb:"autonomous_system_number"`
		Organization string `maxminddb:"autonomous_system_organization"`
	}
	_ = r.Decode(&v)
	f := located{country: strings.Clone(v.Country.Code), organization: strings.Clone(v.Organization)}
	if v.Number > 0 {
		f.number = strconv.FormatUint(uint64(v.Number), 10)
	}
	return f
}
