package parse

import (
	"encoding/base64"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// caldera reads MITRE Caldera: the report of an operation and its event log. Each step is an attack that is simulated; the
// operation is a campaign. Status 0 is success; commands are base64.
// https://caldera.readthedocs.io/en/latest/Operation-Results.html
var caldera = Format{
	Name: "caldera", Title: "MITRE Caldera operations", Phase: pipeline.PhaseOperation,
	Types: []string{"attack", "campaign.declared", "campaign.closed"},
	Known: "JSON with adversary, steps and host_group; array with ability_metadata and operation_metadata",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("adversary", "steps") || s.Has("ability_metadata") || s.Has("operation_metadata", "attack_metadata")
	},
	Parse: func(in *Input, out *Out) error {
		if in.Data[0] == '[' {
			return eachElement(in, out, in.Data, func(b []byte) error { return calderaLogged(b, out) })
		}
		if member(in.Data, "steps") != nil {
			return calderaReport(in, out)
		}
		return calderaLogged(in.Data, out)
	},
}

type calderaStep struct {
	LinkID    string `json:"link_id"`
	AbilityID string `json:"ability_id"`
	Name      string `json:"name"`
	Desc      string `json:"description"`
	Command   string `json:"command"`
	Executor  string `json:"executor"`
	Platform  string `json:"platform"`
	PID       Text   `json:"pid"`
	Status    Text   `json:"status"`
	Run       string `json:"run"`
	Reported  string `json:"agent_reported_time"`
	Delegated string `json:"delegated"`
	Attack    struct {
		Tactic    string `json:"tactic"`
		Technique string `json:"technique_name"`
		ID        string `json:"technique_id"`
	} `json:"attack"`
	Output promRaw `json:"output"` // an object, or text in older versions
}

type calderaHost struct {
	Paw   string  `json:"paw"`
	Host  string  `json:"host"`
	User  string  `json:"username"`
	Group string  `json:"group"`
	IPs   Strings `json:"host_ip_addrs"`
}

func calderaReport(in *Input, out *Out) error {
	var v struct {
		Name      string `json:"name"`
		Start     string `json:"start"`
		Finish    string `json:"finish"`
		Planner   string `json:"planner"`
		Adversary struct {
			ID   string `json:"adversary_id"`
			Name string `json:"name"`
		} `json:"adversary"`
		Hosts []calderaHost `json:"host_group"`
		Steps map[string]struct {
			Steps []calderaStep `json:"steps"`
		} `json:"steps"`
	}
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	if v.Name == "" && len(v.Steps) == 0 {
		return errors.New("caldera: report without a name and steps")
	}
	campaign := "caldera:" + slug(v.Name)
	hosts := make(map[string]*calderaHost, len(v.Hosts))
	for i := range v.Hosts {
		hosts[v.Hosts[i].Paw] = &v.Hosts[i]
	}
	paws := make([]string, 0, len(v.Steps))
	steps, failed := 0, 0
	for paw := range v.Steps {
		paws = append(paws, paw)
	}
	sort.Strings(paws)
	mark := func(typ, at, verb string) *pipeline.Event {
		e := out.Event(typ)
		e.Campaign, e.Severity, e.Actor = campaign, pipeline.SeverityInfo, "caldera"
		e.Title = "simulated attack " + v.Name + " " + verb
		e.Labels = append(e.Labels, "simulated")
		if t := parseTime(at); !t.IsZero() {
			e.Time = t
		}
		e.SetAttr("caldera.operation", v.Name)
		e.SetAttr("caldera.adversary", v.Adversary.Name)
		e.SetAttr("caldera.planner", v.Planner)
		e.SetAttr("caldera.hosts", positive(len(v.Hosts)))
		out.ID(e, typ, v.Name, v.Start)
		return e
	}
	mark("campaign.declared", v.Start, "began")
	for _, paw := range paws {
		for i := range v.Steps[paw].Steps {
			s := v.Steps[paw].Steps[i]
			host := hosts[paw]
			if host == nil {
				host = &calderaHost{Paw: paw}
			}
			s.event(out, host, v.Name, campaign)
			if steps++; s.Status != "0" {
				failed++
			}
		}
	}
	if v.Finish != "" {
		e := mark("campaign.closed", v.Finish, "ended")
		e.Outcome = pipeline.OutcomeSuccess
		e.SetAttr("caldera.steps", strconv.Itoa(steps))
		e.SetAttr("caldera.steps_failed", strconv.Itoa(failed))
	}
	return nil
}

func (s *calderaStep) event(out *Out, host *calderaHost, operation, campaign string) {
	e := out.Event("attack")
	if t := parseTime(first(s.Run, s.Reported, s.Delegated)); !t.IsZero() {
		e.Time = t
	}
	e.Campaign, e.Host, e.Actor = campaign, strings.ToLower(host.Host), host.User
	if len(host.IPs) > 0 {
		e.DstIP = addrOf(host.IPs[0])
	}
	e.Rule = s.Attack.ID
	if s.Attack.ID != "" {
		e.Attacks = append(e.Attacks, s.Attack.ID)
	}
	e.Labels = append(e.Labels, "simulated")
	e.Title = s.Name + " (" + s.Attack.ID + ")"
	if e.Host != "" {
		e.Title += " on " + e.Host
	}
	e.Severity = pipeline.SeverityLow
	switch s.Status {
	case "0":
		e.Outcome, e.Severity = pipeline.OutcomeSuccess, pipeline.SeverityMedium
	case "1":
		e.Outcome = pipeline.OutcomeFailure
	case "124":
		e.Outcome = pipeline.OutcomeError // timed out
	case "-2", "-4":
		e.Outcome = pipeline.OutcomeSkipped // discarded, or of an untrusted agent
	default:
		e.Outcome = pipeline.OutcomeError
	}
	e.SetAttr("caldera.operation", operation)
	e.SetAttr("caldera.ability_id", s.AbilityID)
	e.SetAttr("caldera.paw", host.Paw)
	e.SetAttr("caldera.group", host.Group)
	e.SetAttr("caldera.status", string(s.Status))
	e.SetAttr("attack.tactic", s.Attack.Tactic)
	e.SetAttr("attack.technique", s.Attack.Technique)
	e.SetAttr("attack.description", s.Desc)
	e.SetAttr("process.command_line", plainCommand(s.Command))
	e.SetAttr("process.executor", s.Executor)
	e.SetAttr("process.pid", string(s.PID))
	e.SetAttr("process.exit_code", textOf(member(s.Output, "exit_code")))
	e.SetAttr("os.type", s.Platform)
	if s.LinkID != "" {
		out.ID(e, "step", operation, s.LinkID)
	}
}

// plainCommand decodes a command from base64, where it is.
func plainCommand(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return s
	}
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' {
			return s
		}
	}
	return string(b)
}

// calderaLogged reads one record of an operation's event log.
func calderaLogged(b []byte, out *Out) error {
	var v struct {
		Command   string `json:"command"`
		Delegated string `json:"delegated_timestamp"`
		Collected string `json:"collected_timestamp"`
		Finished  string `json:"finished_timestamp"`
		Status    Text   `json:"status"`
		Platform  string `json:"platform"`
		Executor  string `json:"executor"`
		PID       Text   `json:"pid"`
		Agent     struct {
			Paw   string  `json:"paw"`
			Group string  `json:"group"`
			Host  string  `json:"host"`
			User  string  `json:"username"`
			IPs   Strings `json:"host_ip_addrs"`
		} `json:"agent_metadata"`
		Ability struct {
			ID   string `json:"ability_id"`
			Name string `json:"ability_name"`
			Desc string `json:"ability_description"`
		} `json:"ability_metadata"`
		Operation struct {
			Name      string `json:"operation_name"`
			Start     string `json:"operation_start"`
			Adversary string `json:"operation_adversary"`
		} `json:"operation_metadata"`
		Attack struct {
			Tactic    string `json:"tactic"`
			Technique string `json:"technique_name"`
			ID        string `json:"technique_id"`
		} `json:"attack_metadata"`
	}
	if err := decode(b, &v); err != nil {
		return err
	}
	if v.Ability.ID == "" && v.Attack.ID == "" {
		return errors.New("caldera: record without ability and technique")
	}
	s := calderaStep{
		AbilityID: v.Ability.ID, Name: v.Ability.Name, Desc: v.Ability.Desc, Command: v.Command, Executor: v.Executor, Platform: v.Platform, PID: v.PID,
		Status: v.Status, Run: first(v.Finished, v.Collected), Delegated: v.Delegated,
	}
	s.Attack.ID, s.Attack.Tactic, s.Attack.Technique = v.Attack.ID, v.Attack.Tactic, v.Attack.Technique
	host := calderaHost{Paw: v.Agent.Paw, Host: v.Agent.Host, User: v.Agent.User, Group: v.Agent.Group, IPs: v.Agent.IPs}
	s.event(out, &host, v.Operation.Name, "caldera:"+slug(v.Operation.Name))
	e := &out.batch.Events[len(out.batch.Events)-1]
	e.Raw = alias(b)
	e.SetAttr("caldera.adversary", v.Operation.Adversary)
	return nil
}
