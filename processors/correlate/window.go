package correlate

import (
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// open tells every team's desk that a trigger has opened a window over what it is about: the first entity of the rule that
// it names, or else its project and environment. One that is over by now opens nothing.
func open(c *call, s *pipeline.Signal) {
	r, until := c.rule, s.Time.Add(c.rule.Window)
	if r.Opens == "" || !until.After(c.out.Now) {
		return
	}
	var match pipeline.Matcher
	for _, e := range r.Entities {
		if v := s.Field(e.Column); v != "" && e.Column != "environment" && e.Column != "project" {
			match.Entity = e.Name + "=" + v
			break
		}
	}
	if match.Entity == "" {
		match.Project, match.Environment = s.Field("project"), s.Field("environment")
	}
	if match.Entity == "" && (match.Project == "" || match.Environment == "") {
		return // it would quiet more than anybody has asked for
	}
	say(c, s.EventID, pipeline.Control{Action: pipeline.ControlSilence, Window: r.Opens, Match: match, Until: until, Reason: c.key})
}

// shut tells that what a trigger opened is over.
func shut(c *call, trigger uuid.UUID) {
	if c.rule.Opens != "" {
		say(c, trigger, pipeline.Control{Action: pipeline.ControlExpire, Reason: c.key})
	}
}

func say(c *call, trigger uuid.UUID, said pipeline.Control) {
	said.Time, said.By = c.out.Now.UTC().Truncate(time.Millisecond), "rule "+c.rule.ID
	said.Silence = windowID(c.rule, c.key, trigger)
	for _, said.Team = range pipeline.Teams {
		if said.Check() != nil {
			return // an event from next year, or of a host with a name like a novel: no desk would obey it
		}
		said.ID = pipeline.NewID("control", said.Action, said.Silence.String(), said.Team)
		c.out.Controls = append(c.out.Controls, said)
	}
}

// windowID names what a trigger opened, the same whenever it is read.
func windowID(r *rule.Rule, key string, trigger uuid.UUID) uuid.UUID {
	return pipeline.NewID("window", r.ID, key, trigger.String())
}
