//go:build synctests

package kafka

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

var modelMutations = flag.Int("mutations", 0, "how many schedules TestModelNeedsEachProtection goes through until it says that a protection is not needed")

// mutations are the protections, each taken out.
var mutations = []mutation{
	{name: "plans are not written", broker: rewrite(kmsg.OffsetCommit, func(_ *kfake.Cluster, req *kmsg.OffsetCommitRequest) {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				req.Topics[i].Partitions[j].Metadata = kmsg.StringPtr("")
			}
		}
	})},
	{name: "a planned chunk ends where it ends today", token: func(_ string, c pipeline.Chunk, rows []pipelinetest.Row) string {
		return fmt.Sprint(c.Partition, c.From, rows[len(rows)-1].Offset+1)
	}},
	{name: "each attempt has a token of its own", token: func(token string, _ pipeline.Chunk, _ []pipelinetest.Row) string {
		return fmt.Sprint(token, attempts.Add(1))
	}},
	{name: "the table remembers no token", warehouse: func(w *pipelinetest.Warehouse) { w.Window = 0 }},
	{name: "the view remembers no token", warehouse: func(w *pipelinetest.Warehouse) { w.ViewWindow = 0 }},
	{name: "any member may commit", broker: rewrite(kmsg.OffsetCommit, func(c *kfake.Cluster, req *kmsg.OffsetCommitRequest) {
		if g := c.GroupInfo(req.Group); g != nil && len(g.Members) > 0 {
			req.Generation, req.MemberID, req.InstanceID = g.Epoch, g.Members[0].MemberID, g.Members[0].InstanceID
		}
	})},
	{name: "offsets are committed before signals are acknowledged", worker: func(w *pipeline.Worker) { w.Publisher = hasty{w.Publisher} }},
	{name: "signals are not deduplicated", state: func(c pipeline.Correlator) pipeline.Correlator { return forgetful{c} }},
	{name: "signals behind refused ones are taken", state: func(c pipeline.Correlator) pipeline.Correlator { return trusting{c} }},
	{name: "what an aborted transaction did to the state stays", state: func(c pipeline.Correlator) pipeline.Correlator { return stubborn{c} }},
	{name: "the state has no changelog", state: func(c pipeline.Correlator) pipeline.Correlator { return silent{c} }},
	{name: "aborted records are read", broker: rewrite(kmsg.Fetch, func(_ *kfake.Cluster, req *kmsg.FetchRequest) { req.IsolationLevel = 0 })},
}

var attempts atomic.Int64 // so far, of anything

// rewrite changes each request of a kind before the broker sees it.
func rewrite[R kmsg.Request](key kmsg.Key, change func(*kfake.Cluster, R)) func(*kfake.Cluster) {
	return func(c *kfake.Cluster) {
		c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			change(c, req.(R))
			return nil, nil, false
		})
	}
}

// hasty does not wait for acknowledgements.
type hasty struct{ pipeline.Publisher }

func (hasty) Barrier() func(context.Context) error {
	return func(context.Context) error { return nil }
}

// forgetful makes each signal look new.
type forgetful struct{ pipeline.Correlator }

func (f forgetful) Process(s *pipeline.Signal, out *pipeline.Output) {
	s.Offset = attempts.Add(1)
	f.Correlator.Process(s, out)
}

// trusting believes that no signal is missing.
type trusting struct{ pipeline.Correlator }

func (t trusting) Process(s *pipeline.Signal, out *pipeline.Output) {
	s.After = pipeline.Place{}
	t.Correlator.Process(s, out)
}

type stubborn struct{ pipeline.Correlator }

func (s stubborn) Rollback() { s.Commit() }

type silent struct{ pipeline.Correlator }

func (s silent) Dirty(f func(key, value []byte)) { s.Correlator.Dirty(func(_, _ []byte) {}) }

// TestModelNeedsEachProtection takes the protections out, one at a time: the model must notice, or it proves nothing.
func TestModelNeedsEachProtection(t *testing.T) {
	rules := loadModelRules(t)
	for _, without := range mutations[:min(len(mutations), *modelMutations)] {
		t.Run(strings.ReplaceAll(without.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for seed := range *modelMutations {
				if wrong, _ := runModel(t, seed+1, rules, without); len(wrong) > 0 {
					t.Logf("seed %d: %s", seed+1, wrong[0])
					return
				}
			}
			t.Errorf("%s, and in %d schedules nothing is wrong", without.name, *modelMutations)
		})
	}
}
