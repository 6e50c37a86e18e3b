package pipeline

import (
	"fmt"
	"time"

	"github.com/segmentio/encoding/json"
)

// Growth is what the growth detector says of one database or table at one time: a record of tocsin.growth and a row of
// tocsin.db_growth.
type Growth struct {
	Time     time.Time `json:"ts"`
	Project  string    `json:"project"`
	Host     string    `json:"host"`
	DBName   string    `json:"db_name"`
	DBObject string    `json:"db_object"`

	SizeBytes     uint64  `json:"size_bytes"`
	DeltaBytes    int64   `json:"delta_bytes"`     // since the sample before
	RatePerMin    float64 `json:"rate_per_min"`    // relative growth of the increments in a minute; 0 where they do not grow
	DoublingMin   float64 `json:"doubling_min"`    // minutes in which the increments double; 0 where they do not
	MinutesToFull float64 `json:"minutes_to_full"` // forecast until the capacity is reached; 0 unknown
	Score         float64 `json:"score"`           // 0..1
	AttackEvents  uint64  `json:"attack_events"`   // evidence of an attack in the detector's window
	State         string  `json:"state"`           // ok, watch, warn or crit
}

// EncodeGrowth returns the record's JSON.
func EncodeGrowth(g *Growth) ([]byte, error) {
	b, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("encode growth of %s/%s: %w", g.Host, g.DBName, err)
	}
	return b, nil
}

// DecodeGrowth reads what EncodeGrowth wrote.
func DecodeGrowth(b []byte) (*Growth, error) {
	var g Growth
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("decode growth: %w", err)
	}
	return &g, nil
}
