package detect_test

import (
	"fmt"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// A metric series and the silence of its source, judged side by side.
func Example() {
	series := detect.NewAnomaly(detect.AnomalyConfig{})
	source := detect.NewSilence(detect.SilenceConfig{})
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 1000 {
		at = at.Add(time.Minute)
		source.Observe(at)
		load := 20 + float64(i*7%10)
		if i == 999 {
			load = 95
		}
		if v := series.Observe(at, load); v.Score >= 0.5 {
			fmt.Printf("row %d: got %.0f\n", i, v.Got)
		}
	}
	fmt.Println(source.Check(at.Add(5 * time.Minute)).Silent)
	// Output:
	// row 999: got 95
	// true
}
