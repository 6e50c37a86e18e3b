package detect_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/tocsin-project/tocsin/processors/detect"
)

func TestRunScore(t *testing.T) {
	var in strings.Builder
	in.WriteString("timestamp,value\r\n")
	r := rand.New(rand.NewPCG(1, 1))
	want := []string{}
	d := detect.NewAnomaly(detect.AnomalyConfig{})
	for i := range 1500 {
		at, v := daily(i, r)
		row := fmt.Sprintf("%s,%.3f", at.Format("2006-01-02 15:04:05"), v)
		v, _ = strconv.ParseFloat(strings.Split(row, ",")[1], 64)
		in.WriteString(row + "\r\n")
		want = append(want, row+","+strconv.FormatFloat(d.Observe(at, v).Score, 'g', -1, 64))
	}
	var out strings.Builder
	if err := detect.RunScore(strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(out.String()))
	lines.Scan()
	if got := lines.Text(); got != "timestamp,value,anomaly_score" {
		t.Errorf("header %q", got)
	}
	for i, w := range want {
		if lines.Scan(); lines.Text() != w {
			t.Fatalf("row %d: got %q, want %q", i, lines.Text(), w)
		}
	}
	if lines.Scan() {
		t.Errorf("more rows out than in: %q", lines.Text())
	}
}

func TestRunScoreAcceptsTimesAndGaps(t *testing.T) {
	in := "\ufefftimestamp,value,label\n" +
		"2026-03-01T00:00:00Z,1,x\n" +
		"2026-03-01T00:05:00,1\n" +
		"2026-03-01 01:10:00+01:00,\n" +
		"2026-03-01 00:15:00.000000,NaN\n" +
		"\n" +
		"1772324400,1e999\n" +
		"1772324700.5,-Inf"
	want := "timestamp,value,anomaly_score\n" +
		"2026-03-01T00:00:00Z,1,0\n" +
		"2026-03-01T00:05:00,1,0\n" +
		"2026-03-01 01:10:00+01:00,,0\n" +
		"2026-03-01 00:15:00.000000,NaN,0\n" +
		"1772324400,1e999,"
	var out strings.Builder
	if err := detect.RunScore(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), want) || strings.Count(out.String(), "\n") != 7 {
		t.Errorf("got %q, want prefix %q", out.String(), want)
	}
}

func TestRunScoreNamesTheLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      `line 1: empty input, want the header "timestamp,value"`,
		"time,v\n":                              `line 1: header "time,v", want "timestamp,value"`,
		"timestamp,value\n1,1\nnoon,2\n":        `line 3: timestamp "noon", want RFC 3339 or Unix seconds`,
		"timestamp,value\n1,1\n2,two\n":         `line 3: value "two", want a number`,
		"timestamp,value\n\n\n1772324700\n":     `line 4: "1772324700" has no value, want timestamp,value`,
		"timestamp,value\n1e300,1\n":            `line 2: timestamp "1e300", want RFC 3339 or Unix seconds`,
		strings.Repeat("x", 100):                `line 1: header "` + strings.Repeat("x", 40) + `", want "timestamp,value"`,
		"timestamp,value\n1,1\n" + big(2<<20):   `line 3: bufio.Scanner: token too long`,
		"timestamp,value\n2026-13-01T00:00Z,1 ": `line 2: timestamp "2026-13-01T00:00Z", want RFC 3339 or Unix seconds`,
	} {
		var out strings.Builder
		err := detect.RunScore(strings.NewReader(in), &out)
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func big(n int) string { return strings.Repeat("1", n) }

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, fmt.Errorf("disk full") }

func TestRunScoreReportsWriteErrors(t *testing.T) {
	err := detect.RunScore(strings.NewReader("timestamp,value\n1,1\n"), fullDisk{})
	if err == nil || err.Error() != "write scores: disk full" {
		t.Errorf("got %v", err)
	}
}

// FuzzRunScore wants one row out for every row in before the first error, each
// beginning with what was read and ending in a score.
func FuzzRunScore(f *testing.F) {
	f.Add("timestamp,value\n2026-03-01 00:00:00,1\n2026-03-01T00:05:00Z,NaN\n")
	f.Add("timestamp,value\r\n1772324400,1e308\r\n1772324700,-inf\r\n\r\n1772324701,\r\n")
	f.Add("timestamp,value,label\n9999-12-31 23:59:59,0x1p-1074,1\n0001-01-01 00:00:00,1\n")
	f.Fuzz(func(t *testing.T, in string) {
		var out strings.Builder
		err := detect.RunScore(strings.NewReader(in), &out)
		if out.Len() == 0 {
			if err == nil {
				t.Fatal("nothing out and no error")
			}
			return
		}
		rows := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if rows[0] != "timestamp,value,anomaly_score" {
			t.Fatalf("header %q", rows[0])
		}
		var read []string
		for _, line := range strings.Split(in, "\n")[1:] {
			if line = strings.TrimSpace(line); line != "" && line != "\ufeff" {
				read = append(read, strings.TrimPrefix(line, "\ufeff"))
			}
		}
		for i, row := range rows[1:] {
			cut := strings.LastIndexByte(row, ',')
			if score, err := strconv.ParseFloat(row[cut+1:], 64); err != nil || !(score >= 0 && score <= 1) {
				t.Fatalf("row %q: no score", row)
			}
			if !strings.HasPrefix(read[i], row[:cut]) {
				t.Fatalf("row %q for the line %q", row, read[i])
			}
		}
		if err == nil && len(rows)-1 != len(read) {
			t.Fatalf("%d rows for %d lines", len(rows)-1, len(read))
		}
	})
}
