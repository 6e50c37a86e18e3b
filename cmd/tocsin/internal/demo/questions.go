package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/sql"
)

// answers says for each question of sql/queries what its answer on the storyline holds; "" is no row at all.
var answers = map[string]string{
	"training":             " 1 [bob carol ",
	"threat_models":        "git.example/acme/pay pay-api 0.75",
	"tests_by_people":      "payments checkout by hand tina 0 1",
	"scorecard":            "",
	"probes":               badDigest,
	"declared_against_use": "payments pay-api mem 512Mi",
	"artifacts":            goodDigest,
	"attribution":          "",
	"before_after":         "production pay-api " + badDigest + " 120 0 50",
	"address":              "auth.failed failure db-1 svc_report 30",
	"alert_duration":       "C02 sec 1 0",
	"alert_evidence":       "git-hound-ezekg secret.detected 4 alice",
	"alert_latency":        "C12 1",
	"alerts_by_rule":       "C04 sec sec_requested 1 0 0",
	"alerts_open":          "svc_report logged in after a brute force",
	"alerts_requested":     "sec C04 sec:maria 1",
	"backups":              "success backup of tocsin verified",
	"blocked_released":     rack,
	"botnets":              "db-1",
	"brute_force":          "svc_report db-1 30 1",
	"campaigns":            "",
	"changes":              " 1 2 2 1 ",
	"chaos":                "chaos:exp-12 web-2",
	"commit":               "deployment cdevents service.deployed",
	"components_new":       rackFixed,
	"corrected_released":   rackFixed + " " + goodDigest,
	"database":             "auth.failed failure  svc_report 30 1",
	"delivery":             "raw.ci 0 0",
	"deployments":          "service.deployed production pay-api " + goodDigest + " " + goodSHA,
	"digest":               "release cdevents artifact.published unknown mallory",
	"dora":                 "pay-api 2",
	"egress":               "ci-2  203.0.113.44 3149824 1",
	"findings_by_state":    "fixed 1",
	"findings_open":        "config/prod.env",
	"findings_gone":        "",
	"findings_time_to_fix": "4 bundler-audit 1 18 18",
	"growth":               "db-1 pay public.audit_log",
	"growth_attackers":     "db-1 203.0.113.7",
	"growth_table":         "crit",
	"hook_coverage":        "git.example/acme/pay",
	"http_errors":          "web-1",
	"incidents":            "inc|C07|user mallory",
	"inventory":            "tool go1.26 1 0",
	"lineage":              "1 of_commit commit " + mallorySHA,
	"neighbours":           "contains from component " + rack,
	"phases":               "packaging",
	"rule_precision":       "C12 1 0 0",
	"policies":             "sec:maria SEC-77 security asks for alerts of C04 and C22",
	"refused":              "",
	"registry_traffic":     "robot$deploy",
	"rejected_landed":      mallorySHA + " git.example/acme/pay main mallory",
	"review_speed":         " 20 25 ",
	"running":              "production pay-api " + goodDigest,
	"secrets":              "git.example/acme/pay [config/prod.env] [alice] 2 2",
	"secrets_used":         keyID,
	"security_routines":    "sec-authz " + goodSHA + " success",
	"sources":              "bundler-audit",
	"techniques":           "T1110.001 0 1",
	"tests":                "pay-unit 214 1 0 2",
	"tests_failing":        "pay-unit case 0 1 1",
	"tickets":              "payments 5 3 2",
	"traffic":              "operation egress ",
	"unsigned":             badDigest + " pay-api",
	"user":                 "auth.success success db-1 203.0.113.7 1",
	"volume":               "events_1m",
	"vulnerability":        rack + " " + badDigest + " production/pay-api",
}

// questions runs every query of sql/queries as analysts do and compares its answer.
func questions(ctx context.Context, db *clickhouse.DB) error {
	queries, err := sql.Queries()
	if err != nil {
		return err
	}
	var wrong error
	for _, q := range queries {
		want, ok := answers[q.Name]
		if !ok {
			wrong = errors.Join(wrong, fmt.Errorf("%s: nobody says what its answer is", q.Name))
			continue
		}
		params := map[string]any{}
		for _, p := range q.Params {
			params[p.Name] = p.Default
		}
		_, rows, err := db.QueryJSON(ctx, q.Text, params, clickhouse.Limits{Rows: 1000, Time: 10 * time.Second})
		if err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("%s: %w", q.Name, err))
			continue
		}
		var got strings.Builder
		for _, row := range rows {
			for _, v := range row {
				fmt.Fprintf(&got, "%v ", v)
			}
			got.WriteByte('\n')
		}
		if want == "" && len(rows) > 0 || !strings.Contains(got.String(), want) {
			wrong = errors.Join(wrong, fmt.Errorf("%s: want %q in %.500s", q.Name, want, got.String()))
		}
	}
	return wrong
}
