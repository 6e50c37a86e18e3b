package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/pipeline/receive"
	"github.com/tocsin-project/tocsin/pipeline/sample"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/mapping"
	"github.com/tocsin-project/tocsin/processors/parse"
)

// Config is the whole configuration file. deploy/tocsin.yaml is the annotated sample; a test holds the two together.
type Config struct {
	// Instance names this process among those of the pipeline, the same after a restart; default the host's name.
	Instance   string           `yaml:"instance"`
	Kafka      kafka.Config     `yaml:"kafka"`
	ClickHouse ClickHouseConfig `yaml:"clickhouse"`
	Parse      parse.Config     `yaml:"parse"`
	Enrich     enrich.Config    `yaml:"enrich"`
	Rules      RulesConfig      `yaml:"rules"`
	Alerts     alert.DeskConfig `yaml:"alerts"`
	Bridges    []bridge.Config  `yaml:"bridges"`
	Flush      FlushConfig      `yaml:"flush"`
	Watch      WatchConfig      `yaml:"watch"`
	Receive    receive.Config   `yaml:"receive"`
	Sample     sample.Config    `yaml:"sample"`
	Admin      AdminConfig      `yaml:"admin"`
	Log        LogConfig        `yaml:"log"`
}

// ClickHouseConfig says which ClickHouse.
type ClickHouseConfig struct {
	Addrs    []string       `yaml:"addrs"` // host:port of the native protocol; several are servers of one cluster
	Database string         `yaml:"database"`
	User     string         `yaml:"user"`
	Password string         `yaml:"password"`
	TLS      pipeline.TLS   `yaml:"tls"`
	Cluster  ClusterConfig  `yaml:"cluster"`
	KeepDays map[string]int `yaml:"keep_days"` // table to days
	Tier     TierConfig     `yaml:"tier"`
}

// ClusterConfig says on which servers the warehouse lies.
type ClusterConfig struct {
	Name   string `yaml:"name"` // of the servers' remote_servers; empty is one server
	Keeper bool   `yaml:"keeper"`
}

// TierConfig says when old rows go to a slower volume, and to which.
type TierConfig struct {
	Policy    string         `yaml:"policy"`
	Volume    string         `yaml:"volume"`
	AfterDays map[string]int `yaml:"after_days"` // table to days
}

// RulesConfig says which rules run.
type RulesConfig struct {
	// Library runs the rules that tocsin comes with.
	Library bool `yaml:"library"`
	// Dirs are folders with rules of your own, Sigma rules with their taxonomies, and mapping files of sources (*.source.yaml).
	Dirs []string `yaml:"dirs"`
	// Lateness is how late an event may come after later ones and still count in its window.
	Lateness time.Duration `yaml:"lateness"`
}

// FlushConfig says when a chunk of rows is sent, whichever comes first.
type FlushConfig struct {
	Rows     int           `yaml:"rows"`
	Bytes    int           `yaml:"bytes"`
	Interval time.Duration `yaml:"interval"`
	// Budget bounds the bytes that all partitions have under way, records and rows.
	Budget int `yaml:"budget"`
}

// AdminConfig says where the console, metrics and health are served.
type AdminConfig struct {
	Listen string `yaml:"listen"`
	// People may acknowledge, resolve and silence alerts on the console; without any it only reads.
	People []console.Person `yaml:"people"`
	// Pprof serves /debug/pprof: what the process spends its time and memory on, to whoever reaches the address.
	Pprof bool `yaml:"pprof"`
}

// LogConfig says what is logged.
type LogConfig struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // json or console
}

// DefaultConfig returns the configuration that an empty file means.
func DefaultConfig() Config {
	host, err := os.Hostname()
	if err != nil {
		host = "tocsin"
	}
	return Config{
		Instance:   host,
		Kafka:      kafka.DefaultConfig(),
		ClickHouse: ClickHouseConfig{Addrs: []string{"127.0.0.1:9000"}, Database: "tocsin", User: "default", Cluster: ClusterConfig{Keeper: true}},
		Rules:      RulesConfig{Library: true, Lateness: 2 * time.Minute},
		Alerts:     alert.DeskConfig{PerMinute: alert.DefaultPerMinute},
		Flush:      FlushConfig{Rows: 65536, Bytes: 24 << 20, Interval: 2 * time.Second, Budget: 96 << 20},
		Receive:    receive.DefaultConfig(),
		Sample:     sample.DefaultConfig(),
		Admin:      AdminConfig{Listen: "127.0.0.1:9410"},
		Log:        LogConfig{Level: "info", Format: "json"},
	}
}

// LoadConfig reads a configuration file over the defaults. Every error of the file is reported, with file, line and column.
// Secrets may be given as ${NAME}, from the environment, or ${file:PATH}.
func LoadConfig(path string) (Config, error) {
	cfg := DefaultConfig()
	data, err := os.ReadFile(path)
	if err != nil {
		return cfg, err
	}
	if err := yaml.UnmarshalWithOptions(data, &cfg, yaml.Strict()); err != nil && len(data) > 0 {
		return cfg, fmt.Errorf("%s:%s", path, yaml.FormatError(err, false, true))
	}
	if cfg.Parse.Own, err = loadSources(cfg.Rules.Dirs); err != nil {
		return cfg, err
	}
	if err := errors.Join(cfg.expandSecrets(), cfg.validate()); err != nil {
		return cfg, fmt.Errorf("%s: %w", path, err)
	}
	return cfg, nil
}

// variable is a secret that is not in the configuration itself: ${NAME} of the environment, or ${file:PATH}.
var variable = regexp.MustCompile(`^\$\{(?:([A-Za-z_][A-Za-z0-9_]*)|file:([^}]+))\}$`)

func (c *Config) expandSecrets() error {
	var errs []error
	secrets := map[string]*string{
		"kafka.sasl.password":   &c.Kafka.SASL.Password,
		"clickhouse.password":   &c.ClickHouse.Password,
		"parse.fingerprint_key": &c.Parse.FingerprintKey,
		"enrich.privacy.key":    &c.Enrich.Privacy.Key,
	}
	for i, r := range c.Receive.Routes {
		for j := range r.Secrets {
			secrets[fmt.Sprintf("receive.routes[%d].secrets[%d]", i, j)] = &r.Secrets[j]
		}
	}
	for i := range c.Bridges {
		for name, s := range map[string]*string{"url": &c.Bridges[i].URL, "secret": &c.Bridges[i].Secret, "key": &c.Bridges[i].Key} {
			secrets[fmt.Sprintf("bridges[%d].%s", i, name)] = s
		}
	}
	for i := range c.Admin.People {
		secrets[fmt.Sprintf("admin.people[%d].token", i)] = &c.Admin.People[i].Token
	}
	for i := range c.Sample.Databases {
		secrets[fmt.Sprintf("sample.databases[%d].dsn", i)] = &c.Sample.Databases[i].DSN
	}
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		s := secrets[key]
		m := variable.FindStringSubmatch(*s)
		switch {
		case m == nil:
		case m[1] != "":
			v, ok := os.LookupEnv(m[1])
			if !ok {
				errs = append(errs, fmt.Errorf("%s: environment variable %s is not set", key, m[1]))
			}
			*s = v
		default:
			v, err := os.ReadFile(m[2])
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", key, err))
			}
			*s = strings.TrimSpace(string(v))
			if s == &c.Kafka.SASL.Password {
				c.Kafka.SASL.PasswordFile = m[2]
			}
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validate() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(len(c.Kafka.Brokers) > 0, "kafka.brokers: none is given")
	want(c.Kafka.Group != "", "kafka.group: empty")
	errs = append(errs, c.Kafka.Check())
	want(c.Kafka.Partitions > 0, "kafka.partitions: %d, want 1 or more", c.Kafka.Partitions)
	want(len(c.ClickHouse.Addrs) > 0, "clickhouse.addrs: none is given")
	want(c.Alerts.PerMinute >= 5 && c.Alerts.PerMinute <= 10_000, "alerts.per_minute: %d, want 5 to 10000", c.Alerts.PerMinute)
	errs = append(errs, bridge.Check(c.Bridges), c.Watch.check(c.Bridges))
	want(c.Flush.Rows > 0 && c.Flush.Rows <= 1<<20, "flush.rows: %d, want 1 to %d", c.Flush.Rows, 1<<20)
	want(c.Flush.Bytes > 0 && c.Flush.Bytes <= 256<<20, "flush.bytes: %d, want 1 to %d", c.Flush.Bytes, 256<<20)
	want(c.Flush.Interval >= 100*time.Millisecond && c.Flush.Interval <= time.Minute, "flush.interval: %v, want 100ms to 1m", c.Flush.Interval)
	want(c.Flush.Budget >= 16<<20 && c.Flush.Budget <= 64<<30, "flush.budget: %d, want %d to %d", c.Flush.Budget, 16<<20, 64<<30)
	want(c.Rules.Lateness >= 0 && c.Rules.Lateness <= 24*time.Hour, "rules.lateness: %v, want 0 to 24h", c.Rules.Lateness)
	_, err := zapcore.ParseLevel(c.Log.Level)
	want(err == nil, "log.level: %q is none of debug, info, warn, error", c.Log.Level)
	want(c.Log.Format == "json" || c.Log.Format == "console", "log.format: %q is none of json, console", c.Log.Format)
	if _, err := parse.New(c.Parse); err != nil {
		errs = append(errs, fmt.Errorf("parse.topics: %w", err))
	}
	errs = append(errs, c.clickhouse().Check(), console.CheckPeople(c.Admin.People), c.Enrich.Check(), c.Receive.Check(), c.Sample.Check())
	return errors.Join(errs...)
}

// loadSources reads the mapping files of the folders as formats.
func loadSources(dirs []string) ([]parse.Format, error) {
	sources, err := mapping.Load(dirs...)
	if err != nil {
		return nil, err
	}
	var formats []parse.Format
	for _, s := range sources {
		formats = append(formats, s.Format())
	}
	return formats, nil
}

func (c Config) clickhouse() clickhouse.Config {
	return clickhouse.Config{
		Addrs: c.ClickHouse.Addrs, Database: c.ClickHouse.Database, User: c.ClickHouse.User, Password: c.ClickHouse.Password,
		TLS:      c.ClickHouse.TLS,
		Pipeline: c.Kafka.Group, Cluster: c.ClickHouse.Cluster.Name, Keeper: c.ClickHouse.Cluster.Keeper, KeepDays: c.ClickHouse.KeepDays,
		Tier: clickhouse.Tier{Policy: c.ClickHouse.Tier.Policy, Volume: c.ClickHouse.Tier.Volume, Days: c.ClickHouse.Tier.AfterDays},
	}
}

func (c Config) limits() pipeline.Limits {
	return pipeline.Limits{Rows: c.Flush.Rows, Bytes: c.Flush.Bytes, Interval: c.Flush.Interval}
}

// loadWithLog reads a configuration file and makes the logger that it asks for.
func loadWithLog(path string) (cfg Config, log *zap.Logger, err error) {
	if cfg, err = LoadConfig(path); err == nil {
		log, err = cfg.Log.logger()
	}
	return cfg, log, err
}

func (c LogConfig) logger() (*zap.Logger, error) {
	conf := zap.NewProductionConfig() // samples what repeats: 100 equal messages a second, then every 100th
	conf.DisableStacktrace = true
	conf.DisableCaller = true
	conf.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if c.Format == "console" {
		conf.Encoding = "console"
		conf.EncoderConfig = zap.NewDevelopmentEncoderConfig()
	}
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, err
	}
	conf.Level = zap.NewAtomicLevelAt(level)
	return conf.Build()
}
