package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/processors/rule"
)

func TestMain(m *testing.M) {
	embedded.MaybeChild()
	testscript.Main(m, map[string]func(){
		"tocsin": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(run(ctx, os.Args[1:]))
		},
		"tocsin-failing": runFailing,
	})
}

// TestScripts runs testdata/script/*.txt: what a user types, and what comes of it.
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs("../../deploy/tocsin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(env *testscript.Env) error {
		env.Setenv("TOCSIN_SAMPLE_CONFIG", sample)
		rule := filepath.Join(env.WorkDir, "readme.yaml")
		env.Setenv("README_RULE", rule)
		return os.WriteFile(rule, readmeBlock(t, "yaml\nid:"), 0o644)
	}})
}

// TestDemo plays the storyline through the real pipeline, at its usual speed, with little noise.
func TestDemo(t *testing.T) {
	t.Parallel() // it waits for its own clock most of the time
	out := &bytes.Buffer{}
	d := demoRun{dir: t.TempDir(), speed: 40, rate: 5, rules: DefaultConfig().Rules}
	if err := d.play(t.Context(), out); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	db, config := leftBehind(t, d.dir)
	huntAgrees(t, db, config)
	warehouseRequirements(t, db, config)
}

// huntAgrees asks the warehouse that a demo has left behind what its rules would have fired on: a backtest finds every key
// that the stream has found, and no other one where nothing ends a rule's alerts.
func huntAgrees(t *testing.T, db *clickhouse.DB, path string) {
	fired := map[string][]string{} // keys, by rule
	rows, err := db.Query(t.Context(), "SELECT DISTINCT rule_id, dedup_key FROM alerts ORDER BY dedup_key")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id, key string
		if err := rows.Scan(&id, &key); err != nil {
			t.Fatal(err)
		}
		fired[id] = append(fired[id], strings.TrimPrefix(key, id+"|"))
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	root := newRoot()
	root.SetArgs([]string{"rules", "backtest", "-c", path, "--since", "31d", "--hits", "100"})
	root.SetOut(out)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	set, err := loadRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	hunted, refused, id := map[string][]string{}, map[string]bool{}, ""
	hit := regexp.MustCompile(`^(\S*) +(\S+ +\S+ +)?(\d{4}-\d\d-\d\d [\d:.]+|-) +(.*?) *$`)
	for _, line := range strings.Split(out.String(), "\n") {
		switch m := hit.FindStringSubmatch(line); {
		case m == nil:
		case m[3] == "-":
			refused[m[1]] = !strings.HasPrefix(m[2], "0")
		default:
			id = cmp.Or(m[1], id) // the first hit of a rule names it
			hunted[id] = append(hunted[id], m[4])
		}
	}
	agreed := 0
	for _, r := range set.Rules {
		if refused[r.ID] {
			continue // it cannot be said in SQL
		}
		forgets := slices.ContainsFunc(r.Steps, func(s rule.Step) bool { return s.Role >= rule.RoleUntil })
		for _, key := range fired[r.ID] {
			if !slices.Contains(hunted[r.ID], key) {
				t.Errorf("%s: the stream found %q, the hunt did not", r.ID, key)
			}
			agreed++
		}
		for _, key := range hunted[r.ID] {
			if !forgets && !slices.Contains(fired[r.ID], key) {
				t.Errorf("%s: the hunt found %q, the stream did not", r.ID, key)
			}
		}
	}
	t.Logf("%d keys of %d rules are found by stream and hunt", agreed, len(hunted))
	if len(hunted) < len(set.Rules)*2/3 {
		t.Errorf("only %d of %d rules are hunted for", len(hunted), len(set.Rules))
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestDemoFailsWithoutItsRules: a demo whose checks cannot fail would prove nothing.
func TestDemoFailsWithoutItsRules(t *testing.T) {
	t.Parallel()
	out := &bytes.Buffer{}
	d := demoRun{dir: t.TempDir(), speed: 600, rate: 1, rules: RulesConfig{}}
	if err := d.play(t.Context(), out); !errors.Is(err, errNo) {
		t.Fatalf("%v, want %v\n%s", err, errNo, out)
	}
}

// readmeBlock returns the fenced block of the README that begins with the given text.
func readmeBlock(t *testing.T, begin string) []byte {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(readme, []byte("```"+begin))
	block, _, closed := bytes.Cut(rest, []byte("```"))
	if !ok || !closed {
		t.Fatalf("the README has no block that begins with %q", begin)
	}
	_, first, _ := strings.Cut(begin, "\n")
	return append([]byte(first), block...)
}
