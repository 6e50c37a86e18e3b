//go:build public

package main

import (
	"os"
	"testing"
)

// TestPublicCorpus scores the benchmark's own windowed Gaussian detector at
// its published threshold and compares with the published scores
// (results/windowedGaussian/windowedGaussian_standard_scores.csv of NAB v1.1)
// on the series short enough for the detector's window not to matter.
func TestPublicCorpus(t *testing.T) {
	dir := os.Getenv("TOCSIN_NAB_DATA")
	if dir == "" {
		t.Fatal("TOCSIN_NAB_DATA names no benchmark data")
	}
	corpus, err := readCorpus(dir)
	if err != nil {
		t.Fatal(err)
	}
	published := map[string]float64{
		"realTraffic/speed_t4013.csv":               -2,
		"realTraffic/TravelTime_387.csv":            -1.7959813307852819,
		"realTraffic/TravelTime_451.csv":            -1,
		"realTraffic/occupancy_6005.csv":            -1,
		"realKnownCause/rogue_agent_key_hold.csv":   -2.44,
		"realAdExchange/exchange-3_cpc_results.csv": 2.5026632611866138,
		"realAdExchange/exchange-4_cpc_results.csv": 0.2922884634276035,
		"realAdExchange/exchange-4_cpm_results.csv": 1.274710362684976,
	}
	gaussian := contender{"windowed Gaussian", windowedGaussian}
	for _, s := range corpus {
		if want, ok := published[s.name]; ok {
			near(t, s.name, scoreAt(profiles[0], run([]*series{s}, gaussian).points, 1).raw, want)
		}
	}
}
