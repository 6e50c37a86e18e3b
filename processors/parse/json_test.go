package parse

import (
	"testing"
	"time"
)

// TestISOTime holds isoTime to the library for every day of the years that a column can hold, and for what is no date.
func TestISOTime(t *testing.T) {
	for day := time.Date(1970, 1, 1, 23, 58, 7, 120_000_000, time.UTC); day.Year() < 2262; day = day.AddDate(0, 0, 1) {
		text := day.Format("2006-01-02T15:04:05.000Z")
		if got, ok := isoTime(text); !ok || !got.Equal(day) {
			t.Fatalf("%s: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2024-04-31T00:00:00Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z"} {
		if got, ok := isoTime(text); ok {
			t.Errorf("%s is taken for %v", text, got)
		}
	}
	if got, ok := isoTime("2016-12-31T23:59:60Z"); !ok || got.Format(time.RFC3339) != "2017-01-01T00:00:00Z" {
		t.Errorf("a leap second is %v %v", got, ok)
	}
}
