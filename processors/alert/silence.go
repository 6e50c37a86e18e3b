package alert

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// silence is a person's word that some alerts of a team are to be kept quiet.
type silence struct {
	ID     uuid.UUID        `json:"id"`
	Team   string           `json:"team"`
	Window string           `json:"window"`
	By     string           `json:"by"`
	Reason string           `json:"reason"`
	Until  int64            `json:"until"` // Unix nanoseconds
	Match  pipeline.Matcher `json:"match"`
}

// control begins or ends a silence, and applies it to what is open.
func (d *Desk) control(c *pipeline.Control, out *pipeline.Output) {
	key := c.Team + "/" + c.Silence.String()
	if c.Action == pipeline.ControlExpire {
		if d.silences[key] == nil {
			return
		}
		d.setSilence(key, nil)
	} else {
		d.setSilence(key, &silence{ID: c.Silence, Team: c.Team, Window: c.Window, By: c.By, Reason: c.Reason, Until: c.Until.UnixNano(), Match: c.Match})
	}
	var changed []*held
	for _, h := range d.alerts {
		if h.Team != c.Team || !h.open() || h.Last == nil {
			continue
		}
		why, _, _ := d.quieted(h)
		if was := h.Status == pipeline.StatusSuppressed; was != (why != "") || was && why != h.SuppressedBy {
			changed = append(changed, h)
		}
	}
	slices.SortFunc(changed, func(a, b *held) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for _, h := range changed {
		d.touch(h)
		h.Sent = 0
		d.judge(h, false, out)
	}
}

// quieted returns what keeps an alert from the team, in the order of the suppressions, the incident that an inhibition
// makes it part of, and who said so; "" where nothing does.
func (d *Desk) quieted(h *held) (why, incident string, by said) {
	if h.Last.SuppressedBy != "" { // a label of its events
		return h.Last.SuppressedBy, "", said{}
	}
	if s := d.silenced(h); s != nil {
		return s.Window + ":" + s.ID.String(), "", said{By: s.By, Reason: s.Reason, Until: s.Until}
	}
	if by := d.inhibited(h); by != nil {
		return byInhibit + ":" + by.Rule, incidentOf(by), said{}
	}
	return "", "", said{}
}

// silenced returns the silence that covers the alert: windows before plain silences, then the one that lasts longest.
func (d *Desk) silenced(h *held) *silence {
	var best *silence
	for _, s := range d.silences {
		if s.Team != h.Team || d.clock.Now >= s.Until || !s.covers(h.Last) {
			continue
		}
		if best == nil || cmp.Or(
			slices.Index(pipeline.Windows, best.Window)-slices.Index(pipeline.Windows, s.Window),
			cmp.Compare(best.Until, s.Until), slices.Compare(best.ID[:], s.ID[:])) < 0 {
			best = s
		}
	}
	return best
}

// covers reports whether the silence is meant for the alert. Maintenance and chaos never cover an alert with a security
// technique or one that security asked for, and a plain silence only if it names the rule: an attacker must not hide behind
// a game day, nor behind a silence that somebody made wider than was meant.
func (s *silence) covers(a *pipeline.Alert) bool {
	m := s.Match
	if (rule.IsSecurity(a.Attacks) || a.Class == pipeline.ClassSecRequested) && (s.Window != pipeline.Windows[0] || m.Rule == "") {
		return false
	}
	if m.Rule != "" && m.Rule != a.Rule || m.Project != "" && m.Project != a.Project || m.Environment != "" && m.Environment != a.Environment {
		return false
	}
	if m.Entity != "" {
		kind, value, _ := strings.Cut(m.Entity, "=")
		first, _, _ := strings.Cut(a.Entities[kind], ",+")
		return first == value
	}
	return true
}

// inhibited returns the open alert of the same team that says already what this one would: its rule inhibits this
// one's, and both are about the same thing.
func (d *Desk) inhibited(h *held) *held {
	if r := d.rules().Rule(h.Rule); r != nil && len(r.Inhibits) > 0 {
		return nil // or two could quiet each other
	}
	if h.Last.Class == pipeline.ClassSecRequested {
		return nil // who asked for it gets it, also as part of an incident
	}
	return d.incident(h, d.inhibits)
}

// inhibits reports whether an open alert says what another would, of which both have the subject.
func (d *Desk) inhibits(g, h *held, subject string) bool {
	r := d.rules().Rule(g.Rule)
	if r == nil || g == h || h.Severity > g.Severity { // what is worse than it has not been said yet
		return false
	}
	switch {
	case slices.Contains(r.Inhibits, h.Rule):
		return true
	case slices.Contains(r.Inhibits, rule.InhibitsAll) && !rule.IsSecurity(h.Last.Attacks):
		return true // those of security must be named
	}
	// What leads to an incident is a part of it where it is about the very thing.
	return slices.Contains(r.Inhibits, rule.InhibitsMembers) && r.Takes(h.Rule) && isKeyOf(subject, g)
}

// isKeyOf reports whether the subject is what the alert is keyed by, or a part of that.
func isKeyOf(subject string, g *held) bool {
	_, value, _ := strings.Cut(subject, "=")
	key := strings.TrimPrefix(g.Last.DedupKey, g.Rule+"|")
	return value == key || slices.Contains(strings.FieldsFunc(key, func(c rune) bool { return c == '|' || c == ' ' }), value)
}

// subjects returns what an alert is about: each entity, or the project where there is none.
func subjects(a *pipeline.Alert) []string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(a.Entities)) {
		value, _, _ := strings.Cut(a.Entities[kind], ",+")
		list = append(list, kind+"="+value)
	}
	if len(list) == 0 && a.Project != "" {
		list = append(list, "project="+a.Project)
	}
	return list
}
