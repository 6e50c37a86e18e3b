package rule

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// typeTraffic is what a matcher has seen of one type of events.
type typeTraffic struct {
	events uint64
	// missing are the fields that the type's steps look for a value in and that none of these events has carried; news are
	// those that were missing until now.
	missing, news []string
	looked        uint64
}

// Every event of a type is looked at for missing fields at first, later one in lookedEvery, which is a power of two.
const (
	lookedFirst = 1024
	lookedEvery = 64
)

func (t *typeTraffic) see(e *event) {
	t.events++
	if len(t.missing) == 0 {
		return
	}
	if t.looked++; t.looked > lookedFirst && t.looked%lookedEvery != 0 {
		return
	}
	t.missing = slices.DeleteFunc(t.missing, func(field string) bool {
		carried := fieldOf(e, field) != ""
		if carried {
			t.news = append(t.news, field)
		}
		return carried
	})
}

// typeField is a field of a type of events; of all types where the type is "".
type typeField struct{ typ, field string }

// traffic is what all matchers together have seen since the process began.
type traffic struct {
	events   uint64
	alerts   uint64 // that rules take
	programs uint64
	rules    map[string]*Counts
	excepted map[string]uint64  // by the exception's id
	types    map[string]uint64  // events
	carried  map[typeField]bool // fields that an event of the type has carried
}

// take adds what a matcher has counted, and empties its counters. It returns the rules that are quarantined for it.
func (l *Live) take(m *Matcher) (quarantined []*Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traffic.events += m.events
	l.traffic.programs += m.programs
	l.traffic.alerts += m.heard
	m.events, m.programs, m.heard = 0, 0, 0
	for _, i := range m.counted {
		id, c := m.set.Rules[i].ID, &m.counts[i]
		total := l.traffic.rules[id]
		if total == nil {
			total = &Counts{}
			l.traffic.rules[id] = total
		}
		total.add(c)
		if c.Nanoseconds > 0 && l.charge(m.set.Rules[i], time.Duration(c.Nanoseconds)) {
			quarantined = append(quarantined, m.set.Rules[i])
		}
		*c = Counts{}
	}
	m.counted = m.counted[:0]
	for i, n := range m.excepted {
		l.traffic.excepted[m.set.Exceptions[i].ID] += n
		m.excepted[i] = 0
	}
	for i := range m.types {
		t := &m.types[i]
		if t.events == 0 {
			continue
		}
		typ := m.set.index.types[i].typ
		l.traffic.types[typ] += t.events
		for _, field := range t.news {
			l.traffic.carried[typeField{typ, field}] = true
		}
		t.events, t.news = 0, t.news[:0]
	}
	return quarantined
}

// heard returns how many events there were of the types that a step asks for, and which of the fields that it looks for a
// value in none of them has carried.
func (t *traffic) heard(s *Step) (events uint64, missing []string) {
	types := s.types
	if types == nil {
		types = []string{""}
	}
	for _, typ := range types {
		events += t.types[typ]
	}
	if events == 0 {
		return 0, nil
	}
	for _, field := range s.reads {
		if !slices.ContainsFunc(types, func(typ string) bool { return t.carried[typeField{typ, field}] }) {
			missing = append(missing, field)
		}
	}
	return events, missing
}

func (c *Counts) add(d *Counts) {
	c.Candidates += d.Candidates
	c.Evaluated += d.Evaluated
	c.Matched += d.Matched
	c.Excepted += d.Excepted
	c.Keyless += d.Keyless
	c.Errors += d.Errors
	c.Nanoseconds += d.Nanoseconds
}

var (
	loadedMetric   = prometheus.NewDesc("tocsin_rules_loaded", "Rules in use.", nil, nil)
	loadTimeMetric = prometheus.NewDesc("tocsin_rules_loaded_timestamp_seconds", "When the set in use was loaded.", nil, nil)
	failedMetric   = prometheus.NewDesc("tocsin_rules_failed", "1 while the rules' files are missing or wrong, so that the set before stays in use.", nil, nil)
	reloadsMetric  = prometheus.NewDesc("tocsin_rules_reloads_total", "Sets that were read because files changed.", []string{"result"}, nil)
	eventsMetric   = prometheus.NewDesc("tocsin_rules_events_total", "Events that were looked up in the rules' index.", nil, nil)
	programsMetric = prometheus.NewDesc("tocsin_rules_programs_total", "Runs of expr: what is not evaluated by ourselves.", nil, nil)

	heardMetric      = prometheus.NewDesc("tocsin_rule_events_total", "Events of the types that a step of the rule asks for. 0 is a rule without traffic; rules that take alerts alone have none.", []string{"rule"}, nil)
	candidatesMetric = prometheus.NewDesc("tocsin_rule_candidates_total", "Steps of the rule that the index gave out for an event.", []string{"rule"}, nil)
	evaluatedMetric  = prometheus.NewDesc("tocsin_rule_evaluated_total", "Conditions of the rule that were evaluated: candidates that are not of the playground.", []string{"rule"}, nil)
	matchedMetric    = prometheus.NewDesc("tocsin_rule_matched_total", "Conditions that held.", []string{"rule"}, nil)
	exceptedMetric   = prometheus.NewDesc("tocsin_rule_excepted_total", "Conditions that held where an exception did as well.", []string{"rule"}, nil)
	keylessMetric    = prometheus.NewDesc("tocsin_rule_keyless_total", "Matches with an empty part of the key: there is nothing to correlate by.", []string{"rule"}, nil)
	errorsMetric     = prometheus.NewDesc("tocsin_rule_errors_total", "Expressions that ended with an error; the event did not match.", []string{"rule"}, nil)
	secondsMetric    = prometheus.NewDesc("tocsin_rule_seconds_total", "Time spent on the rule's candidates, extrapolated from one event in 64.", []string{"rule"}, nil)
	quarantineMetric = prometheus.NewDesc("tocsin_rule_quarantined", "1 while the rule is not judged, because it takes too much time.", []string{"rule"}, nil)
	hitsMetric       = prometheus.NewDesc("tocsin_exception_hits_total", "Matches that the exception has kept from counting. 0 is one that nobody needs.", []string{"exception"}, nil)
	expiresMetric    = prometheus.NewDesc("tocsin_exception_expires_timestamp_seconds", "When the exception ends.", []string{"exception"}, nil)
	missingMetric    = prometheus.NewDesc("tocsin_rule_missing_field", "1 for a field that the rule looks for a value in, and that no event of the types it asks for has carried.", []string{"rule", "field"}, nil)
)

// Describe implements prometheus.Collector.
func (l *Live) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		loadedMetric, loadTimeMetric, failedMetric, reloadsMetric, eventsMetric, programsMetric, heardMetric, candidatesMetric, evaluatedMetric,
		matchedMetric, exceptedMetric, hitsMetric, expiresMetric, keylessMetric, errorsMetric, secondsMetric, quarantineMetric, missingMetric,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *Live) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	failed := 0.0
	if l.problem != nil {
		failed = 1
	}
	gauge(failedMetric, failed)
	set := l.Set()
	gauge(loadedMetric, float64(len(set.Rules)))
	gauge(loadTimeMetric, float64(l.loaded.Unix()))
	counter(reloadsMetric, float64(l.reloads), "loaded")
	counter(reloadsMetric, float64(l.refused), "refused")
	counter(eventsMetric, float64(l.traffic.events))
	counter(programsMetric, float64(l.traffic.programs))
	for _, r := range set.Rules {
		c := l.traffic.rules[r.ID]
		if c == nil {
			c = &Counts{}
		}
		counter(candidatesMetric, float64(c.Candidates), r.ID)
		counter(evaluatedMetric, float64(c.Evaluated), r.ID)
		counter(matchedMetric, float64(c.Matched), r.ID)
		counter(exceptedMetric, float64(c.Excepted), r.ID)
		counter(keylessMetric, float64(c.Keyless), r.ID)
		counter(errorsMetric, float64(c.Errors), r.ID)
		counter(secondsMetric, float64(c.Nanoseconds)/1e9, r.ID)
		quarantined := 0.0
		if l.quarantined[r.ID] == definitionOf(r) {
			quarantined = 1
		}
		gauge(quarantineMetric, quarantined, r.ID)
		heard, takesEvents := uint64(0), false
		var missing []string
		for i := range r.Steps {
			if r.Steps[i].Alerts != nil {
				continue // it takes no events
			}
			n, fields := l.traffic.heard(&r.Steps[i])
			heard, takesEvents = heard+n, true
			missing = append(missing, fields...)
		}
		if takesEvents {
			counter(heardMetric, float64(heard), r.ID)
		}
		slices.Sort(missing)
		for _, field := range slices.Compact(missing) {
			gauge(missingMetric, 1, r.ID, field)
		}
	}
	for _, x := range set.Exceptions {
		counter(hitsMetric, float64(l.traffic.excepted[x.ID]), x.ID)
		gauge(expiresMetric, float64(x.Expires.Unix()), x.ID)
	}
}
