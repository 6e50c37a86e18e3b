package parse

import (
	"errors"
	"strings"

	"github.com/tocsin-project/tocsin/pipeline"
)

// jira reads the webhooks of Jira, Cloud and Data Center. A ticket is closed when it gets a resolution or reaches a status whose
// category is done, and reopened when it loses them.
// https://developer.atlassian.com/cloud/jira/platform/webhooks/ https://developer.atlassian.com/server/jira/platform/webhooks/
var jira = Format{
	Name: "jira-webhook", Title: "Jira webhooks", Phase: pipeline.PhaseRequirements,
	Types: []string{"ticket.updated", "ticket.created", "ticket.closed", "user.modified", "log"},
	Known: "JSON object with webhookEvent, and issue or timestamp",
	Frame: Values,
	Match: func(s *Shape) bool {
		return s.Has("webhookEvent") && (s.Has("issue") || s.Has("timestamp"))
	},
	Parse: parseJira,
}

// jiraUser has a name on Data Center, and an account in the Cloud, which shows an address only where its owner allows it.
type jiraUser struct {
	Name    Text `json:"name"`
	Email   Text `json:"emailAddress"`
	Display Text `json:"displayName"`
	Account Text `json:"accountId"`
}

func (u *jiraUser) account() string { return string(first(u.Name, u.Email, u.Display, u.Account)) }

type jiraNamed struct {
	Name Text `json:"name"`
	Key  Text `json:"key"`
}

type jiraRecord struct {
	Timestamp Text     `json:"timestamp"`
	Event     Text     `json:"webhookEvent"`
	Kind      Text     `json:"issue_event_type_name"`
	User      jiraUser `json:"user"`
	Issue     *struct {
		ID     Text `json:"id"`
		Key    Text `json:"key"`
		Self   Text `json:"self"`
		Fields struct {
			Summary    Text      `json:"summary"`
			Created    Text      `json:"created"`
			Updated    Text      `json:"updated"`
			Labels     Strings   `json:"labels"`
			Type       jiraNamed `json:"issuetype"`
			Project    jiraNamed `json:"project"`
			Priority   jiraNamed `json:"priority"`
			Resolution jiraNamed `json:"resolution"`
			Assignee   jiraUser  `json:"assignee"`
			Reporter   jiraUser  `json:"reporter"`
			Status     struct {
				Name     Text      `json:"name"`
				Category jiraNamed `json:"statusCategory"`
			} `json:"status"`
		} `json:"fields"`
	} `json:"issue"`
	Comment struct {
		Author jiraUser `json:"author"`
	} `json:"comment"`
	Changelog struct {
		ID    Text `json:"id"`
		Items []struct {
			Field Text `json:"field"`
			From  Text `json:"fromString"`
			To    Text `json:"toString"`
		} `json:"items"`
	} `json:"changelog"`
}

func parseJira(in *Input, out *Out) error {
	var v jiraRecord
	if err := decode(in.Data, &v); err != nil {
		return err
	}
	event := strings.TrimPrefix(string(v.Event), "jira:")
	if event == "" {
		return errors.New("jira-webhook: record without webhookEvent")
	}
	typ, action := "log", event
	switch {
	case v.Issue != nil:
		typ, action = v.ticket(event)
	case strings.HasPrefix(event, "user_"):
		typ = "user.modified"
	}
	e := out.Event(typ)
	e.Severity, e.Title = pipeline.SeverityInfo, strings.ReplaceAll(event, "_", " ")
	e.Actor = first(v.User.account(), v.Comment.Author.account())
	if t := parseTime(string(v.Timestamp)); !t.IsZero() {
		e.Time = t
	}
	e.SetAttr("action", action)
	if v.Issue == nil {
		return nil
	}
	i, f := v.Issue, &v.Issue.Fields
	if v.Timestamp == "" {
		if t := parseTime(string(first(f.Updated, f.Created))); !t.IsZero() {
			e.Time = t
		}
	}
	e.Project = string(first(f.Project.Name, f.Project.Key))
	e.Vulns = appendVulns(e.Vulns, cveIn(string(f.Summary)))
	e.Title = string(i.Key) + " " + strings.ReplaceAll(action, "_", " ") + ": " + string(f.Summary)
	if typ == "ticket.closed" {
		resolution := strings.ToLower(string(f.Resolution.Name))
		if event == "issue_deleted" {
			resolution = "deleted"
		}
		e.Outcome = pipeline.OutcomeSuccess
		switch resolution {
		case "deleted", "won't do", "won't fix", "wontfix", "duplicate", "declined", "rejected", "invalid", "cannot reproduce", "incomplete":
			e.Outcome = pipeline.OutcomeCancel
		}
		e.SetAttr("resolution", first(resolution, strings.ToLower(string(f.Status.Name))))
	}
	var changed []string
	for _, item := range v.Changelog.Items {
		changed = append(changed, string(item.Field))
		if item.Field == "status" {
			e.SetAttr("ticket.state.before", string(item.From))
		}
	}
	e.SetAttr("changed", strings.Join(changed, ","))
	e.SetAttr("ticket.id", string(first(i.Key, i.ID)))
	e.SetAttr("ticket.title", string(f.Summary))
	e.SetAttr("ticket.state", string(f.Status.Name))
	e.SetAttr("ticket.type", string(f.Type.Name))
	e.SetAttr("ticket.labels", strings.Join(f.Labels, ","))
	e.SetAttr("priority", string(f.Priority.Name))
	e.SetAttr("author", f.Reporter.account())
	e.SetAttr("assignee", f.Assignee.account())
	e.SetAttr("comment.author", v.Comment.Author.account())
	e.SetAttr("url.full", string(i.Self))
	if v.Timestamp != "" {
		out.ID(e, string(v.Timestamp), event, action, string(first(i.ID, i.Key)), string(v.Changelog.ID))
	}
	return nil
}

// ticket tells what happened to a ticket.
func (v *jiraRecord) ticket(event string) (typ, action string) {
	switch event {
	case "issue_created":
		return "ticket.created", "created"
	case "issue_deleted":
		return "ticket.closed", "deleted"
	case "issue_updated":
	default:
		return "ticket.updated", event // comments, links, attachments, worklogs
	}
	f := &v.Issue.Fields
	done := f.Status.Category.Key == "done" || f.Resolution.Name != ""
	switch v.Kind {
	case "issue_closed", "issue_resolved":
		return "ticket.closed", "closed"
	case "issue_reopened":
		return "ticket.updated", "reopened"
	}
	for _, item := range v.Changelog.Items {
		switch item.Field {
		case "resolution":
			if item.To != "" {
				return "ticket.closed", "closed"
			}
			return "ticket.updated", "reopened"
		case "status":
			if done || f.Status.Category.Key == "" && isDone(item.To) {
				return "ticket.closed", "closed"
			}
			if isDone(item.From) {
				return "ticket.updated", "reopened"
			}
		}
	}
	return "ticket.updated", "updated"
}

// isDone knows the names of the statuses in Jira's own workflows that end them.
func isDone(status Text) bool {
	switch strings.ToLower(string(status)) {
	case "done", "closed", "resolved":
		return true
	}
	return false
}
