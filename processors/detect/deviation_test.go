package detect_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
	"github.com/tocsin-project/tocsin/processors/detect/detecttest"
)

type deviationSubject struct{ *detect.Deviation }

func (s deviationSubject) Observe(t time.Time, v float64) float64 {
	return s.Deviation.Observe(t, v).Score
}

func TestDeviation(t *testing.T) {
	detecttest.Run(t, detecttest.Config{
		New: func() detecttest.Subject {
			return deviationSubject{detect.NewDeviation(detect.DeviationConfig{Last: 10, Deviations: 3, Rise: 0.1})}
		},
		MaxStateBytes: 2 + 8*detect.MaxLast,
		MaxScore:      1,
	})
}

// A round trip of a build, as it was by hand: mean 0.4, the median's absolute deviation 0.02, so that 0.46 is worse.
func TestDeviationOfBuilds(t *testing.T) {
	d := detect.NewDeviation(detect.DeviationConfig{Last: 10, Deviations: 3, Rise: 0.1})
	for i, v := range []float64{0.38, 0.42, 0.36, 0.44, 0.4, 0.4, 0.38, 0.42, 0.38, 0.42} {
		if got := d.Observe(start, v); got.Score != 0 || got.Limit != 0 {
			t.Errorf("build %d is judged before ten are known: %+v", i, got)
		}
	}
	verdict := d.Observe(start, 0.459)
	if verdict.Score >= 0.5 || verdict.Score < 0.49 || math.Abs(verdict.Limit-0.46) > 1e-9 {
		t.Errorf("0.459 is within three deviations: %+v", verdict)
	}
	if verdict = d.Observe(start, 0.3); verdict.Score != 0 {
		t.Errorf("less is no worse: %+v", verdict)
	}
	verdict = d.Observe(start, 4.1)
	if verdict.Score < 0.9 || !strings.Contains(verdict.Explain(), "got 4.1; from 0.4") {
		t.Errorf("4.1 is worse: %+v, %s", verdict, verdict.Explain())
	}
}

// Of a series that never moved any change is infinitely many deviations: it must be a part of the mean as well.
func TestDeviationOfAConstant(t *testing.T) {
	d := detect.NewDeviation(detect.DeviationConfig{Last: 5, Deviations: 3, Rise: 0.1})
	for range 5 {
		d.Observe(start, 100)
	}
	if v := d.Observe(start, 109); v.Score >= 0.5 {
		t.Errorf("109 after 100s: %+v", v)
	}
	if v := d.Observe(start, 120); v.Score <= 0.5 {
		t.Errorf("120 after 100s: %+v", v)
	}
}
