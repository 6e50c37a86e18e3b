package detect

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// growthRepeat is how often an alarm is repeated while it lasts.
const growthRepeat = 6 * time.Hour

// growthHeader names the columns RunGrowth reads, in this order.
const growthHeader = "ts,db,size_bytes,rows,commits_total,failed_logins_total,failed_tests_total,net_in_bytes_total"

// growthDB is one entry of the list of databases.
type growthDB struct {
	DB       string  `json:"db"`
	Capacity float64 `json:"capacity_bytes"`
	Extent   float64 `json:"quantum_bytes"`
}

// RunGrowth reads samples of many databases as CSV (the columns of growthHeader, ts in Unix seconds,
// an empty field for an absent signal) and writes a line "ts,db,eta_seconds" for every alarm (tier
// warn or above), again when the first forecast can be given, and every six hours while it lasts;
// eta_seconds is left out while nothing can be forecast. dbs is the JSON list of databases with their capacity and extent; it may be
// empty, and a database it does not name is watched without a forecast. A line that cannot be read
// ends it with an error that names the line.
func RunGrowth(in io.Reader, out io.Writer, dbs []byte) error {
	cfg := map[string]GrowthConfig{}
	if len(dbs) > 0 {
		var list []growthDB
		if err := json.Unmarshal(dbs, &list); err != nil {
			return fmt.Errorf("read databases: %w", err)
		}
		for _, d := range list {
			cfg[d.DB] = GrowthConfig{Capacity: d.Capacity, Extent: d.Extent}
		}
	}
	type series struct {
		g     *Growth
		alarm int64 // Unix seconds of the last line written; 0: no alarm
		eta   bool  // that line had a forecast
	}
	all := map[string]*series{}
	w := bufio.NewWriter(out)
	sc := bufio.NewScanner(in)
	for line := 1; sc.Scan(); line++ {
		if line == 1 && sc.Text() == growthHeader || sc.Text() == "" {
			continue
		}
		db, s, err := parseGrowthLine(sc.Text())
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		one := all[db]
		if one == nil {
			db = strings.Clone(db)
			one = &series{g: NewGrowth(cfg[db])}
			all[db] = one
		}
		v, ts := one.g.Observe(s), s.Time.Unix()
		switch {
		case v.Tier < GrowthWarn:
			one.alarm, one.eta = 0, false
		case one.alarm == 0 || ts-one.alarm >= int64(growthRepeat/time.Second) || !one.eta && v.TimeToFull > 0:
			one.alarm, one.eta = ts, v.TimeToFull > 0
			fmt.Fprintf(w, "%d,%s", ts, db)
			if v.TimeToFull > 0 {
				fmt.Fprintf(w, ",%.0f", v.TimeToFull.Seconds())
			}
			w.WriteByte('\n')
			// An alarm is of use at once, not when a buffer is full.
			if err := w.Flush(); err != nil {
				return fmt.Errorf("write alarm: %w", err)
			}
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("read samples: %w", err)
	}
	return nil
}

// parseGrowthLine reads one line of the columns of growthHeader.
func parseGrowthLine(line string) (db string, s GrowthSample, err error) {
	var field [8]string
	rest := line
	for i := range field {
		var more bool
		field[i], rest, more = strings.Cut(rest, ",")
		if more != (i < len(field)-1) {
			return "", s, fmt.Errorf("want the %d fields %s, got %q", len(field), growthHeader, line)
		}
	}
	ts, err := strconv.ParseInt(field[0], 10, 64)
	if err != nil {
		return "", s, fmt.Errorf("ts: %w", err)
	}
	if field[1] == "" {
		return "", s, fmt.Errorf("db: empty in %q", line)
	}
	s.Time = time.Unix(ts, 0).UTC()
	for i, dst := range []*float64{&s.Size, &s.Rows, &s.Commits, &s.FailedLogins, &s.FailedTests, &s.NetIn} {
		if *dst = math.NaN(); field[i+2] == "" {
			continue
		}
		if *dst, err = strconv.ParseFloat(field[i+2], 64); err != nil {
			return "", s, fmt.Errorf("%s: %w", strings.Split(growthHeader, ",")[i+2], err)
		}
	}
	return field[1], s, nil
}
