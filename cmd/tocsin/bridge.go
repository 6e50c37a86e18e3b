package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

func newBridge() *cobra.Command {
	var path, listen string
	cmd := &cobra.Command{
		Use:   "bridge NAME... -c FILE",
		Short: "Carry alerts to a pager, a chat, a mailbox or a SIEM",
		Long: `Bridge reads the teams' alert topics and delivers each version of an alert to the peer that the configuration names. What
does not work is tried again until it does; what the peer refuses for good is a dead letter with the reason. A position is
committed once the peer has the alert. docs/alerts.md lists the kinds: ` + strings.Join(bridge.Kinds(), ", ") + `.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			cfg, log, err := loadWithLog(path)
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
			reg := newRegistry()
			metrics, err := bridge.NewMetrics(reg)
			if err != nil {
				return err
			}
			g, ctx := errgroup.WithContext(cmd.Context())
			if listen != "" {
				admin, err := console.New(console.Config{Listen: listen, Registry: reg, Log: log.Named("console")})
				if err != nil {
					return err
				}
				g.Go(func() error { return admin.Serve(ctx) })
			}
			for _, name := range names {
				b := byName[name]
				b.Report(metrics)
				g.Go(func() error {
					return kafka.Follow(ctx, cfg.Kafka, name, cfg.Instance, b.Deliver, b.Refresh, log.Named("bridge."+name))
				})
			}
			return g.Wait()
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	cmd.Flags().StringVar(&listen, "listen", "", "host:port for /metrics and /livez; none without it: the admin address of the file is the pipeline's")
	return cmd
}
