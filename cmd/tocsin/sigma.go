package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/processors/sigma"
)

func newSigma() *cobra.Command {
	cmd := &cobra.Command{Use: "sigma", Short: "Check Sigma rules, match events by them, fetch the public ones"}
	cmd.AddCommand(newSigmaCheck(), newSigmaMatch(), newSigmaFetch())
	return cmd
}

func newSigmaCheck() *cobra.Command {
	var placeholders string
	var fires bool
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Say of every Sigma rule whether it can be honoured",
		Long: `Check compiles every document of the YAML files at and below the paths and prints a line of JSON for each: path, id, ok,
and the reason where it is refused. Nothing is weakened: a rule that cannot be honoured to the letter is refused, with
line and column. What is accepted though the specification frowns on it is said on standard error.

With --fires each line also says why the rule can never fire on the events of tocsin's parsers: no view of a taxonomy shows
them as the rule's log source, or none has its fields.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			set, err := loadSigma(paths, placeholders)
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			never := map[*sigma.Rule]string{}
			if fires {
				files, err := sigma.ReadBeside(paths...)
				if err != nil {
					return err
				}
				for _, s := range sigma.NewDetector(set, files.Taxonomy).Silent() {
					never[s.Rule] = s.Reason
				}
			}
			refused := 0
			for _, r := range set.Results {
				line := struct {
					Path   string  `json:"path"`
					ID     string  `json:"id"`
					OK     bool    `json:"ok"`
					Reason string  `json:"reason"`
					Never  *string `json:"never,omitempty"`
				}{Path: r.Path, ID: r.ID, OK: r.Err == nil}
				if why := never[r.Rule]; fires && r.Rule != nil && !r.Inactive {
					line.Never = &why
				}
				if r.Err != nil {
					refused++
					line.Reason = r.Err.Error()
				}
				if err := enc.Encode(line); err != nil {
					return err
				}
				for _, w := range r.Warnings {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s:%s\n", r.Path, w)
				}
			}
			if err := out.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d documents, %d refused\n", len(set.Results), refused)
			if fires {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d can never fire\n", len(never))
			}
			if refused > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&placeholders, "placeholders", "", "YAML file of the values of %name% in items with the modifier expand")
	cmd.Flags().BoolVar(&fires, "fires", false, "say too which rules can never fire on the events of tocsin's parsers")
	return cmd
}

func newSigmaMatch() *cobra.Command {
	var rules []string
	var source, placeholders string
	cmd := &cobra.Command{
		Use:   "match --rules DIR FILE.jsonl",
		Short: "Match events, one JSON object a line, by Sigma rules",
		Long: `Match prints a line of JSON for each event: its line, and the ids of the rules that match, sorted. Every rule is judged on
every event unless --source says where the events come from. A correlation is named at the event that completes it, in
the events' own time, or where it asks for absence at the first event that comes when its window has ended; the rules that it refers to
are not, unless it says generate. Rules below a directory named deprecated or unsupported
are left out, and so are those that are refused; their number is said on standard error.`,
		Example: `  tocsin sigma match --rules rules --source product=windows,category=process_creation events.jsonl`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(rules) == 0 {
				return errors.New("--rules wants a directory or file of Sigma rules")
			}
			var from *sigma.LogSource
			if source != "" {
				s, err := sigma.ParseLogSource(source)
				if err != nil {
					return fmt.Errorf("--source: %w", err)
				}
				from = &s
			}
			set, err := loadSigma(rules, placeholders)
			if err != nil {
				return err
			}
			refused := 0
			for _, r := range set.Results {
				if r.Err != nil {
					refused++
				}
			}
			program := set.Compile(from)
			fmt.Fprintf(cmd.ErrOrStderr(), "%d rules are matched; %d of %d documents are refused (tocsin sigma check says why)\n", len(program.Rules()), refused, len(set.Results))
			in := cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			return matchSigma(cmd, program, in, args[0])
		},
	}
	cmd.Flags().StringArrayVar(&rules, "rules", nil, "directory or file of Sigma rules")
	cmd.Flags().StringVar(&source, "source", "", "log source of the events: product=P,category=C,service=S, or some of them")
	cmd.Flags().StringVar(&placeholders, "placeholders", "", "YAML file of the values of %name% in items with the modifier expand")
	return cmd
}

// matchSigma prints a line for each event, and reports the lines that are no JSON object.
func matchSigma(cmd *cobra.Command, program *sigma.Program, in io.Reader, name string) error {
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	m, correlator := program.NewMatcher(), program.NewCorrelator()
	rejected, timeless := 0, 0
	ids := []string{}
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		matched, err := m.JSON(lines.Bytes())
		if err != nil {
			rejected++
			fmt.Fprintf(cmd.ErrOrStderr(), "%s:%d: %s\n", name, n, err)
			continue
		}
		ids = ids[:0]
		for _, r := range matched {
			if !program.Quiet(r) {
				ids = append(ids, r.Key())
			}
		}
		if program.Correlates() {
			at, ok := m.Time()
			if !ok {
				timeless++
			} else {
				for _, r := range correlator.Event(at, matched, m) {
					if !program.Quiet(r) {
						ids = append(ids, r.Key())
					}
				}
			}
		}
		slices.Sort(ids)
		if err := enc.Encode(struct {
			Line    int      `json:"line"`
			RuleIDs []string `json:"rule_ids"`
		}{n, ids}); err != nil {
			return err
		}
	}
	if err := errors.Join(lines.Err(), out.Flush()); err != nil {
		return err
	}
	if timeless > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d events have no time that can be read: correlations did not see them\n", timeless)
	}
	if rejected > 0 {
		return errNo
	}
	return nil
}

func loadSigma(paths []string, placeholders string) (*sigma.Set, error) {
	var opts sigma.Options
	if placeholders != "" {
		data, err := os.ReadFile(placeholders)
		if err != nil {
			return nil, err
		}
		if opts.Placeholders, err = sigma.ReadPlaceholders(placeholders, data); err != nil {
			return nil, err
		}
	}
	files, err := sigma.ReadFiles(paths...)
	if err != nil {
		return nil, err
	}
	return sigma.Load(files, opts), nil
}
