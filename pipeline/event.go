package pipeline

import (
	"crypto/sha1"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Event is one thing that happened, normalized. Its fields are those of schemas.EventFields, in the same order; a test
// holds the two together. It is a plain struct: rules read it as `ev`, the sink copies it into columns.
//
// Its strings point into the record that it was parsed from and live until the Batch is released. Whoever keeps one
// longer clones it, at the line that keeps it.
type Event struct {
	ID         uuid.UUID
	Time       time.Time
	IngestTime time.Time

	Phase       string // one of Phase*
	Team        string // one of Team*
	Source      string
	Type        string // one of schemas.EventTypes
	Class       uint16
	Severity    uint8  // one of Severity*
	Outcome     string // one of Outcome*
	Disposition uint8  // one of Disposition*
	Title       string

	Project     string
	Environment string
	Service     string

	Repo   string
	Ref    string
	Commit string
	Change string

	Pipeline string
	Run      string
	Task     string

	Artifact string
	Digest   string
	Purl     string

	Rule       string
	Vulns      []string
	FindingKey uint64

	Actor     string
	Host      string
	SrcIP     netip.Addr
	DstIP     netip.Addr
	DstDomain string
	NetScope  string // one of Net*
	Bytes     uint64

	DBName   string
	DBObject string

	Metric string
	Value  float64

	Campaign string
	Attacks  []string
	Labels   []string

	Attrs []Attr
	Raw   string

	Topic     string
	Partition int32
	Offset    int64

	record  int    // index of its record in the Batch
	dropped string // why it goes no further; empty while it does
}

// Attr is what a source said that has no field of its own.
type Attr struct{ Key, Value string }

// Phases of the life cycle.
const (
	PhaseUnknown      = "unknown"
	PhaseRequirements = "requirements"
	PhaseWriting      = "writing"
	PhaseTesting      = "testing"
	PhasePackaging    = "packaging"
	PhaseRelease      = "release"
	PhaseDeployment   = "deployment"
	PhaseOperation    = "operation"
	PhaseMonitoring   = "monitoring"
)

// Teams that own things and are informed.
const (
	TeamNone = "none"
	TeamDev  = "dev"
	TeamSec  = "sec"
	TeamOps  = "ops"
	TeamMon  = "mon"
)

// Outcomes.
const (
	OutcomeUnknown = "unknown"
	OutcomeSuccess = "success"
	OutcomeFailure = "failure"
	OutcomeError   = "error"
	OutcomeCancel  = "cancel"
	OutcomeSkipped = "skipped"
)

// Severities, as in OCSF.
const (
	SeverityUnknown  = 0
	SeverityInfo     = 1
	SeverityLow      = 2
	SeverityMedium   = 3
	SeverityHigh     = 4
	SeverityCritical = 5
	SeverityFatal    = 6
)

// Dispositions, as in OCSF; those that tocsin uses.
const (
	DispositionAllowed      = 1
	DispositionBlocked      = 2
	DispositionQuarantined  = 3
	DispositionApproved     = 8
	DispositionExonerated   = 10
	DispositionCorrected    = 11
	DispositionUncorrected  = 13
	DispositionDetected     = 15
	DispositionLogged       = 17
	DispositionRevoked      = 24
	DispositionRejected     = 25
	DispositionUnauthorized = 26
)

// Network scopes.
const (
	NetNone     = "none"
	NetPrivate  = "private"
	NetIngress  = "ingress"
	NetEgress   = "egress"
	NetExternal = "external"
)

// Attr returns the value of the attribute named key, or "" where there is none. Rules call it: ev.Attr("forced").
func (e *Event) Attr(key string) string {
	for i := range e.Attrs {
		if e.Attrs[i].Key == key {
			return e.Attrs[i].Value
		}
	}
	return ""
}

// SetAttr adds an attribute, or replaces the one of that name. An empty value adds nothing: what a source left out and
// what it left empty are the same to a reader.
func (e *Event) SetAttr(key, value string) {
	if value == "" {
		return
	}
	for i := range e.Attrs {
		if e.Attrs[i].Key == key {
			e.Attrs[i].Value = value
			return
		}
	}
	e.Attrs = append(e.Attrs, Attr{key, value})
}

// HasLabel reports whether the event carries the label, or one of the kind when label ends in a colon ("chaos:").
func (e *Event) HasLabel(label string) bool {
	for _, l := range e.Labels {
		if l == label || strings.HasSuffix(label, ":") && strings.HasPrefix(l, label) {
			return true
		}
	}
	return false
}

// Drop takes the event out of what is stored and correlated, for a reason that is counted (an opt-out, for example).
func (e *Event) Drop(reason string) { e.dropped = reason }

// Dropped returns why the event was dropped, or "".
func (e *Event) Dropped() string { return e.dropped }

// namespace is the UUID namespace of everything that tocsin names: UUIDv5(NameSpaceDNS, "tocsin").
var namespace = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("tocsin"))

// NewID returns the UUIDv5 of the parts, each ended by a NUL so that ("ab","c") and ("a","bc") differ. Event ids, alert
// ids and incident ids are made by it: anybody can compute them again.
func NewID(parts ...string) uuid.UUID {
	var stack [256]byte
	return sumID(appendParts(append(stack[:0], namespace[:]...), parts))
}

// IDPrefix makes many ids that begin with the same parts: those of a record's events. Reset it before use. It is for
// one goroutine.
type IDPrefix struct {
	text []byte // the namespace and the parts, as they are hashed
	n    int    // how much of it is the prefix
}

// Reset sets the parts that the next ids begin with.
func (p *IDPrefix) Reset(parts ...string) {
	p.text = appendParts(append(p.text[:0], namespace[:]...), parts)
	p.n = len(p.text)
}

// ID returns NewID of the prefix's parts and the number in decimal.
func (p *IDPrefix) ID(number int) uuid.UUID {
	p.text = append(strconv.AppendInt(p.text[:p.n], int64(number), 10), 0)
	return sumID(p.text)
}

func appendParts(b []byte, parts []string) []byte {
	for _, p := range parts {
		b = append(append(b, p...), 0)
	}
	return b
}

// sumID is uuid.NewSHA1 without its allocations: there is an id for every event.
func sumID(text []byte) (id uuid.UUID) {
	sum := sha1.Sum(text)
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 5<<4 // version
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	return id
}
