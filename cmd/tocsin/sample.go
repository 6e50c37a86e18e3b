package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/pipeline/sample"
)

// sampleTime is how long a server may take to answer: one that hangs must not delay the next sample.
const sampleTime = 10 * time.Second

func newSample() *cobra.Command {
	var path string
	var once bool
	cmd := &cobra.Command{
		Use:   "sample -c FILE",
		Short: "Measure PostgreSQL and MySQL databases and write their sizes to Kafka",
		Long: `Sample asks each configured server at an interval how large its databases and largest tables are, and writes that to
Kafka as records of the format db-size: what the growth rules live on. It needs a user who may connect, and sees what that
user may see. With --once it asks once and prints the records instead, for cron and 'tocsin send'; exit status 1 if a
server did not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(path)
			if err != nil {
				return err
			}
			if len(cfg.Sample.Databases) == 0 {
				return fmt.Errorf("%s: sample.databases: none is given, so there is nothing to measure", path)
			}
			samplers, err := openSamplers(cfg.Sample)
			if err != nil {
				return err
			}
			defer func() {
				for _, s := range samplers {
					s.Close()
				}
			}()
			if once {
				return sampleOnce(cmd, samplers)
			}
			log, err := cfg.Log.logger()
			if err != nil {
				return err
			}
			defer func() { _ = log.Sync() }() // fails on terminals, which need none
			return runSample(cmd.Context(), cfg, samplers, log)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	cmd.Flags().BoolVar(&once, "once", false, "ask once and print; needs no Kafka")
	return cmd
}

func openSamplers(cfg sample.Config) ([]*sample.Sampler, error) {
	var samplers []*sample.Sampler
	var errs []error
	for i, d := range cfg.Databases {
		s, err := sample.Open(d)
		if err != nil {
			errs = append(errs, fmt.Errorf("sample.databases[%d].dsn: %w", i, err))
			continue
		}
		samplers = append(samplers, s)
	}
	return samplers, errors.Join(errs...)
}

// sampleOnce prints one sample of each server.
func sampleOnce(cmd *cobra.Command, samplers []*sample.Sampler) error {
	var answer error
	for _, s := range samplers {
		ctx, cancel := context.WithTimeout(cmd.Context(), sampleTime)
		value, err := s.Sample(ctx, time.Now())
		cancel()
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
			answer = errNo
			continue
		}
		if _, err := cmd.OutOrStdout().Write(value); err != nil {
			return err
		}
	}
	return answer
}

// runSample measures until ctx ends. A server that does not answer is counted and logged, and asked again the next time.
func runSample(ctx context.Context, cfg Config, samplers []*sample.Sampler, log *zap.Logger) error {
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	sender, err := kafka.NewSender(starting, cfg.Kafka, []string{cfg.Sample.Topic}, log)
	if err != nil {
		return err
	}
	defer sender.Close()
	samples := newSampleMetric()
	reg := newRegistry(samples)
	admin, err := newAdmin(cfg.Admin, reg, sender, log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return admin.Serve(ctx) })
	for _, s := range samplers {
		g.Go(func() error {
			tick := time.NewTicker(cfg.Sample.Interval)
			defer tick.Stop()
			for {
				if err := sampleTo(ctx, sender, cfg.Sample.Topic, s); err == nil {
					samples.WithLabelValues(s.Host(), "success").Inc()
				} else if ctx.Err() == nil {
					samples.WithLabelValues(s.Host(), "failure").Inc()
					log.Error("no sample", zap.String("host", s.Host()), zap.Error(err))
				}
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		})
	}
	log.Info("sampling", zap.Int("servers", len(samplers)), zap.Duration("interval", cfg.Sample.Interval), zap.String("version", version()))
	err = g.Wait()
	log.Info("stopped", zap.Error(err))
	return err
}

func newSampleMetric() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tocsin_sample_samples_total", Help: "Samples of database servers, by how they went."}, []string{"host", "outcome"})
}

// sampleTo writes one sample of a server. All of one server go to one partition, in order.
func sampleTo(ctx context.Context, sender *kafka.Sender, topic string, s *sample.Sampler) error {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	now := time.Now()
	value, err := s.Sample(ctx, now)
	if err != nil || len(value) == 0 {
		return err
	}
	return sender.Send(ctx, topic, &pipeline.Record{
		Time: now, Key: []byte(s.Host()), Value: value, Headers: []pipeline.Header{{Key: "tocsin_source", Value: []byte(sample.Source)}},
	})
}
