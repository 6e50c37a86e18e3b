package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/pipeline/receive"
)

func newReceive() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "receive -c FILE",
		Short: "Take webhooks and CloudEvents over HTTP and write them to Kafka",
		Long: `Receive listens for what speaks HTTP and not Kafka: webhooks of GitHub, GitLab, Bitbucket, Gitea, Jenkins, Slack and
whatever signs by HMAC or shows a token, CloudEvents, 'tocsin send'. Each request that shows who sent it becomes one record of
the route's topic; it is answered 202 when Kafka has it, and 429 or 503 when it is to come again. docs/connectors.md has an
example of each.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := loadWithLog(path)
			if err != nil {
				return err
			}
			defer func() { _ = log.Sync() }() // fails on terminals, which need none
			return runReceive(cmd.Context(), cfg, log)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func runReceive(ctx context.Context, cfg Config, log *zap.Logger) error {
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	sender, err := kafka.NewSender(starting, cfg.Kafka, cfg.Receive.Topics(), log)
	if err != nil {
		return err
	}
	defer sender.Close()
	reg := newRegistry()
	server, err := receive.New(cfg.Receive, sender, reg, log)
	if err != nil {
		return err
	}
	admin, err := newAdmin(cfg.Admin, reg, sender, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return admin.Serve(ctx) })
	g.Go(func() error { return server.Serve(ctx) })
	log.Info("receiving", zap.String("listen", server.Addr()), zap.Int("routes", len(cfg.Receive.Routes)), zap.String("version", version()))
	err = g.Wait()
	log.Info("stopped", zap.Error(err))
	return err
}

// newAdmin opens the admin address of a command that only writes to Kafka: metrics, and ready while Kafka answers.
func newAdmin(cfg AdminConfig, reg *prometheus.Registry, sender *kafka.Sender, log *zap.Logger) (*console.Server, error) {
	ready := func() []error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := sender.Ping(ctx); err != nil {
			return []error{err}
		}
		return nil
	}
	return console.New(console.Config{Listen: cfg.Listen, Registry: reg, Ready: ready, Log: log.Named("console")})
}
