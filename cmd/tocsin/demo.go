package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tocsin-project/tocsin/cmd/tocsin/internal/demo"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

func newDemo() *cobra.Command {
	d := demoRun{rules: DefaultConfig().Rules}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the storyline: a project under attack, from requirements to monitoring",
		Long: `Demo starts an embedded Kafka and ClickHouse and runs the very same pipeline as 'run' on thirty simulated minutes of a
project under attack: a leaked key, a rejected commit that lands, a blocked library that is released, a login flood that
makes a database grow exponentially. It prints the story as it happens, the alerts of each team, and checks that all that
the storyline promises came out: exit status 1 if not. With --keep it stays up, with the console to look around.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.speed < 1 || d.speed > 600 {
				return fmt.Errorf("--speed %v, want 1 to 600", d.speed)
			}
			if d.dir == "" {
				tmp, err := os.MkdirTemp("", "tocsin-demo-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(tmp)
				d.dir = tmp
			} else if _, err := os.Stat(d.dir); err == nil {
				return fmt.Errorf("--dir %s is there already; the demo's checks need a fresh one", d.dir)
			}
			return d.play(cmd.Context(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().Float64Var(&d.speed, "speed", 40, "simulated seconds a second, 1 to 600")
	cmd.Flags().IntVar(&d.rate, "rate", 200, "background records a simulated second")
	cmd.Flags().BoolVar(&d.keep, "keep", false, "stay up after the story, until interrupted")
	cmd.Flags().StringVar(&d.dir, "dir", "", "folder for the demo's data; a temporary one when not given")
	return cmd
}

// demoRun is one run of the demo.
type demoRun struct {
	dir   string
	speed float64 // simulated seconds a second
	rate  int     // background records a simulated second
	keep  bool
	rules RulesConfig
}

// play plays the story, prints it and what came of it, and returns errNo when a promise was broken.
func (d *demoRun) play(ctx context.Context, out io.Writer) error {
	// The story ends now, so that consoles which show the last half hour show all of it.
	origin := demo.Begin(time.Now().UTC())
	records := demo.Story(origin, 1, d.rate)
	want, err := demo.Expect(ctx, records, origin)
	if err != nil {
		return err
	}
	cfg := DefaultConfig()
	cfg.Instance = "demo"
	cfg.Kafka.Topics = demo.Topics()
	cfg.Kafka.Partitions = 3
	cfg.Rules = d.rules
	if !d.keep {
		cfg.Admin.Listen = "127.0.0.1:0" // nobody comes to look, and the usual port may be somebody's
	}
	log, logFile, err := fileLogger(d.dir)
	if err != nil {
		return err
	}
	servers, err := startServers(ctx, d.dir, &cfg)
	if err != nil {
		return err
	}
	defer servers.stop()
	clock := &demo.Clock{Origin: origin, Speed: d.speed}
	app, err := newApp(ctx, cfg, clock.Now, log)
	if err != nil {
		return err
	}
	defer app.close()
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	stopped := make(chan error, 1)
	go func() { stopped <- app.run(runCtx, kafka.AllRoles) }()

	fmt.Fprintf(out, "tocsin %s: 30 minutes of project payments at %g times their speed, %d records\n\n", version(), d.speed, len(records))
	clock.Start()
	err = demo.Play(ctx, cfg.Kafka.Brokers, records, clock, func(at time.Duration, text string) {
		fmt.Fprintf(out, "  T+%02d:%02d  %s\n", int(at.Minutes()), int(at.Seconds())%60, text)
	})
	if err == nil {
		err = demo.Await(ctx, app.db, want, 60*time.Second)
	}
	if err != nil {
		return err
	}
	select {
	case err := <-stopped:
		return fmt.Errorf("the pipeline ended within the story: %w", err)
	default:
	}
	if err := report(ctx, out, app.db); err != nil {
		return err
	}
	failed := 0
	p95, err := demo.Latency(ctx, app.db, d.speed)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nFrom an event's arrival to its alert: %v (p95)\n\nChecks\n", p95.Round(time.Millisecond))
	for _, r := range demo.Check(ctx, app.db, cfg.Kafka.Brokers, logFile, want) {
		if r.Err != nil {
			failed++
			fmt.Fprintf(out, "  FAIL  %s: %v\n", r.What, r.Err)
		} else {
			fmt.Fprintf(out, "  ok    %s\n", r.What)
		}
	}
	if d.keep {
		fmt.Fprintf(out, "\nConsole     http://%s/\nClickHouse  %s (native)   http://%s (HTTP)   database: tocsin\nKafka       %s\nInterrupt to end.\n",
			app.console.Addr(), cfg.ClickHouse.Addrs[0], servers.clickhouse.HTTPAddr, strings.Join(cfg.Kafka.Brokers, ","))
		select {
		case <-ctx.Done():
		case err := <-stopped:
			return err
		}
	} else {
		fmt.Fprintf(out, "\n`tocsin demo --keep` stays up, with a console in the browser.\n")
		stop()
		if err := <-stopped; err != nil {
			return err
		}
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "%d checks failed\n", failed)
		return errNo
	}
	return nil
}

// report prints rows by phase and alerts by team.
func report(ctx context.Context, out io.Writer, db *clickhouse.DB) error {
	fmt.Fprintf(out, "\nEvents by phase\n")
	rows, err := db.Query(ctx, "SELECT toString(phase), count(), countIf(outcome = 'failure'), uniqExact(source) FROM events GROUP BY phase ORDER BY phase")
	if err != nil {
		return err
	}
	for rows.Next() {
		var phase string
		var n, failures, sources uint64
		if err := rows.Scan(&phase, &n, &failures, &sources); err != nil {
			return err
		}
		fmt.Fprintf(out, "  %-13s %8d events %6d failures %4d sources\n", phase, n, failures, sources)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	rows, err = db.Query(ctx, `SELECT toString(team), rule_id, max(severity_id), argMax(toString(alert_class), version), argMax(title, version), argMax(toString(status), version)
		FROM alerts GROUP BY team, rule_id, dedup_key ORDER BY team, min(first_event_time), rule_id`)
	if err != nil {
		return err
	}
	team := ""
	for rows.Next() {
		var t, rule, class, title, status string
		var severity uint8
		if err := rows.Scan(&t, &rule, &severity, &class, &title, &status); err != nil {
			return err
		}
		if t != team {
			fmt.Fprintf(out, "\nAlerts to %s\n", t)
			team = t
		}
		if class != "normal" {
			title += " (asked for by security)"
		}
		fmt.Fprintf(out, "  %d  %-8s %-8s %s\n", severity, rule, status, title)
	}
	return errors.Join(rows.Err(), rows.Close())
}

// fileLogger logs into the demo's folder: its terminal is for the story.
func fileLogger(dir string) (*zap.Logger, string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	path := filepath.Join(dir, "tocsin.log")
	conf := zap.NewProductionConfig()
	conf.OutputPaths, conf.ErrorOutputPaths = []string{path}, []string{path}
	conf.DisableStacktrace = true
	conf.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	log, err := conf.Build()
	return log, path, err
}
