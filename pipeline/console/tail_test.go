package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Changes of alerts come once each, the oldest first, and only those since the time that is asked for.
func TestTail(t *testing.T) {
	db := migrated(t)
	base := serve(t, Config{DB: db})
	tail := func(query string) (now int64, titles string) {
		t.Helper()
		a, body := get(t, base+"/api/tail"+query, nil)
		var answer struct {
			Now     int64
			Columns []struct{ Name string }
			Rows    [][]any
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", body, a.StatusCode, err)
		}
		var all []string
		for _, row := range answer.Rows {
			all = append(all, fmt.Sprintf("%v %v", row[7], row[2]))
		}
		return answer.Now, strings.Join(all, ", ")
	}
	add := func(title string, version int, ago time.Duration) {
		t.Helper()
		if err := db.Exec(t.Context(), "INSERT INTO alerts (alert_id, version, ts, dedup_key, title) SELECT toUUID(concat(substring(lower(hex(MD5(?))), 1, 8), '-0000-5000-8000-000000000000')), ?, now64(3) - toIntervalMillisecond(?), ?, ?",
			title, version, ago.Milliseconds(), title, title); err != nil {
			t.Fatal(err)
		}
	}
	add("old", 1, 2*time.Hour)
	add("b", 1, 10*time.Minute)
	add("a", 1, 20*time.Minute)
	add("b", 2, 5*time.Minute)
	now, got := tail("")
	if got != "a 1, b 1, b 2" {
		t.Errorf("the last hour has %s", got)
	}
	if _, got := tail(fmt.Sprintf("?after=%d", now)); got != "" {
		t.Errorf("nothing is new, and %s came", got)
	}
	add("c", 1, 0)
	if _, got := tail(fmt.Sprintf("?after=%d", now-7*60*1000)); got != "b 2, c 1" {
		t.Errorf("since then came %s", got)
	}
	if a, body := get(t, base+"/api/tail?after=yesterday", nil); a.StatusCode != http.StatusBadRequest || !strings.Contains(body, "want milliseconds since 1970") {
		t.Errorf("%d: %s", a.StatusCode, body)
	}
}
