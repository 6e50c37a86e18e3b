package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/detect"
)

func newDetect() *cobra.Command {
	cmd := &cobra.Command{Use: "detect", Short: "Run the anomaly detectors over files"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "score [FILE.csv]",
			Short: "Score a series: timestamp,value in; timestamp,value,anomaly_score out",
			Long: `Score reads CSV with a header timestamp,value from a file or standard input and prints each row with its anomaly score
from 0 to 1, in one pass and without knowing anything of the series beforehand.`,
			Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				in, err := input(cmd, args)
				if err != nil {
					return err
				}
				defer in.Close()
				return detect.RunScore(in, cmd.OutOrStdout())
			},
		},
		&cobra.Command{
			Use:   "growth [FILE.csv]",
			Short: "Watch databases grow: samples in, ts,db,eta_seconds of alarms out",
			Long: `Growth reads CSV with a header
  ts,db,size_bytes,rows,commits_total,failed_logins_total,failed_tests_total,net_in_bytes_total
in time order and prints a line ts,db,eta_seconds when a database grows as under attack, and every 6 hours while it lasts.
GROWTH_DBS names a JSON file with each database's capacity and extent.`,
			Args: cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				in, err := input(cmd, args)
				if err != nil {
					return err
				}
				defer in.Close()
				var dbs []byte
				if name := os.Getenv("GROWTH_DBS"); name != "" {
					if dbs, err = os.ReadFile(name); err != nil {
						return err
					}
				}
				return detect.RunGrowth(in, cmd.OutOrStdout(), dbs)
			},
		},
		newDetectShow(), newDetectForget(),
	)
	return cmd
}

// maxStateTime bounds the time that reading detect's state takes.
const maxStateTime = 2 * time.Minute

func newDetectShow() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "show -c FILE [SERIES]",
		Short: "Say what the running detectors have learnt of a series",
		Long: `Show reads the state that the detect role keeps in Kafka and says of each key of a rule of kind growth, anomaly or silence (or
of those that contain SERIES) what was learnt, where it stands, and what dismissed alarms have done to the bar. It
changes nothing.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := LoadConfig(config)
			if err != nil {
				return err
			}
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), maxStateTime)
			defer cancel()
			found := 0
			start := func(int, int) pipeline.Correlator { return correlate.New(set, correlate.Config{}) }
			err = kafka.ReadState(ctx, cfg.Kafka, zap.NewNop(), start, func(c pipeline.Correlator) error {
				engine := c.(*correlate.Engine)
				for _, k := range engine.Learned() {
					lines := strings.Join(engine.Explain(k[0], k[1]), "\n  ")
					if len(args) == 0 || strings.Contains(k[0]+" "+k[1]+"\n"+lines, args[0]) {
						found++
						fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n  %s\n", k[0], k[1], lines)
					}
				}
				return nil
			})
			if err == nil && found == 0 {
				return errors.New("there is no such series")
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func newDetectForget() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "forget -c FILE RULE KEY",
		Short: "Let the running detectors forget what they have learnt of a key",
		Long: `Forget tells the detect role to forget a key, as 'tocsin detect show' names it: what was usual, and what was
dismissed. An open alert of it is resolved. It begins to learn with the next sample.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := LoadConfig(config)
			if err != nil {
				return err
			}
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			r, err := findRule(set, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), maxStateTime)
			defer cancel()
			producer, err := kafka.NewProducer(ctx, cfg.Kafka, zap.NewNop())
			if err != nil {
				return err
			}
			now := time.Now()
			worker := producer.Worker()
			err = worker.Publish(ctx, &pipeline.Batch{Signals: []pipeline.Signal{
				{Kind: pipeline.SignalForget, Rule: r.ID, Version: r.Version, Digest: r.Digest, Key: args[1], Time: now, Ingest: now},
			}})
			return errors.Join(err, worker.Barrier()(ctx), producer.Close(ctx))
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// input opens the file that args name, or standard input.
func input(cmd *cobra.Command, args []string) (io.ReadCloser, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(args[0])
}
