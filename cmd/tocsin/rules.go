package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/cmd/tocsin/internal/top"
	"github.com/tocsin-project/tocsin/pipeline/console"
	"github.com/tocsin-project/tocsin/processors/mapping"
	"github.com/tocsin-project/tocsin/processors/parse"
	"github.com/tocsin-project/tocsin/processors/rule"
	"github.com/tocsin-project/tocsin/processors/rule/ruletest"
	"github.com/tocsin-project/tocsin/schemas"
)

func newRules() *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Short: "Check, test, explain and compare correlation rules"}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "check [PATH...]",
			Short: "Report everything that is wrong in rule and mapping files, with file, line and column",
			RunE: func(cmd *cobra.Command, paths []string) error {
				set, err := loadRules(paths)
				if errors.Is(err, fs.ErrNotExist) {
					return err // which no mapping file can be below either
				}
				sources, err2 := mapping.Load(paths...)
				if err := errors.Join(err, err2); err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
					return errNo
				}
				for _, note := range slices.Concat(set.Notes(), set.Warnings, exceptionNotes(set, time.Now())) {
					fmt.Fprintln(cmd.ErrOrStderr(), note)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "%d rules are fine", len(set.Rules))
				if len(sources) > 0 {
					fmt.Fprintf(cmd.ErrOrStderr(), ", and %d sources", len(sources))
				}
				fmt.Fprintln(cmd.ErrOrStderr())
				return nil
			},
		},
		newRulesTest(), newRulesExplain(), newRulesDiff(), newRulesSQL(), newRulesBacktest(), newRulesSuggest(), newRulesSilent(),
		&cobra.Command{
			Use:       "schema [rule|test|exceptions]",
			Short:     "Print the JSON Schema of rule files, their tests or exceptions, for editors",
			Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
			ValidArgs: []string{"rule", "test", "exceptions"},
			RunE: func(cmd *cobra.Command, args []string) error {
				schema := schemas.RuleSchema
				switch {
				case len(args) > 0 && args[0] == "test":
					schema = schemas.RuleTestSchema
				case len(args) > 0 && args[0] == "exceptions":
					schema = schemas.ExceptionsSchema
				}
				_, err := cmd.OutOrStdout().Write(schema)
				return err
			},
		},
		&cobra.Command{
			Use:   "list [PATH...]",
			Short: "List rules: id, kind, teams, title",
			RunE: func(cmd *cobra.Command, paths []string) error {
				set, err := loadRules(paths)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "ID\tKIND\tTEAMS\tTITLE")
				for _, r := range set.Rules {
					var teams []string
					for _, s := range r.Subscriptions {
						teams = append(teams, s.Team)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.ID, r.Kind, strings.Join(teams, " "), r.Title)
				}
				return w.Flush()
			},
		},
	)
	return cmd
}

func newRulesSilent() *cobra.Command {
	return &cobra.Command{
		Use:   "silent [ADDRESS]...",
		Short: "Say why rules have not fired: no traffic, fields that no event carries, conditions that none meets",
		Long: `Silent reads the metrics of running processes at their admin addresses (127.0.0.1:9410 when none is given; name those of
ingest and detect where they are apart) and says of each rule that has not fired since they began how far events came: of
the types that it asks for, with the fields that it needs, through the index, its condition, exceptions and key, to the state
that detect holds. 'tocsin rules explain' says for records at hand what is missing.`,
		RunE: func(cmd *cobra.Command, addresses []string) error {
			if len(addresses) == 0 {
				addresses = []string{console.DefaultListen}
			}
			now, errs := top.Fetch(cmd.Context(), addresses)
			if len(errs) > 0 {
				return errors.Join(errs...) // a part of the processes would call rules silent that the others hear
			}
			now.Silent(cmd.OutOrStdout())
			return nil
		},
	}
}

func newRulesTest() *cobra.Command {
	var junit string
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the rules' tests: records in, alerts expected",
		Long: `Test runs every *.test.yaml beside the rules, of a folder or of rule files, or those that tocsin comes with: native records or events go through parser,
matcher and engine in simulated time, and the alerts must be the expected ones. Rules without a test that fires and one
that nearly does are named. The tests within mapping files (*.source.yaml) run as well.`,
		RunE: func(cmd *cobra.Command, paths []string) error {
			set, err := loadRules(paths)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errNo
			}
			files := rule.LibraryTests()
			if len(paths) > 0 {
				if files, err = rule.ReadTests(paths...); err != nil {
					return err
				}
			}
			sources, err := mapping.Load(paths...)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errNo
			}
			own, err := loadSources(paths)
			if err != nil {
				return err
			}
			parser, err := parse.New(parse.Config{Own: own})
			if err != nil {
				return err
			}
			report, err := ruletest.Run(set, files, parser)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errNo
			}
			failed := 0
			var mapped []ruletest.Result
			for _, s := range sources {
				wrong := s.Run()
				for _, t := range s.Tests {
					mapped = append(mapped, ruletest.Result{Case: rule.Case{Path: s.Path, Name: t.Name}, Failures: wrong[t.Name]})
					word := "ok  "
					if len(wrong[t.Name]) > 0 {
						word = "FAIL"
						failed++
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%s  %s: %s\n", word, s.Path, t.Name)
					for _, f := range wrong[t.Name] {
						fmt.Fprintf(cmd.OutOrStdout(), "      %s\n", f)
					}
				}
				if len(s.Tests) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "note  %s: no test\n", s.Path)
				}
			}
			for _, r := range report.Results {
				word := "ok  "
				if len(r.Failures) > 0 {
					word = "FAIL"
					failed++
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %s:%d: %s\n", word, r.Case.Path, r.Case.Line, r.Case.Name)
				for _, f := range r.Failures {
					fmt.Fprintf(cmd.OutOrStdout(), "      %s\n", f)
				}
			}
			for _, id := range report.Unfired {
				fmt.Fprintf(cmd.OutOrStdout(), "note  %s: no test in which it fires\n", id)
			}
			for _, id := range report.Unmissed {
				fmt.Fprintf(cmd.OutOrStdout(), "note  %s: no test in which it nearly fires\n", id)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d rules, %d tests, %d failed\n", len(set.Rules), len(mapped)+len(report.Results), failed)
			if junit != "" {
				if err := writeJUnit(junit, append(mapped, report.Results...)); err != nil {
					return err
				}
			}
			if failed > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&junit, "junit", "", "write a JUnit report to this file")
	return cmd
}

// writeJUnit writes a report for CI systems.
func writeJUnit(path string, results []ruletest.Result) error {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Name    string    `xml:"name,attr"`
		Class   string    `xml:"classname,attr"`
		Time    string    `xml:"time,attr"` // seconds; no exponent, which its schema has not
		Failure []failure `xml:"failure"`
	}
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: "tocsin rules", Tests: len(results)}
	for _, r := range results {
		c := testcase{Name: r.Case.Name, Class: r.Case.Path, Time: fmt.Sprintf("%.6f", r.Elapsed.Seconds())}
		if len(r.Failures) > 0 {
			suite.Failures++
			c.Failure = []failure{{strings.Join(r.Failures, "\n")}}
		}
		suite.Cases = append(suite.Cases, c)
	}
	b, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(b, '\n')...), 0o644)
}

// expiresSoon is how long before its end an exception is named.
const expiresSoon = 14 * 24 * time.Hour

// exceptionNotes name the exceptions that have ended or soon will.
func exceptionNotes(set *rule.Set, now time.Time) (notes []string) {
	for _, x := range set.Exceptions {
		word := "expires"
		switch left := x.Expires.Sub(now); {
		case left <= 0:
			word = "does nothing since it expired"
		case left > expiresSoon:
			continue
		}
		notes = append(notes, fmt.Sprintf("%s:%d: exception %s %s on %s (%s, %s)", x.Path, x.Line, x.ID, word, x.Expires.Format(time.DateOnly), x.Owner, x.Ticket))
	}
	return notes
}
