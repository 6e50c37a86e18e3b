// Command growth scores the growth detector beside the rules other tools use, on worlds it
// generates and, with -data, on sample worlds of another generator. The measures are those of the
// growth detector's issue: recall and timeliness of attacks, false alarms a database-month, delay,
// forecast error, CPU time a sample and bytes of state.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"

	"github.com/tocsin-project/tocsin/processors/detect"
)

// alarmScore is where the detector itself alarms. Below it the curve shows the score alone; above
// it, alarms the detector would have given sooner.
const alarmScore = 0.5

var every = flag.Duration("every", 0, "feed samples in between as well, so far apart; 0 feeds those that are there, 5 minutes apart")

var curve = []float64{0.40, 0.45, alarmScore, 0.55, 0.60, 0.65, 0.70, 0.75}

func main() {
	data := flag.String("data", os.Getenv("TOCSIN_GROWTH_DATA"), "directory of sample worlds (*.csv.gz, *.dbs.json, *.labels.json); also TOCSIN_GROWTH_DATA")
	n := flag.Int("worlds", 20, "generated worlds")
	first := flag.Uint64("seed", 1001, "seed of the first generated world; seeds up to 1000 were used to develop the detector")
	baselines := flag.Bool("baselines", true, "score the other rules, and the detector without some signals, too")
	verbose := flag.Bool("v", false, "name every missed attack and false alarm")
	flag.Parse()

	var generated, samples []*world
	for i := range uint64(*n) {
		generated = append(generated, newWorld(*first+i))
	}
	var names []string
	if *data != "" {
		var err error
		if samples, names, err = readWorlds(*data); err != nil {
			fmt.Fprintln(os.Stderr, "growth:", err)
			os.Exit(1)
		}
	}
	state, err := detect.NewGrowth(detect.GrowthConfig{}).MarshalBinary()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	fmt.Printf("State of a database: %d bytes.\n\n", len(state))
	report := func(title string, worlds []*world) {
		if len(worlds) == 0 {
			return
		}
		var ts []*tally
		var own *tally
		for _, score := range curve {
			t := measure(fmt.Sprintf("tocsin, score >= %.2f", score), newOurs(score), worlds)
			if ts = append(ts, t); score == alarmScore {
				own = t
			}
		}
		if *baselines {
			ts = append(ts,
				measure("predict_linear over 1 h, 24 h ahead", newLinear(1, 24), worlds),
				measure("predict_linear over 6 h, 24 h ahead", newLinear(6, 24), worlds),
				measure("used > 80 %", newUsed(0.8), worlds),
				measure("3 sigma EWMA on growth", newEWMA(3), worlds))
		}
		printTable(os.Stdout, title, ts)
		fmt.Println(own.kinds())
		if *verbose {
			for _, s := range append(own.misses, own.falses...) {
				fmt.Println(" ", s)
			}
		}
		if *baselines {
			printTable(os.Stdout, title+", signal by signal", ablate(worlds))
		}
	}
	report(fmt.Sprintf("Generated worlds %d-%d", *first, *first+uint64(*n)-1), generated)
	report("Sample worlds", samples)
	for i, w := range samples {
		rest := append(append([]*world{}, generated...), samples[:i]...)
		leaveOneOut(names[i], w, append(rest, samples[i+1:]...))
	}
}

// leaveOneOut takes the least score of the curve that keeps the false alarms of all other worlds
// at 0.10 a database-month, and says what it reaches on the one left out.
func leaveOneOut(name string, out *world, rest []*world) {
	for _, score := range curve {
		t := measure("", newOurs(score), rest)
		if float64(t.falseAlarms) <= 0.10*math.Max(t.dbMonths, 1) {
			printTable(os.Stdout, "Left out: "+name, []*tally{measure(fmt.Sprintf("tocsin, score >= %.2f", score), newOurs(score), []*world{out})})
			return
		}
	}
	fmt.Printf("Left out: %s: no score of the curve keeps the false alarms of the other worlds at 0.10\n", name)
}
