package enrich

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Config says which tables there are. All of them may be left out: net_scope is told by the private ranges alone. A
// table's files are read again when they change.
type Config struct {
	Networks []string     `yaml:"networks"` // what is ours, and names: cidr, name, private, proxy
	Assets   []string     `yaml:"assets"`   // whose is what: kind, name, project, team, service, environment, exposure, owner, infra_kind
	GeoIP    []string     `yaml:"geoip"`    // MaxMind databases (.mmdb), of countries, cities or ASNs
	Threats  []ThreatList `yaml:"threats"`  // lists of indicators
	KEV      string       `yaml:"kev"`      // CISA's catalogue, JSON
	EPSS     string       `yaml:"epss"`     // FIRST's scores, CSV or .csv.gz
	OSV      []string     `yaml:"osv"`      // advisories in OSV's format: .json files, or .zip files of them
	Aliases  []string     `yaml:"aliases"`  // one name for one person: alias, user
	OptOut   []string     `yaml:"opt_out"`  // what nothing may be kept of: id, project, module, suite, routine, owner, reason, since, until
	Privacy  Privacy      `yaml:"privacy"`
}

// ThreatList is one list: events with an indicator of it get the label threat:<list>.
type ThreatList struct {
	List string `yaml:"list"`
	File string `yaml:"file"` // an indicator a line: address, CIDR, domain, hash or purl
}

var listName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)

// Check returns everything that is wrong with the configuration itself. It opens no file.
func (c *Config) Check() error {
	var errs []error
	seen := map[string]bool{}
	for i, l := range c.Threats {
		if !listName.MatchString(l.List) {
			errs = append(errs, fmt.Errorf("enrich.threats[%d].list: %q is no name: lower-case letters, digits, '_', '.', '-', at most 63", i, l.List))
		} else if seen[l.List] {
			errs = append(errs, fmt.Errorf("enrich.threats[%d].list: %q is listed twice", i, l.List))
		}
		seen[l.List] = true
	}
	for _, t := range c.tables() {
		for _, path := range t.files {
			if path == "" {
				errs = append(errs, fmt.Errorf("enrich.%s: an empty file name", t.name))
			}
		}
	}
	if c.Privacy.HashActors && len(c.Privacy.Key) < minKeyBytes {
		errs = append(errs, fmt.Errorf("enrich.privacy.key: %d bytes, hash_actors wants %d or more, e.g. from `openssl rand -hex 32`", len(c.Privacy.Key), minKeyBytes))
	}
	return errors.Join(errs...)
}

// tables lists the tables that are configured.
func (c *Config) tables() []*table {
	one := func(path string) []string {
		if path == "" {
			return nil
		}
		return []string{path}
	}
	lists := make([]string, len(c.Threats))
	paths := make([]string, len(c.Threats))
	for i, l := range c.Threats {
		lists[i], paths[i] = l.List, l.File
	}
	all := []*table{
		{name: "opt_out", files: c.OptOut, read: readOptOuts},
		{name: "networks", files: c.Networks, read: readNetworks},
		{name: "assets", files: c.Assets, read: readAssets},
		{name: "aliases", files: c.Aliases, read: readAliases},
		{name: "geoip", files: c.GeoIP, feed: true, read: readGeoIP},
		{name: "threats", files: paths, feed: true, read: func(f []*file) (part, error) { return readThreats(lists, f) }},
		{name: "kev", files: one(c.KEV), feed: true, read: readKEV},
		{name: "epss", files: one(c.EPSS), feed: true, read: readEPSS},
		{name: "osv", files: c.OSV, feed: true, read: readOSV},
	}
	used := all[:0]
	for _, t := range all {
		if len(t.files) > 0 {
			used = append(used, t)
		}
	}
	return used
}

// Enricher holds the tables that all workers share, and keeps them fresh. It is safe for concurrent use.
type Enricher struct {
	current atomic.Pointer[set]
	tables  []*table
	privacy Privacy
	optOuts *prometheus.CounterVec // by policy and what was withheld
	log     *zap.Logger
}

// New reads every table. What people write (networks, assets, aliases, opt-outs) must be there and right, or the error
// says all that is wrong. A feed that others write may be missing or broken: it finds nothing until it is mended, and
// Problems says so.
func New(cfg Config, log *zap.Logger) (*Enricher, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	en := &Enricher{
		tables: cfg.tables(), privacy: cfg.Privacy, log: log,
		optOuts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_enrich_opt_outs_total", Help: "What was withheld because it was opted out: events, dead letters, raw texts.",
		}, []string{"policy", "what"}),
	}
	next := &set{networks: newNetworks()}
	var errs []error
	for _, t := range en.tables {
		p, changed, err := t.load()
		switch {
		case changed:
			errs = append(errs, fmt.Errorf("enrich.%s: the files change while they are read; start again", t.name))
		case err != nil && !t.feed:
			errs = append(errs, err)
		case err != nil:
			log.Error("table not loaded", zap.String("table", t.name), zap.Error(err))
		default:
			p.install(next)
		}
	}
	en.current.Store(next)
	return en, errors.Join(errs...)
}

// Problems returns what is wrong with the tables at present, one error a table. The pipeline goes on with what it had.
func (en *Enricher) Problems() []error {
	var errs []error
	for _, t := range en.tables {
		t.mu.Lock()
		if t.problem != nil {
			errs = append(errs, t.problem)
		}
		t.mu.Unlock()
	}
	return errs
}

// Processor returns the processor of one worker.
func (en *Enricher) Processor() *Processor {
	p := &Processor{shared: en}
	if en.privacy.HashActors {
		p.anonymizer = newAnonymizer(en.privacy.Key)
	}
	return p
}

// Processor enriches the batches of one worker. It implements pipeline.Processor.
type Processor struct {
	shared *Enricher
	set    *set // that of the batch before
	lookups
	anonymizer *anonymizer // nil where people are named
	records    []*optOut   // of the batch at hand: the policy that an event of the record fell under
}

// lookups are what a worker remembers of one set, and its scratch memory.
type lookups struct {
	found  [kinds]map[string]*asset // by name: what patterns made of it, nil where they made nothing
	places map[place]located
	buf    []byte
}

// maxRemembered bounds each of a worker's memories. One that is full begins anew.
const maxRemembered = 1 << 14

// Process enriches every event of the batch with one set of tables. It never fails a batch.
func (p *Processor) Process(_ context.Context, b *pipeline.Batch) error {
	s := p.shared.current.Load()
	if s != p.set {
		p.set, p.lookups = s, lookups{buf: p.buf}
	}
	if s.optOuts != nil {
		p.records = append(p.records[:0], make([]*optOut, len(b.Records))...)
	}
	for i := range b.Events {
		e := &b.Events[i]
		if e.Dropped() != "" {
			continue
		}
		s.assets.enrich(e, &p.lookups)
		if o := s.optOuts.find(e); o != nil {
			e.Drop(optOutReason + o.id)
			p.shared.count(o, "event")
			p.records[b.RecordIndex(e)] = o
			continue
		}
		s.networks.enrich(e)
		s.geoip.enrich(e, &p.lookups)
		s.threats.enrich(e, &p.lookups)
		s.osv.enrich(e)
		enrichVulnerability(e, s.kev, s.epss)
		s.aliases.enrich(e, &p.lookups)
	}
	if s.optOuts != nil {
		p.withhold(b, s.optOuts)
	}
	if p.anonymizer != nil {
		p.anonymizer.batch(b)
	}
	return nil
}
