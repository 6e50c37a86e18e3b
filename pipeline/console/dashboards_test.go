package console

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tocsin-project/tocsin/pipeline/clickhouse"
	"github.com/tocsin-project/tocsin/pipeline/console/consoletest"
)

// Every statement of every dashboard runs, on a warehouse with nothing in it too.
func TestDashboardsOnAnEmptyWarehouse(t *testing.T) {
	now := time.Now()
	consoletest.Dashboards(t, serve(t, Config{DB: migrated(t)}), consoletest.Range{From: now.Add(-time.Hour), To: now}, false)
}

// Every panel has something to show for an hour as the demo plays it.
func TestDashboardsOnASeededWarehouse(t *testing.T) {
	db, now := migrated(t), time.Now()
	seed(t, db, now)
	consoletest.Dashboards(t, serve(t, Config{DB: db}),
		consoletest.Range{From: now.Add(-time.Hour), To: time.Now().Add(time.Second), Vars: map[string]string{"id": "203.0.113.7", "event": anyEvent(t, db)}}, true)
}

// anyEvent returns the id of an event that has attributes.
func anyEvent(t testing.TB, db *clickhouse.DB) (id string) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT toString(any(event_id)) FROM events WHERE notEmpty(attributes)").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// The alert rules for Grafana ask what the warehouse can answer, each with one number.
func TestAlertRules(t *testing.T) {
	file, err := os.ReadFile("../../deploy/grafana/provisioning/alerting/tocsin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				UID         string
				Condition   string
				Annotations map[string]string
				Data        []struct {
					RefID         string `yaml:"refId"`
					DatasourceUID string `yaml:"datasourceUid"`
					Model         struct {
						RawSQL string `yaml:"rawSql"`
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(file, &rules); err != nil {
		t.Fatal(err)
	}
	boards := mustBoards(t)
	db, now, asked := migrated(t), time.Now(), 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if boards[rule.Annotations["__dashboardUid__"]] == nil || rule.Annotations["summary"] == "" || rule.Condition != "C" {
				t.Errorf("rule %s: condition %q, annotations %v", rule.UID, rule.Condition, rule.Annotations)
			}
			for _, data := range rule.Data {
				if data.DatasourceUID != "tocsin" {
					continue
				}
				text, params, err := expand(strings.ReplaceAll(data.Model.RawSQL, "$$", "$"), scope{From: now.Add(-time.Hour), To: now})
				if err != nil {
					t.Errorf("rule %s: %v", rule.UID, err)
					continue
				}
				_, rows, err := db.QueryJSON(t.Context(), text, params, clickhouse.Limits{Rows: 10, Time: 10 * time.Second})
				if err != nil || len(rows) != 1 || len(rows[0]) != 1 || rows[0][0] == nil {
					t.Errorf("rule %s: rows %v, error %v; want one number", rule.UID, rows, err)
				}
				asked++
			}
		}
	}
	if asked < 5 {
		t.Errorf("%d rules were asked, want all", asked)
	}
}
