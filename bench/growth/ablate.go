package main

import (
	"math"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// blind is a rule that is not shown some signals.
type blind struct {
	rule
	hide func(*detect.GrowthSample)
}

func (b blind) observe(s detect.GrowthSample) (bool, float64) {
	b.hide(&s)
	return b.rule.observe(s)
}

// ablate says what each signal adds: the detector without it.
func ablate(worlds []*world) (ts []*tally) {
	nan := math.NaN()
	for _, c := range []struct {
		name string
		hide func(*detect.GrowthSample)
	}{
		{"every signal", func(*detect.GrowthSample) {}},
		{"without bytes received", func(s *detect.GrowthSample) { s.NetIn = nan }},
		{"without commits", func(s *detect.GrowthSample) { s.Commits = nan }},
		{"without failed logins", func(s *detect.GrowthSample) { s.FailedLogins = nan }},
		{"without failed tests", func(s *detect.GrowthSample) { s.FailedTests = nan }},
		{"size and rows alone", func(s *detect.GrowthSample) { s.Commits, s.FailedLogins, s.FailedTests, s.NetIn = nan, nan, nan, nan }},
		{"size alone", func(s *detect.GrowthSample) {
			s.Rows, s.Commits, s.FailedLogins, s.FailedTests, s.NetIn = nan, nan, nan, nan, nan
		}},
	} {
		ts = append(ts, measure(c.name, func(db *database) rule { return blind{newOurs(alarmScore)(db), c.hide} }, worlds))
	}
	return ts
}
