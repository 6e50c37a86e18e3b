package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-project/tocsin/processors/detect"
)

func unix(s int64) time.Time { return time.Unix(s, 0).UTC() }

// readWorlds reads the worlds "seed-N" of a directory: N.csv.gz, N.dbs.json and N.labels.json.
func readWorlds(dir string) (worlds []*world, names []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.csv.gz"))
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("no *.csv.gz in %s", dir)
	}
	for _, f := range files {
		base := strings.TrimSuffix(f, ".csv.gz")
		w, err := readWorld(base)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", base, err)
		}
		worlds, names = append(worlds, w), append(names, filepath.Base(base))
	}
	return worlds, names, nil
}

func readWorld(base string) (*world, error) {
	var dbs []struct {
		DB       string  `json:"db"`
		Capacity float64 `json:"capacity_bytes"`
		Extent   float64 `json:"quantum_bytes"`
	}
	var labels struct {
		Attacks []attack `json:"attacks"`
		Benign  []event  `json:"benign"`
	}
	for suffix, v := range map[string]any{".dbs.json": &dbs, ".labels.json": &labels} {
		b, err := os.ReadFile(base + suffix)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, v); err != nil {
			return nil, err
		}
	}
	w, by := &world{}, map[string]*database{}
	for _, d := range dbs {
		db := &database{name: d.DB, capacity: d.Capacity, extent: d.Extent}
		w.dbs, by[d.DB] = append(w.dbs, db), db
	}
	for _, a := range labels.Attacks {
		by[a.DB].attacks = append(by[a.DB].attacks, a)
	}
	for _, e := range labels.Benign {
		by[e.DB].benign = append(by[e.DB].benign, e)
	}
	f, err := os.Open(base + ".csv.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	sc := bufio.NewScanner(z)
	sc.Scan() // the header
	for line := 2; sc.Scan(); line++ {
		p := strings.Split(sc.Text(), ",")
		if len(p) != 8 || by[p[1]] == nil {
			return nil, fmt.Errorf("line %d: %q", line, sc.Text())
		}
		num := func(i int) float64 {
			v, err := strconv.ParseFloat(p[i], 64)
			if err != nil {
				return math.NaN()
			}
			return v
		}
		by[p[1]].samples = append(by[p[1]].samples, detect.GrowthSample{Time: unix(int64(num(0))), Size: num(2), Rows: num(3),
			Commits: num(4), FailedLogins: num(5), FailedTests: num(6), NetIn: num(7)})
	}
	return w, sc.Err()
}
