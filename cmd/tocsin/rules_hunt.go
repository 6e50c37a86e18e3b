package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func newRulesSQL() *cobra.Command {
	return &cobra.Command{
		Use:   "sql RULE [PATH...]",
		Short: "Print a rule as a query over the warehouse's history",
		Long: `Sql prints the rule as ClickHouse SQL with the parameters from and to: a row for each key that would have fired, with the
time of the first firing and the number of events. It reads the table events of the database it is run in. RULE is the id of a rule, or a rule's file. What ends an alert
(until, resolve) is left out: a hunt may find more than the stream, never less.`,
		Example: `  tocsin rules sql C12
  tocsin rules sql C12 | clickhouse-client -d tocsin --param_from='2026-11-01 00:00:00' --param_to='2026-12-01 00:00:00'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths := args[1:]
			if len(paths) == 0 && isRulePath(args[0]) {
				paths = args[:1]
			}
			set, err := loadRules(paths)
			if err != nil {
				return err
			}
			r, err := findRule(set, args[0])
			if err != nil {
				return err
			}
			query, err := r.SQL()
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), query)
			return nil
		},
	}
}

// maxHuntTime bounds one rule's query.
const maxHuntTime = 5 * time.Minute

func newRulesBacktest() *cobra.Command {
	var config, since string
	var rules []string
	var hits int
	cmd := &cobra.Command{
		Use:   "backtest -c FILE [RULE...]",
		Short: "Say what rules would have fired on, by the warehouse's history",
		Long: `Backtest asks the warehouse for what each rule (or those that are named) would have fired on: how many keys and events, and
the first of them. The queries are those of 'tocsin rules sql'; they only read. Where a rule ends its alerts by until
or resolve, the hunt may find more than the stream, never less.`,
		RunE: func(cmd *cobra.Command, names []string) (err error) {
			cfg, err := offlineConfig(config, rules)
			if err != nil {
				return err
			}
			span, err := rule.ParseDuration(since)
			if err != nil || span <= 0 {
				return fmt.Errorf("--since %q is no time, as in 30d, 12h or 90m", since)
			}
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			chosen := set.Rules
			if len(names) > 0 {
				chosen = nil
				for _, name := range names {
					r, err := findRule(set, name)
					if err != nil {
						return err
					}
					chosen = append(chosen, r)
				}
			}
			db, err := clickhouse.Open(cmd.Context(), cfg.clickhouse())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, db.Close()) }()
			// History ends with its newest event: what has not come since then is not absent.
			var newest time.Time
			if err := db.QueryRow(cmd.Context(), "SELECT max(event_time) FROM events WHERE event_time <= now64(3)").Scan(&newest); err != nil {
				return err
			}
			from, to := time.Now().UTC().Add(-span), newest.UTC()
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "RULE\tKEYS\tEVENTS\tFIRST\tKEY")
			for _, r := range chosen {
				if err := backtest(cmd.Context(), db, r, from, to, hits, w); err != nil {
					return err
				}
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for the warehouse and the rules")
	_ = cmd.MarkFlagRequired("config")
	cmd.Flags().StringVar(&since, "since", "30d", "how far to look back")
	cmd.Flags().StringArrayVar(&rules, "rules", nil, "rule files or folders to use in place of the configured ones")
	cmd.Flags().IntVar(&hits, "hits", 3, "how many firings of each rule are shown")
	return cmd
}

// backtest writes the first firings of one rule, and how many there are.
func backtest(ctx context.Context, db *clickhouse.DB, r *rule.Rule, from, to time.Time, hits int, w *tabwriter.Writer) error {
	query, err := r.SQL()
	if err != nil {
		fmt.Fprintf(w, "%s\t-\t-\t-\t%s\n", r.ID, strings.TrimPrefix(err.Error(), "rule "+r.ID+": "))
		return nil
	}
	const layout = "2006-01-02 15:04:05.000"
	query = fmt.Sprintf("SELECT count() OVER () AS n, sum(events) OVER () AS total, toString(fired), key FROM (\n%s\n) ORDER BY fired, key LIMIT %d", query, max(hits, 1))
	_, rows, err := db.QueryJSON(ctx, query, map[string]any{"from": from.Format(layout), "to": to.Format(layout)},
		clickhouse.Limits{Rows: max(hits, 1), Time: maxHuntTime})
	if err != nil {
		return fmt.Errorf("rule %s: %w", r.ID, err)
	}
	if len(rows) == 0 {
		fmt.Fprintf(w, "%s\t0\t0\t-\t-\n", r.ID)
	}
	for i, row := range rows {
		id, n, events := r.ID, row[0], row[1]
		if i > 0 {
			id, n, events = "", "", ""
		}
		fmt.Fprintf(w, "%s\t%v\t%v\t%v\t%v\n", id, n, events, row[2], row[3])
	}
	return nil
}
