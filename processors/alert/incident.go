package alert

import (
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// An incident is what an alert stands for that is more than itself: one of a rule of risk, which adds up what others say, or
// of a rule that inhibits others. While it is open, the team's alerts about what it is keyed by are its members: those that
// were open when it began, and those that come. Whether they are quieted is another question; see inhibited.

// maxMembers is how many open alerts an incident takes in when it begins; those that come later are not bounded.
const maxMembers = 1000

// isIncident reports whether alerts of the rule stand for an incident.
func isIncident(r *rule.Rule) bool { return r != nil && (r.Kind == rule.Risk || len(r.Inhibits) > 0) }

// incidentOf names the incident that such an alert stands for.
func incidentOf(h *held) string { return pipeline.IncidentOf(h.Last.DedupKey) }

// incident returns the open alert that stands for an incident about the same thing, of those that are fit: the same one
// whatever the order.
func (d *Desk) incident(h *held, fit func(g, h *held, subject string) bool) *held {
	var best *held
	for _, subject := range subjects(h.Last) {
		for _, g := range d.incidents[h.Team+"/"+subject] {
			if g != h && fit(g, h, subject) && (best == nil || cmp.Or(cmp.Compare(g.Rule, best.Rule), slices.Compare(g.ID[:], best.ID[:])) < 0) {
				best = g
			}
		}
	}
	return best
}

// join makes the alert, of which Last is known, part of an incident, if there is one.
func (d *Desk) join(h *held) {
	if isIncident(d.rules().Rule(h.Rule)) {
		h.Incident = incidentOf(h)
		return
	}
	if g := d.incident(h, func(g, _ *held, subject string) bool { return isKeyOf(subject, g) }); h.Incident == "" && g != nil {
		h.Incident = incidentOf(g)
	}
}

// gather makes the open alerts about the same things part of the incident that begins: what led up to it. The team is not
// told again; their next record says it, and what is stored says it now.
func (d *Desk) gather(g *held, out *pipeline.Output) {
	var members []*held
	seen := map[uuid.UUID]bool{}
	for _, subject := range subjects(g.Last) {
		if !isKeyOf(subject, g) {
			continue
		}
		for id, h := range d.members[g.Team+"/"+subject] {
			if h.Incident == "" && h.open() && h.Last != nil && !seen[id] {
				seen[id] = true
				members = append(members, h)
			}
		}
	}
	slices.SortFunc(members, func(a, b *held) int { return slices.Compare(a.ID[:], b.ID[:]) })
	for _, h := range members[:min(len(members), maxMembers)] {
		d.touch(h)
		h.Incident = incidentOf(g)
		status, sent := h.Status, h.Sent
		if status == pipeline.StatusFiring {
			status = pipeline.StatusUpdated
		}
		d.emit(h, status, false, out)
		h.Sent = sent // the team has not heard of it
	}
}

// index notes what the alert is about, while it is open and known: for the incidents that may begin, and if it stands for
// one itself. It reports whether an incident begins with that.
func (d *Desk) index(h *held) (began bool) {
	stood := len(h.indexed) > 0 && d.incidents[h.indexed[0]][h.ID] != nil
	d.unindex(h)
	if h.Last == nil || !h.open() {
		return false
	}
	stands := isIncident(d.rules().Rule(h.Rule)) && h.Status != pipeline.StatusSuppressed
	for _, s := range subjects(h.Last) {
		key := h.Team + "/" + s
		file(d.members, key, h)
		if stands {
			file(d.incidents, key, h)
		}
		h.indexed = append(h.indexed, key)
	}
	return stands && !stood
}

func file(index map[string]map[uuid.UUID]*held, key string, h *held) {
	if index[key] == nil {
		index[key] = map[uuid.UUID]*held{}
	}
	index[key][h.ID] = h
}

func (d *Desk) unindex(h *held) {
	for _, key := range h.indexed {
		for _, index := range []map[string]map[uuid.UUID]*held{d.members, d.incidents} {
			if delete(index[key], h.ID); len(index[key]) == 0 {
				delete(index, key)
			}
		}
	}
	h.indexed = nil
}
