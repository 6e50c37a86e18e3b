package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/enrich"
)

func newCheck() *cobra.Command {
	var path, role string
	var live bool
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check the configuration, the rules and the tables, offline",
		Long: `Check reads the configuration and every rule and table it names, and reports all that is wrong with file, line and
column. A feed that others write (geoip, threats, kev, epss, osv) may be missing: that is said, but no error, as 'run' starts
without it. It connects to nothing.

With --live it asks the servers as well, and changes nothing there: the deduplication windows of every table that rows reach
by any view, settings of topics and brokers, what the user may do and needs to in its role, versions and clocks. All that
would lose or double data is said at once, with the statement or command that mends it, and the exit status is 1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(path)
			if err != nil {
				return err
			}
			set, err := cfg.Rules.load()
			enricher, tables := enrich.New(cfg.Enrich, zap.NewNop())
			if err := errors.Join(err, tables); err != nil {
				return err
			}
			for _, p := range enricher.Problems() {
				fmt.Fprintf(cmd.ErrOrStderr(), "%v\n", p)
			}
			if live {
				if err := checkLive(cmd.Context(), cfg, role, cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is fine: %d topics, %d rules\n", path, len(cfg.Kafka.Topics), len(set.Rules))
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	cmd.Flags().BoolVar(&live, "live", false, "ask Kafka and ClickHouse, too")
	cmd.Flags().StringVar(&role, "role", "all", "with --live: ingest, detect or all; several with commas")
	return cmd
}

// checkLive asks the servers for what would lose or double data, says all of it, and returns errNo if there is any. What one server
// does not answer keeps nothing of the other's answers back.
func checkLive(ctx context.Context, cfg Config, role string, out io.Writer) error {
	roles, err := parseRoles(role)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	kafkaSays, err := kafka.Check(ctx, cfg.Kafka, cfg.Instance, roles, cfg.Rules.Lateness, zap.NewNop())
	errs := []error{err}
	load := clickhouse.Load{}
	var flaws []pipeline.Flaw
	if kafkaSays != nil {
		flaws = kafkaSays.Flaws
		load.Blocks, load.Outage = float64(kafkaSays.Partitions)/cfg.Flush.Interval.Seconds(), kafkaSays.Outage
	}
	db, err := clickhouse.Open(ctx, cfg.clickhouse())
	if err == nil {
		var more []pipeline.Flaw
		more, err = db.Check(ctx, load)
		flaws = append(flaws, more...)
		err = errors.Join(err, db.Close())
	}
	errs = append(errs, err)
	refused := false
	for _, f := range flaws {
		kind := "note"
		if f.Loses {
			kind, refused = "refused", true
		}
		fmt.Fprintf(out, "%s: %s\n", kind, f.What)
		if f.Mend != "" {
			fmt.Fprintf(out, "    %s\n", f.Mend)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if refused {
		return errNo
	}
	return nil
}

func newMigrate() *cobra.Command {
	var path string
	open := func(ctx context.Context) (*clickhouse.DB, error) {
		cfg, err := LoadConfig(path)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return clickhouse.Open(ctx, cfg.clickhouse())
	}
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the warehouse's tables up to date"}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkPersistentFlagRequired("config")
	cmd.AddCommand(
		&cobra.Command{
			Use: "plan", Short: "Print the statements that apply would run", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) (err error) {
				db, err := open(cmd.Context())
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, db.Close()) }()
				statements, err := db.Plan(cmd.Context())
				for _, s := range statements {
					fmt.Fprintf(cmd.OutOrStdout(), "%s;\n\n", s)
				}
				return err
			},
		},
		&cobra.Command{
			Use: "apply", Short: "Run them", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) (err error) {
				db, err := open(cmd.Context())
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, db.Close()) }()
				return db.Migrate(cmd.Context())
			},
		},
	)
	return cmd
}
