package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

// failpoints are the moments at which a crash hurts most: between two steps of which each leaves its trace elsewhere. The
// last one leaves a transaction open, which whoever comes next must end, not wait for.
var failpoints = []string{"after-plan", "after-insert", "before-commit", "mid-restore", "mid-transaction"}

// runFailing is `tocsin run -c FILE` in a process of its own that kills itself when it passes a failpoint for the n-th
// time: tocsin-failing POINT N FILE. The failpoints are put around the seams that the pipeline has anyway; the program
// that people run knows nothing of them.
func runFailing() {
	err := func() error {
		n, err := strconv.Atoi(os.Args[2])
		if err != nil {
			return err
		}
		cfg, log, err := loadWithLog(os.Args[3])
		if err != nil {
			return err
		}
		app, err := newApp(context.Background(), cfg, time.Now, log)
		if err != nil {
			return err
		}
		defer app.close()
		hits := &failpoint{name: os.Args[1]}
		hits.left.Store(int64(n))
		app.newWorker = func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
			w, err := app.worker(tp)
			if err == nil {
				newSink := w.NewSink
				w.NewSink = func() pipeline.Sink { return failingSink{newSink(), hits} }
				w.Publisher = failingPublisher{w.Publisher, hits}
			}
			return w, err
		}
		app.newState = func(partition, partitions int) pipeline.Correlator {
			return failingState{app.state(partition, partitions), hits}
		}
		return app.run(context.Background(), kafka.AllRoles)
	}()
	fmt.Fprintln(os.Stderr, "ended without a kill:", err)
	os.Exit(2)
}

type failpoint struct {
	name string
	left atomic.Int64
}

// pass kills the process as the kernel would, if it is this failpoint's time. What was handed to the network before has a
// moment to arrive: a crash that comes too early to be seen shows nothing.
func (f *failpoint) pass(name string) {
	if name == f.name && f.left.Add(-1) == 0 {
		time.Sleep(50 * time.Millisecond)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

type failingSink struct {
	pipeline.Sink
	*failpoint
}

func (s failingSink) Flush(ctx context.Context, c pipeline.Chunk) error {
	rows, _ := s.Size()
	s.pass("after-plan")
	err := s.Sink.Flush(ctx, c)
	if err == nil && rows > 0 {
		s.pass("after-insert")
	}
	return err
}

type failingPublisher struct {
	pipeline.Publisher
	*failpoint
}

func (p failingPublisher) Barrier() func(ctx context.Context) error {
	wait := p.Publisher.Barrier()
	return func(ctx context.Context) error {
		err := wait(ctx)
		p.pass("before-commit")
		return err
	}
}

type failingState struct {
	pipeline.Correlator
	*failpoint
}

// Dirty is where the transaction holds the changelog, but not yet the alerts and the offsets.
func (s failingState) Dirty(f func(key, value []byte)) {
	n := 0
	s.Correlator.Dirty(func(key, value []byte) { f(key, value); n++ })
	if n > 0 {
		s.pass("mid-transaction")
	}
}

func (s failingState) Restore(key, value []byte) error {
	err := s.Correlator.Restore(key, value)
	s.pass("mid-restore")
	return err
}
