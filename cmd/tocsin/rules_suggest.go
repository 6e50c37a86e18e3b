package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func newRulesSuggest() *cobra.Command {
	var config, since string
	cmd := &cobra.Command{
		Use:   "suggest -c FILE",
		Short: "Say what no rule watches, with the rule that would",
		Long: `Suggest asks the warehouse which sources send, and the rules whether any would notice that one of them stops. For each that
nobody would miss it prints a rule of kind silence, made from how often the source sends: put it beside your rules, change
what you like, and it is watched.`,
		Example: `  tocsin rules suggest -c tocsin.yaml
  tocsin rules suggest -c tocsin.yaml --since 30d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			span, err := rule.ParseDuration(since)
			if err != nil || span <= 0 {
				return fmt.Errorf("--since %q is no time, as in 30d, 12h or 90m", since)
			}
			cfg, db, err := openWarehouse(cmd.Context(), config)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			sources, err := sendingSources(cmd.Context(), db, span)
			if err != nil {
				return err
			}
			return suggest(cmd.Context(), cmd.OutOrStdout(), set, sources)
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for the warehouse and the rules")
	_ = cmd.MarkFlagRequired("config")
	cmd.Flags().StringVar(&since, "since", "7d", "how far to look back")
	return cmd
}

// sendingSource is what the warehouse knows of a source.
type sendingSource struct {
	Name   string
	Types  []string // the most frequent ones
	Host   string   // one of those that send it; "" where events name none
	Events uint64
	Hosts  uint64
	Usual  time.Duration // 95 of 100 pauses between its events are no longer
}

// minSourceEvents is how often a source must have sent for its pauses to say anything.
const minSourceEvents = 21

func sendingSources(ctx context.Context, db *clickhouse.DB, span time.Duration) (sources []sendingSource, err error) {
	rows, err := db.Query(ctx, `
		SELECT source, topK(5)(toString(event_type)), anyIf(toString(host), host != ''), count() AS events, uniqExactIf(host, host != ''), toInt64(quantile(0.95)(gap))
		FROM
		(
			SELECT toString(source) AS source, event_type, host,
				dateDiff('second', lagInFrame(event_time, 1, event_time) OVER (PARTITION BY source ORDER BY event_time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), event_time) AS gap
			FROM v_events
			WHERE event_time >= now() - toIntervalSecond($1) AND source != ''
		)
		GROUP BY source HAVING events >= $2 ORDER BY source`, int64(span.Seconds()), minSourceEvents)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s sendingSource
		var usual int64
		if err := rows.Scan(&s.Name, &s.Types, &s.Host, &s.Events, &s.Hosts, &usual); err != nil {
			return nil, err
		}
		s.Usual = time.Duration(usual) * time.Second
		sources = append(sources, s)
	}
	return sources, rows.Err()
}

// suggest prints a rule for each source that no rule would miss.
func suggest(ctx context.Context, out io.Writer, set *rule.Set, sources []sendingSource) error {
	matcher := set.NewMatcher()
	missed := 0
	for _, s := range sources {
		watched, err := isWatched(ctx, set, matcher, s)
		if err != nil {
			return err
		}
		if watched {
			continue
		}
		if missed++; missed > 1 {
			fmt.Fprintln(out, "---")
		}
		if err := silenceRule.Execute(out, s); err != nil {
			return err
		}
	}
	if missed == 0 {
		_, err := fmt.Fprintf(out, "# %d sources send, and rules would notice if any of them stopped\n", len(sources))
		return err
	}
	return nil
}

// isWatched reports whether the source's silence would be noticed: one of its events is what a rule of kind silence, or an
// absence without a trigger, expects.
func isWatched(ctx context.Context, set *rule.Set, matcher *rule.Matcher, s sendingSource) (bool, error) {
	b := pipeline.Batch{Records: []pipeline.Record{{Time: time.Now()}}}
	for _, typ := range s.Types {
		e := b.Next(0)
		e.Source, e.Type, e.Host = s.Name, typ, s.Host
		e.Project, e.Repo, e.Service, e.Actor = "any", "any", "any", "any" // so that no key is empty
	}
	if err := matcher.Process(ctx, &b); err != nil {
		return false, err
	}
	for i := range b.Signals {
		r := set.Rule(b.Signals[i].Rule)
		if r == nil || b.Signals[i].Step >= len(r.Steps) || r.Steps[b.Signals[i].Step].Role != rule.RoleExpect {
			continue
		}
		if r.Kind == rule.Silence || r.Kind == rule.Absence && !hasTrigger(r) {
			return true, nil
		}
	}
	return false, nil
}

func hasTrigger(r *rule.Rule) bool {
	for _, s := range r.Steps {
		if s.ID == "trigger" {
			return true
		}
	}
	return false
}

// ID is a rule's id made of the source's name.
func (s sendingSource) ID() string { return "silence-" + strings.ReplaceAll(s.Name, ".", "-") }

// Key is what the source is expected for: each of its hosts, or the whole.
func (s sendingSource) Key() string {
	if s.Hosts > 0 {
		return "firstOf(ev.Host, ev.Source)"
	}
	return "ev.Source"
}

// Min is the shortest silence to speak of: three usual pauses, and no less than a minute.
func (s sendingSource) Min() string {
	return fmt.Sprintf("%dm", max(int64((3*s.Usual+time.Minute-1)/time.Minute), 1))
}

var silenceRule = template.Must(template.New("silence").Parse(`# No rule notices when {{.Name}} stops. It has sent {{.Events}} events{{if .Hosts}} from {{.Hosts}} hosts{{end}}; 95 of 100 pauses are no longer than {{.Usual}}.
id: {{.ID}}
version: 1
title: {{.Name}} is silent
kind: silence
why: |
  What {{.Name}} would have said is not known while it says nothing.
false_positives:
  - Nothing happens where it looks, at night or on holidays. Raise min.
runbook: |
  1. Does {{.Name}} run, and does it reach Kafka? 2. If somebody stopped it, who, and why?
phases: [monitoring]
subscriptions:
  - {team: mon, severity: 2}
  - {team: ops, severity: 2}
key: {{.Key}}
expect:
  when: ev.Source == "{{.Name}}"
factor: 3
min: {{.Min}}
alert:
  title: "{source} on {host} says nothing any more"
  summary: "{source} has been silent for {quiet_s} s; {limit_s} s are usual at most. {explanation}"
entities:
  host: host
`))
