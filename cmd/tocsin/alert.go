package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

func newAlert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alert",
		Short: "List, acknowledge, resolve and silence alerts",
		Long: `Alert shows what is open, and says what you know of it. What you say is a record of the topic tocsin.control, with your
name, your reason and until when: it is stored, and a replay does the same. docs/alerts.md tells the life of an alert.`,
	}
	var config string
	cmd.PersistentFlags().StringVarP(&config, "config", "c", "", "configuration file")
	_ = cmd.MarkPersistentFlagRequired("config")
	cmd.AddCommand(newAlertLs(&config), newAlertShow(&config), newAlertAck(&config), newAlertResolve(&config), newAlertSilence(&config), newAlertExpire(&config))
	return cmd
}

// openWarehouse connects to the ClickHouse of a configuration file.
func openWarehouse(ctx context.Context, path string) (Config, *clickhouse.DB, error) {
	cfg, err := LoadConfig(path)
	if err != nil {
		return cfg, nil, err
	}
	db, err := clickhouse.Open(ctx, cfg.clickhouse())
	return cfg, db, err
}

func newAlertLs(config *string) *cobra.Command {
	var team, rule string
	var all bool
	var limit int
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List alerts, the worst first: one JSON object a line",
		Long:  "Ls lists the alerts that are open and that the teams were told of; --all adds those that are suppressed or resolved.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, db, err := openWarehouse(cmd.Context(), *config)
			if err != nil {
				return err
			}
			defer db.Close()
			where := "($1 = '' OR toString(team) = $1) AND ($2 = '' OR rule_id = $2)"
			if !all {
				where += " AND status IN ('firing', 'updated', 'acked')"
			}
			return printRows(cmd, db, `SELECT alert_id, version, toString(status) AS status, toString(team) AS team, severity_id, rule_id, title, project,
				suppressed_by, changed_by, ts FROM v_alerts WHERE `+where+` ORDER BY severity_id DESC, ts DESC, alert_id LIMIT $3`, team, rule, limit)
		},
	}
	cmd.Flags().StringVar(&team, "team", "", "of this team only: dev, sec, ops or mon")
	cmd.Flags().StringVar(&rule, "rule", "", "of this rule only")
	cmd.Flags().BoolVar(&all, "all", false, "suppressed and resolved ones as well")
	cmd.Flags().IntVar(&limit, "limit", 1000, "at most so many")
	return cmd
}

func newAlertShow(config *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of an alert, its versions, and what people said of it: one JSON object a line",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := alertID(args[0])
			if err != nil {
				return err
			}
			_, db, err := openWarehouse(cmd.Context(), *config)
			if err != nil {
				return err
			}
			defer db.Close()
			if _, err := teamOf(cmd.Context(), db, id); err != nil {
				return err
			}
			for _, query := range []string{
				"SELECT * REPLACE (toString(status) AS status, toString(team) AS team, toString(alert_class) AS alert_class, toString(visibility) AS visibility) FROM v_alerts WHERE alert_id = $1",
				"SELECT version, toString(status) AS status, severity_id, event_count, ts FROM alert_versions FINAL WHERE alert_id = $1 ORDER BY version",
				"SELECT ts, action, said_by, reason, until, disposition FROM alert_controls FINAL WHERE alert_id = $1 ORDER BY ts",
			} {
				if err := printRows(cmd, db, query, id); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// printRows prints the rows of a query as JSON objects, with the columns' order and names. Empty texts and lists are left out.
func printRows(cmd *cobra.Command, db *clickhouse.DB, query string, args ...any) error {
	rows, err := db.Query(cmd.Context(), query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	out := bufio.NewWriter(cmd.OutOrStdout())
	types := rows.ColumnTypes()
	for rows.Next() {
		values := make([]any, len(types))
		for i, t := range types {
			values[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			return err
		}
		sep := "{"
		for i, v := range values {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if text := string(b); text == `""` || text == "[]" || text == "{}" || text == "null" || text == `"1970-01-01T00:00:00Z"` {
				continue
			}
			fmt.Fprintf(out, "%s%q:%s", sep, types[i].Name(), b)
			sep = ","
		}
		fmt.Fprintln(out, "}")
	}
	return errors.Join(rows.Err(), out.Flush())
}

// word is what a person says of alerts.
type word struct {
	by, reason string
	lasts      time.Duration
}

func (w *word) flags(cmd *cobra.Command, lasts string) {
	cmd.Flags().StringVar(&w.by, "by", "", "who you are; the name of your account without it")
	cmd.Flags().StringVar(&w.reason, "reason", "", "why")
	if lasts != "" {
		cmd.Flags().DurationVar(&w.lasts, "for", 0, lasts)
	}
}

func (w *word) control(action string) pipeline.Control {
	c := pipeline.Control{ID: uuid.New(), Time: time.Now().UTC(), Action: action, By: w.by, Reason: w.reason}
	if u, err := user.Current(); c.By == "" && err == nil {
		c.By = u.Username
	}
	if w.lasts > 0 {
		c.Until = c.Time.Add(w.lasts)
	}
	return c
}

func newAlertAck(config *string) *cobra.Command {
	var w word
	cmd := &cobra.Command{
		Use:   "ack ID...",
		Short: "Say that you look after alerts",
		Long: `Ack says that somebody looks after the alert. It is not called out again until it gets worse, ends and begins again,
or the time of --for is over.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return sayOfAlerts(cmd, *config, args, w.control(pipeline.ControlAck))
		},
	}
	w.flags(cmd, "how long it holds; without it until the alert ends")
	return cmd
}

func newAlertResolve(config *string) *cobra.Command {
	var w word
	var disposition string
	var falsePositive bool
	cmd := &cobra.Command{
		Use:   "resolve ID...",
		Short: "Close alerts, and say what they were",
		Long: `Resolve closes an alert. It opens again when it fires anew or gets worse; a false positive only when it gets worse.
What alerts were, true or false, is the precision of their rule: view v_rule_precision. It may be said of alerts that are over.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if falsePositive {
				disposition = pipeline.FalsePositive
			}
			c := w.control(pipeline.ControlResolve)
			c.Disposition = disposition
			return sayOfAlerts(cmd, *config, args, c)
		},
	}
	w.flags(cmd, "")
	cmd.Flags().StringVar(&disposition, "disposition", "", "what it was: "+strings.Join(pipeline.Dispositions, ", "))
	cmd.Flags().BoolVar(&falsePositive, "false-positive", false, "the same as --disposition false_positive")
	cmd.MarkFlagsMutuallyExclusive("disposition", "false-positive")
	return cmd
}

// sayOfAlerts sends the record for each of the alerts.
func sayOfAlerts(cmd *cobra.Command, config string, args []string, c pipeline.Control) error {
	var ids []uuid.UUID
	for _, arg := range args {
		id, err := alertID(arg)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	cfg, db, err := openWarehouse(cmd.Context(), config)
	if err != nil {
		return err
	}
	defer db.Close()
	var list []pipeline.Control
	for _, id := range ids {
		c.ID, c.Alert = uuid.New(), id
		if c.Team, err = teamOf(cmd.Context(), db, id); err != nil {
			return err
		}
		list = append(list, c)
	}
	return kafka.SendControls(cmd.Context(), cfg.Kafka, list, zap.NewNop())
}

func newAlertSilence(config *string) *cobra.Command {
	var w word
	var team string
	c := pipeline.Control{Window: pipeline.Windows[0]}
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Keep alerts from being sent for a time; they are stored all the same",
		Long: `Silence keeps the alerts that match all of what is given from the teams, and prints the silence's id. Maintenance and chaos
windows never cover alerts of rules with a technique of security, and a plain silence only if it names the rule.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(*config)
			if err != nil {
				return err
			}
			said := w.control(pipeline.ControlSilence)
			said.Silence, said.Window, said.Match = uuid.New(), c.Window, c.Match
			if err := kafka.SendControls(cmd.Context(), cfg.Kafka, forTeams(said, team), zap.NewNop()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), said.Silence)
			return nil
		},
	}
	w.flags(cmd, "how long, at most 720h")
	_ = cmd.MarkFlagRequired("for")
	cmd.Flags().StringVar(&team, "team", "", "of this team only: dev, sec, ops or mon; all without it")
	cmd.Flags().StringVar(&c.Window, "window", c.Window, "why: "+strings.Join(pipeline.Windows, ", "))
	cmd.Flags().StringVar(&c.Match.Rule, "rule", "", "alerts of this rule")
	cmd.Flags().StringVar(&c.Match.Project, "project", "", "alerts of this project")
	cmd.Flags().StringVar(&c.Match.Environment, "environment", "", "alerts of this environment")
	cmd.Flags().StringVar(&c.Match.Entity, "entity", "", "alerts about this, KIND=VALUE as in their entities")
	return cmd
}

func newAlertExpire(config *string) *cobra.Command {
	var w word
	cmd := &cobra.Command{
		Use:   "expire SILENCE",
		Short: "End a silence before its time",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := uuid.Parse(args[0])
			if err != nil {
				return fmt.Errorf("%q is no id of a silence: %w", args[0], err)
			}
			cfg, err := LoadConfig(*config)
			if err != nil {
				return err
			}
			said := w.control(pipeline.ControlExpire)
			said.Silence = id
			return kafka.SendControls(cmd.Context(), cfg.Kafka, forTeams(said, ""), zap.NewNop())
		},
	}
	w.flags(cmd, "")
	return cmd
}

// forTeams returns the record for the team, or for each of them.
func forTeams(c pipeline.Control, team string) []pipeline.Control {
	teams := []string{team}
	if team == "" {
		teams = pipeline.Teams
	}
	list := slices.Repeat([]pipeline.Control{c}, len(teams))
	for i := range list {
		list[i].ID, list[i].Team = uuid.New(), teams[i]
	}
	return list
}

func alertID(text string) (uuid.UUID, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return id, fmt.Errorf("%q is no id of an alert (`tocsin alert ls` lists them): %w", text, err)
	}
	return id, nil
}

// teamOf returns whose alert it is.
func teamOf(ctx context.Context, db *clickhouse.DB, id uuid.UUID) (team string, err error) {
	if err = db.QueryRow(ctx, "SELECT toString(any(team)) FROM alerts WHERE alert_id = $1 HAVING count() > 0", id).Scan(&team); err != nil {
		return "", fmt.Errorf("alert %s is not stored (`tocsin alert ls --all` lists those that are): %w", id, err)
	}
	return team, nil
}
