package bridge

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/google/uuid"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Config is one bridge.
type Config struct {
	// Name is what `tocsin bridge NAME` runs; the consumer group is <group>-bridge-<name>.
	Name string `yaml:"name"`
	Kind string `yaml:"kind"` // one of Kinds
	// Teams are those whose alerts it carries; all where none is given.
	Teams []string `yaml:"teams"`
	// MinSeverity is the least OCSF severity that it carries, 0 to 6. An alert that was carried is carried to its end.
	MinSeverity uint8 `yaml:"min_severity"`
	// URL is the peer's, as the kind wants it.
	URL string `yaml:"url"`
	// User and Secret are the account, key or token, as the kind wants them.
	User   string `yaml:"user"`
	Secret string `yaml:"secret"`
	// Key signs what goes to a webhook; for Pandora it is the API's password.
	Key string `yaml:"key"`
	// From and To are addresses of e-mail.
	From string   `yaml:"from"`
	To   []string `yaml:"to"`
	// PerMinute is how many deliveries a minute there are at most; 0 means DefaultPerMinute.
	PerMinute int `yaml:"per_minute"`
	// Title and Text are text/templates over an alert (the Go names of pipeline.Alert), in place of the usual words.
	Title string `yaml:"title"`
	Text  string `yaml:"text"`
	// Links is put before the paths of dashboards, e.g. https://grafana.example.com.
	Links string `yaml:"links"`
}

// DefaultPerMinute is the rate of a bridge that gives none.
const DefaultPerMinute = 60

const (
	defaultTitle = `[{{.Status}}] {{.Title}}`
	defaultText  = `{{.Summary}}
Rule {{.Rule}}, severity {{.Severity}} of 6, confidence {{.Confidence}} %{{with .Project}}, project {{.}}{{end}}{{range $kind, $value := .Entities}}, {{$kind}} {{$value}}{{end}}.
{{.EventCount}} events from {{.FirstEventTime.Format "2006-01-02 15:04:05 MST"}} to {{.LastEventTime.Format "15:04:05 MST"}}.{{with .ChangedBy}}
{{$.Status}} by {{.}}{{with $.Reason}}: {{.}}{{end}}{{end}}`
)

// kind says how a peer is made, and what its URL has to be.
type kind struct {
	name    string
	schemes []string
	open    func(*Bridge) (peer, error) // connects to nothing
}

var kinds = []kind{
	{"webhook", web, newWebhook},
	{"alertmanager", web, newAlertmanager},
	{"pagerduty", web, newPagerDuty},
	{"slack", web, newSlack},
	{"teams", web, newTeams},
	{"mail", []string{"smtp", "smtps"}, newMail},
	{"pandora", web, newPandora},
	{"pandora-agent", []string{"file"}, newPandoraAgent},
	{"ocsf", web, newOCSF},
	{"syslog", []string{"tcp", "tls", "udp"}, newSyslog},
}

var web = []string{"https", "http"}

// Kinds lists the names of all kinds.
func Kinds() []string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Check returns all that is wrong with the bridges of a configuration.
func Check(list []Config) error {
	var errs []error
	names := map[string]bool{}
	for i := range list {
		c := &list[i]
		at := fmt.Sprintf("bridges[%d]", i)
		if c.Name == "" || strings.ContainsAny(c.Name, " /\t\n") {
			errs = append(errs, fmt.Errorf("%s.name: %q, want a word", at, c.Name))
		}
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("%s.name: %q is there already", at, c.Name))
		}
		names[c.Name] = true
		for _, err := range c.check() {
			errs = append(errs, fmt.Errorf("%s (%s): %w", at, c.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) check() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == c.Kind })
	if i < 0 {
		bad("kind: %q is none of %s", c.Kind, strings.Join(Kinds(), ", "))
		return errs
	}
	// The URL may be a secret: it is not repeated.
	if u, err := url.Parse(c.URL); err != nil || !slices.Contains(kinds[i].schemes, u.Scheme) || u.Host == "" && u.Scheme != "file" {
		bad("url: want one that begins with %s://", strings.Join(kinds[i].schemes, ":// or "))
	} else if _, err := kinds[i].open(&Bridge{cfg: *c}); err != nil {
		errs = append(errs, err)
	}
	for _, t := range c.Teams {
		if !slices.Contains([]string{pipeline.TeamDev, pipeline.TeamSec, pipeline.TeamOps, pipeline.TeamMon}, t) {
			bad("teams: %q is none of dev, sec, ops, mon", t)
		}
	}
	if c.MinSeverity > 6 {
		bad("min_severity: %d, want 0 to 6", c.MinSeverity)
	}
	if c.PerMinute < 0 {
		bad("per_minute: %d, want 1 or more, or 0 for %d", c.PerMinute, DefaultPerMinute)
	}
	switch {
	case c.Kind == "pagerduty" && c.Secret == "":
		bad("secret: want the integration's routing key")
	case c.Kind == "webhook" && c.Key == "":
		bad("key: want the key that signs, or nobody can tell who sends")
	case c.Kind == "pandora" && (c.User == "" || c.Secret == "" || c.Key == ""):
		bad("want user and secret of an account, and the API's password as key")
	case c.Kind == "mail" && (c.From == "" || len(c.To) == 0):
		bad("want from and to")
	}
	for _, w := range [][2]string{{"title", c.Title}, {"text", c.Text}} {
		t, err := words(w[0], w[1])
		if err == nil {
			_, err = render(t, &pipeline.Alert{ID: uuid.Nil, Entities: map[string]string{}, FirstEventTime: time.Unix(0, 0), LastEventTime: time.Unix(0, 0)})
		}
		if err != nil {
			bad("%s: %v", w[0], strings.TrimPrefix(err.Error(), "template: "))
		}
	}
	return errs
}

// words reads a template. What an alert does not have is empty: {{.Entities.host}} is "" where there is no host.
func words(name, text string) (*template.Template, error) {
	return template.New(name).Option("missingkey=zero").Parse(text)
}

var (
	usualTitle = template.Must(words("title", defaultTitle))
	usualText  = template.Must(words("text", defaultText))
)

func render(t *template.Template, a *pipeline.Alert) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, a); err != nil {
		return "", err
	}
	return b.String(), nil
}
