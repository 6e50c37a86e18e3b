package enrich

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// rewrite replaces a file's content, and makes sure that its time tells.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	old, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, old.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestReloadSwapsForTheNextEvent(t *testing.T) {
	networks := write(t, "networks.csv", "cidr,name\n")
	optOut := write(t, "opt-out.yaml", "")
	assets := write(t, "assets.csv", "kind,name,project\nhost,web-*,one\n")
	en := newEnricher(t, Config{Networks: []string{networks}, OptOut: []string{optOut}, Assets: []string{assets}})
	p := en.Processor() // one worker, from beginning to end
	f := func(wantScope, wantProject, wantDropped string) {
		t.Helper()
		e := enrichOne(t, p, "src_ip=10.0.0.5", "dst_ip=203.0.113.7", "host=web-1", "pipeline=redline-a")
		if e.NetScope != wantScope || e.Project != wantProject || e.Dropped() != wantDropped {
			t.Errorf("%s %s %q, want %s %s %q", e.NetScope, e.Project, e.Dropped(), wantScope, wantProject, wantDropped)
		}
	}
	f("egress", "one", "")
	rewrite(t, networks, "cidr,name\n203.0.113.0/24,branch\n")
	en.look()
	f("egress", "one", "") // it may still be being written
	en.look()
	f("private", "one", "")
	rewrite(t, assets, "kind,name,project\nhost,web-*,two\n")
	en.look()
	en.look()
	f("private", "two", "") // what the worker remembered of patterns is gone with the table
	rewrite(t, optOut, "- {id: r, owner: o, reason: x, suite: redline-*}\n")
	en.look()
	en.look()
	f("none", "two", "opt-out:r")
	rewrite(t, optOut, "")
	en.look()
	en.look()
	f("private", "two", "")
}

func TestBrokenTableKeepsTheOneBefore(t *testing.T) {
	networks := write(t, "networks.csv", "cidr,name\n203.0.113.0/24,branch\n")
	list := write(t, "list.txt", "185.1.1.1\n")
	en := newEnricher(t, Config{Networks: []string{networks}, Threats: []ThreatList{{"l", list}}})
	p := en.Processor()
	f := func(wantProblems ...string) {
		t.Helper()
		en.look()
		en.look()
		if e := enrichOne(t, p, "src_ip=203.0.113.9"); e.Attr("source.network") != "branch" {
			t.Error("the table is gone")
		}
		problems := en.Problems()
		if len(problems) != len(wantProblems) {
			t.Fatalf("problems %v, want %q", problems, wantProblems)
		}
		for i, want := range wantProblems {
			if !strings.Contains(problems[i].Error(), want) {
				t.Errorf("problem %q, want %q", problems[i], want)
			}
		}
	}
	f()
	rewrite(t, networks, "cidr,name\n203.0.113.0/24,branch\n10.0.0.0/99,broken\n")
	f(networks + `:3:1: "10.0.0.0/99" is no CIDR; as in 10.1.0.0/16`)
	got := metrics(t, en)
	for name, want := range map[string]float64{
		"table_failed networks": 1, "table_failed threats": 0, "table_entries networks": 1, "table_entries threats": 1,
	} {
		if got["tocsin_enrich_"+name] != want {
			t.Errorf("%s is %v, want %v", name, got["tocsin_enrich_"+name], want)
		}
	}
	if age := got["tocsin_enrich_table_age_seconds networks"]; age < 0 || age > 60 {
		t.Errorf("a new table is %v s old", age)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	f("is no CIDR", "no such file")
	if e := enrichOne(t, p, "src_ip=185.1.1.1"); !e.HasLabel("threat:l") {
		t.Error("a missing file took the table away")
	}
	if err := os.WriteFile(list, []byte("185.1.1.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("is no CIDR")
	if e := enrichOne(t, p, "src_ip=185.1.1.2"); !e.HasLabel("threat:l") {
		t.Error("the file that is back is not read")
	}
	rewrite(t, networks, "cidr,name\n203.0.113.0/24,branch\n")
	f()
}

func TestMissingAtTheStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := New(Config{OptOut: []string{missing}, Networks: []string{missing}}, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), "enrich.opt_out: ") || !strings.Contains(err.Error(), "enrich.networks: ") {
		t.Errorf("error %v, want one of each table", err)
	}
	// Feeds are others' business: the pipeline starts without them, and takes them up when they come.
	en := newEnricher(t, Config{Threats: []ThreatList{{"l", missing}}, GeoIP: []string{missing}, KEV: missing, EPSS: missing, OSV: []string{missing}})
	if n := len(en.Problems()); n != 5 {
		t.Errorf("%d problems, want 5: %v", n, en.Problems())
	}
	for name := range metrics(t, en) {
		if strings.Contains(name, "age") {
			t.Errorf("a table that was never read has an age: %s", name)
		}
	}
	p := en.Processor()
	if e := enrichOne(t, p, "src_ip=185.1.1.1", "vuln_ids=CVE-2020-0001"); len(e.Labels) > 0 || e.NetScope != pipeline.NetIngress {
		t.Errorf("labels %v, scope %s", e.Labels, e.NetScope)
	}
	if err := os.WriteFile(missing, []byte("185.1.1.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	en.look()
	en.look()
	if e := enrichOne(t, p, "src_ip=185.1.1.1"); !e.HasLabel("threat:l") {
		t.Error("the list that came is not read")
	}
	if n := len(en.Problems()); n != 4 {
		t.Errorf("%d problems, want 4: %v", n, en.Problems())
	}
}

// TestSymlinkSwap does as Kubernetes does with a ConfigMap: file -> ..data/file, ..data -> a folder that is swapped.
func TestSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		t.Helper()
		err := os.Mkdir(filepath.Join(dir, name), 0o700)
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name, "networks.csv"), []byte(text), 0o600))
		err = errors.Join(err, os.Symlink(name, filepath.Join(dir, "..tmp")), os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		if err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "cidr,name\n203.0.113.0/24,one\n")
	path := filepath.Join(dir, "networks.csv")
	if err := os.Symlink("..data/networks.csv", path); err != nil {
		t.Fatal(err)
	}
	en := newEnricher(t, Config{Networks: []string{path}})
	p := en.Processor()
	version("..2", "cidr,name\n203.0.113.0/24,two\n")
	en.look()
	en.look()
	if got := enrichOne(t, p, "src_ip=203.0.113.1").Attr("source.network"); got != "two" {
		t.Errorf("network %q, want two", got)
	}
}

// TestRunLooksAgain holds that a change is in use within 10 seconds: R49 asks for it.
func TestRunLooksAgain(t *testing.T) {
	path := write(t, "opt-out.yaml", "- {id: r, owner: o, reason: x, suite: redline-*}\n")
	synctest.Test(t, func(t *testing.T) {
		en := newEnricher(t, Config{OptOut: []string{path}})
		p := en.Processor()
		ctx := t.Context()
		done := make(chan error)
		go func() { done <- en.Run(ctx) }()
		if e := enrichOne(t, p, "pipeline=redline-a"); e.Dropped() == "" {
			t.Error("not opted out")
		}
		time.Sleep(3 * lookEvery)
		rewrite(t, path, "")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if e := enrichOne(t, p, "pipeline=redline-a"); e.Dropped() != "" {
			t.Error("still opted out 10 seconds after the policy was taken back")
		}
		go func() {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
	})
}

// TestWorkersWhileTablesChange lets workers run while tables are swapped: for the race detector.
func TestWorkersWhileTablesChange(t *testing.T) {
	path := write(t, "networks.csv", "cidr,name\n203.0.113.0/24,n0\n")
	en := newEnricher(t, Config{Networks: []string{path}, Privacy: Privacy{HashActors: true, Key: strings.Repeat("k", 32)}})
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		workers.Go(func() {
			p := en.Processor()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if e := enrichOne(t, p, "src_ip=203.0.113.1", "actor=joe"); !strings.HasPrefix(e.Attr("source.network"), "n") {
					t.Error("no network")
					return
				}
			}
		})
	}
	for i := range 20 {
		rewrite(t, path, fmt.Sprintf("cidr,name\n203.0.113.0/24,n%d\n", i))
		en.look()
		en.look()
		en.Problems()
	}
	close(stop)
	workers.Wait()
}

// metrics returns the enricher's metrics, each by its name and the values of its labels.
func metrics(t *testing.T, en *Enricher) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(en); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}
