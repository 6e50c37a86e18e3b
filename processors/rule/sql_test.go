package rule

import (
	"strings"
	"testing"
)

// Conditions as ClickHouse says them. That the answers are the same is tested against a real one in package ruletest.
func TestSQLOfExpressions(t *testing.T) {
	for src, want := range map[string]string{
		`ev.Type == "a'b"`:                                                          `event_type = 'a\'b'`,
		`ev.Outcome != "success" && ev.Value > 1.5`:                                 `(toString(outcome) != 'success' AND metric_value > 1.5)`,
		`ev.HasLabel("chaos:") || ev.HasLabel("x")`:                                 `(arrayExists(l -> startsWith(l, 'chaos:'), labels) OR has(labels, 'x'))`,
		`!("CVE-1" in ev.Vulns)`:                                                    `NOT (has(vuln_ids, 'CVE-1'))`,
		`ev.Attr("a.b") in ["x", "y"]`:                                              `attributes['a.b'] IN ('x', 'y')`,
		`inCIDR(ev.SrcIP, "10.0.0.0/8", "fc00::/7")`:                                `(isIPAddressInRange(toString(src_ip), '::ffff:10.0.0.0/104') OR isIPAddressInRange(toString(src_ip), 'fc00::/7'))`,
		`packageOf(ev.Purl) == "pkg:gem/rack"`:                                      `if(startsWith(purl, 'pkg:'), replaceRegexpOne(purl, '[@?#].*', ''), '') = 'pkg:gem/rack'`,
		`any(ev.Labels, # startsWith "x")`:                                          `arrayExists(item -> startsWith(item, 'x'), labels)`,
		`lower(ev.Actor) + "x" == "yx"`:                                             `concat(lowerUTF8(actor), 'x') = 'yx'`,
		`len(ev.Vulns) > 0 ? true : ev.Commit[0:7] == "abc"`:                        `if(length(vuln_ids) > 0, true, substringUTF8(commit_sha, 1, 7) = 'abc')`,
		`ev.Title matches "^a" and ev.Title contains "b" and ev.Title endsWith "c"`: `((match(title, '^a') AND position(title, 'b') > 0) AND endsWith(title, 'c'))`,
	} {
		tree, errs := parseExpression(src, "bool")
		if errs != nil {
			t.Fatalf("%s: %v", src, errs)
		}
		if got, err := sqlOf(tree); err != nil || got != want {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", src, got, err, want)
		}
	}
	for _, src := range []string{`ev.Time == ev.IngestTime`, `indexOf(ev.Title, "x") == 1`, `ev.SrcIP.Is4()`, `versionBelow(ev.Purl, "1")`} {
		tree, errs := parseExpression(src, "bool")
		if errs != nil {
			t.Fatalf("%s: %v", src, errs)
		}
		if got, err := sqlOf(tree); err == nil {
			t.Errorf("%s: got %s, want an error", src, got)
		}
	}
}

func TestSQLOfGrowthIsRefused(t *testing.T) {
	set, err := Load(Library())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Rule("C02").SQL(); err == nil || !strings.Contains(err.Error(), "tocsin.db_growth") {
		t.Errorf("got %v", err)
	}
}
