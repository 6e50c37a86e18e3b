package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRulesAreReloaded: a rule that is added while the pipeline runs fires, with a list of its own; a broken one changes
// nothing, and is seen where operators look.
func TestRulesAreReloaded(t *testing.T) {
	t.Parallel()
	sec := "subscriptions: [{team: sec, severity: 4}]\n"
	r := runPipeline(t, 30, matchRule("R-old", "service.deployed", sec))
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(r.app.cfg.Rules.Dirs[0], name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	get := func(path string) string {
		t.Helper()
		res, err := http.Get("http://" + r.app.console.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	fired := func(key string) func() bool {
		return func() bool { return strings.Contains(r.said()["sec"], key+" firing v1") }
	}
	r.event("service.deployed", "web-1")
	r.await("an alert of the rule that was there", fired("R-old|web-1"))

	write("watched.list", "web-2\n")
	write("new.yaml", strings.Replace(matchRule("R-new", "service.removed", sec), "when: ", "when: inList(ev.Host, \"watched\") && ", 1))
	r.await("the new set", func() bool { return r.app.rules.Set().Rule("R-new") != nil })
	r.event("service.removed", "web-2", "web-3")
	r.event("service.deployed", "web-2")
	r.await("an alert of the rule that was added", fired("R-new|web-2"))
	r.await("an alert of the rule that stayed", fired("R-old|web-2"))
	if fired("R-new|web-3")() {
		t.Error("a host that is not in the list raises an alert")
	}

	write("new.yaml", "id: R-new\nkind: match\n")
	r.await("the warning", func() bool {
		time.Sleep(50 * time.Millisecond)
		return strings.Contains(get("/readyz"), "warning: rules not loaded, the set before stays: ")
	})
	if ready := get("/readyz"); !strings.HasPrefix(ready, "ready\n") || !strings.Contains(ready, "new.yaml:1:") {
		t.Errorf("/readyz says %s", ready)
	}
	r.event("service.removed", "web-2")
	r.event("service.deployed", "web-4")
	r.await("an alert of a set that stays", fired("R-old|web-4"))
	metrics := get("/metrics")
	for _, want := range []string{
		"tocsin_rules_failed 1\n", `tocsin_rules_reloads_total{result="refused"} 1`, "tocsin_rules_loaded 2\n",
		`tocsin_rule_matched_total{rule="R-old"} 3`, `tocsin_rule_matched_total{rule="R-new"}`, `tocsin_rule_keys{rule="R-old"} 3`,
		`tocsin_rule_alerts_total{rule="R-old",status="firing"} 3`, `tocsin_rule_state_bytes{rule="R-old"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
