package rule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/goccy/go-yaml/ast"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Kind is how a rule judges: what its signals mean to the detect side.
type Kind string

// Kinds of rules. Each is one file in processors/correlate, and one section of docs/adding-a-rule.md.
const (
	Match     Kind = "match"     // one event is enough
	Threshold Kind = "threshold" // a condition over aggregates of a sliding window
	Sequence  Kind = "sequence"  // steps in the order of event time
	Growth    Kind = "growth"    // a size that grows exponentially while it is under attack
	Absence   Kind = "absence"   // what should have come did not
	NewValue  Kind = "new_value" // a value that its key has not had before
	Risk      Kind = "risk"      // a score of what other rules, or weak signs, say of one entity
	Spike     Kind = "spike"     // more at a time than the key's own past
	Silence   Kind = "silence"   // quiet for longer than is the key's habit
	Anomaly   Kind = "anomaly"   // a value that the key's series has not had, or not so suddenly, or not at that time
)

// Kinds lists all kinds.
var Kinds = []Kind{Match, Threshold, Sequence, Growth, Absence, NewValue, Risk, Spike, Silence, Anomaly}

// Rule is what one rule file says. It is read-only once loaded, and shared by all workers.
type Rule struct {
	ID      string
	Version int // from 1; raising it starts the rule's state and alerts afresh
	Title   string
	Kind    Kind
	Path    string // file that it was read from
	// Digest is a hash of all that state depends on: state of the same rule, version and digest can be kept. Words,
	// subscriptions and severities are not part of it.
	Digest uint64

	// Why says what the rule is for, FalsePositives when it is wrong, Runbook what to do when it fires: text for people.
	Why            string
	FalsePositives []string
	Runbook        string
	Attacks        []string // MITRE ATT&CK technique ids
	Phases         []int8   // index into schemas.Phases
	Confidence     uint8    // percent
	// Playground is set where the rule also judges events labelled "playground".
	Playground bool

	// Suppress are labels, or kinds of labels ending in a colon, under which the rule is not meant: its alerts are then
	// stored, with the label, but no team is called.
	Suppress []string
	// Inhibits are rules whose alerts say nothing new while one of this rule about the same thing is open: they are stored,
	// as part of its incident. InhibitsAll and InhibitsMembers stand for several.
	Inhibits []string

	Subscriptions []Subscription
	Steps         []Step
	// Window is the length of a threshold's sliding window; of an absence, how long after its trigger what is expected may
	// come. Before is how long before the trigger it may have come.
	Window, Before time.Duration
	// Span, where it is not 0, is that of a whole sequence: its first match is less than that before its last. Each step wants
	// one match then.
	Span    time.Duration
	Windows WindowKind
	// Final tells that windows are judged once no late event can change them any more, not with every event.
	Final bool
	// Behind tells that the window behind each event is judged, without the event itself, once no late event can change it
	// any more: the condition asks for few events, or none. Windows slide.
	Behind bool
	// Opens is the kind of window that the trigger of an absence opens until what is expected comes, Window later at the
	// latest: one of pipeline.Windows; "" for none.
	Opens string
	// Lateness, where it is not 0, is how long an absence waits for late events, in place of the engine's bound.
	Lateness time.Duration
	// Dedup is the time in which a further firing of the same key belongs to the same alert.
	Dedup time.Duration
	// Learn is how old a key must be before a new value of it matters, Memory how long a value is known.
	Learn, Memory time.Duration
	// HasCrit tells that the last of a signal's values says whether the event is worse: "1" where it is.
	HasCrit    bool
	Aggregates []Aggregate
	Having     *Having
	// HalfLife is how long it takes a sign to lose half of its weight; Score is at what a risk fires, and Distinct from how
	// many different phases or techniques on.
	HalfLife time.Duration
	Score    float64 // of an anomaly: at what score of its detector it fires, 0 to 1
	Distinct int

	// A spike counts by buckets of length Window over Memory; it fires above Factor times the Quantile of those buckets, and
	// above Min. A silence is a pause longer than Factor times the 95th percentile of the pauses before, and than Quiet;
	// Gaps are how many of them must be known. Period is the season that an anomaly's series may follow. Where Last is not
	// 0 an anomaly is a value above the mean of the Last values before it, by more than Factor times their median absolute
	// deviation and by the part Min of the mean.
	Factor, Quantile, Min float64
	Quiet, Period         time.Duration
	Gaps, Last            int

	// Heard tells that other rules take this one's alerts, Again that they take them once a dedup window for as long as the
	// condition holds, not only when it begins to.
	Heard, Again bool
	// Depth is 0 for a rule that takes events only, and one more than that of the rules whose alerts it takes.
	Depth int

	judged *Judged // by another matcher; nil for rules of our own form

	// Columns are the fields that signals of the rule may carry, sorted.
	Columns      []string
	exceptions   []*Exception
	AlertTitle   *Template
	AlertSummary *Template
	Entities     []Entity
}

// Words among Rule.Inhibits.
const (
	InhibitsAll     = "*"       // every rule without a technique of security
	InhibitsMembers = "members" // the rules whose alerts it takes, about what it is keyed by, up to its own severity
)

// Takes reports whether alerts of a rule lead to alerts of this one.
func (r *Rule) Takes(id string) bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return slices.Contains(s.Alerts, id) })
}

// availability are the techniques of ATT&CK that chaos experiments and maintenance imitate: service stop, network and
// endpoint denial of service, shutdown.
var availability = []string{"T1489", "T1498", "T1499", "T1529"}

// IsSecurity reports whether one of the techniques is about more than availability. Alerts of such rules are never quieted
// by a window of chaos or maintenance (C19).
func IsSecurity(attacks []string) bool {
	return slices.ContainsFunc(attacks, func(id string) bool {
		technique, _, _ := strings.Cut(id, ".")
		return !slices.Contains(availability, technique)
	})
}

// isWindow reports whether a label, or kind of labels, is that of a window.
func isWindow(label string) bool {
	return strings.HasPrefix(label, "chaos") || strings.HasPrefix(label, "maintenance")
}

// Levels of an alert, in rising order.
const (
	LevelWarn     = iota // growth: early, with evidence of an attack
	LevelCrit            // growth: sustained, with evidence of an attack; match and new_value: the condition of crit
	LevelImminent        // growth: sustained, and full in less than five minutes
	levelCount
)

// Levels names them as rule files do.
var Levels = []string{"warn", "crit", "imminent"}

// Subscription is one team that a rule informs. Class and severity belong to it, not to the rule.
type Subscription struct {
	Team  string
	Class string // one of pipeline.Class*
	// Severity is the alert's severity at each level; 0 where the team is not informed at that level.
	Severity [levelCount]uint8
	// By and Ticket say who in security asked for a sec_requested alert, and where.
	By, Ticket string
	// Expires is when the subscription ends; zero for never.
	Expires time.Time
}

// Role is what a step's matches are to the rule.
type Role uint8

const (
	RoleMatch    Role = iota // counts towards firing
	RoleSample               // a value of a growing series
	RoleEvidence             // evidence of an attack
	RoleExpect               // what an absence is about
	RoleWhile                // what must be going on for an absence to matter
	RoleUntil                // forgets what led towards firing
	RoleResolve              // forgets as well, and ends what the key fired
	RoleReading              // a signal of a growing series besides its size
	RoleBegin                // a window begins in which growth is expected
	RoleEnd                  // such a window ends
)

// Step is one kind of event that a rule wants. A signal names it by its index in Rule.Steps.
type Step struct {
	ID   string
	Role Role
	// Count is how many matches within Within make the step complete; 1 or more. For evidence it is how many events above
	// the usual within minutes make growth an attack.
	Count int
	// Within is how long the step's matches count for the step that follows. For the last step it is the span in which
	// Count matches must lie.
	Within time.Duration

	// When is the condition as it was understood, for those who explain it.
	When string
	// Alerts names the rules whose alerts the step takes, in place of events; nil where it takes events. A step of a rule
	// that is judged elsewhere may take both.
	Alerts []string
	// Weight is what a match adds to a risk; 0 where its severity says so.
	Weight int
	// Of is which of a sample's values a reading is, and Counts that each of its events is one more. The Of of a window's
	// begin and of its end are the same number.
	Of     int
	Counts bool
	// Below is set for a last step whose matches want one of the step before with a newer version: the value of both is it.
	Below bool

	belowOf string     // the step that Below is about
	hears   []string   // Alerts as the file has it: "all" stands for itself
	hearsAt []ast.Node // where each stands
	when    *condition
	key     []*value
	// values are what a signal of the step carries: an argument for each aggregate that has one, or what the kind wants.
	values []*value
	// columns are the fields that a signal of the step carries.
	columns []string
	// reads are the fields that the condition looks for a value in and that the key is made of, but for the type.
	reads []string
	// types are the types of events of which one is needed; nil where any may do.
	types []string
}

// AggregateOp is how an aggregate makes a number of the events in a window.
type AggregateOp uint8

const (
	Count      AggregateOp = iota // events; with an argument, those for which it is true
	Distinct                      // different values of the argument; empty ones don't count
	Sum                           // sum of the argument
	Avg                           // mean of the arguments that are numbers
	Percentile                    // of the arguments that are numbers, within 1 % or exact, by the nearest rank
	Median                        // of the arguments that are numbers, exact: of an even number the mean of the middle two
)

// WindowKind is how a threshold's windows lie in time.
type WindowKind uint8

const (
	Sliding  WindowKind = iota // one that ends with each event
	Tumbling                   // side by side: each begins where the one before ends, at multiples of the length since 1970
	Session                    // one for events that are less than the length apart from one another
)

// windowKinds names them as rule files do.
var windowKinds = []string{"sliding", "tumbling", "session"}

// Aggregate is one number over the events of a window.
type Aggregate struct {
	Name string
	Op   AggregateOp
	// Quantile is that of a percentile, between 0 and 1; Exact keeps all numbers to find it, not a sketch.
	Quantile float64
	Exact    bool
	// Value is the index of the argument in Signal.Values; -1 for a plain count.
	Value int
}

// Values of the signal of a risk.
const (
	RiskSeverity   = iota // of the alert or event, a number
	RiskSource            // the rule whose alert it is, or the step's id: what is counted once
	RiskPhases            // joined by commas
	RiskTechniques        // joined by commas
)

// Values of a sample's signal.
const (
	SampleValue    = iota // the size
	SampleCapacity        // bytes at which it is full; empty where unknown
	SampleSeries          // name of the series among those of the key
	SamplePlanned         // not empty within a window of maintenance

	// Signals; empty where the sample does not tell. All but the rows are counters.
	SampleRows
	SampleCommits
	SampleFailedLogins
	SampleFailedTests
	SampleNetIn
)

// EvidenceLogin is the value of the signal of evidence: the series that somebody failed to log in to, or empty.
const EvidenceLogin = 0

// Values of a reading's signal.
const (
	ReadingValue  = iota // a number
	ReadingSeries        // whose it is; empty for the key's only series
	ReadingPart          // of which the whole is the sum: a network interface
)

// WindowID is the value of the signals of a window's begin and end: which one it is.
const WindowID = 0

// stateVersions are raised when what is kept of a key of that kind is kept in another form: states of before are ignored then.
var stateVersions = map[Kind]int{Growth: 2, Spike: 2, Silence: 2}

// digest hashes what state depends on: how events are judged and keyed, what signals carry and how it is counted.
func (r *Rule) digest() uint64 {
	h := xxhash.New()
	fmt.Fprintf(h, "%q %d %d %d %d %d %t %q %q\n", r.Kind, r.Window, r.Before, r.Learn, r.Memory, r.Dedup, r.HasCrit, r.Columns, r.Entities)
	if v := stateVersions[r.Kind]; v > 0 {
		fmt.Fprintf(h, "state %d\n", v)
	}
	if r.Kind == Risk {
		fmt.Fprintf(h, "%d %g %d\n", r.HalfLife, r.Score, r.Distinct)
	}
	for _, s := range r.Steps {
		if s.hears != nil || s.Weight > 0 {
			fmt.Fprintf(h, "%q %d ", s.hears, s.Weight)
		}
		if s.Of > 0 {
			fmt.Fprintf(h, "of %d %t ", s.Of, s.Counts)
		}
		if s.Below {
			fmt.Fprint(h, "below ")
		}
		fmt.Fprintf(h, "%d %d %d %q %q", s.Role, s.Count, s.Within, s.When, s.columns)
		for _, v := range s.key {
			fmt.Fprintf(h, " %q", v.text)
		}
		for _, v := range s.values {
			fmt.Fprintf(h, " =%q", v.text)
		}
		_, _ = h.Write([]byte{'\n'}) // a hash takes everything
	}
	for _, a := range r.Aggregates {
		fmt.Fprintf(h, "%d %d ", a.Op, a.Value)
		if a.Op == Percentile {
			fmt.Fprintf(h, "%g ", a.Quantile)
		}
		if a.Exact {
			fmt.Fprint(h, "exact ")
		}
	}
	if r.Kind == Spike || r.Kind == Silence || r.Kind == Anomaly {
		fmt.Fprintf(h, "%g %g %g %g %d %d %d %d ", r.Factor, r.Quantile, r.Min, r.Score, r.Quiet, r.Period, r.Gaps, r.Lateness)
	}
	if r.Span > 0 {
		fmt.Fprintf(h, "span %d ", r.Span)
	}
	if r.Last > 0 {
		fmt.Fprintf(h, "last %d ", r.Last)
	}
	if r.Opens != "" {
		fmt.Fprintf(h, "opens %s ", r.Opens)
	}
	if r.Behind {
		fmt.Fprint(h, "behind ")
	}
	if r.Again {
		fmt.Fprint(h, "again ")
	}
	if r.Windows != Sliding || r.Final {
		fmt.Fprintf(h, "%d %t ", r.Windows, r.Final)
	}
	return h.Sum64()
}

// IsJudgedElsewhere reports whether another matcher finds the rule's events.
func (r *Rule) IsJudgedElsewhere() bool { return r.judged != nil }

// Level is what the signal of a match or a new value says of its alert.
func (r *Rule) Level(values []string) int {
	if r.HasCrit && len(values) > 0 && values[len(values)-1] != "" {
		return LevelCrit
	}
	return LevelWarn
}

// Severity returns the highest severity that a team is told of at a level.
func (r *Rule) Severity(level int) (highest uint8) {
	for i := range r.Subscriptions {
		highest = max(highest, r.Subscriptions[i].Severity[level])
	}
	return highest
}

// Entity is one thing that an alert is about: a name for people, and the column that holds it.
type Entity struct{ Name, Column string }

// IsActive reports whether the subscription has not ended at that time.
func (s *Subscription) IsActive(t time.Time) bool { return s.Expires.IsZero() || t.Before(s.Expires) }

// DedupKey is what tells alerts of the rule apart: the rule and the correlation key.
func (r *Rule) DedupKey(key string) string { return r.ID + "|" + key }

// LastStep returns the index of the last step that counts towards firing. Steps that end something come after it.
func (r *Rule) LastStep() int {
	last := len(r.Steps) - 1
	for last > 0 && r.Steps[last].Role >= RoleUntil {
		last--
	}
	return last
}

// teams that may subscribe, and the classes.
var (
	subscribers = []string{pipeline.TeamDev, pipeline.TeamSec, pipeline.TeamOps, pipeline.TeamMon}
	classes     = []string{pipeline.ClassNormal, pipeline.ClassSecRequested}
)

// kindMetrics are the names that templates of a kind may use besides columns. The explanation is a text, the others are numbers.
var kindMetrics = map[Kind][]string{
	Growth: {"size", "rate_per_min", "doubling_min", "minutes_to_full", "attack_events"},
	Risk:   {"score", "rules", "distinct", ExplanationName},

	Spike:   {"count", "usual", "limit", ExplanationName},
	Silence: {"quiet_s", "limit_s", ExplanationName},
	Anomaly: {"value", "expected", "score", ExplanationName},
}

// ExplanationName is the name under which an alert says in words what made it fire.
const ExplanationName = "explanation"
