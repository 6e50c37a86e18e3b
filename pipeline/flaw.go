package pipeline

import (
	"fmt"
	"time"
)

// Flaw is something that a look at the live servers found: a setting, a right or a clock.
type Flaw struct {
	// Loses says that the pipeline would lose or double data, or stop. Other flaws are good to know.
	Loses bool
	What  string // what is wrong, and what comes of it
	Mend  string // the statement or command that mends it; "" where there is none
}

// Skew words by how much a clock is off another: "3s ahead of", "3s behind".
func Skew(d time.Duration) string {
	if d < 0 {
		return fmt.Sprint((-d).Round(100*time.Millisecond), " behind")
	}
	return fmt.Sprint(d.Round(100*time.Millisecond), " ahead of")
}
