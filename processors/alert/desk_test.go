package alert

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// deskRules are a rule of security, one of availability, one that inhibits both, and an incident made of the first.
func deskRules(t testing.TB) *rule.Set {
	t.Helper()
	file := func(id, more string) rule.File {
		return rule.File{Name: id + ".yaml", Data: []byte("id: " + id + `
title: t
kind: match
why: w
when: ev.Type == "` + id + `"
key: ev.Host
entities: {host: host}
alert: {title: t, summary: s}
subscriptions: [{team: sec, severity: 4}]
` + more)}
	}
	incident := file("incident", "inhibits: [members]\n")
	incident.Data = []byte(strings.Replace(string(incident.Data), "when: ev.Type == \"incident\"", "alerts: [login]", 1))
	set, err := rule.Load([]rule.File{file("login", "attack: [T1110]\n"), file("slow", "attack: [T1499]\n"), file("chain", "inhibits: [login, \"*\"]\n"), incident})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// bench is a desk with its clock and what came out.
type deskBench struct {
	t    testing.TB
	set  *rule.Set
	desk *Desk
	out  pipeline.Output
}

func newBench(t testing.TB, perMinute int) *deskBench {
	set := deskRules(t)
	return &deskBench{t: t, set: set, desk: NewDesk(func() *rule.Set { return set }, DeskConfig{PerMinute: perMinute}), out: pipeline.Output{Now: t0}}
}

// pass lets time pass.
func (b *deskBench) pass(d time.Duration) {
	b.out.Now = b.out.Now.Add(d)
	b.desk.Tick(&b.out)
}

// found gives the desk an alert of a host: the same rule, team and host are the same alert.
func (b *deskBench) found(status, team, id, host string, severity uint8, version uint64) uuid.UUID {
	a := b.alert(status, team, id, host, severity, version)
	b.desk.Found(a, &b.out)
	b.desk.Tick(&b.out)
	return a.ID
}

func (b *deskBench) alert(status, team, id, host string, severity uint8, version uint64) *pipeline.Alert {
	r := b.set.Rule(id)
	return &pipeline.Alert{
		ID: pipeline.NewID(team, id, host), Version: version, Status: status, Team: team, Class: pipeline.ClassNormal, Visibility: pipeline.VisibilityTeam,
		Rule: id, RuleVersion: r.Version, Severity: severity, Title: "t", Project: "pay", Entities: map[string]string{"host": host},
		FirstEventTime: b.out.Now, LastEventTime: b.out.Now, DedupKey: id + "|" + host, Attacks: r.Attacks, Digest: r.Digest,
	}
}

func (b *deskBench) control(c pipeline.Control) {
	c.ID, c.Time, c.By = uuid.New(), b.out.Now, "ops:jim"
	c.Team = cmp.Or(c.Team, "sec")
	if err := c.Check(); err != nil {
		b.t.Fatal(err)
	}
	b.desk.Control(&c, &b.out)
	b.desk.Tick(&b.out)
}

// said returns what came out since the last call, quiet records in brackets.
func (b *deskBench) said() string {
	var list []string
	for _, a := range b.out.Alerts {
		text := fmt.Sprintf("%s %s v%d", a.Rule, a.Status, a.Version)
		if a.SuppressedBy != "" {
			by, _, _ := strings.Cut(a.SuppressedBy, ":")
			text += " by " + by
		}
		if a.ChangedBy != "" {
			text += " " + a.ChangedBy
		}
		if a.Quiet {
			text = "(" + text + ")"
		}
		list = append(list, text)
	}
	b.out.Alerts = nil
	return strings.Join(list, ", ")
}

func (b *deskBench) want(want string) {
	b.t.Helper()
	if got := b.said(); got != want {
		b.t.Errorf("came out: %s\nwant:     %s", got, want)
	}
}

const firing, updated, resolved = pipeline.StatusFiring, pipeline.StatusUpdated, pipeline.StatusResolved

func TestDeskAcknowledge(t *testing.T) {
	b := newBench(t, 30)
	id := b.found(firing, "sec", "login", "db-1", 4, 1)
	b.want("login firing v1")
	b.control(pipeline.Control{Action: pipeline.ControlAck, Alert: id, Reason: "mine", Until: t0.Add(10 * time.Minute)})
	b.want("login acked v2 ops:jim")
	b.pass(2 * time.Minute)
	b.found(updated, "sec", "login", "db-1", 4, 2)
	b.want("login acked v3 ops:jim")
	b.found(updated, "sec", "login", "db-1", 4, 3)
	b.want("") // within the minute
	b.pass(8 * time.Minute)
	b.want("login updated v4") // the acknowledgement is over, the trouble is not
	b.control(pipeline.Control{Action: pipeline.ControlAck, Alert: id})
	b.want("login acked v5 ops:jim")
	b.found(updated, "sec", "login", "db-1", 5, 4)
	b.want("login updated v6") // it got worse
	b.found(resolved, "sec", "login", "db-1", 5, 5)
	b.want("login resolved v7")
	b.found(firing, "sec", "login", "db-1", 4, 6)
	if a := b.out.Alerts[0]; a.Reopened != 1 {
		t.Errorf("reopened %d times, want 1", a.Reopened)
	}
	b.want("login firing v8")
}

func TestDeskResolveByAPerson(t *testing.T) {
	b := newBench(t, 30)
	id := b.found(firing, "sec", "login", "db-1", 4, 1)
	b.control(pipeline.Control{Action: pipeline.ControlResolve, Alert: id, Disposition: pipeline.FalsePositive, Reason: "a test"})
	if a := b.out.Alerts[1]; a.Disposition != pipeline.FalsePositive || a.Reason != "a test" {
		t.Errorf("got %+v", a)
	}
	if s := b.out.Signals; len(s) != 1 || s[0].Kind != pipeline.SignalDismiss || s[0].Rule != "login" || s[0].EventID != id || s[0].Digest != b.set.Rule("login").Digest {
		t.Errorf("detectors are told %+v", s)
	}
	b.control(pipeline.Control{Action: pipeline.ControlResolve, Alert: id, Disposition: pipeline.FalsePositive, Reason: "a test"})
	if len(b.out.Signals) != 1 {
		t.Error("they are told twice")
	}
	b.want("login firing v1, login resolved v2 ops:jim")
	b.pass(5 * time.Minute)
	b.found(updated, "sec", "login", "db-1", 4, 2)
	b.found(resolved, "sec", "login", "db-1", 4, 3)
	b.found(firing, "sec", "login", "db-1", 4, 4)
	b.want("") // it was a false positive, and it is nothing new
	b.found(updated, "sec", "login", "db-1", 5, 5)
	b.want("login firing v5") // it is worse than what the person saw
	b.control(pipeline.Control{Action: pipeline.ControlResolve, Alert: id})
	b.found(updated, "sec", "login", "db-1", 5, 6)
	b.want("login resolved v6 ops:jim")
	b.found(resolved, "sec", "login", "db-1", 5, 7)
	b.found(firing, "sec", "login", "db-1", 5, 8)
	b.want("login firing v8") // no false positive: it fires anew
}

func TestDeskSilence(t *testing.T) {
	b := newBench(t, 30)
	b.found(firing, "sec", "login", "db-1", 4, 1)
	b.found(firing, "sec", "slow", "db-1", 4, 1)
	b.want("login firing v1, slow firing v1")
	id := uuid.New()
	wide := pipeline.Control{Action: pipeline.ControlSilence, Silence: id, Window: "silence", Match: pipeline.Matcher{Project: "pay"}, Until: t0.Add(time.Hour), Reason: "known"}
	b.control(wide)
	b.want("slow suppressed v2 by silence ops:jim") // a wide silence does not cover a technique of security
	named := wide
	named.Silence, named.Match = uuid.New(), pipeline.Matcher{Rule: "login", Entity: "host=db-1"}
	b.control(named)
	b.want("login suppressed v2 by silence ops:jim")
	b.found(firing, "sec", "login", "db-2", 4, 1)
	b.want("login firing v1")
	b.pass(2 * time.Minute)
	b.found(updated, "sec", "login", "db-1", 4, 2)
	b.want("(login suppressed v3 by silence ops:jim)")
	b.control(pipeline.Control{Action: pipeline.ControlExpire, Silence: named.Silence})
	b.want("login firing v4")
	b.pass(time.Hour)
	b.want("slow firing v3") // over by time
	b.found(resolved, "sec", "slow", "db-1", 4, 9)
	b.want("slow resolved v9")
}

// TestDeskWindowsNeverCoverSecurity is C19.
func TestDeskWindowsNeverCoverSecurity(t *testing.T) {
	for _, window := range []string{"maintenance", "chaos"} {
		b := newBench(t, 30)
		b.control(pipeline.Control{Action: pipeline.ControlSilence, Silence: uuid.New(), Window: window, Match: pipeline.Matcher{Rule: "login"}, Until: t0.Add(time.Hour), Reason: "game day"})
		b.control(pipeline.Control{Action: pipeline.ControlSilence, Silence: uuid.New(), Window: window, Match: pipeline.Matcher{Entity: "host=db-1"}, Until: t0.Add(time.Hour), Reason: "game day"})
		b.found(firing, "sec", "login", "db-1", 4, 1)
		b.found(firing, "sec", "slow", "db-1", 4, 1)
		b.want("login firing v1, (slow suppressed v1 by " + window + " ops:jim)")
	}
}

// What an incident is made of is a part of it while it is open, but for what is worse, of another thing, or not among it.
func TestIncidentInhibitsItsMembers(t *testing.T) {
	b := newBench(t, 30)
	b.found(firing, "sec", "incident", "db-1", 4, 1)
	b.want("incident firing v1")
	b.found(firing, "sec", "login", "db-1", 4, 1)
	if a := b.out.Alerts[0]; a.Incident != "inc|incident|db-1" || a.SuppressedBy != "inhibit:incident" {
		t.Errorf("incident %q, by %q", a.Incident, a.SuppressedBy)
	}
	b.want("(login suppressed v1 by inhibit)")
	b.found(updated, "sec", "login", "db-1", 5, 2) // worse than the incident
	b.found(firing, "sec", "slow", "db-1", 3, 1)   // no member
	b.found(firing, "sec", "login", "db-2", 4, 1)  // another host
	b.want("login firing v2, slow firing v1, login firing v1")

	// It is about the same host, but the incident is not keyed by it.
	b = newBench(t, 30)
	a := b.alert(firing, "sec", "incident", "db-1", 4, 1)
	a.DedupKey = "incident|user bob"
	b.desk.Found(a, &b.out)
	b.found(firing, "sec", "login", "db-1", 4, 1)
	b.want("incident firing v1, login firing v1")
}

func TestDeskInhibition(t *testing.T) {
	b := newBench(t, 30)
	b.found(firing, "sec", "login", "db-1", 4, 1)
	b.found(firing, "sec", "chain", "db-1", 5, 1)
	b.want("login firing v1, chain firing v1, (login updated v2)") // what led up to it is part of the incident
	b.found(firing, "sec", "slow", "db-1", 4, 1)
	if a := b.out.Alerts[0]; a.Incident != "inc|chain|db-1" || a.SuppressedBy != "inhibit:chain" {
		t.Errorf("incident %q, by %q", a.Incident, a.SuppressedBy)
	}
	b.want("(slow suppressed v1 by inhibit)")
	b.found(firing, "sec", "slow", "db-2", 4, 1)
	b.found(firing, "ops", "slow", "db-1", 4, 1)
	b.want("slow firing v1, slow firing v1") // another host; another team
	b.found(updated, "sec", "login", "db-1", 4, 2)
	b.want("login suppressed v3 by inhibit")
	b.found(resolved, "sec", "chain", "db-1", 5, 2)
	b.want("chain resolved v2")
	b.pass(10 * time.Second)
	got := strings.Split(b.said(), ", ")
	slices.Sort(got)
	if want := []string{"login firing v4", "slow firing v2"}; !slices.Equal(got, want) { // nothing says it for them any more
		t.Errorf("came out: %s, want %s", got, want)
	}
}

// TestDeskIncident: an alert about the same thing as an incident is part of it, whether it came before or after, and one that
// is worse than the incident's is told all the same.
func TestDeskIncident(t *testing.T) {
	b := newBench(t, 30)
	b.found(firing, "sec", "slow", "db-1", 4, 1)
	b.found(firing, "sec", "slow", "db-2", 4, 1)
	b.found(firing, "ops", "slow", "db-1", 4, 1)
	b.want("slow firing v1, slow firing v1, slow firing v1")
	b.found(firing, "sec", "chain", "db-1", 5, 1)
	if a := b.out.Alerts[1]; a.Incident != "inc|chain|db-1" || a.DedupKey != "slow|db-1" || a.Team != "sec" {
		t.Errorf("what led up to it: %+v", a)
	}
	b.want("chain firing v1, (slow updated v2)")
	b.found(firing, "sec", "login", "db-1", 6, 1)
	if a := b.out.Alerts[0]; a.Incident != "inc|chain|db-1" {
		t.Errorf("incident %q", a.Incident)
	}
	b.want("login firing v1") // worse: the chain has not said it
	b.found(updated, "sec", "chain", "db-1", 6, 2)
	b.want("chain updated v2")
	b.pass(2 * time.Minute)
	b.found(updated, "sec", "login", "db-1", 6, 2)
	b.want("login suppressed v2 by inhibit")
}

// TestDeskKeepsNothingFromWhoAsked: what security asked for is part of an incident and told all the same, and no window or
// wide silence covers it.
func TestDeskKeepsNothingFromWhoAsked(t *testing.T) {
	b := newBench(t, 30)
	b.found(firing, "sec", "chain", "db-1", 5, 1)
	asked := b.alert(firing, "sec", "slow", "db-1", 4, 1)
	asked.Class = pipeline.ClassSecRequested
	b.desk.Found(asked, &b.out)
	if a := b.out.Alerts[1]; a.Incident != "inc|chain|db-1" {
		t.Errorf("incident %q", a.Incident)
	}
	b.want("chain firing v1, slow firing v1")
	silence := func(window string, m pipeline.Matcher) {
		b.control(pipeline.Control{Action: pipeline.ControlSilence, Silence: uuid.New(), Window: window, Reason: "game day", Match: m, Until: t0.Add(time.Hour)})
	}
	silence("chaos", pipeline.Matcher{Rule: "slow"})
	silence("maintenance", pipeline.Matcher{Entity: "host=db-1"})
	b.want("chain suppressed v2 by maintenance ops:jim")
	silence("silence", pipeline.Matcher{Entity: "host=db-1"})
	b.want("")
	silence("silence", pipeline.Matcher{Rule: "slow"})
	b.want("slow suppressed v2 by silence ops:jim")
}

func TestDeskCap(t *testing.T) {
	b := newBench(t, 10)
	for i := range 50 {
		b.found(firing, "sec", "login", fmt.Sprint(i), 4, 1)
	}
	b.found(firing, "sec", "login", "critical", 5, 1)
	loud := 0
	for _, a := range b.out.Alerts {
		if !a.Quiet {
			loud++
		}
	}
	if last := b.out.Alerts[len(b.out.Alerts)-1]; loud != 9 || last.Quiet || last.Severity != 5 {
		t.Errorf("%d records were sent, the last one: %+v; want 7, the summary, and the critical one", loud, last)
	}
	b.out.Alerts = nil
	b.pass(time.Minute)
	if a := b.out.Alerts[0]; len(b.out.Alerts) != 1 || a.Rule != capRule || a.EventCount != 43 || a.Summary != "by rule: login 43" {
		t.Errorf("summary %+v", a)
	}
	b.out.Alerts = nil
	b.found(resolved, "sec", "login", "0", 4, 2)
	b.found(resolved, "sec", "login", "40", 4, 2)
	b.want("login resolved v2, (login resolved v2)") // who was told is told; who was not, is not
	b.pass(2 * time.Minute)
	b.want("tocsin.cap resolved v3")
}

func TestDeskEndsWhatNobodyElseCan(t *testing.T) {
	b := newBench(t, 30)
	b.found(firing, "sec", "login", "db-1", 4, 1)
	b.found(firing, "sec", "slow", "db-1", 4, 1)
	b.want("login firing v1, slow firing v1")
	state := map[string]string{}
	b.save(state)
	changed := *b.set.Rule("login")
	changed.Digest++
	*b.set.Rule("login") = changed // as after an upgrade: detect has dropped the state of the old rule
	b.restart(state)
	b.pass(time.Minute)
	b.want("login resolved v2")
}

func (b *deskBench) save(state map[string]string) {
	b.desk.Dirty(func(key, value []byte) {
		if value == nil {
			delete(state, string(key))
		} else {
			state[string(key)] = string(value)
		}
	})
	b.desk.Commit()
}

func (b *deskBench) restart(state map[string]string) {
	b.desk = NewDesk(func() *rule.Set { return b.set }, DeskConfig{PerMinute: b.desk.perMinute})
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if err := b.desk.Restore([]byte(key), []byte(state[key])); err != nil {
			b.t.Fatal(err)
		}
	}
	b.desk.Commit()
}

// TestDeskHistories plays random histories: alerts begin, get worse, end and begin again, people acknowledge, resolve and
// silence, time passes. One desk plays them through; the other is rolled back and restarted at random. It holds that
// both say the same; that versions rise; that the team's topic never says that something is open which is over, and
// nothing else after it is; that no team gets more in a minute than its cap; that no window covers an alert of security,
// and neither window nor incident one that security asked for; and that in the end everything has ended.
func TestDeskHistories(t *testing.T) {
	for seed := range uint64(25) {
		history(t, seed)
	}
}

func history(t *testing.T, seed uint64) {
	const perMinute = 8
	rng := rand.New(rand.NewPCG(seed, 1))
	steady, shaken := newBench(t, perMinute), newBench(t, perMinute)
	steady.desk.maxHeld, shaken.desk.maxHeld = 12, 12
	changelog := map[string]string{}
	shaken.save(changelog)

	type key struct{ team, rule, host string }
	type truth struct {
		key
		episode  bool // detect has it open
		version  uint64
		severity uint8
	}
	world := map[uuid.UUID]*truth{}
	version := map[uuid.UUID]uint64{}
	view := map[uuid.UUID]*pipeline.Alert{} // the newest record on the team's topic
	last := map[uuid.UUID]*pipeline.Alert{} // the newest of all
	perTeam := map[string]int{}
	unfollowed := map[uuid.UUID]bool{} // stored when there were too many: then nobody but detect knows the version
	said := 0
	both := func(f func(b *deskBench)) {
		f(steady)
		f(shaken)
	}
	check := func(what string) {
		t.Helper()
		for _, a := range steady.out.Alerts[said:] {
			if a.Version <= version[a.ID] {
				t.Fatalf("seed %d, %s: version %d of %s after %d", seed, what, a.Version, a.Rule, version[a.ID])
			}
			version[a.ID], last[a.ID] = a.Version, a
			by, _, _ := strings.Cut(a.SuppressedBy, ":")
			if isWindow := by == "chaos" || by == "maintenance"; a.Class == pipeline.ClassSecRequested && (isWindow || by == byInhibit) || rule.IsSecurity(a.Attacks) && isWindow {
				t.Fatalf("seed %d, %s: %s alert of %s is suppressed by %s", seed, what, a.Class, a.Rule, a.SuppressedBy)
			}
			if steady.desk.alerts[a.ID] == nil {
				unfollowed[a.ID] = true
			}
			if a.Quiet {
				continue
			}
			view[a.ID] = a
			if a.Status == firing || a.Status == updated {
				minute := fmt.Sprint(a.Team, steady.out.Now.Unix()/60)
				if perTeam[minute]++; perTeam[minute] > perMinute {
					t.Fatalf("seed %d, %s: team %s got %d records in a minute", seed, what, a.Team, perTeam[minute])
				}
			}
		}
		said = len(steady.out.Alerts)
		for id, a := range view {
			w := world[id]
			if w == nil { // a summary
				continue
			}
			h := steady.desk.alerts[id]
			open := w.episode && h != nil && h.open()
			if isOpen := a.Status != resolved; isOpen && !open {
				t.Fatalf("seed %d, %s: %s of %s/%s is %s for the team, but it is over", seed, what, id, w.rule, w.host, a.Status)
			}
		}
	}
	var silences []uuid.UUID
	for step := range 400 {
		k := key{[]string{"sec", "ops"}[rng.IntN(2)], []string{"login", "slow", "chain"}[rng.IntN(3)], fmt.Sprint("db-", rng.IntN(5))}
		id := pipeline.NewID(k.team, k.rule, k.host)
		w := world[id]
		if w == nil {
			w = &truth{key: k}
			world[id] = w
		}
		what := fmt.Sprintf("step %d", step)
		switch n := rng.IntN(20); {
		case n < 10: // detect
			w.version++
			status := updated
			switch {
			case !w.episode:
				status, w.episode, w.severity = firing, true, 3
			case rng.IntN(3) == 0:
				status, w.episode = resolved, false
			case rng.IntN(4) == 0:
				w.severity = min(w.severity+1, 6)
			}
			if rng.IntN(20) == 0 && !unfollowed[id] {
				w.version = 1 // detect forgot the key and begins anew
			}
			what += " " + status
			both(func(b *deskBench) {
				a := b.alert(status, k.team, k.rule, k.host, w.severity, w.version)
				if k.team == "sec" && k.host == "db-4" {
					a.Class = pipeline.ClassSecRequested
				}
				b.desk.Found(a, &b.out)
				b.desk.Tick(&b.out)
			})
		case n < 12:
			c := pipeline.Control{ID: uuid.Nil, Time: steady.out.Now, By: "p", Team: k.team, Action: pipeline.ControlAck, Alert: id}
			if rng.IntN(2) == 0 {
				c.Until = c.Time.Add(time.Duration(rng.IntN(300)) * time.Second)
			}
			what += " ack"
			both(func(b *deskBench) { b.desk.Control(&c, &b.out); b.desk.Tick(&b.out) })
		case n < 13:
			c := pipeline.Control{Time: steady.out.Now, By: "p", Team: k.team, Action: pipeline.ControlResolve, Alert: id, Disposition: []string{"", pipeline.FalsePositive}[rng.IntN(2)]}
			what += " resolve"
			both(func(b *deskBench) { b.desk.Control(&c, &b.out); b.desk.Tick(&b.out) })
		case n < 14:
			c := pipeline.Control{Time: steady.out.Now, By: "p", Reason: "r", Team: k.team, Action: pipeline.ControlSilence, Silence: pipeline.NewID(fmt.Sprint(seed, step)),
				Window: pipeline.Windows[rng.IntN(3)], Match: pipeline.Matcher{Rule: k.rule}, Until: steady.out.Now.Add(time.Duration(1+rng.IntN(400)) * time.Second)}
			silences = append(silences, c.Silence)
			what += " silence"
			both(func(b *deskBench) { b.desk.Control(&c, &b.out); b.desk.Tick(&b.out) })
		case n < 15 && len(silences) > 0:
			c := pipeline.Control{Time: steady.out.Now, By: "p", Team: k.team, Action: pipeline.ControlExpire, Silence: silences[rng.IntN(len(silences))]}
			what += " expire"
			both(func(b *deskBench) { b.desk.Control(&c, &b.out); b.desk.Tick(&b.out) })
		default:
			d := time.Duration(rng.IntN(40_000)) * time.Millisecond
			what += " pass"
			both(func(b *deskBench) { b.pass(d) })
		}
		check(what)
		switch rng.IntN(6) {
		case 0: // the transaction is aborted, and what it did comes again: here, as nothing but noise before the rollback
			shaken.save(changelog)
			out := pipeline.Output{Now: shaken.out.Now.Add(time.Hour)}
			for range 5 {
				a := shaken.alert([]string{firing, updated, resolved}[rng.IntN(3)], k.team, k.rule, k.host, 6, 99)
				shaken.desk.Found(a, &out)
				shaken.desk.Control(&pipeline.Control{Team: k.team, Action: pipeline.ControlSilence, Silence: uuid.New(), Window: "chaos", Match: pipeline.Matcher{Project: "pay"}, Until: out.Now.Add(time.Hour)}, &out)
				shaken.desk.Tick(&out)
			}
			shaken.desk.Rollback()
		case 1:
			shaken.save(changelog)
		case 2:
			shaken.save(changelog)
			shaken.restart(changelog)
			shaken.desk.maxHeld = 12
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(world), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		if w := world[id]; w.episode {
			w.version++
			w.episode = false
			both(func(b *deskBench) { b.found(resolved, w.team, w.rule, w.host, w.severity, w.version) })
			check("the end")
		}
	}
	both(func(b *deskBench) { b.pass(time.Hour) })
	both(func(b *deskBench) { b.pass(24 * time.Hour) })
	check("the end")
	for id, a := range last {
		if a.Status != resolved {
			t.Errorf("seed %d: %s of %s/%s ends as %s (%s)", seed, id, a.Rule, a.DedupKey, a.Status, a.SuppressedBy)
		}
	}
	for id, a := range view {
		if a.Status != resolved {
			t.Errorf("seed %d: for its team, %s of %s/%s ends as %s", seed, id, a.Rule, a.DedupKey, a.Status)
		}
	}
	if n := len(steady.desk.alerts) + len(steady.desk.silences) + len(steady.desk.members) + len(steady.desk.incidents) + steady.desk.bodies; n != 0 {
		t.Errorf("seed %d: %d things are left: %d alerts, %d bodies", seed, n, len(steady.desk.alerts), steady.desk.bodies)
	}
	if got, want := render(shaken.out.Alerts), render(steady.out.Alerts); !slices.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("seed %d: record %d is %s after restarts, %s without", seed, i, at(got, i), want[i])
			}
		}
		t.Fatalf("seed %d: %d records after restarts, %d without", seed, len(got), len(want))
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing"
}

func render(list []*pipeline.Alert) []string {
	var lines []string
	for _, a := range list {
		lines = append(lines, fmt.Sprintf("%s %s %s v%d %s quiet %t by %q %q s%d r%d", a.Team, a.Rule, a.DedupKey, a.Version, a.Status, a.Quiet, a.SuppressedBy, a.ChangedBy, a.Severity, a.Reopened))
	}
	return lines
}

// TestDeskStorm: 10,000 alerts for each of two teams within a minute, each found ten times. A team gets its cap, none is
// lost, and what the desk holds of the others is small.
func TestDeskStorm(t *testing.T) {
	const hosts, times = 10_000, 10
	b := newBench(t, 30)
	stored, told := map[uuid.UUID]bool{}, map[string]int{}
	for i := range times {
		for host := range hosts {
			for _, team := range []string{"sec", "ops"} {
				b.found([]string{firing, updated}[min(i, 1)], team, "slow", fmt.Sprint("h-", host), 4, uint64(i+1))
			}
		}
		b.out.Now = b.out.Now.Add(59 * time.Second / times)
		for _, a := range b.out.Alerts {
			stored[a.ID] = true
			if !a.Quiet {
				told[a.Team]++
			}
		}
		b.out.Alerts = b.out.Alerts[:0]
		b.desk.Commit()
	}
	for _, team := range []string{"sec", "ops"} {
		if n := told[team]; n > 30 || n < 20 {
			t.Errorf("%s got %d records, want 20 to 30", team, n)
		}
	}
	if len(stored) != 2*hosts+2 { // and two summaries
		t.Errorf("%d alerts are stored, want %d", len(stored), 2*hosts+2)
	}
	if b.desk.bodies > 60 {
		t.Errorf("%d alerts are held whole", b.desk.bodies)
	}
}
