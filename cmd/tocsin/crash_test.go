package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

var kills = flag.Int("kills", 3, "how often TestKilledPipeline kills the pipeline at random")

// TestKilledPipeline kills the pipeline with SIGKILL, at random moments and once at each failpoint, while records keep
// coming in. What comes out must be what a run without Kafka, ClickHouse and crashes gives: every row once, exact rollups,
// every alert, each of its versions once.
func TestKilledPipeline(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	killPipeline(newPlant(t, embeddedServers(t), "raw"), *kills)
}

func killPipeline(p *plant, kills int) {
	p.t.Helper()
	p.produce()
	process := p.start("tocsin", "run", "-c", p.config("a"))
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", process)
	process.kill()
	rng := rand.New(rand.NewPCG(uint64(kills), 1))
	for range kills {
		process := p.start("tocsin", "run", "-c", p.config("a"))
		select {
		case <-process.done:
			p.t.Fatalf("the pipeline ended by itself\n%s", process.log())
		case <-time.After(200*time.Millisecond + time.Duration(rng.Int64N(int64(2200*time.Millisecond)))):
		}
		process.kill()
	}
	for _, point := range failpoints {
		began := time.Now()
		process := p.start("tocsin-failing", point, "2", p.config("a"))
		process.wait(30 * time.Second)
		if !process.killed() {
			p.t.Fatalf("%s: the process ended otherwise\n%s", point, process.log())
		}
		p.t.Logf("%s after %v", point, time.Since(began).Round(time.Millisecond))
	}
	p.conclude(p.start("tocsin", "run", "-c", p.config("a")))
}

// conclude ends the load and the pipeline, the process that runs last, and compares what came out.
func (p *plant) conclude(process *process) {
	p.t.Helper()
	p.finish(process)
	process.signal(syscall.SIGTERM)
	process.wait(30 * time.Second)
	if code := process.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("exit code %d after SIGTERM\n%s", code, process.log())
	}
	p.check(context.Background())
}

// TestZombie stops a process as a frozen machine would, lets another of the same name take its place, and wakes it: what it
// still holds must not be stored, its commits are refused, and it ends.
func TestZombie(t *testing.T) {
	t.Parallel()
	p := newPlant(t, embeddedServers(t), "raw")
	p.produce()
	zombie := p.start("tocsin", "run", "-c", p.config("a"))
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", zombie)
	zombie.signal(syscall.SIGSTOP)
	process := p.start("tocsin", "run", "-c", p.config("a"))
	var before uint64
	if err := p.db.QueryRow(t.Context(), "SELECT sum(n) FROM events_1m").Scan(&before); err != nil {
		t.Fatal(err)
	}
	p.await("its successor's rows", fmt.Sprintf("SELECT sum(n) > %d FROM events_1m", before+500), process)
	zombie.signal(syscall.SIGCONT)
	zombie.wait(30 * time.Second)
	if zombie.ProcessState.ExitCode() != 2 || !strings.Contains(zombie.log(), "another process has taken the place") {
		t.Errorf("exit code %d, and in its log no word of another one\n%s", zombie.ProcessState.ExitCode(), zombie.log())
	}
	p.conclude(process)
}

// TestR46KilledConsumer kills one of two consumers while records keep coming in: the other one takes its partitions over, and
// what comes out is what would have come without the kill.
func TestR46KilledConsumer(t *testing.T) {
	t.Parallel()
	p := newPlant(t, embeddedServers(t), "raw")
	p.patience = 2 * time.Minute // the group waits 45 s for the one that is gone
	p.produce()
	first, second := p.start("tocsin", "run", "-c", p.config("a")), p.start("tocsin", "run", "-c", p.config("b"))
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", second)
	first.kill()
	p.conclude(second)
}
