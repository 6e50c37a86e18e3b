package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/cmd/tocsin/internal/send"
	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/file"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/parse"
)

func newSend() *cobra.Command {
	var to, config, topic, source string
	var fields []string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "send [FILE | -]...",
		Short: "Send reports to Kafka or to a receiver: the step at the end of a CI job",
		Long: `Send hands files (or standard input) on as they are, each as one record; those over 32 MiB are cut at line ends. They go to
a receiver (--to, or the environment's TOCSIN_URL; its token is TOCSIN_TOKEN) or straight to Kafka (-c and --topic). Within a
job of GitHub, GitLab, Bitbucket, Gitea or Jenkins the repository, commit, branch, pipeline and run go along, so that a report
that does not name them still joins what the server says of the run; --field adds to them or replaces them.
It waits while the receiver is busy or away. Exit status: 0 everything is in Kafka, 1 something was refused, 2 it could
not be sent within --timeout.`,
		Example: `  TOCSIN_TOKEN=... tocsin send --to https://tocsin.example.com/ci report.xml
  semgrep --json . | tocsin send --source semgrep
  tocsin send -c tocsin.yaml --topic ci --field project=shop --field environment=staging report.xml`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if source != "" && parse.Lookup(source) == nil {
				return fmt.Errorf("--source %q does not exist; `tocsin sources` lists them", source)
			}
			headers, err := sendHeaders(source, fields, os.Getenv)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			var deliver func(context.Context, *pipeline.Record) error
			switch {
			case topic != "":
				cfg := DefaultConfig()
				if config != "" {
					if cfg, err = LoadConfig(config); err != nil {
						return err
					}
				}
				sender, err := kafka.NewSender(ctx, cfg.Kafka, []string{topic}, zap.NewNop())
				if err != nil {
					return err
				}
				defer sender.Close()
				deliver = func(ctx context.Context, r *pipeline.Record) error { return sender.Send(ctx, topic, r) }
			default:
				if to == "" {
					to = os.Getenv("TOCSIN_URL")
				}
				if to == "" {
					return errors.New("where to? Name a receiver by --to or TOCSIN_URL, or a topic by --topic")
				}
				h := &send.HTTP{URL: to, Token: os.Getenv("TOCSIN_TOKEN")}
				if err := h.Check(); err != nil {
					return fmt.Errorf("--to: %w", err)
				}
				deliver = h.Send
			}
			if len(files) == 0 {
				files = []string{"-"}
			}
			refused := false
			for _, name := range files {
				err := sendFile(ctx, cmd, name, headers, deliver)
				switch {
				case errors.Is(err, send.ErrRefused), errors.Is(err, kafka.ErrTooLarge):
					refused = true
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", name, err)
				case err != nil:
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			if refused {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "address of a receiver's route; default TOCSIN_URL")
	cmd.Flags().StringVar(&topic, "topic", "", "Kafka topic to write to, without a receiver")
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for how Kafka is reached with --topic")
	cmd.Flags().StringVar(&source, "source", "", "format of the files; recognised by their shape when not given")
	cmd.Flags().StringArrayVar(&fields, "field", nil, "COLUMN=VALUE that fills a field which the record leaves empty")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "how long all of it may take")
	cmd.MarkFlagsMutuallyExclusive("to", "topic")
	return cmd
}

// sendHeaders returns what goes along with every record: what the CI server's environment says, and the user's fields.
func sendHeaders(source string, fields []string, getenv func(string) string) ([]pipeline.Header, error) {
	known := send.CI(getenv)
	for _, f := range fields {
		column, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("--field %q is not COLUMN=VALUE", f)
		}
		if err := new(pipeline.Event).SetField(column, value); err != nil {
			return nil, fmt.Errorf("--field %w", err)
		}
		known[column] = value
	}
	if source != "" {
		known["source"] = source
	}
	var headers []pipeline.Header
	for _, column := range slices.Sorted(maps.Keys(known)) {
		headers = append(headers, pipeline.Header{Key: "tocsin_" + column, Value: []byte(known[column])})
	}
	return headers, nil
}

// sendFile hands one file on.
func sendFile(ctx context.Context, cmd *cobra.Command, name string, headers []pipeline.Header, deliver func(context.Context, *pipeline.Record) error) error {
	var in io.Reader = cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	return file.Read(in, name, time.Now().UTC(), func(b *pipeline.Batch, _ int) error {
		r := &b.Records[0]
		r.Headers = headers
		if len(r.Value) == 0 {
			return fmt.Errorf("%w: the file is empty", send.ErrRefused)
		}
		return deliver(ctx, r)
	})
}
