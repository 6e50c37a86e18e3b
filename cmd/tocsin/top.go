package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/cmd/tocsin/internal/top"
	"github.com/tocsin-project/tocsin/pipeline/console"
)

func newTop() *cobra.Command {
	var interval time.Duration
	var lines int
	var once bool
	cmd := &cobra.Command{
		Use:   "top [ADDRESS]...",
		Short: "Watch running processes: rates, lag, slowest rules, dead letters",
		Long: `Top reads the metrics of processes at their admin addresses (127.0.0.1:9410 when none is given), adds them up, and shows
every few seconds why one of them does not do its work, how much they read and store, how far each topic lags and when it
will have caught up, where the time goes, the slowest rules and the dead letters. With --once it prints one view and ends.`,
		RunE: func(cmd *cobra.Command, addresses []string) error {
			if interval < 100*time.Millisecond || lines < 1 {
				return errors.New("want --interval of 100ms or more and --lines of 1 or more")
			}
			if len(addresses) == 0 {
				addresses = []string{console.DefaultListen}
			}
			ctx := cmd.Context()
			before, errs := top.Fetch(ctx, addresses)
			if len(errs) == len(addresses) {
				return errors.Join(errs...)
			}
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
				now, errs := top.Fetch(ctx, addresses)
				wrong := top.Wrong(ctx, addresses)
				if ctx.Err() != nil {
					return nil
				}
				var screen bytes.Buffer
				if !once {
					screen.WriteString("\x1b[H\x1b[2J") // to the upper left corner, and clear
				}
				fmt.Fprintf(&screen, "tocsin top   %s   %s\n\n", now.At.Format(time.TimeOnly), strings.Join(addresses, " "))
				for _, err := range errs {
					fmt.Fprintf(&screen, "%v\n", err)
				}
				for _, reason := range wrong {
					fmt.Fprintln(&screen, reason)
				}
				top.Between(before, now).Write(&screen, lines)
				if _, err := cmd.OutOrStdout().Write(screen.Bytes()); err != nil {
					return err
				}
				if once {
					return nil
				}
				before = now
			}
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two views")
	cmd.Flags().IntVar(&lines, "lines", 8, "rows of each table")
	cmd.Flags().BoolVar(&once, "once", false, "print one view and end")
	return cmd
}
