package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A series is one file of the corpus.
type series struct {
	name    string
	times   []time.Time
	values  []float64
	windows []window
}

// A window is a labelled stretch of rows, both ends inside.
type window struct{ first, last int }

func (w window) width() int { return w.last - w.first + 1 }

// readCorpus reads DIR/data/<folder>/<name>.csv and the windows from
// DIR/combined_windows.json or, as in the benchmark's own layout,
// DIR/labels/combined_windows.json. Series come in the order of their names;
// one without a window list is an error.
func readCorpus(dir string) ([]*series, error) {
	labels, err := os.ReadFile(filepath.Join(dir, "combined_windows.json"))
	if os.IsNotExist(err) {
		labels, err = os.ReadFile(filepath.Join(dir, "labels", "combined_windows.json"))
	}
	if err != nil {
		return nil, err
	}
	var limits map[string][][2]string
	if err := json.Unmarshal(labels, &limits); err != nil {
		return nil, fmt.Errorf("parse combined_windows.json: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "data", "*", "*.csv"))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("no series in %s", filepath.Join(dir, "data"))
	}
	slices.Sort(paths)
	var corpus []*series
	for _, path := range paths {
		s, err := readSeries(path)
		if err != nil {
			return nil, err
		}
		of, ok := limits[s.name]
		if !ok {
			return nil, fmt.Errorf("no windows for %s", s.name)
		}
		for _, limit := range of {
			first, err1 := s.row(limit[0])
			last, err2 := s.row(limit[1])
			if err1 != nil || err2 != nil {
				return nil, fmt.Errorf("window %v of %s is not at its rows", limit, s.name)
			}
			s.windows = append(s.windows, window{first, last})
		}
		corpus = append(corpus, s)
	}
	return corpus, nil
}

func readSeries(path string) (*series, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := &series{name: filepath.Base(filepath.Dir(path)) + "/" + filepath.Base(path)}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if n == 1 {
			continue
		}
		stamp, number, _ := strings.Cut(lines.Text(), ",")
		t, err := time.Parse(time.DateTime, stamp)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		s.times, s.values = append(s.times, t), append(s.values, v)
	}
	return s, lines.Err()
}

// row returns the first row of a time as the windows write it.
func (s *series) row(stamp string) (int, error) {
	t, err := time.Parse(time.DateTime, stamp) // accepts a fraction
	if err != nil {
		return 0, err
	}
	for i, x := range s.times {
		if x.Equal(t) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no row at %s", stamp)
}
