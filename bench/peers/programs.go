package main

import (
	"context"
	"debug/buildinfo"
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"github.com/tocsin-project/tocsin/bench/rig"
)

// peer is a program that does the same work: what it is called with, and how its configuration is written.
type peer struct {
	name, binary, install string
	module                string // of Go, whose version is the program's; rsyslog tells its own
	config                string // template under conf
	arguments             func(config, dir string) []string

	and  string
	path func(string) string
}

var peers = []peer{
	{
		name: "Bento", binary: "bento", module: "github.com/warpstreamlabs/bento",
		install: "go install github.com/warpstreamlabs/bento/cmd/bento@v1.5.0",
		config:  "bento.yaml", arguments: func(config, _ string) []string { return []string{"-c", config} },
		and: " && ", path: func(p string) string { return "this." + p },
	},
	{
		name: "OpenTelemetry Collector", binary: "otelcol", module: "go.opentelemetry.io/collector/otelcol",
		install: "its builder (go.opentelemetry.io/collector/cmd/builder) with kafkareceiver, clickhouseexporter, the processors batch, transform and filter, and the connector forward",
		config:  "otelcol.yaml", arguments: func(config, _ string) []string { return []string{"--config", config} },
		and: " and ", path: func(p string) string { return `log.body["` + strings.ReplaceAll(p, ".", `"]["`) + `"]` },
	},
	{
		name: "Telegraf", binary: "telegraf", module: "github.com/influxdata/telegraf",
		install: "go build github.com/influxdata/telegraf/cmd/telegraf in a clone of it, tag v1.34.0",
		config:  "telegraf.conf", arguments: func(config, _ string) []string { return []string{"--config", config} },
		and: " and ", path: func(p string) string { return `g("` + strings.ReplaceAll(p, ".", "_") + `")` },
	},
	{
		name: "rsyslog", binary: "rsyslogd",
		install: "apt-get install rsyslog rsyslog-kafka",
		config:  "rsyslog.conf", arguments: func(config, dir string) []string {
			return []string{"-n", "-f", config, "-i", filepath.Join(dir, "pid")}
		},
		and: " and ", path: func(p string) string { return "$!" + strings.ReplaceAll(p, ".", "!") },
	},
}

// find returns where a program is: in the folder of -bin, or on the path.
func find(binary string) (string, error) {
	if program, err := exec.LookPath(filepath.Join(*bin, binary)); err == nil {
		return filepath.Abs(program)
	}
	return exec.LookPath(binary)
}

// version says which one a program is.
func (p *peer) version(ctx context.Context, program string) string {
	if p.module == "" {
		out, err := exec.CommandContext(ctx, program, "-v").Output()
		line, _, _ := strings.Cut(string(out), " compiled with")
		if err != nil {
			return err.Error()
		}
		return strings.TrimSpace(line)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err.Error()
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == p.module {
			return m.Version + ", " + info.GoVersion
		}
	}
	return "a build without " + p.module
}

// settings is what a template of a configuration is filled with.
type settings struct {
	*peer
	Broker, Topic, Group, Alerts string
	Detect                       bool   // match the rules, and write matches to the topic Alerts
	Sink, LinesHost, LinesPort   string // host:port of HTTP; of TCP
	Dir                          string // of the run
	Kinds                        []kind
}

//go:embed conf
var configs embed.FS

// write puts the peer's configuration into the run's folder and returns its path.
func (s settings) write() (string, error) {
	t, err := template.ParseFS(configs, "conf/"+s.config)
	if err != nil {
		return "", err
	}
	file, err := os.Create(filepath.Join(s.Dir, s.config))
	if err != nil {
		return "", err
	}
	if err := t.Execute(file, s); err != nil {
		_ = file.Close()
		return "", err
	}
	return file.Name(), file.Close()
}

func (p *peer) settings(s *sink, dir, broker, group string, detect bool) (settings, error) {
	host, port, err := net.SplitHostPort(s.TCP)
	return settings{peer: p, Broker: broker, Topic: rig.Topic, Group: group, Alerts: "alerts-" + group, Detect: detect,
		Sink: s.HTTP, LinesHost: host, LinesPort: port, Dir: dir, Kinds: kinds}, err
}

// When writes conditions, all of which must be met, as the peer's language has them.
func (p *peer) When(conds []cond) string {
	var all []string
	for _, c := range conds {
		value := fmt.Sprint(c.value)
		if text, ok := c.value.(string); ok {
			value = strconv.Quote(text)
		}
		all = append(all, p.path(c.path)+" "+c.op+" "+value)
	}
	return strings.Join(all, p.and)
}

// Path writes a path of a record as the peer's language has it.
func (p *peer) Path(path string) string { return p.path(path) }

// Column is the column of a path.
func (p *peer) Column(path string) string { return strings.ReplaceAll(path, ".", "_") }
