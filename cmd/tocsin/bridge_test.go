package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
)

// TestKilledBridge kills a bridge with SIGKILL, again and again while it delivers: its peer gets every version of every alert,
// in order, and what comes twice comes under the same key, once for each kill at most.
func TestKilledBridge(t *testing.T) {
	t.Parallel() // it waits for processes most of the time
	const alerts, versions, times = 60, 3, 5
	server, err := embedded.StartKafka(embedded.KafkaConfig{Dir: t.TempDir(), Topics: []embedded.Topic{
		{Name: kafka.AlertsPrefix + "dev", Partitions: 2}, {Name: kafka.AlertsPrefix + "sec", Partitions: 2}, {Name: kafka.AlertsPrefix + "ops", Partitions: 2},
		{Name: kafka.AlertsPrefix + "mon", Partitions: 2}, {Name: kafka.DeadLetterTopic, Partitions: 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var mu sync.Mutex
	var came []string
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * time.Millisecond) // a peer that is killed for has had time to act on it
		mu.Lock()
		defer mu.Unlock()
		came = append(came, r.Header.Get("Webhook-Id"))
	}))
	t.Cleanup(peer.Close)
	p := &plant{t: t, dir: t.TempDir()}
	config := filepath.Join(p.dir, "bridge.yaml")
	text := fmt.Sprintf("instance: a\nkafka: {brokers: [%q]}\nbridges: [{name: hook, kind: webhook, url: %q, key: k, per_minute: 60000}]\n", server.Addrs[0], peer.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(server.Addrs...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	start := func() *process { return p.start("tocsin", "bridge", "hook", "-c", config) }
	process := start()
	adm := kadm.NewClient(client)
	for ready := false; !ready; time.Sleep(50 * time.Millisecond) { // it has its positions: what comes from now on is delivered
		offsets, err := adm.FetchOffsets(t.Context(), "tocsin-bridge-hook")
		ready = err == nil && len(offsets) > 0
		select {
		case <-process.done:
			t.Fatalf("the bridge ended by itself\n%s", process.log())
		default:
		}
	}
	want := map[string]bool{}
	var records []*kgo.Record
	for version := range uint64(versions) {
		for i := range alerts {
			a := &pipeline.Alert{ID: pipeline.NewID(fmt.Sprint(i)), Version: version + 1, Status: pipeline.StatusFiring, Team: "sec", DedupKey: fmt.Sprint(i), Title: "t", EventIDs: []uuid.UUID{}}
			value, err := pipeline.EncodeAlert(a, "tocsin/test", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, &kgo.Record{Topic: kafka.AlertsPrefix + "sec", Key: []byte(a.DedupKey), Value: value})
			want[fmt.Sprintf("%s.%d", a.ID, a.Version)] = true
		}
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	arrived := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(came)
	}
	// await waits until n have come, as long as any come.
	await := func(n int) {
		t.Helper()
		before := -1
		for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got := len(arrived())
			if got >= n {
				return
			}
			if got != before {
				before, deadline = got, time.Now().Add(90*time.Second)
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d came, and no more\n%s", got, n, process.log())
			}
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range times {
		await(len(arrived()) + 5 + rng.IntN(20))
		process.kill()
		process = start()
	}
	distinct := func() map[string]bool {
		set := map[string]bool{}
		for _, id := range arrived() {
			set[id] = true
		}
		return set
	}
	for n := len(distinct()); n < len(want); n = len(distinct()) {
		await(len(arrived()) + 1)
	}
	process.kill()
	newest := map[string]string{}
	for _, id := range arrived() {
		if !want[id] {
			t.Errorf("%s came, which nobody sent", id)
		}
		alert, version, _ := strings.Cut(id, ".")
		if version < newest[alert] {
			t.Errorf("version %s of %s came after %s", version, alert, newest[alert])
		}
		newest[alert] = version
	}
	if twice := len(arrived()) - len(want); twice > times {
		t.Errorf("%d came twice in %d kills", twice, times)
	}
}
