//go:build synctests

package kafka

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
	"github.com/tocsin-project/tocsin/processors/rule"
)

var (
	modelSeeds = flag.Int("seeds", 20, "how many schedules TestModel goes through")
	modelSeed  = flag.Int("seed", 1, "the first of them")
)

// TestModel goes through schedules of crashes, restarts, frozen processes that wake up, rebalances, lost acknowledgements,
// blocks that are stored late or by half, failing requests, moving coordinators and leaders, and compaction, made from
// seeds. Whatever happens, the rows are the records, the view counts the rows, and the alerts are those of an oracle that
// reads the records one after the other. A seed gives the same schedule again; which of two goroutines goes first within
// the same moment is the runtime's, so that a failure may take a few runs to come back.
func TestModel(t *testing.T) {
	rules := loadModelRules(t)
	var next atomic.Int64
	shards(t, func(t *testing.T) {
		for {
			i := int(next.Add(1)) - 1
			if i >= *modelSeeds || t.Failed() {
				return
			}
			seed := *modelSeed + i
			if wrong, story := runModel(t, seed, rules, mutation{}); len(wrong) > 0 {
				t.Errorf("seed %d: %s\n%s\nagain: go test ./pipeline/kafka -run TestModel$ -seed %d -seeds 1 -count 20", seed, strings.Join(wrong, "\n"), strings.Join(story, "\n"), seed)
			}
		}
	})
}

// shards runs f once a processor, side by side.
func shards(t *testing.T, f func(t *testing.T)) {
	for n := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("shard ", n), func(t *testing.T) {
			t.Parallel()
			f(t)
		})
	}
}

func loadModelRules(t *testing.T) *rule.Set {
	t.Helper()
	set, err := rule.Load(modelRules)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// mutation takes a protection out.
type mutation struct {
	name      string
	broker    func(*kfake.Cluster)
	warehouse func(*pipelinetest.Warehouse)
	token     func(token string, c pipeline.Chunk, rows []pipelinetest.Row) string
	worker    func(*pipeline.Worker)
	state     func(pipeline.Correlator) pipeline.Correlator
}

// op is something that happens to a running model.
type op struct {
	at   time.Duration
	what string
	do   func(*model)
}

var processNames = []string{"a", "b", "c"}

// schedule makes the operations of a seed.
func schedule(rng *rand.Rand) []op {
	const over = 20 * time.Second
	var ops []op
	// Compaction may take records out of the topic that are in a table and not in its view yet: what completes a block that is
	// stored by half is made from what is there. So one schedule has the one or the other.
	compacts, becomes := rng.IntN(2) == 0, []string{refused, lost, late, slow, half}
	if compacts {
		becomes = becomes[:4]
	}
	add := func(what string, do func(*model)) {
		ops = append(ops, op{3*time.Second + time.Duration(rng.Int64N(int64(over))), what, do})
	}
	for range 4 + rng.IntN(8) {
		name := processNames[rng.IntN(len(processNames))]
		pause := time.Duration(rng.IntN(12_000)) * time.Millisecond
		switch rng.IntN(15) {
		case 0:
			add(fmt.Sprintf("%s is started, if it is not there", name), func(m *model) {
				if m.current(name) == nil {
					m.start(name)
				}
			})
		case 1:
			add(fmt.Sprintf("%s crashes and is back after %v", name, pause/4), func(m *model) { m.end(m.current(name), (*process).crash, pause/4, nil) })
		case 2:
			add(fmt.Sprintf("%s is ended and is back after %v", name, pause), func(m *model) { m.end(m.current(name), func(p *process) { p.cancel() }, pause, nil) })
		case 3:
			add(fmt.Sprintf("%s freezes for %v", name, pause), func(m *model) { m.freeze(name, pause) })
		case 4:
			add(fmt.Sprintf("%s freezes for %v, another takes its name", name, pause), func(m *model) {
				m.freeze(name, pause)
				m.start(name)
			})
		case 5:
			add("signals cannot be produced for a while", func(m *model) {
				m.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: SignalsTopic, Err: kerr.NotLeaderForPartition, Count: 20})
			})
			fallthrough
		case 6:
			add(fmt.Sprintf("%s loses its connections", name), func(m *model) {
				if p := m.current(name); p != nil {
					p.disconnect()
				}
			})
		case 7:
			add("coordinators move", func(m *model) { m.cluster.RehashCoordinators() })
		case 8:
			topic, p, node := []string{"raw", SignalsTopic, StateTopic}[rng.IntN(3)], rng.Int32N(modelPartitions), rng.Int32N(2)
			add(fmt.Sprintf("%s/%d moves to broker %d", topic, p, node), func(m *model) { _ = m.cluster.MoveTopicPartition(topic, p, node) })
		case 9:
			fault := kfake.Fault{Keys: []kmsg.Key{faultable[rng.IntN(len(faultable))]}, Err: faults[rng.IntN(len(faults))], Count: 1 + rng.IntN(2)}
			if fault.Keys[0] == kmsg.Produce {
				fault.Topic = []string{SignalsTopic, StateTopic, DeskTopic}[rng.IntN(3)] // the test itself produces as well
				fault.Err = produceFaults[rng.IntN(len(produceFaults))]
			}
			add(fmt.Sprintf("%d requests of kind %s fail: %s %s", fault.Count, fault.Keys[0].Name(), fault.Err.Message, fault.Topic), func(m *model) { m.cluster.Fault(fault) })
		case 10:
			add("signals are refused", func(m *model) {
				m.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: SignalsTopic, Err: kerr.MessageTooLarge, Count: 1})
			})
		case 11:
			if !compacts {
				continue
			}
			add("raw is compacted", (*model).compact)
		default:
			mood := mood{what: becomes[rng.IntN(len(becomes))], wait: 2 * pause}
			text := "the next block is " + mood.what
			if rng.IntN(2) == 0 {
				text += fmt.Sprintf(", its process crashes and is back after %v", pause/4)
				mood.wait /= 8
				mood.then = func(m *model, p *process) { m.end(p, (*process).crash, pause/4, nil) }
				if compacts {
					text += ", when raw is compacted"
					mood.then = func(m *model, p *process) { m.end(p, (*process).crash, pause/4, (*model).compact) }
				}
			}
			add(text, func(m *model) {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.moods = append(m.moods, mood)
			})
		}
	}
	slices.SortStableFunc(ops, func(a, b op) int { return int(a.at - b.at) })
	return ops
}

var faultable = []kmsg.Key{
	kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.Fetch, kmsg.ListOffsets, kmsg.Metadata, kmsg.FindCoordinator, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat,
	kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn, kmsg.Produce,
}

// produceFaults are what a broker may say of records; after some of them the client tries again, after others it gives up.
var produceFaults = []*kerr.Error{
	kerr.RequestTimedOut, kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.NetworkException,
	kerr.UnknownServerError, kerr.TopicAuthorizationFailed, kerr.MessageTooLarge,
}

// idle reports whether no process is looked after.
func (m *model) idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.running) == 0
}

func (m *model) current(name string) *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running[name]
}

// end ends a process in that way and starts another of its name after a pause, and after what is to be done before that.
func (m *model) end(p *process, how func(*process), pause time.Duration, before func(*model)) {
	if p == nil {
		return
	}
	m.mu.Lock()
	over := m.finishing // a block that was under way then crashes nobody any more
	if m.running[p.name] == p && !over {
		delete(m.running, p.name)
	}
	m.mu.Unlock()
	if over {
		return
	}
	how(p)
	m.after(pause, func() {
		if before != nil {
			before(m)
		}
		if m.current(p.name) == nil {
			m.start(p.name)
		}
	})
}

func (m *model) compact() {
	m.mu.Lock()
	m.compacted = true
	m.mu.Unlock()
	m.cluster.Compact()
}

func (m *model) freeze(name string, pause time.Duration) {
	if p := m.current(name); p != nil {
		p.freeze()
		m.after(pause, func() {
			m.say("%s wakes up", name)
			p.wake()
		})
	}
}

// after does something later, but not once the model comes to its end.
func (m *model) after(pause time.Duration, do func()) {
	m.server.Go(func() {
		time.Sleep(pause)
		m.mu.Lock()
		over := m.finishing
		m.mu.Unlock()
		if !over {
			do()
		}
	})
}

// runModel goes through the schedule of a seed and returns what is wrong with what came out.
func runModel(t *testing.T, seed int, rules *rule.Set, without mutation) (wrong, story []string) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		m := newModel(t, rules, without)
		defer m.cluster.Close()
		ops := schedule(rng)
		cfg := m.config(m.network.DialContext)
		var err error
		m.producer, err = kgo.NewClient(append(cfg.more, kgo.SeedBrokers(cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
		if err != nil {
			t.Fatal(err)
		}
		defer m.producer.Close()
		reader, err := kgo.NewClient(append(cfg.more, kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(DeskTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			m.read(ctx, reader)
		}()
		for _, name := range processNames[:1+rng.IntN(len(processNames))] {
			m.start(name)
		}
		time.Sleep(2 * time.Second) // detect hears of every input partition before records come
		produced := make(chan struct{})
		go func() {
			defer close(produced)
			m.produce(rng, 120, 18*time.Second)
		}()
		for _, op := range ops {
			time.Sleep(time.Until(m.began.Add(op.at)))
			m.say("%s", op.what)
			op.do(m)
		}
		<-produced
		m.mu.Lock()
		m.finishing, m.moods = true, nil
		all := slices.Clone(m.all)
		m.mu.Unlock()
		m.say("all is well from here on")
		for _, p := range all {
			p.wake()
		}
		if m.idle() {
			m.start("a")
		}
		m.settle()
		m.mu.Lock()
		m.closing, all = true, slices.Clone(m.all)
		m.mu.Unlock()
		for _, p := range all {
			p.cancel()
			<-p.ended
		}
		time.Sleep(2 * time.Second)
		m.server.Wait()
		cancel()
		<-reading
		reader.Close()
		wrong = m.judge()
		story = m.said
	})
	return wrong, story
}
