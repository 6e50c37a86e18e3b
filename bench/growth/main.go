// Command growth scores the growth detector beside the rules other tools use, on worlds it
// generates and, with -data, on sample worlds of another generator.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	data := flag.String("data", os.Getenv("TOCSIN_GROWTH_DATA"), "directory of sample worlds (*.csv.gz, *.dbs.json, *.labels.json); also TOCSIN_GROWTH_DATA")
	n := flag.Int("worlds", 20, "generated worlds")
	first := flag.Uint64("seed", 1, "seed of the first generated world")
	baselines := flag.Bool("baselines", true, "score the other rules too")
	verbose := flag.Bool("v", false, "name every missed attack and false alarm")
	flag.Parse()

	sets := map[string][]*world{}
	var order []string
	if *n > 0 {
		title := fmt.Sprintf("generated worlds %d-%d", *first, *first+uint64(*n)-1)
		for i := range uint64(*n) {
			sets[title] = append(sets[title], newWorld(*first+i))
		}
		order = append(order, title)
	}
	if *data != "" {
		worlds, names, err := readWorlds(*data)
		if err != nil {
			fmt.Fprintln(os.Stderr, "growth:", err)
			os.Exit(1)
		}
		sets["sample worlds"] = worlds
		order = append(order, "sample worlds")
		for i, name := range names {
			sets[name] = worlds[i : i+1]
			order = append(order, name)
		}
	}
	for _, title := range order {
		worlds := sets[title]
		var ts []*tally
		for _, score := range []float64{0.4, 0.45, 0.5, 0.55, 0.6, 0.7} {
			ts = append(ts, measure(fmt.Sprintf("tocsin, score >= %.2f", score), newOurs(score), worlds))
		}
		if *baselines {
			ts = append(ts,
				measure("predict_linear over 1 h, 24 h ahead", newLinear(1, 24), worlds),
				measure("predict_linear over 6 h, 24 h ahead", newLinear(6, 24), worlds),
				measure("used > 80 %", newUsed(0.8), worlds),
				measure("3 sigma EWMA on growth", newEWMA(3), worlds))
		}
		printTable(os.Stdout, title, ts)
		fmt.Println(ts[2].kinds())
		if *verbose {
			for _, s := range append(ts[2].misses, ts[2].falses...) {
				fmt.Println(" ", s)
			}
		}
	}
}
