// Sigmalite measures the engine of that name for the benchmark in the directory above, which runs it in a workspace with
// a checkout of github.com/runreveal/sigmalite.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/runreveal/sigmalite"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", "", "directory of rules/, events.jsonl, expected_matches.jsonl")
	lasts := flag.Duration("for", 5*time.Second, "how long it is measured")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(*data, *lasts); err != nil {
		log.Fatal(err)
	}
}

func run(data string, lasts time.Duration) error {
	var rules []*sigmalite.Rule
	refused := 0
	err := filepath.WalkDir(filepath.Join(data, "rules"), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "deprecated" || d.Name() == "unsupported") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".yml" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r, err := sigmalite.ParseRule(b)
		// It reads placeholders only to replace them while matching; without values such rules are left out here as well.
		if err != nil || bytes.Contains(b, []byte("|expand")) {
			refused++
			return nil
		}
		rules = append(rules, r)
		return nil
	})
	if err != nil {
		return err
	}
	lines, want, err := read(data)
	if err != nil {
		return err
	}
	n, right, found, extra, pairs := 0, 0, 0, 0, 0
	began := used()
	for n < len(lines) || used()-began < lasts {
		e, err := entry(lines[n%len(lines)])
		if err != nil {
			return err
		}
		var ids []string
		for _, r := range rules {
			if r.Detection.Matches(e, nil) {
				ids = append(ids, r.ID)
			}
		}
		if n < len(lines) {
			slices.Sort(ids)
			pairs += len(want[n])
			for _, id := range ids {
				if slices.Contains(want[n], id) {
					found++
				} else {
					extra++
				}
			}
			if slices.Equal(ids, want[n]) {
				right++
			}
		}
		n++
	}
	rate := float64(n) / (used() - began).Seconds()
	fmt.Printf("sigmalite  %10.1f events/s   %d of %d events with exactly the expected rules   %d rules, %d left out; %d of %d matches found, %d too many\n",
		rate, right, len(lines), len(rules), refused, found, pairs, extra)
	return nil
}

// entry makes of a line of JSON what the engine takes.
func entry(line string) (*sigmalite.LogEntry, error) {
	var object map[string]any
	dec := json.NewDecoder(strings.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	e := &sigmalite.LogEntry{Fields: map[string]string{}}
	for k, v := range object {
		e.Fields[k] = fmt.Sprint(v)
		e.Message += e.Fields[k] + "\n" // keywords are searched in values, not in the names of keys
	}
	return e, nil
}

// read returns the events, and the rules that each must match.
func read(data string) (lines []string, want [][]string, err error) {
	events, err := os.ReadFile(filepath.Join(data, "events.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	lines = slices.Collect(strings.Lines(string(events)))
	expected, err := os.ReadFile(filepath.Join(data, "expected_matches.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(string(expected)) {
		var m struct {
			IDs []string `json:"rule_ids"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, nil, err
		}
		slices.Sort(m.IDs)
		want = append(want, m.IDs)
	}
	return lines, want, nil
}

// used returns the time that this process was on a processor.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
