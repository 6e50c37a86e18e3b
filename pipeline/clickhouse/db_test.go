package clickhouse

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

var limits = Limits{Rows: 1000, Time: 10 * time.Second}

func TestQueryJSON(t *testing.T) {
	db := migrated(t)
	f := func(query string, params map[string]any, wantColumns, wantRows string) {
		t.Helper()
		columns, rows, err := db.QueryJSON(t.Context(), query, params, limits)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			return
		}
		for _, c := range []struct {
			what string
			got  any
			want string
		}{{"columns", columns, wantColumns}, {"rows", rows, wantRows}} {
			if got, err := json.Marshal(c.got); err != nil || string(got) != c.want {
				t.Errorf("%s: %s %s, error %v; want %s", query, c.what, got, err, c.want)
			}
		}
	}
	f("SELECT 1 AS n, 'a' AS s", nil, `[{"name":"n","type":"UInt8"},{"name":"s","type":"String"}]`, `[[1,"a"]]`)
	f("SELECT number AS n FROM numbers(3)", nil, `[{"name":"n","type":"UInt64"}]`, `[[0],[1],[2]]`)
	f("SELECT 1 AS n WHERE 0", nil, `[{"name":"n","type":"UInt8"}]`, `[]`)
	f("SELECT {s:String} AS s, {n:UInt32} + 1 AS n", map[string]any{"s": "it's \\ {n:UInt32}\n'", "n": 41},
		`[{"name":"s","type":"String"},{"name":"n","type":"UInt64"}]`, `[["it's \\ {n:UInt32}\n'",42]]`)
	f("SELECT length({l:Array(String)}) AS n", map[string]any{"l": []string{"a", "b'"}}, `[{"name":"n","type":"UInt64"}]`, `[[2]]`)
	f("SELECT nan AS a, inf AS b, [nan, 1] AS c, NULL AS d, toNullable(2.5) AS e", nil,
		`[{"name":"a","type":"Float64"},{"name":"b","type":"Float64"},{"name":"c","type":"Array(Float64)"},{"name":"d","type":"Nullable(Nothing)"},{"name":"e","type":"Nullable(Float64)"}]`,
		`[[null,null,[null,1],null,2.5]]`)
	f("SELECT toDateTime64('2026-11-23 10:14:30.5', 3, 'UTC') AS t, toIPv6('::ffff:203.0.113.7') AS i, toIPv4('203.0.113.7') AS j, toUUID('0192bbbb-0000-5000-8000-000000000001') AS u", nil,
		`[{"name":"t","type":"DateTime64(3, 'UTC')"},{"name":"i","type":"IPv6"},{"name":"j","type":"IPv4"},{"name":"u","type":"UUID"}]`,
		`[["2026-11-23T10:14:30.5Z","203.0.113.7","203.0.113.7","0192bbbb-0000-5000-8000-000000000001"]]`)
	f("SELECT CAST(2, 'Enum8(\\'a\\' = 1, \\'b\\' = 2)') AS e, map('k', 'v') AS m, ['x', 'y'] AS l, toLowCardinality('z') AS c", nil,
		`[{"name":"e","type":"Enum8('a' = 1, 'b' = 2)"},{"name":"m","type":"Map(String, String)"},{"name":"l","type":"Array(String)"},{"name":"c","type":"LowCardinality(String)"}]`,
		`[["b",{"k":"v"},["x","y"],"z"]]`)

	f("SELECT CAST([1, 2], 'Array(UInt8)') AS l, map('k', nan) AS m, tuple(1, nan) AS t, toFixedString('ab', 2) AS s, toDecimal32(1.5, 2) AS d", nil,
		`[{"name":"l","type":"Array(UInt8)"},{"name":"m","type":"Map(String, Float64)"},{"name":"t","type":"Tuple(UInt8, Float64)"},{"name":"s","type":"FixedString(2)"},{"name":"d","type":"Decimal(9, 2)"}]`,
		`[[[1,2],{"k":null},[1,null],"ab","1.5"]]`)

	s := db.EventSink()
	defer s.Close()
	store(t, s, typical(0, 100), chunk(0, 100, 0))
	f("SELECT event_type, count() AS n FROM v_events WHERE project = {project:String} GROUP BY event_type", map[string]any{"project": "payments"},
		`[{"name":"event_type","type":"LowCardinality(String)"},{"name":"n","type":"UInt64"}]`, `[["auth.failed",100]]`)
	if _, rows, err := db.QueryJSON(t.Context(), "SELECT * FROM v_events", nil, limits); err != nil || len(rows) != 100 {
		t.Errorf("all columns: %d rows, error %v", len(rows), err)
	} else if _, err := json.Marshal(rows); err != nil {
		t.Error(err)
	}
}

func TestQueryJSONIsBounded(t *testing.T) {
	db := migrated(t)
	f := func(query string, l Limits, want proto.Error) {
		t.Helper()
		_, _, err := db.QueryJSON(t.Context(), query, nil, l)
		if code, _ := Code(err); code != int32(want) {
			t.Errorf("%s: %v, want %v", query, err, want)
		}
	}
	f("SELECT number FROM numbers(1001)", limits, proto.ErrTooManyRowsOrBytes)
	f("INSERT INTO events (title) VALUES ('x')", limits, proto.ErrReadonly)
	f("DROP TABLE events", limits, proto.ErrReadonly)
	f("SELECT 1 SETTINGS readonly = 0", limits, proto.ErrReadonly)
	f("SELECT 1 SETTINGS max_result_rows = 0", limits, proto.ErrReadonly)
	f("SELECT * FROM nothing", limits, proto.ErrUnknownTable)

	start := time.Now()
	_, _, err := db.QueryJSON(t.Context(), "SELECT count() FROM numbers(1e15) WHERE sipHash64(number) = 1", nil, Limits{Rows: 1, Time: time.Second})
	code, _ := Code(err)
	if took := time.Since(start); code != int32(proto.ErrTimeoutExceeded) || took > 5*time.Second {
		t.Errorf("an endless query ended after %v with %v", took, err)
	}
}

func TestOpenSaysWhereAndWhy(t *testing.T) {
	_, err := Open(t.Context(), Config{Addrs: []string{"127.0.0.1:1"}})
	if err == nil || !strings.HasPrefix(err.Error(), "open clickhouse at [127.0.0.1:1]: ") || Classify(err) != Retry {
		t.Errorf("error %v", err)
	}
	if _, err = Open(t.Context(), Config{InsertTimeout: time.Millisecond}); err == nil {
		t.Error("an insert timeout of 1ms is accepted")
	}
}
