package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func newRun() *cobra.Command {
	var path, role string
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the pipeline against your Kafka and ClickHouse",
		Long: `Run reads the configured topics, stores what they say in ClickHouse and sends alerts to the teams' topics. It applies the
warehouse's migrations and creates tocsin's own topics where they are missing. It stops cleanly on SIGTERM: what was
read is stored, or read again by the next owner.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			roles, err := parseRoles(role)
			if err != nil {
				return err
			}
			cfg, err := LoadConfig(path)
			if err != nil {
				return err
			}
			if len(cfg.Kafka.Topics) == 0 {
				return fmt.Errorf("%s: kafka.topics: none is given, so there is nothing to read", path)
			}
			log, err := cfg.Log.logger()
			if err != nil {
				return err
			}
			defer func() { _ = log.Sync() }() // fails on terminals, which need none
			tracer, stop, err := newTracer(cmd.Context(), cfg.Instance, log.Named("traces"))
			if err != nil {
				return err
			}
			defer stop()
			watch, err := newWatch(cfg, log.Named("watch"))
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			app, err := newApp(cmd.Context(), cfg, time.Now, log)
			if err == nil {
				defer app.close()
				app.watch, app.tracer = watch, tracer
				err = app.run(cmd.Context(), roles)
			}
			watch.halted(err)
			return err
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file")
	_ = cmd.MarkFlagRequired("config")
	cmd.Flags().StringVar(&role, "role", "all", "ingest, detect or all; several with commas")
	return cmd
}

// gcPercent is for a heap of large blocks without pointers: collecting it twice as often as usual costs little, and it is the
// lag that decides how large it is. GOGC in the environment goes before it.
const gcPercent = 50

// parseRoles reads --role.
func parseRoles(role string) (roles kafka.Roles, err error) {
	for r := range strings.SplitSeq(role, ",") {
		switch r {
		case "all":
			roles.Ingest, roles.Detect = true, true
		case "ingest":
			roles.Ingest = true
		case "detect":
			roles.Detect = true
		default:
			return roles, fmt.Errorf("--role %q is none of all, ingest, detect", r)
		}
	}
	return roles, nil
}

func newDev() *cobra.Command {
	var path, dir string
	cmd := &cobra.Command{
		Use:   "dev [-c FILE]",
		Short: "Run the pipeline with an embedded Kafka and ClickHouse",
		Long: `Dev starts a Kafka broker and a ClickHouse server of its own on loopback and runs the pipeline against them, exactly as
'run' does against yours. Their data stays in --dir; a second start finds it. The addresses are printed, so that other
tools can produce, consume and query.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := DefaultConfig()
			cfg.Log.Format = "console"
			if path != "" {
				var err error
				if cfg, err = LoadConfig(path); err != nil {
					return err
				}
			}
			if len(cfg.Kafka.Topics) == 0 {
				cfg.Kafka.Topics = []string{"events"}
			}
			log, err := cfg.Log.logger()
			if err != nil {
				return err
			}
			defer func() { _ = log.Sync() }() // fails on terminals, which need none
			servers, err := startServers(cmd.Context(), dir, &cfg)
			if err != nil {
				return err
			}
			defer servers.stop()
			app, err := newApp(cmd.Context(), cfg, time.Now, log)
			if err != nil {
				return err
			}
			defer app.close()
			fmt.Fprintf(cmd.ErrOrStderr(), "Kafka       %s   topics: %s\nClickHouse  %s (native)   http://%s (HTTP)   database: %s\nConsole     http://%s/\n",
				strings.Join(cfg.Kafka.Brokers, ","), strings.Join(cfg.Kafka.Topics, ", "), cfg.ClickHouse.Addrs[0], servers.clickhouse.HTTPAddr,
				cfg.ClickHouse.Database, app.console.Addr())
			return app.run(cmd.Context(), kafka.AllRoles)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "configuration file; the broker and the server in it are replaced")
	cmd.Flags().StringVar(&dir, "dir", ".tocsin", "folder for the data of the embedded Kafka and ClickHouse")
	return cmd
}

// servers are the embedded Kafka and ClickHouse.
type servers struct {
	kafka      *embedded.Kafka
	clickhouse *embedded.ClickHouse
}

// startServers starts both in dir, with the raw topics that cfg reads, and points cfg at them.
func startServers(ctx context.Context, dir string, cfg *Config) (*servers, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var topics []embedded.Topic
	for _, t := range cfg.Kafka.Topics {
		if !strings.HasPrefix(t, "^") {
			topics = append(topics, embedded.Topic{Name: t, Partitions: cfg.Kafka.Partitions})
		}
	}
	s := &servers{}
	var err error
	if s.kafka, err = embedded.StartKafka(embedded.KafkaConfig{Dir: filepath.Join(dir, "kafka"), Topics: topics}); err != nil {
		return nil, err
	}
	if s.clickhouse, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse")}); err != nil {
		s.kafka.Close()
		return nil, err
	}
	cfg.Kafka.Brokers, cfg.Kafka.TLS, cfg.Kafka.SASL = s.kafka.Addrs, pipeline.TLS{}, kafka.SASL{}
	cfg.Kafka.Replicas = 1
	cfg.ClickHouse.Addrs, cfg.ClickHouse.User, cfg.ClickHouse.Password, cfg.ClickHouse.TLS = []string{s.clickhouse.TCPAddr}, "default", "", pipeline.TLS{}
	return s, nil
}

func (s *servers) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s.kafka.Close()
	_ = s.clickhouse.Stop(ctx) // it is gone either way
}

// app is one running pipeline.
type app struct {
	cfg      Config
	log      *zap.Logger
	now      func() time.Time
	db       *clickhouse.DB
	detected *correlate.Metrics
	rules    *rule.Live
	enricher *enrich.Enricher
	producer *kafka.Producer
	metrics  *pipeline.Metrics
	budget   *pipeline.Budget
	console  *console.Server
	registry *prometheus.Registry
	watch    *watch       // nil for a process that nobody waits for
	tracer   trace.Tracer // nil where no traces are wanted
	started  atomic.Bool

	// What the warehouse told before detect began, by the rule's id; detects says that it is wanted.
	past    atomic.Pointer[map[string]*correlate.Past]
	recalls sync.Mutex
	detects atomic.Bool

	// What a partition of each role needs: worker and state, but for tests that put failpoints around them.
	newWorker func(pipeline.TopicPartition) (*pipeline.Worker, error)
	newState  func(partition, partitions int) pipeline.Correlator
}

// newApp connects to Kafka and ClickHouse and prepares them. now is the pipeline's clock.
func newApp(ctx context.Context, cfg Config, now func() time.Time, log *zap.Logger) (_ *app, err error) {
	a := &app{cfg: cfg, log: log, now: now, detected: correlate.NewMetrics()}
	a.newWorker, a.newState = a.worker, a.state
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	load := func() (*rule.Set, error) {
		set, err := cfg.Rules.load()
		if err == nil && a.detects.Load() {
			a.recall(ctx, set) // before the set is in use
		}
		return set, err
	}
	if a.rules, err = rule.NewLive(cfg.Rules.Dirs, load, log.Named("rules")); err != nil {
		return nil, err
	}
	if a.enricher, err = enrich.New(cfg.Enrich, log.Named("enrich")); err != nil {
		return nil, err
	}
	if a.db, err = clickhouse.Open(ctx, cfg.clickhouse()); err != nil {
		return nil, err
	}
	if err = a.db.Migrate(ctx); err != nil {
		return nil, err
	}
	if err = kafka.EnsureTopics(ctx, cfg.Kafka, log); err != nil {
		return nil, err
	}
	if a.producer, err = kafka.NewProducer(ctx, cfg.Kafka, log); err != nil {
		return nil, err
	}
	reg := newRegistry(a.enricher, a.rules, a.detected)
	a.metrics, a.budget = pipeline.NewMetrics(reg), pipeline.NewBudget(int64(cfg.Flush.Budget), int64(cfg.Flush.Bytes))
	reg.MustRegister(a.budget)
	a.registry = reg
	a.console, err = console.New(console.Config{
		Listen: cfg.Admin.Listen, DB: a.db, Registry: reg, Ready: a.ready, Warnings: a.warnings, Log: log.Named("console"), People: cfg.Admin.People, Pprof: cfg.Admin.Pprof,
		Say: func(ctx context.Context, said []pipeline.Control) error {
			return kafka.SendControls(ctx, cfg.Kafka, said, log)
		},
	})
	return a, err
}

// newRegistry returns a registry with what every process tells of itself, and the collectors given.
func newRegistry(own ...prometheus.Collector) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reg.MustRegister(own...)
	return reg
}

func (a *app) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if a.producer != nil {
		if err := a.producer.Close(ctx); err != nil {
			a.log.Warn("close producer", zap.Error(err))
		}
	}
	if a.db != nil {
		if err := a.db.Close(); err != nil {
			a.log.Warn("close clickhouse", zap.Error(err))
		}
	}
}

// ready returns why the pipeline is not ready, nothing when it is.
func (a *app) ready() []error {
	if !a.started.Load() {
		return []error{errors.New("the pipeline has not joined its consumer groups yet")}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := a.db.Ping(ctx); err != nil {
		return []error{fmt.Errorf("clickhouse: %w", err)}
	}
	return a.metrics.Progress.Stuck(stuckAfter + a.cfg.Flush.Interval)
}

// stuckAfter is how long a partition's chunk may take to be stored before /readyz calls it stuck: longer than ClickHouse
// takes to restart.
const stuckAfter = time.Minute

// warnings returns what is wrong although the pipeline does its work: what was in use before a file was changed stays.
func (a *app) warnings() []error {
	problems := a.enricher.Problems()
	if err := a.rules.Problem(); err != nil {
		problems = append(problems, fmt.Errorf("rules not loaded, the set before stays: %w", err))
	}
	return problems
}

// run works in the given roles until ctx ends or one of them fails.
func (a *app) run(ctx context.Context, roles kafka.Roles) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.console.Serve(ctx) })
	g.Go(func() error { return a.enricher.Run(ctx) })
	g.Go(func() error { return a.rules.Run(ctx) })
	if roles.Ingest {
		consumer, err := kafka.NewConsumer(a.cfg.Kafka, a.cfg.Instance, a.budget, a.newWorker, a.log)
		if err != nil {
			return err
		}
		g.Go(func() error { return consumer.Run(ctx) })
	}
	if roles.Detect {
		a.detects.Store(true)
		a.recall(ctx, a.rules.Set())
		detect, err := kafka.NewDetect(ctx, a.cfg.Kafka, a.cfg.Instance, a.newState, a.now, a.log)
		if err != nil {
			return err
		}
		detect.Tracer = a.tracer
		g.Go(func() error { return detect.Run(ctx) })
		desk, err := kafka.NewDesk(ctx, a.cfg.Kafka, a.cfg.Instance, func() pipeline.Desk { return alert.NewDesk(a.rules.Set, a.cfg.Alerts) }, a.now, a.log)
		if err != nil {
			return err
		}
		desk.Tracer = a.tracer
		g.Go(func() error { return desk.Run(ctx) })
	}
	if a.watch != nil {
		g.Go(func() error { return a.watch.run(ctx, a, a.registry) })
	}
	a.started.Store(true)
	a.log.Info("running", zap.Bool("ingest", roles.Ingest), zap.Bool("detect", roles.Detect), zap.String("instance", a.cfg.Instance), zap.Int("rules", len(a.rules.Set().Rules)), zap.String("version", version()))
	err := g.Wait()
	a.log.Info("stopped", zap.Error(err))
	return err
}

// worker makes the worker of a partition: raw topics go through the processors into the events table, our own topics
// straight into theirs.
func (a *app) worker(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
	publisher := a.producer.Worker()
	w := &pipeline.Worker{
		Publisher: publisher, Limits: a.cfg.limits(), Now: a.now, Metrics: a.metrics, Tracer: a.tracer,
		Log: a.log.With(zap.String("topic", tp.Topic), zap.Int32("partition", tp.Partition)),
	}
	switch tp.Topic {
	case kafka.AlertsStateTopic:
		w.NewSink = func() pipeline.Sink { return a.db.AlertSink() }
	case kafka.ControlTopic:
		w.NewSink = func() pipeline.Sink { return a.db.ControlSink() }
	case kafka.GrowthTopic:
		w.NewSink = func() pipeline.Sink { return a.db.GrowthSink() }
	case kafka.DeadLetterTopic:
		w.NewSink = func() pipeline.Sink { return a.db.DeadLetterSink() }
	default:
		parser, err := parse.New(a.cfg.Parse)
		if err != nil {
			return nil, err
		}
		w.Processors = []pipeline.Processor{parser, a.enricher.Processor(), a.rules.NewMatcher()}
		w.NewSink = func() pipeline.Sink { return a.db.EventSink() }
		w.Watermark = publisher.Watermark
	}
	return w, nil
}

// state makes detect's state of a partition, of so many.
func (a *app) state(partition, partitions int) pipeline.Correlator {
	engine := correlate.New(a.rules.Set(), correlate.Config{Lateness: a.cfg.Rules.Lateness})
	engine.Among(partition, partitions)
	engine.Follow(a.rules.Set)
	engine.Remember(a.known)
	engine.Report(a.detected)
	return engine
}
