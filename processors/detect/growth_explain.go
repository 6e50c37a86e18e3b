package detect

import (
	"fmt"
	"math"
	"time"
)

// Profile says what the detector has learnt and where it stands, for people, a line each.
func (g *Growth) Profile() []string {
	st := &g.st
	if st.Time == 0 {
		return []string{"nothing was seen yet"}
	}
	lines := []string{fmt.Sprintf("stands at %s, score %.2f", st.Tier, st.Score)}
	p, x := &st.Profile, &st.Excess
	unit := [...]string{unitNone: "nothing yet", unitSize: "bytes the files grow by", unitRows: "rows added", unitNet: "bytes received"}[p.Unit]
	lines = append(lines, fmt.Sprintf("activity is measured in %s, learnt from %d ticks of five minutes or more; a day of them is needed before it judges", unit, p.Ticks))
	if p.Mean.Activity > 0 {
		busiest, known := 0, 0
		for i := range p.Activity {
			if p.Seen[i] > 0 {
				known++
			}
			if p.Activity[i] > p.Activity[busiest] {
				busiest = i
			}
		}
		day := "work days"
		if busiest >= growthCells/2 {
			day = "days off"
		}
		lines = append(lines, fmt.Sprintf("usual are %.3g a minute, most at %02d:00 UTC on %s (%.3g); %d of %d hours of the week's two kinds of days are known",
			60*p.Mean.Activity, busiest%(growthCells/2), day, 60*p.Activity[busiest], known, growthCells))
	}
	if p.Mean.Logins > 0 {
		lines = append(lines, fmt.Sprintf("usual are %.3g failed logins an hour", 3600*p.Mean.Logins))
	}
	if most := math.Exp(x.Peak[0].Usual); most > 1.05 {
		lines = append(lines, fmt.Sprintf("%.1f times the usual for some minutes passed as harmless", most))
	}
	if x.Since != 0 {
		lines = append(lines, fmt.Sprintf("alarms since %s: %s, %.1f times the evidence that takes", time.Unix(0, x.Since).UTC().Format(time.RFC3339), growthCauses[x.Cause], x.Strength))
	}
	if bar := dismissMargin * x.Dismissed; bar > 1 {
		lines = append(lines, fmt.Sprintf("dismissed alarms raise the bar %.1f times", bar))
	}
	if bar := blamedMargin * st.Blamed; bar > minEvidence {
		lines = append(lines, fmt.Sprintf("dismissed alarms raise the bar to %.0f attack events within minutes, from %d", bar, minEvidence))
	}
	return lines
}
