package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// libraryName stands for the rules that tocsin comes with where a path is wanted.
const libraryName = "library"

func newRulesDiff() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW FILE...",
		Short: "Compare what two sets of rules make of the same records: new, lost and same alerts",
		Long: `Diff runs two sets of rules over the same files of records or events, as 'tocsin replay' would, and lists the alerts that
only one of them raises, or that differ in class or severity. OLD and NEW are rule files or folders; "library" stands
for the rules that tocsin comes with. Exit status 1 where the sets differ.`,
		Example: `  tocsin rules diff rules/ rules.new/ yesterday.jsonl
  tocsin rules diff library mine/C12.yaml auth.log`,
		Args: cobra.MinimumNArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := offlineConfig(config, nil)
			if err != nil {
				return err
			}
			run, err := newOffline(cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			var sets []*rule.Set
			for _, path := range args[:2] {
				paths := []string{path}
				if _, err := os.Stat(path); err != nil && path == libraryName {
					paths = nil
				}
				set, err := loadRules(paths)
				if err != nil {
					return err
				}
				sets = append(sets, set)
			}
			signals, err := run.signals(cmd.Context(), args[2:], cmd.InOrStdin(), sets...)
			if err != nil {
				return err
			}
			raised := make([]map[raisedKey]raised, 2)
			for i, set := range sets {
				if raised[i], err = raisedBy(set, cfg, signals[i]); err != nil {
					return err
				}
			}
			same, differ := 0, 0
			for _, k := range sortedKeys(raised[0], raised[1]) {
				before, was := raised[0][k]
				after, is := raised[1][k]
				word := "same"
				switch {
				case !was:
					word, before = "new", after
				case !is:
					word = "lost"
				case before.severity != after.severity || before.class != after.class:
					word = "changed"
					before.title += fmt.Sprintf(" (was severity %d %s, is %d %s)", before.severity, before.class, after.severity, after.class)
				}
				if word == "same" {
					same++
					continue
				}
				differ++
				fmt.Fprintf(cmd.OutOrStdout(), "%-7s  %s to %s, %s: %s\n", word, k.rule, k.team, before.first.UTC().Format(time.RFC3339), before.title)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d alerts are the same, %d differ\n", same, differ)
			if differ > 0 || run.rejected > 0 {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", "", "configuration file, for its bindings and lateness")
	return cmd
}

// raisedKey tells alerts apart, whatever the rule's version.
type raisedKey struct{ rule, dedup, team string }

// raised is one alert with all its records.
type raised struct {
	first    time.Time
	title    string
	class    string
	severity uint8 // highest that was sent
}

// raisedBy returns the alerts that the set raises.
func raisedBy(set *rule.Set, cfg Config, signals []pipeline.Signal) (map[raisedKey]raised, error) {
	all := map[raisedKey]raised{}
	_, err := correlateAll(set, cfg, signals, func(a *pipeline.Alert, now time.Time) error {
		k := raisedKey{a.Rule, a.DedupKey, a.Team}
		one, seen := all[k]
		if !seen {
			one = raised{first: now, title: a.Title, class: a.Class}
		}
		one.severity = max(one.severity, a.Severity)
		all[k] = one
		return nil
	})
	return all, err
}

// sortedKeys returns the keys of both, each once, by rule and time.
func sortedKeys(a, b map[raisedKey]raised) (keys []raisedKey) {
	first := func(k raisedKey) time.Time {
		if one, ok := a[k]; ok {
			return one.first
		}
		return b[k].first
	}
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(x, y raisedKey) int {
		return cmp.Or(cmp.Compare(x.rule, y.rule), first(x).Compare(first(y)), cmp.Compare(x.dedup, y.dedup), cmp.Compare(x.team, y.team))
	})
	return keys
}
