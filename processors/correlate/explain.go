package correlate

import (
	"fmt"
	"time"

	"github.com/tocsin-project/tocsin/processors/alert"
)

func explainEpisode(e *alert.Episode) []string {
	if e == nil {
		return nil
	}
	word := "is over"
	if e.Open {
		word = "is open"
	}
	return []string{fmt.Sprintf("the alert for %s %s: %d events from %s to %s", e.Key, word, e.Count, formatTime(e.First), formatTime(e.Last))}
}

func formatTime(t int64) string { return time.Unix(0, t).UTC().Format(time.RFC3339) }
