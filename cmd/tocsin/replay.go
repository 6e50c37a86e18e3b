package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/file"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/parse"
)

func newReplay() *cobra.Command {
	var config string
	var rules []string
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Run the whole engine over files, in event time: alerts, one JSON object a line",
		Long: `Replay parses files, matches the rules and correlates what matched in the order of event time, as the pipeline would have
done when the records came in, and prints the alerts as they would have been sent. The ids are those that the stream
gives. Nothing is stored or sent.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			cfg := DefaultConfig()
			if config != "" {
				var err error
				if cfg, err = LoadConfig(config); err != nil {
					return err
				}
			}
			if len(rules) > 0 {
				cfg.Rules.Library, cfg.Rules.Dirs = false, rules
			}
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			parser, err := parse.New(cfg.Parse)
			if err != nil {
				return err
			}
			var signals []pipeline.Signal
			matcher, rejected := set.NewMatcher(), 0
			for _, name := range files {
				f, err := os.Open(name)
				if err != nil {
					return err
				}
				err = file.Read(f, name, time.Now().UTC(), func(b *pipeline.Batch, before int) error {
					if err := parser.Process(cmd.Context(), b); err != nil {
						return err
					}
					for _, f := range b.Failures {
						rejected++
						fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d: %s\n", name, before+max(f.Line, 1), f.Reason)
					}
					if err := matcher.Process(cmd.Context(), b); err != nil {
						return err
					}
					for _, s := range b.Signals {
						signals = append(signals, s.Clone())
					}
					return nil
				})
				if err := f.Close(); err != nil {
					return err
				}
				if err != nil {
					return err
				}
			}
			slices.SortStableFunc(signals, func(a, b pipeline.Signal) int { return a.Time.Compare(b.Time) })
			out := bufio.NewWriter(cmd.OutOrStdout())
			engine := correlate.New(set, correlate.Config{Lateness: cfg.Rules.Lateness})
			var said pipeline.Output
			for i := range signals {
				// One partition in order of time: the numbers of the files' records do not matter any more.
				signals[i].Origin, signals[i].Offset, signals[i].Seq = pipeline.TopicPartition{Topic: "replay"}, int64(i), 0
				said.Reset(signals[i].Time)
				engine.Process(&signals[i], &said)
				for _, a := range said.Alerts {
					b, err := pipeline.EncodeAlert(a, "tocsin/replay", said.Now)
					if err != nil {
						return err
					}
					if _, err := out.Write(append(b, '\n')); err != nil {
						return err
					}
				}
				engine.Commit()
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if rejected > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for its rules, bindings and lateness")
	cmd.Flags().StringArrayVar(&rules, "rules", nil, "rule files or folders to use in place of the configured ones")
	return cmd
}
