package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/file"
	"github.com/tocsin-project/tocsin/processors/correlate"
	"github.com/tocsin-project/tocsin/processors/enrich"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// offline runs the pipeline's processors over files, without Kafka and ClickHouse: for replay, explain and diff.
type offline struct {
	parser, enricher pipeline.Processor
	warn             io.Writer
	// rejected counts the records that were refused; each was reported to warn.
	rejected int
}

// offlineConfig is the configuration of the file, or the default one, with the rules at the paths in place of its own where
// any are given.
func offlineConfig(path string, rules []string) (cfg Config, err error) {
	cfg = DefaultConfig()
	if path != "" {
		if cfg, err = LoadConfig(path); err != nil {
			return cfg, err
		}
	}
	if len(rules) > 0 {
		cfg.Rules.Library, cfg.Rules.Dirs = false, rules
		own, err := loadSources(rules)
		if err != nil {
			return cfg, err
		}
		for _, f := range own {
			if !slices.ContainsFunc(cfg.Parse.Own, func(g parse.Format) bool { return g.Name == f.Name }) {
				cfg.Parse.Own = append(cfg.Parse.Own, f)
			}
		}
	}
	return cfg, nil
}

// newOffline returns the parser and the enrichment of the configuration.
func newOffline(cfg Config, warn io.Writer) (*offline, error) {
	parser, err := parse.New(cfg.Parse)
	if err != nil {
		return nil, err
	}
	enricher, err := enrich.New(cfg.Enrich, zap.NewNop())
	if err != nil {
		return nil, err
	}
	return &offline{parser: parser, enricher: enricher.Processor(), warn: warn}, nil
}

// read calls f with each batch of a file's events. A file holds native records, or events as `tocsin parse` prints them;
// "-" is in. The batches are f's to keep.
func (o *offline) read(ctx context.Context, name string, in io.Reader, f func(b *pipeline.Batch) error) error {
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return err
		}
		defer opened.Close()
		in = opened
	}
	return file.Read(in, name, time.Now().UTC(), func(b *pipeline.Batch, before int) error {
		if isEvents(b.Records[0].Value) {
			if err := readEvents(b); err != nil {
				return fmt.Errorf("%s:%w", name, err)
			}
		} else if err := o.parser.Process(ctx, b); err != nil {
			return err
		}
		// Events that were enriched before stay as they are: what is full is not filled, what is hashed not hashed again.
		if err := o.enricher.Process(ctx, b); err != nil {
			return err
		}
		for _, f := range b.Failures {
			o.rejected++
			fmt.Fprintf(o.warn, "%s:%d: %s\n", name, before+max(f.Line, 1), f.Reason)
		}
		return f(b)
	})
}

// isEvents tells whether a record is what `tocsin parse` prints, or the like of it by hand: no source says event_type beside
// our names of the event's time or id.
func isEvents(record []byte) bool {
	first, _, _ := bytes.Cut(record, []byte{'\n'})
	var columns map[string]json.RawMessage
	if !bytes.Contains(first, []byte(`"event_type"`)) || json.Unmarshal(first, &columns) != nil {
		return false
	}
	return columns["event_type"] != nil && (columns["event_id"] != nil || columns["event_time"] != nil)
}

// readEvents reads a batch's record as events, one JSON object a line, keyed by column. An event without an id has one by its place.
func readEvents(b *pipeline.Batch) error {
	line := 0
	for text := range bytes.Lines(b.Records[0].Value) {
		line++
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var columns map[string]any
		if err := d.Decode(&columns); err != nil {
			return fmt.Errorf("%d: %w", line, err)
		}
		e := b.Next(0)
		e.ID = pipeline.NewID(b.Topic, fmt.Sprint(b.Records[0].Offset), fmt.Sprint(line))
		for column, v := range columns {
			if err := setColumn(e, column, v); err != nil {
				return fmt.Errorf("%d: %w", line, err)
			}
		}
	}
	return nil
}

func setColumn(e *pipeline.Event, column string, v any) error {
	switch v := v.(type) {
	case map[string]any:
		for key, v := range v {
			if err := setColumn(e, column+"."+key, v); err != nil {
				return err
			}
		}
		return nil
	case []any:
		var texts []byte
		for i, v := range v {
			if i > 0 {
				texts = append(texts, ',')
			}
			texts = fmt.Append(texts, v)
		}
		return e.SetField(column, string(texts))
	}
	return e.SetField(column, fmt.Sprint(v))
}

// signals reads the files and returns what the rules of each set signal, in the order of event time.
func (o *offline) signals(ctx context.Context, files []string, in io.Reader, sets ...*rule.Set) ([][]pipeline.Signal, error) {
	var matchers []*rule.Matcher
	for _, set := range sets {
		matchers = append(matchers, set.NewMatcher())
	}
	out := make([][]pipeline.Signal, len(sets))
	for _, name := range files {
		err := o.read(ctx, name, in, func(b *pipeline.Batch) error {
			for i, m := range matchers {
				b.Signals = b.Signals[:0]
				if err := m.Process(ctx, b); err != nil {
					return err
				}
				for _, s := range b.Signals {
					out[i] = append(out[i], s.Clone())
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for i := range out {
		slices.SortStableFunc(out[i], func(a, b pipeline.Signal) int { return a.Time.Compare(b.Time) })
	}
	return out, nil
}

// correlateAll gives an engine all signals, in order, and say each alert that comes of it. It returns the engine as the last
// signal left it.
func correlateAll(set *rule.Set, cfg Config, signals []pipeline.Signal, say func(a *pipeline.Alert, now time.Time) error) (*correlate.Engine, error) {
	engine := correlate.New(set, correlate.Config{Lateness: cfg.Rules.Lateness})
	var said pipeline.Output
	for i := range signals {
		// One partition in order of time: the numbers of the files' records do not matter any more.
		signals[i].Origin, signals[i].Offset, signals[i].Seq = pipeline.TopicPartition{Topic: "replay"}, int64(i), 0
		said.Reset(signals[i].Time)
		engine.Process(&signals[i], &said)
		engine.Feed(&said)
		for _, a := range said.Alerts {
			if err := say(a, said.Now); err != nil {
				return nil, err
			}
		}
		engine.Commit()
	}
	return engine, nil
}
