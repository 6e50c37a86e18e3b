// Sigma measures how many events a second one core matches by all active public Sigma rules, and in the same run what
// sigmalite does, where a checkout of it is given:
//
//	go run ./bench/sigma -data DIR [-sigmalite DIR] > bench/results/sigma.txt
//
// The data directory holds rules/, events.jsonl and expected_matches.jsonl. Every rule is judged on every event, whatever
// its log source. Time is that which the process was on its one processor, from the line of JSON to the rules that match, for
// both: sigmalite takes maps, which its users make of what they read. They are measured in turns, in several rounds. What
// correlations take in is measured behind the matcher.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin-project/tocsin/bench/rig"
	"github.com/tocsin-project/tocsin/processors/sigma"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", "", "directory of rules/, events.jsonl, expected_matches.jsonl")
	peer := flag.String("sigmalite", "", "checkout of github.com/runreveal/sigmalite")
	lasts := flag.Duration("for", 5*time.Second, "how long each is measured in a round")
	rounds := flag.Int("rounds", 5, "rounds")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := run(*data, *peer, *lasts, *rounds); err != nil {
		log.Fatal(err)
	}
}

func run(data, peer string, lasts time.Duration, rounds int) error {
	files, err := sigma.ReadFiles(filepath.Join(data, "rules"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(data, "events.jsonl"))
	if err != nil {
		return err
	}
	expected, err := os.ReadFile(filepath.Join(data, "expected_matches.jsonl"))
	if err != nil {
		return err
	}
	lines, wants := bytes.Split(bytes.TrimSpace(text), []byte("\n")), bytes.Split(bytes.TrimSpace(expected), []byte("\n"))
	if len(lines) != len(wants) {
		return fmt.Errorf("%d events, %d expectations", len(lines), len(wants))
	}
	start := time.Now()
	set := sigma.Load(files, sigma.Options{})
	program := set.Compile(nil)
	loading := time.Since(start)
	m := program.NewMatcher()
	right := 0
	for i, line := range lines {
		matched, err := m.JSON(line)
		if err != nil {
			return err
		}
		var want struct {
			IDs []string `json:"rule_ids"`
		}
		if err := json.Unmarshal(wants[i], &want); err != nil {
			return err
		}
		var ids []string
		for _, r := range matched {
			ids = append(ids, r.Key())
		}
		slices.Sort(ids)
		slices.Sort(want.IDs)
		if slices.Equal(ids, want.IDs) {
			right++
		}
	}
	commit, _ := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	fmt.Printf("go run ./bench/sigma -data DIR -sigmalite DIR; %s %s/%s; commit %s, %s, one core\n\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, bytes.TrimSpace(commit), rig.Processor())
	fmt.Printf("%d active rules, loaded and compiled in %s; %d events of %.0f bytes on average\n\n",
		len(program.Rules()), loading.Round(time.Millisecond), len(lines), float64(len(text))/float64(len(lines)))
	var ours, theirs, ratios []float64
	out := "sigmalite  missing: no checkout was given\n"
	from, n := m.Candidates, 0
	for range rounds {
		began, round := used(), 0
		for used()-began < lasts {
			for _, line := range lines {
				if _, err := m.JSON(line); err != nil {
					return err
				}
			}
			round += len(lines)
		}
		n += round
		ours = append(ours, float64(round)/(used()-began).Seconds())
		if peer == "" {
			continue
		}
		var rate float64
		if out, rate, err = sigmalite(data, peer, lasts); err != nil {
			return err
		}
		theirs, ratios = append(theirs, rate), append(ratios, ours[len(ours)-1]/rate)
	}
	fmt.Printf("tocsin     %s events/s   %d of %d events with exactly the expected rules   %.1f rules evaluated an event\n",
		spread(ours), right, len(lines), float64(m.Candidates-from)/float64(n))
	if peer != "" {
		_, rest, _ := strings.Cut(out, "events/s")
		out = fmt.Sprintf("sigmalite  %s events/s%sratio      %s\n", spread(theirs), rest, spread(ratios))
	}
	fmt.Print(out)
	return correlations(lasts, rounds)
}

// spread is the median, the least and the most of several figures.
func spread(figures []float64) string {
	slices.Sort(figures)
	return fmt.Sprintf("%8.0f (%.0f to %.0f)", figures[len(figures)/2], figures[0], figures[len(figures)-1])
}

// sigmalite runs the program in the directory sigmalite, a module of its own, with the checkout.
func sigmalite(data, checkout string, lasts time.Duration) (out string, rate float64, err error) {
	own, err := filepath.Abs("bench/sigma/sigmalite")
	if err != nil {
		return "", 0, err
	}
	if checkout, err = filepath.Abs(checkout); err != nil {
		return "", 0, err
	}
	dir, err := os.MkdirTemp("", "sigma")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(dir)
	work := filepath.Join(dir, "go.work")
	if err := os.WriteFile(work, fmt.Appendf(nil, "go 1.26.0\n\nuse (\n\t%q\n\t%q\n)\n", own, checkout), 0o644); err != nil {
		return "", 0, err
	}
	cmd := exec.Command("go", "run", ".", "-data", data, "-for", lasts.String())
	cmd.Dir, cmd.Stderr, cmd.Env = own, os.Stderr, append(os.Environ(), "GOWORK="+work, "GOFLAGS=-mod=readonly")
	b, err := cmd.Output()
	if err != nil {
		return "", 0, fmt.Errorf("run sigmalite: %w", err)
	}
	if _, err := fmt.Sscanf(string(b), "sigmalite %f", &rate); err != nil {
		return "", 0, fmt.Errorf("read %q: %w", b, err)
	}
	return string(b), rate, nil
}

// used returns the time that this process was on a processor: other work on the machine does not count.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
