package alert

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// DeskConfig says how much a team is told.
type DeskConfig struct {
	// PerMinute is how many records that call for attention a team gets within a minute: 5 to 10000. One of them is kept
	// for the summary of what was held back, and a fifth for alerts of severity critical and above. What ends or quiets an
	// alert is always sent and does not count.
	PerMinute int `yaml:"per_minute"`
}

// DefaultPerMinute is the PerMinute of a configuration that gives none.
const DefaultPerMinute = 30

// Bounds of a desk's state.
const (
	maxHeld   = 100_000 // alerts of one partition, the last quarter only for critical ones; more are stored without being followed
	maxBodies = 10_000  // suppressed alerts kept whole, so that they can be sent the moment nothing quiets them any more
)

const (
	remindEvery = int64(time.Minute)      // between two records of an alert that does not get worse
	scanEvery   = int64(10 * time.Second) // between two looks for what is due by time
	keepSlack   = int64(time.Hour)        // that a resolved alert is remembered beyond its dedup window
	keepUnknown = int64(24 * time.Hour)   // the same for a rule that is gone
)

// What suppressed_by begins with, where no label of an event does it.
const (
	byCap     = "cap"     // the team had its records of the minute; or there are too many alerts to follow
	byInhibit = "inhibit" // :RULE; an alert of that rule says it already
	// A silence is KIND:ID, with the kind of its window.
)

// held is what the desk knows of one alert. Times are Unix nanoseconds of the records' clock.
type held struct {
	ID      uuid.UUID `json:"id"`
	Team    string    `json:"team"`
	Rule    string    `json:"rule"`
	RuleV   int       `json:"rule_v"`
	Digest  uint64    `json:"digest"`
	Version uint64    `json:"v"`
	// Status is what it is: firing, acked, suppressed or resolved. Shown is the status of the last record on the team's
	// topic, "" before there is one, and ShownSeverity its severity.
	Status        string `json:"status"`
	Shown         string `json:"shown,omitempty"`
	ShownSeverity uint8  `json:"shown_severity,omitempty"`
	Severity      uint8  `json:"severity"` // highest since it fired
	SuppressedBy  string `json:"by,omitempty"`
	Incident      string `json:"incident,omitempty"`
	Sent          int64  `json:"sent"`  // its last record
	Ended         int64  `json:"ended"` // 0 while it is open
	Reopened      uint32 `json:"reopened,omitempty"`
	Said          said   `json:"said,omitzero"`
	// Last is what detect said last, kept while the team knows of it or may have to.
	Last *pipeline.Alert `json:"last,omitempty"`

	old     bool     // restored from the changelog
	indexed []string // where members has it
	tx      uint32   // transaction that touched it last
}

// said is what a person said of an alert, until it fires anew.
type said struct {
	Action      string `json:"action"`
	By          string `json:"by"`
	Reason      string `json:"reason,omitempty"`
	Until       int64  `json:"until,omitempty"` // 0 for never
	Disposition string `json:"disposition,omitempty"`
}

func (h *held) open() bool { return h.Status != pipeline.StatusResolved && h.Status != "" }

// known reports whether the team's topic has a record of it that no resolution followed.
func (h *held) known() bool { return h.Shown != "" && h.Shown != pipeline.StatusResolved }

// calls reports whether the team's topic says that somebody should look.
func (h *held) calls() bool {
	return h.Shown == pipeline.StatusFiring || h.Shown == pipeline.StatusUpdated
}

// acked reports whether a person's acknowledgement holds.
func (h *held) acked(now int64) bool {
	return h.Said.Action == pipeline.ControlAck && (h.Said.Until == 0 || now < h.Said.Until)
}

// Desk implements pipeline.Desk: the life of each alert between being found and being told. It serves one goroutine.
type Desk struct {
	rules     func() *rule.Set
	perMinute int
	maxHeld   int

	clock     deskClock
	alerts    map[uuid.UUID]*held
	silences  map[string]*silence // by team and id
	teams     map[string]*quota
	members   map[string]map[uuid.UUID]*held // open ones, by team and what they are about
	incidents map[string]map[uuid.UUID]*held // those of them that stand for an incident
	bodies    int                            // alerts with Last
	restored  bool                           // there are restored alerts whose rules were not looked at

	tx deskTransaction
}

// NewDesk returns an empty desk. rules returns the set of the time, which is only read.
func NewDesk(rules func() *rule.Set, cfg DeskConfig) *Desk {
	d := &Desk{
		rules: rules, perMinute: cmp.Or(cfg.PerMinute, DefaultPerMinute), maxHeld: maxHeld,
		alerts: map[uuid.UUID]*held{}, silences: map[string]*silence{}, teams: map[string]*quota{},
		members: map[string]map[uuid.UUID]*held{}, incidents: map[string]map[uuid.UUID]*held{},
	}
	d.Commit()
	return d
}

// Found implements pipeline.Desk.
func (d *Desk) Found(a *pipeline.Alert, out *pipeline.Output) {
	d.tick(out)
	h := d.alerts[a.ID]
	if a.Status == pipeline.StatusResolved {
		d.over(h, a, out)
		return
	}
	switch {
	case h == nil:
		limit := d.maxHeld
		if a.Severity < critical {
			limit -= limit / 4
		}
		if len(d.alerts) >= limit { // stored, counted, not followed; its end is stored as well
			a.Status, a.SuppressedBy, a.Quiet = pipeline.StatusSuppressed, byCap, true
			out.Alerts = append(out.Alerts, a)
			d.heldBack(a, true, out)
			return
		}
		h = d.add(a)
	case h.Status == pipeline.StatusResolved:
		if h.Said.Action == pipeline.ControlResolve && a.Severity <= h.Severity &&
			(a.Status != pipeline.StatusFiring || h.Said.Disposition == pipeline.FalsePositive) {
			return // a person closed it, and it is nothing new
		}
		d.touch(h)
		h.Reopened++
		h.Status, h.SuppressedBy, h.Incident, h.Severity, h.Ended, h.Said = "", "", "", 0, 0, said{}
	default:
		d.touch(h)
		if h.Said.Action == pipeline.ControlResolve && a.Severity <= h.Severity { // only now there is something to resolve
			d.keep(h, a)
			d.resolve(h, out)
			return
		}
	}
	h.RuleV, h.Digest, h.old = a.RuleVersion, a.Digest, false
	worse := a.Severity > h.Severity
	h.Severity = max(h.Severity, a.Severity)
	d.keep(h, a)
	d.judge(h, worse, out)
}

// over takes that a rule's condition has ended.
func (d *Desk) over(h *held, a *pipeline.Alert, out *pipeline.Output) {
	if h == nil { // nobody was told
		a.Quiet = true
		out.Alerts = append(out.Alerts, a)
		return
	}
	d.touch(h)
	if !h.open() { // a person was faster
		h.Ended = d.clock.Now
		return
	}
	a.Severity = max(a.Severity, h.Severity)
	d.keep(h, a)
	h.Said = said{}
	d.resolve(h, out)
}

// resolve ends an open alert, and tells the team if it knows of it.
func (d *Desk) resolve(h *held, out *pipeline.Output) {
	h.Status, h.Ended = pipeline.StatusResolved, d.clock.Now
	d.emit(h, pipeline.StatusResolved, h.known(), out)
	d.keep(h, nil)
	d.index(h)
}

// judge sends what is due of an open alert of which Last is known.
func (d *Desk) judge(h *held, worse bool, out *pipeline.Output) {
	d.join(h)
	why, incident, by := d.quieted(h)
	h.Incident = cmp.Or(incident, h.Incident)
	soon := !worse && d.clock.Now-h.Sent < remindEvery
	switch {
	case why != "":
		if soon && h.Status == pipeline.StatusSuppressed && h.SuppressedBy == why {
			break
		}
		h.Status, h.SuppressedBy = pipeline.StatusSuppressed, why
		d.emitBy(h, pipeline.StatusSuppressed, by, h.known() && h.Shown != pipeline.StatusSuppressed, out)
	case h.acked(d.clock.Now) && !worse:
		if soon && h.Status == pipeline.StatusAcked {
			break
		}
		h.Status, h.SuppressedBy = pipeline.StatusAcked, ""
		d.emit(h, pipeline.StatusAcked, h.known() && (h.Shown != pipeline.StatusAcked || d.take(h)), out)
	default:
		d.call(h, soon, out)
	}
	if h.open() && !h.known() && (h.SuppressedBy == byCap || d.bodies > maxBodies) {
		d.keep(h, nil)
	}
	if d.index(h) {
		d.gather(h, out)
	}
}

// call tells the team of an alert that nothing quiets, as far as the team's quota allows.
func (d *Desk) call(h *held, soon bool, out *pipeline.Output) {
	if h.Said.Action == pipeline.ControlAck { // it got worse, or the time is over
		h.Said = said{}
	}
	if soon && h.Status == pipeline.StatusFiring && h.calls() {
		return
	}
	status := pipeline.StatusFiring
	if h.calls() || h.Shown == pipeline.StatusAcked {
		status = pipeline.StatusUpdated
	}
	before := h.SuppressedBy
	if d.take(h) {
		h.Status, h.SuppressedBy = pipeline.StatusFiring, ""
		d.emit(h, status, true, out)
		return
	}
	if h.known() && h.Shown != pipeline.StatusSuppressed { // it is open there; what is new is stored, and sent when there is room
		if soon && h.Status == pipeline.StatusFiring {
			return
		}
		h.Status, h.SuppressedBy = pipeline.StatusFiring, ""
		d.emit(h, pipeline.StatusUpdated, false, out)
		return
	}
	d.heldBack(h.Last, before != byCap, out)
	if soon && before == byCap {
		return
	}
	h.Status, h.SuppressedBy = pipeline.StatusSuppressed, byCap
	d.emit(h, pipeline.StatusSuppressed, false, out)
}

// emit writes the alert's next version; loud sends it to the team as well.
func (d *Desk) emit(h *held, status string, loud bool, out *pipeline.Output) {
	d.emitBy(h, status, h.Said, loud, out)
}

func (d *Desk) emitBy(h *held, status string, by said, loud bool, out *pipeline.Output) {
	a := *h.Last
	h.Version = max(h.Version+1, a.Version)
	h.Sent = d.clock.Now
	a.Version, a.Status, a.SuppressedBy, a.Quiet = h.Version, status, "", !loud
	if status == pipeline.StatusSuppressed {
		a.SuppressedBy = h.SuppressedBy
	}
	a.Reopened, a.Incident = h.Reopened, cmp.Or(h.Incident, a.Incident)
	a.ChangedBy, a.Reason, a.Disposition = by.By, by.Reason, by.Disposition
	if by.Until != 0 {
		until := time.Unix(0, by.Until).UTC()
		a.Until = &until
	}
	if loud {
		h.Shown, h.ShownSeverity = status, a.Severity
	}
	out.Alerts = append(out.Alerts, &a)
}

// Tick implements pipeline.Desk.
func (d *Desk) Tick(out *pipeline.Output) {
	d.tick(out)
	if d.clock.Now-d.clock.Scanned >= scanEvery {
		d.clock.Scanned = d.clock.Now
		d.scan(out)
	}
}

// tick moves the desk's clock, which never goes back.
func (d *Desk) tick(out *pipeline.Output) {
	d.clock.Now = max(d.clock.Now, out.Now.UnixNano())
	d.summarise(out)
}

// scan does what is due by time: silences and acknowledgements end, what is resolved is forgotten, what was held back is sent.
func (d *Desk) scan(out *pipeline.Output) {
	for _, key := range slices.Sorted(maps.Keys(d.silences)) {
		if s := d.silences[key]; d.clock.Now >= s.Until {
			d.setSilence(key, nil)
		}
	}
	var due []*held
	for _, h := range d.alerts {
		if d.isDue(h) {
			due = append(due, h)
		}
	}
	slices.SortFunc(due, func(a, b *held) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), slices.Compare(a.ID[:], b.ID[:]))
	})
	for _, h := range due {
		if !d.isDue(h) { // the quota went to another
			continue
		}
		d.touch(h)
		switch {
		case !h.open():
			d.forget(h)
		case d.orphan(h):
			h.Said = said{Reason: "its rule is gone or has changed"}
			if h.Last != nil {
				d.resolve(h, out)
			} else {
				h.Status, h.Ended = pipeline.StatusResolved, d.clock.Now
			}
		default:
			h.Sent = 0
			d.judge(h, false, out)
		}
	}
	d.restored = false
}

// isDue reports whether scan has something to do for the alert.
func (d *Desk) isDue(h *held) bool {
	switch {
	case !h.open():
		keep := keepUnknown
		if r := d.rules().Rule(h.Rule); r != nil {
			keep = int64(r.Dedup)
		}
		return d.clock.Now >= h.Ended+keep+keepSlack
	case d.restored && d.orphan(h):
		return true
	case h.Last == nil:
		return false
	case h.Status == pipeline.StatusSuppressed:
		why, _, _ := d.quieted(h)
		return why != h.SuppressedBy && (why != "" || d.room(h))
	case h.Status == pipeline.StatusAcked:
		return !h.acked(d.clock.Now)
	}
	return (!h.calls() || h.ShownSeverity < h.Severity) && d.room(h)
}

// orphan reports whether the alert was restored and nobody is left to end it: detect's state of the rule was dropped
// because the rule is another one now.
func (d *Desk) orphan(h *held) bool {
	if !h.old {
		return false
	}
	r := d.rules().Rule(h.Rule)
	return r == nil || r.Version != h.RuleV || r.Digest != h.Digest
}

// keep sets what detect said last of the alert.
func (d *Desk) keep(h *held, a *pipeline.Alert) {
	if h.Last != nil {
		d.bodies--
	}
	if h.Last = a; a != nil {
		d.bodies++
	}
}

// Control implements pipeline.Desk. What concerns an alert that is not known any more changes nothing here; it is stored
// with all else that people said.
func (d *Desk) Control(c *pipeline.Control, out *pipeline.Output) {
	d.tick(out)
	switch c.Action {
	case pipeline.ControlSilence, pipeline.ControlExpire:
		d.control(c, out)
		return
	}
	h := d.alerts[c.Alert]
	if h == nil || h.Team != c.Team {
		return
	}
	d.touch(h)
	if c.Disposition == pipeline.FalsePositive && h.Said.Disposition != pipeline.FalsePositive { // detectors learn of it
		out.Signals = append(out.Signals, pipeline.Signal{
			Kind: pipeline.SignalDismiss, Rule: h.Rule, Version: h.RuleV, Digest: h.Digest, EventID: h.ID, Time: out.Now, Ingest: out.Now,
		})
	}
	s := said{Action: c.Action, By: c.By, Reason: c.Reason, Disposition: c.Disposition}
	if !c.Until.IsZero() {
		s.Until = c.Until.UnixNano()
	}
	switch {
	case c.Action == pipeline.ControlAck && h.open():
		h.Said = s
		if h.Last != nil && h.Status != pipeline.StatusSuppressed {
			h.Status = pipeline.StatusAcked
			d.emit(h, pipeline.StatusAcked, h.known(), out)
		}
	case c.Action == pipeline.ControlResolve && h.open():
		h.Said = s
		if h.Last != nil {
			d.resolve(h, out)
		}
	case c.Action == pipeline.ControlResolve: // it was over already: this says what it was
		h.Said = s
	}
}
