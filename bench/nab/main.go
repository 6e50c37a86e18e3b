// Command nab scores the general anomaly detector on the Numenta Anomaly
// Benchmark by its v1.1 rules (Lavin and Ahmad 2015; Ahmad et al. 2017),
// beside simple baselines and with each kind of evidence left out in turn.
//
//	go run ./bench/nab -data DIR -note "commit, machine" > bench/results/nab.txt
//
// DIR holds data/<folder>/<name>.csv and combined_windows.json; the benchmark
// is not part of this repository.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
)

func main() {
	dir := flag.String("data", os.Getenv("TOCSIN_NAB_DATA"), "directory of the benchmark's data (or TOCSIN_NAB_DATA)")
	note := flag.String("note", "", "commit and machine, for the heading")
	flag.Parse()
	corpus, err := readCorpus(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nab:", err)
		os.Exit(1)
	}
	report(os.Stdout, corpus, *note)
}

// A result is a contender's scores over the corpus.
type result struct {
	contender
	points  []point   // of all series
	series  [][]point // the same, series by series
	elapsed time.Duration
	rows    int
}

// rowTime is the mean time of a row in nanoseconds.
func (r result) rowTime() float64 {
	return float64(r.elapsed.Nanoseconds()) / float64(r.rows)
}

func run(corpus []*series, c contender) result {
	r := result{contender: c}
	first := 0
	for _, s := range corpus {
		d := c.start()
		scores := make([]float64, len(s.values))
		begin := time.Now()
		for i, v := range s.values {
			scores[i] = d(s.times[i], v)
		}
		r.elapsed += time.Since(begin)
		r.rows += len(scores)
		p := points(s, scores, first)
		first += len(s.windows)
		r.series = append(r.series, p)
		r.points = append(r.points, p...)
	}
	return r
}

// report prints the comparison, the ablation and our outcome on each series.
func report(w io.Writer, corpus []*series, note string) {
	windows := 0
	for _, s := range corpus {
		windows += len(s.windows)
	}
	ours := contender{"tocsin", general(detect.AnomalyConfig{})}
	state, _ := detect.NewAnomaly(detect.AnomalyConfig{}).AppendBinary(nil)
	fmt.Fprintf(w, "NAB v1.1, %d series, %d windows; %s %s/%s; %s\n", len(corpus), windows, runtime.Version(), runtime.GOOS, runtime.GOARCH, note)
	fmt.Fprintf(w, "One pass, nothing known beforehand; one threshold for all series, the best for each profile.\n")
	fmt.Fprintf(w, "Our state: %d bytes a series.\n\n", len(state))

	varied := variations(corpus)
	fmt.Fprintf(w, "%-22s", "detector")
	for _, p := range profiles {
		fmt.Fprintf(w, "%15s", p.name)
	}
	fmt.Fprintf(w, "%8s%8s%8s | %18s%8s\n", "found", "alarms", "ns/row", "varied: std  lowFP", "halves")
	line := func(c contender) result {
		r := run(corpus, c)
		fmt.Fprintf(w, "%-22s", r.name)
		var standard outcome
		for i, p := range profiles {
			o := sweep(p, r.points)
			if i == 0 {
				standard = o
			}
			fmt.Fprintf(w, "%15.2f", normalised(p, o.raw, r.points, windows))
		}
		var mean [2]float64
		fastest := r.rowTime()
		for _, v := range varied {
			again := run(v, c)
			points := again.points
			fastest = min(fastest, again.rowTime())
			for i := range mean {
				mean[i] += normalised(profiles[i], sweep(profiles[i], points).raw, points, windows) / float64(len(varied))
			}
		}
		fmt.Fprintf(w, "%8d%8d%8.0f | %11.2f%7.2f%8.2f\n", standard.found, standard.alarms,
			fastest, mean[0], mean[1], acrossHalves(corpus, r))
		return r
	}
	for _, c := range baselines {
		line(c)
	}
	r := line(ours)
	for _, e := range detect.AllEvidence() {
		line(contender{"  without " + e.String(), general(detect.AnomalyConfig{Without: []detect.Evidence{e}})})
	}
	line(contender{"  without refractory", general(detect.AnomalyConfig{Refractory: 1})})

	fmt.Fprintf(w, `
found, alarms: windows found and rows outside windows over the standard threshold
ns/row: the fastest of ten passes
varied: mean over the corpus and eight variations of it (see variations.go)
halves: standard score on a half of the series at the threshold of the other half

`)
	fmt.Fprintf(w, "%-52s", "series (raw score at the corpus's threshold)")
	var thresholds [len(profiles)]float64
	for i, p := range profiles {
		thresholds[i] = sweep(p, r.points).threshold
		fmt.Fprintf(w, "%15s", p.name)
	}
	fmt.Fprintf(w, "%9s%7s%8s\n", "windows", "found", "alarms")
	for n, s := range corpus {
		fmt.Fprintf(w, "%-52s", s.name)
		for i, p := range profiles {
			fmt.Fprintf(w, "%15.3f", scoreAt(p, r.series[n], thresholds[i]).raw)
		}
		standard := scoreAt(profiles[0], r.series[n], thresholds[0])
		fmt.Fprintf(w, "%9d%7d%8d\n", len(s.windows), standard.found, standard.alarms)
	}
	fmt.Fprintf(w, "%-52s", "threshold")
	for _, t := range thresholds {
		fmt.Fprintf(w, "%15.4f", t)
	}
	fmt.Fprintln(w)
}
