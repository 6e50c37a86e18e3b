package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"

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
	)
	return cmd
}

// input opens the file that args name, or standard input.
func input(cmd *cobra.Command, args []string) (io.ReadCloser, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(args[0])
}
