package console

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// tailSQL is the newest changes of alerts that were stored since a time: a row for each version of each alert, so that what is
// resolved shows as well. Versions reach the warehouse out of order; who asks looks back a little and drops what it has.
const tailSQL = `SELECT ts, toString(alert_id) AS id, version, toString(status) AS status, toString(team) AS team, severity_id, rule_id AS rule, title
FROM (SELECT * FROM alerts WHERE ts > fromUnixTimestamp64Milli(toInt64({after:String})) ORDER BY ts DESC, version DESC LIMIT 1 BY alert_id, version LIMIT 100)
ORDER BY ts, version`

// tailFirst is how far back the first answer goes.
const tailFirst = time.Hour

// queryTail answers with what came of alerts since after, in milliseconds since 1970; without it, in the last hour. now is the
// server's clock, which the reader's may differ from.
func (s *Server) queryTail(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	q, err := url.ParseQuery(r.URL.RawQuery)
	after, numberErr := number(q.Get("after"), now.Add(-tailFirst).UnixMilli())
	if err != nil || numberErr != nil || after < 0 || after > lastTime {
		s.report(w, r, wrong("after %q, want milliseconds since 1970", q.Get("after")))
		return
	}
	res, err := s.ask(r.Context(), tailSQL, map[string]any{"after": strconv.FormatInt(after, 10)})
	if err != nil {
		s.report(w, r, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"now": now.UnixMilli(), "columns": res.Columns, "rows": res.Rows})
}
