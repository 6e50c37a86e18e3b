package rule

import (
	"fmt"
	"strings"

	"github.com/tocsin-project/tocsin/schemas"
)

// RunbookPage returns the rule's page for people who are called: docs/runbooks/<id>.md, which alerts link to.
func (r *Rule) RunbookPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: %s\n\n%s\n", r.ID, r.Title, r.Why)
	if r.Runbook != "" {
		fmt.Fprintf(&b, "\n## What to do\n\n%s\n", r.Runbook)
	}
	if len(r.FalsePositives) > 0 {
		b.WriteString("\n## When it is wrong\n\n")
		for _, f := range r.FalsePositives {
			fmt.Fprintf(&b, "- %s\n", f)
		}
	}
	b.WriteString("\n## Who is told\n\n| team | class | severity |\n|---|---|---|\n")
	for _, s := range r.Subscriptions {
		severity := fmt.Sprint(s.Severity[0])
		if s.Severity[0] != s.Severity[levelCount-1] {
			var parts []string
			for i, v := range s.Severity {
				if v > 0 {
					parts = append(parts, fmt.Sprintf("%s %d", Levels[i], v))
				}
			}
			severity = strings.Join(parts, ", ")
		}
		class := s.Class
		if s.By != "" {
			class += fmt.Sprintf(", asked for by %s (%s), until %s", s.By, s.Ticket, s.Expires.Format("2006-01-02"))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s.Team, class, severity)
	}
	b.WriteString("\nRule of kind " + string(r.Kind))
	if len(r.Phases) > 0 {
		var words []string
		for _, p := range r.Phases {
			words = append(words, schemas.Phases[p])
		}
		b.WriteString(", phases " + strings.Join(words, ", "))
	}
	if len(r.Attacks) > 0 {
		var words []string
		for _, id := range r.Attacks {
			words = append(words, fmt.Sprintf("%s (%s)", id, TechniqueName(id)))
		}
		b.WriteString(", MITRE ATT&CK " + strings.Join(words, ", "))
	}
	b.WriteString(".\n")
	return b.String()
}
