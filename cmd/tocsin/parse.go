package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/file"
	"github.com/tocsin-project/tocsin/processors/parse"
)

func newParse() *cobra.Command {
	var source string
	var headers, mappings []string
	cmd := &cobra.Command{
		Use:   "parse [FILE | -]...",
		Short: "Turn native records into normalized events, one JSON object a line",
		Long: `Parse reads files (or standard input) in the formats that 'tocsin sources' lists and prints the events as the pipeline
would store them: one JSON object a line, keyed by column, empty fields left out. The format is recognised by its shape
unless --source names it. A record that is refused is reported as file:line: reason; the others still come out.`,
		Example: `  tocsin parse report.json
  git secrets --scan 2>&1 | tocsin parse --source git-secrets
  tocsin parse --header X-GitHub-Event=push hook.json`,
		RunE: func(cmd *cobra.Command, files []string) error {
			own, err := loadSources(mappings)
			if err != nil {
				return err
			}
			known := func(f parse.Format) bool { return f.Name == source }
			if source != "" && parse.Lookup(source) == nil && !slices.ContainsFunc(own, known) {
				return fmt.Errorf("--source %q does not exist; `tocsin sources` lists them", source)
			}
			var with []pipeline.Header
			for _, h := range headers {
				name, value, ok := strings.Cut(h, "=")
				if !ok {
					return fmt.Errorf("--header %q is not NAME=VALUE", h)
				}
				with = append(with, pipeline.Header{Key: name, Value: []byte(value)})
			}
			if source != "" {
				with = append(with, pipeline.Header{Key: "tocsin_source", Value: []byte(source)})
			}
			if len(files) == 0 {
				files = []string{"-"}
			}
			parser, err := parse.New(parse.Config{Own: own})
			if err != nil {
				return err
			}
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<20)
			rejected := 0
			for _, name := range files {
				n, err := parseFile(cmd, parser, name, with, out)
				if err != nil {
					return err
				}
				rejected += n
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if rejected > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "format of the input; recognised by its shape when not given")
	cmd.Flags().StringArrayVar(&headers, "header", nil, "header of the record, NAME=VALUE, as a webhook bridge would set it")
	cmd.Flags().StringArrayVar(&mappings, "mappings", nil, "file or folder with mapping files (*.source.yaml) of sources of your own")
	_ = cmd.RegisterFlagCompletionFunc("source", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, f := range parse.Formats {
			names = append(names, f.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// parseFile prints one file's events and reports what was refused; it returns how many were.
func parseFile(cmd *cobra.Command, parser *parse.Parser, name string, headers []pipeline.Header, out *bufio.Writer) (rejected int, err error) {
	var in io.Reader = cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		in = f
	}
	var line []byte
	err = file.Read(in, name, time.Now().UTC(), func(b *pipeline.Batch, before int) error {
		b.Records[0].Headers = headers
		if err := parser.Process(cmd.Context(), b); err != nil {
			return err
		}
		for i := range b.Events {
			e := &b.Events[i]
			e.Topic = "" // a file has no coordinates
			line = append(e.AppendJSON(line[:0]), '\n')
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
		for _, f := range b.Failures {
			rejected++
			fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d: %s\n", name, before+max(f.Line, 1), f.Reason)
		}
		if len(b.Events) > 0 && len(headers) == 0 { // what the first piece of a long log is, the others are
			headers = []pipeline.Header{{Key: "tocsin_source", Value: []byte(strings.Clone(b.Events[0].Source))}}
		}
		return nil
	})
	return rejected, err
}

func newSources() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "List every source format: name, phase, event types, how it is recognised",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				for _, f := range parse.Formats {
					if err := enc.Encode(map[string]any{"name": f.Name, "title": f.Title, "phase": f.Phase, "event_types": f.Types, "recognised_by": f.Known}); err != nil {
						return err
					}
				}
				return nil
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tPHASE\tFORMAT\tEVENT TYPES")
			for _, f := range parse.Formats {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Name, f.Phase, f.Title, strings.Join(f.Types, " "))
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, with how each is recognised")
	return cmd
}
