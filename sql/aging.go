package sql

import "fmt"

// Aging says how a table ages: by what, and how long its rows are kept where nobody says otherwise. Tables that are not
// here keep their rows for good.
type Aging struct {
	Table string
	Time  string // SQL of the time that a row's age is counted from
	Days  int
}

// Agings are all tables that age, with the days of the migrations; a test compares the two.
var Agings = []Aging{
	{"events", "toDateTime(event_time)", 90},
	{"events_1m", "ts", 400},
	{"events_1h", "ts", 3650},
	{"ledger", "day", 400},
	{"alerts", "toDateTime(ts)", 400},
	{"alert_versions", "toDateTime(ts)", 400},
	{"alert_controls", "toDateTime(ts)", 400},
	{"db_growth", "toDateTime(ts)", 400},
	{"dead_letters", "toDateTime(ts)", 90},
	{"dead_letters_settled", "toDateTime(ts)", 400},
	{"entity_links", "toDateTime(last_seen)", 400},
}

// TTL is the clause that keeps rows for so many days, as ClickHouse itself writes it (system.tables.engine_full). With a
// volume, parts move there when their rows are moveDays old.
func (a Aging) TTL(days int, volume string, moveDays int) string {
	ttl := fmt.Sprintf("%s + toIntervalDay(%d)", a.Time, days)
	if volume != "" {
		ttl = fmt.Sprintf("%s + toIntervalDay(%d) TO VOLUME '%s', %s", a.Time, moveDays, volume, ttl)
	}
	return ttl
}
