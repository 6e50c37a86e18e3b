package main

import (
	"bufio"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
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
			cfg, err := offlineConfig(config, rules)
			if err != nil {
				return err
			}
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			run, err := newOffline(cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			signals, err := run.signals(cmd.Context(), files, cmd.InOrStdin(), set)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			_, err = correlateAll(set, cfg, signals[0], func(a *pipeline.Alert, now time.Time) error {
				b, err := pipeline.EncodeAlert(a, "tocsin/replay", now)
				if err == nil {
					_, err = out.Write(append(b, '\n'))
				}
				return err
			})
			if err != nil {
				return err
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if run.rejected > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for its rules, bindings and lateness")
	cmd.Flags().StringArrayVar(&rules, "rules", nil, "rule files or folders to use in place of the configured ones")
	return cmd
}
