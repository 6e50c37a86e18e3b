package enrich

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tocsin-project/tocsin/pipeline"
)

// optOutReason begins the reason of an event that was dropped; the policy's id follows.
const optOutReason = "opt-out:"

// optOut is a policy: of what all its patterns match, nothing is kept but a count.
type optOut struct {
	id, owner, reason               string
	project, module, suite, routine glob // empty matches everything
	since, until                    time.Time
}

// Policy is an opt-out as an audit has it: who answers for it and why. What it is about is not repeated, but for a digest
// that changes with it.
type Policy struct {
	ID, Owner, Reason string
	Since, Until      time.Time // zero: always was, for ever
	Digest            uint64
}

// OptOuts returns the policies of the table in use.
func (en *Enricher) OptOuts() []Policy {
	os := en.current.Load().optOuts
	if os == nil {
		return nil
	}
	list := make([]Policy, len(os.policies))
	for i, o := range os.policies {
		list[i] = Policy{o.id, o.owner, o.reason, o.since.UTC(), o.until.UTC(), xxhash.Sum64String(fmt.Sprintf("%q", []glob{o.project, o.module, o.suite, o.routine}))}
	}
	return list
}

// optOuts are the policies. They decide before anything of an event is stored, sent or logged.
type optOuts struct {
	policies []*optOut
}

var optOutColumns = []string{"id", "owner", "reason", "project", "module", "suite", "routine", "since", "until"}

var optOutID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// readOptOuts reads the policies: id, who answers for it and why, one or more patterns, and from when to when.
func readOptOuts(files []*file) (part, error) {
	os := &optOuts{}
	var m mistakes
	where := map[string]string{}
	for _, f := range files {
		rows(f, optOutColumns, 3, &m, func(c []cell) {
			o := &optOut{id: c[0].text, owner: c[1].text, reason: c[2].text, project: newGlob(c[3].text), module: newGlob(c[4].text), suite: newGlob(c[5].text), routine: newGlob(c[6].text)}
			if !optOutID.MatchString(o.id) {
				m.at(f.path, c[0].line, c[0].column, fmt.Sprintf("%q is no id", o.id), "letters, digits, '_', '.', '-', at most 63")
			}
			if first, twice := where[o.id]; twice {
				m.at(f.path, c[0].line, c[0].column, "policy "+o.id+" is listed twice", "first at "+first+"; give one of them another id")
			}
			where[o.id] = fmt.Sprintf("%s:%d", f.path, c[0].line)
			if strings.Trim(string(o.project+o.module+o.suite+o.routine), "*") == "" {
				m.at(f.path, c[0].line, c[0].column, "policy "+o.id+" would opt everything out", "name a project, module, suite or routine")
			}
			o.since, o.until = moment(f, c[7], &m), moment(f, c[8], &m)
			if !o.until.IsZero() && !o.since.Before(o.until) {
				m.at(f.path, c[8].line, c[8].column, "until is not after since", "")
			}
			os.policies = append(os.policies, o)
		})
	}
	return os, m.err()
}

// moment reads a date (its beginning in UTC) or an RFC 3339 time; one that is left out is the zero time.
func moment(f *file, c cell, m *mistakes) time.Time {
	if c.text == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, c.text); err == nil {
			return t
		}
	}
	m.at(f.path, c.line, c.column, fmt.Sprintf("%q is no time", c.text), "as in 2026-11-23 (from its beginning, in UTC) or 2026-11-23T08:00:00Z")
	return time.Time{}
}

func (os *optOuts) install(s *set) { s.optOuts = os }

func (os *optOuts) size() (int, time.Time) { return len(os.policies), time.Time{} }

// find returns the policy that the event falls under, or nil.
func (os *optOuts) find(e *pipeline.Event) *optOut {
	if os == nil {
		return nil
	}
	for _, o := range os.policies {
		if o.at(e.Time) && o.holds(e) {
			return o
		}
	}
	return nil
}

// at reports whether the policy was in force then.
func (o *optOut) at(t time.Time) bool {
	return !t.Before(o.since) && (o.until.IsZero() || t.Before(o.until))
}

// holds reports whether all the policy's patterns match. A module is a service, a repository or a test's class; a suite is
// a test suite, or the pipeline, workflow or job that runs it; a routine is a test case or a step.
func (o *optOut) holds(e *pipeline.Event) bool {
	return (o.project == "" || o.project.match(e.Project)) &&
		(o.suite == "" || o.suite.match(e.Pipeline)) &&
		(o.routine == "" || o.routine.match(e.Task)) &&
		(o.module == "" || o.module.match(e.Service) || o.module.match(e.Repo) || o.module.match(e.Attr("test.case.class")))
}

// in reports whether a text speaks of what the policy is about: each of its patterns matches some part of it.
func (o *optOut) in(text string) bool {
	return o.project.within(text) && o.module.within(text) && o.suite.within(text) && o.routine.within(text)
}

// withheld stands where a raw text stood.
const withheld = "[withheld: opt-out]"

// withhold takes out of the batch what is left of records that were opted out. Of a record with such an event no dead
// letter leaves, for a refused part has no name of its own; nor does a dead letter that speaks of what a policy is about,
// for a record that could not be read may be of it. Events of others in the same record stay, but for a raw text that
// they share with it.
func (p *Processor) withhold(b *pipeline.Batch, os *optOuts) {
	for i := range b.Events {
		e := &b.Events[i]
		if o := p.records[b.RecordIndex(e)]; o != nil && e.Dropped() == "" && o.in(e.Raw) {
			e.Raw = withheld
			e.Attrs = slices.DeleteFunc(e.Attrs, func(a pipeline.Attr) bool { return a.Key == "raw.hmac_sha256" })
			p.shared.count(o, "raw")
		}
	}
	kept := b.Failures[:0]
	for i := range b.Failures {
		f := &b.Failures[i]
		if o := p.forbids(b, f, os); o != nil {
			p.shared.count(o, "dead letter")
			continue
		}
		kept = append(kept, *f)
	}
	clear(b.Failures[len(kept):])
	b.Failures = kept
}

// forbids returns the policy that a failure falls under, or nil.
func (p *Processor) forbids(b *pipeline.Batch, f *pipeline.Failure, os *optOuts) *optOut {
	if o := p.records[f.Record]; o != nil {
		return o
	}
	for _, o := range os.policies {
		if o.at(b.Records[f.Record].Time) && o.in(f.Reason+"\n"+string(f.Data)) {
			return o
		}
	}
	return nil
}
