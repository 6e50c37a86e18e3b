package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func newRulesExplain() *cobra.Command {
	var config string
	var rules []string
	var show int
	cmd := &cobra.Command{
		Use:   "explain RULE FILE...",
		Short: "Say why a rule fires on records or events, or why it does not",
		Long: `Explain runs one rule over files of native records, or of events as 'tocsin parse' prints them or you write them, with
event_type and event_time ("-" is standard input). For each step of the rule it shows events that match and those that come
nearest, condition by condition; then the alerts, and for each key how full its window is and what is missing. RULE is the
id of a rule, or a rule's file.`,
		Example: `  tocsin rules explain C12 auth.log
  tocsin parse hook.json | tocsin rules explain mine/root.yaml -`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, files := args[0], args[1:]
			if isRulePath(name) {
				rules = append(rules, name)
			}
			cfg, err := offlineConfig(config, rules)
			if err != nil {
				return err
			}
			set, err := cfg.Rules.load()
			if err != nil {
				return err
			}
			r, err := findRule(set, name)
			if err != nil {
				return err
			}
			run, err := newOffline(cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			x := &explainer{set: set, rule: r, cfg: cfg, show: show, steps: make([]explainedStep, len(r.Steps)), matcher: set.NewMatcher()}
			for _, name := range files {
				err := run.read(cmd.Context(), name, cmd.InOrStdin(), func(b *pipeline.Batch) error { return x.look(cmd, b) })
				if err != nil {
					return err
				}
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err := x.write(out); err != nil {
				return err
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if run.rejected > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for its rules, bindings and lateness")
	cmd.Flags().StringArrayVar(&rules, "rules", nil, "rule files or folders to use in place of the configured ones")
	cmd.Flags().IntVar(&show, "show", 3, "how many events of each step, and how many keys, are shown")
	return cmd
}

// isRulePath tells a rule's file from its id.
func isRulePath(name string) bool { return rule.IsRuleFile(filepath.Base(name)) }

// findRule returns the rule of that id, or the one that was read from that file.
func findRule(set *rule.Set, name string) (*rule.Rule, error) {
	var ids []string
	for _, r := range set.Rules {
		if r.ID == name || isRulePath(name) && r.Path == name {
			return r, nil
		}
		ids = append(ids, r.ID)
	}
	return nil, fmt.Errorf("there is no rule %q; there are %s", name, strings.Join(ids, ", "))
}

// explainer collects what there is to say of one rule.
type explainer struct {
	set     *rule.Set
	rule    *rule.Rule
	cfg     Config
	show    int
	events  int
	steps   []explainedStep // as in the rule
	matcher *rule.Matcher
	signals []pipeline.Signal // of the rule, and where it takes alerts those of all rules
}

// explainedStep is what was seen of one step.
type explainedStep struct {
	matches int
	matched []explainedEvent // the first that match
	nearest []explainedEvent // those that do not match, the nearest first
}

type explainedEvent struct {
	text   string
	missed int // conditions that do not hold
	x      rule.Explanation
}

// look takes a batch of events.
func (x *explainer) look(cmd *cobra.Command, b *pipeline.Batch) error {
	x.events += len(b.Events)
	for i := range b.Events {
		e := &b.Events[i]
		for n, got := range x.set.Explain(x.rule, e) {
			step := &x.steps[n]
			one := explainedEvent{fmt.Sprintf("%s %s %s", e.Time.UTC().Format(time.RFC3339), e.Type, e.Title), 0, got}
			if got.Matched {
				if step.matches++; len(step.matched) < x.show {
					step.matched = append(step.matched, one)
				}
				continue
			}
			for _, c := range got.Conditions {
				if !c.Holds && c.Depth <= 1 {
					one.missed++
				}
			}
			if n := len(step.nearest); n == x.show && (n == 0 || step.nearest[n-1].missed <= one.missed) {
				continue
			}
			step.nearest = append(step.nearest, one)
			slices.SortStableFunc(step.nearest, func(a, b explainedEvent) int { return cmp.Compare(a.missed, b.missed) })
			step.nearest = step.nearest[:min(len(step.nearest), x.show)]
		}
	}
	if err := x.matcher.Process(cmd.Context(), b); err != nil {
		return err
	}
	for _, s := range b.Signals {
		if s.Rule == x.rule.ID || x.rule.Depth > 0 {
			x.signals = append(x.signals, s.Clone())
		}
	}
	return nil
}

// write says it all.
func (x *explainer) write(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s (%s), %d events\n", x.rule.ID, x.rule.Title, x.rule.Kind, x.events)
	for i, step := range x.steps {
		fmt.Fprintf(w, "\nstep %s: %d of %d events match\n", x.rule.Steps[i].ID, step.matches, x.events)
		shown := step.matched
		if step.matches == 0 {
			shown = step.nearest
			if len(shown) > 0 {
				fmt.Fprintf(w, "the nearest:\n")
			}
		}
		for _, e := range shown {
			fmt.Fprintf(w, "  %s\n    %s\n", e.text, strings.ReplaceAll(e.x.String(), "\n", "\n    "))
		}
	}
	slices.SortStableFunc(x.signals, func(a, b pipeline.Signal) int { return a.Time.Compare(b.Time) })
	alerts := 0
	var keys []string
	fmt.Fprintln(w)
	engine, err := correlateAll(x.set, x.cfg, x.signals, func(a *pipeline.Alert, now time.Time) error {
		if a.Status != pipeline.StatusUpdated && a.Rule == x.rule.ID {
			alerts++
			if key := strings.TrimPrefix(a.DedupKey, x.rule.ID+"|"); x.rule.Depth > 0 && !slices.Contains(keys, key) && len(keys) <= x.show {
				keys = append(keys, key)
			}
			fmt.Fprintf(w, "alert: %s %s to %s, severity %d: %s\n", now.UTC().Format(time.RFC3339), a.Status, a.Team, a.Severity, a.Title)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if alerts == 0 {
		fmt.Fprintln(w, "no alert")
	}
	for _, s := range x.signals {
		if s.Rule == x.rule.ID && !slices.Contains(keys, s.Key) && len(keys) <= x.show {
			keys = append(keys, s.Key)
		}
	}
	for i, key := range keys {
		if i == x.show {
			fmt.Fprintln(w, "... and further keys; --show shows more")
			break
		}
		fmt.Fprintf(w, "key %s at the end:\n", key)
		lines := engine.Explain(x.rule.ID, key)
		if len(lines) == 0 {
			lines = []string{"nothing is held of it: what it had is too long ago"}
		}
		for _, line := range lines {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
	return nil
}
