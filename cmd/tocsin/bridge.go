package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

func newBridge() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "bridge NAME... -c FILE",
		Short: "Carry alerts to a pager, a chat, a mailbox or a SIEM",
		Long: `Bridge reads the teams' alert topics and delivers each version of an alert to the peer that the configuration names. What
does not work is tried again until it does; what the peer refuses for good is a dead letter with the reason. A position is
committed once the peer has the alert. docs/alerts.md lists the kinds: ` + strings.Join(bridge.Kinds(), ", ") + `.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			cfg, err := LoadConfig(path)
			if err != nil {
				return err
			}
			log, err := cfg.Log.logger()
			if err != nil {
				return err
			}
			defer func() { _ = log.Sync() }() // fails on terminals, which need none
			byName := map[string]*bridge.Bridge{}
			var known []string
			for _, c := range cfg.Bridges {
				if byName[c.Name], err = bridge.New(c, log.Named("bridge."+c.Name)); err != nil {
					return err
				}
				known = append(known, c.Name)
			}
			for _, name := range names {
				if byName[name] == nil {
					return fmt.Errorf("%s: no bridge is called %q; there are: %s", path, name, strings.Join(known, ", "))
				}
			}
			g, ctx := errgroup.WithContext(cmd.Context())
			for _, name := range names {
				b := byName[name]
				g.Go(func() error {
					return kafka.Follow(ctx, cfg.Kafka, name, b.Deliver, b.Refresh, log.Named("bridge."+name))
				})
			}
			return g.Wait()
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}
