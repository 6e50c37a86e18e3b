package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/processors/enrich"
)

func newCheck() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check the configuration, the rules and the tables, offline",
		Long: `Check reads the configuration and every rule and table it names, and reports all that is wrong with file, line and
column. A feed that others write (geoip, threats, kev, epss) may be missing: that is said, but no error, as 'run' starts
without it. It connects to nothing.`,
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
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is fine: %d topics, %d rules\n", path, len(cfg.Kafka.Topics), len(set.Rules))
			return nil
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
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
