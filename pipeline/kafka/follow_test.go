package kafka

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/bridge"
)

// TestFollowMissesNothing produces alerts while a bridge is up, down, and up again, and expects each at the peer once, what
// was there before the bridge at none, and what the peer refuses among the dead letters.
func TestFollowMissesNothing(t *testing.T) {
	cfg := broker(t)
	log := zaptest.NewLogger(t)
	var mu sync.Mutex
	var came []string
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("Webhook-Id")
		if strings.HasPrefix(id, pipeline.NewID("3").String()) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if !slices.Contains(came, id) { // one that ends between call and commit calls again, under the same id
			came = append(came, id)
		}
	}))
	t.Cleanup(peer.Close)
	producer := client(t, cfg)
	send := func(n int) string {
		t.Helper()
		a := &pipeline.Alert{ID: pipeline.NewID(fmt.Sprint(n)), Version: 1, Status: pipeline.StatusFiring, Team: "sec", DedupKey: fmt.Sprint(n), Title: "t", EventIDs: []uuid.UUID{}}
		value, err := pipeline.EncodeAlert(a, "tocsin/test", time.Now())
		if err == nil {
			err = producer.ProduceSync(t.Context(), &kgo.Record{Topic: AlertsPrefix + "sec", Key: []byte(a.DedupKey), Value: value}).FirstErr()
		}
		if err != nil {
			t.Fatal(err)
		}
		return a.ID.String() + ".1"
	}
	run := func() (stop func()) {
		b, err := bridge.New(bridge.Config{Name: "b", Kind: "webhook", URL: peer.URL, Key: "k", PerMinute: 6000}, log)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Follow(ctx, cfg, "b", "i", b.Deliver, b.Refresh, log) }()
		return func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	arrived := func(want ...string) {
		t.Helper()
		waitFor(t, fmt.Sprint(want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(came) == len(want)
		})
		for _, id := range want {
			if !slices.Contains(came, id) {
				t.Errorf("%s is not there: %v", id, came)
			}
		}
	}
	send(0) // nobody is called for what was before
	stop := run()
	waitForGroup(t, cfg, cfg.Group+"-bridge-b")
	one := send(1)
	arrived(one)
	stop()
	two := send(2) // perhaps the first of its partition
	stop = run()
	arrived(one, two)
	send(3)
	four := send(4)
	arrived(one, two, four)
	stop()
	reader := client(t, cfg, kgo.ConsumeTopics(DeadLetterTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	fetches := reader.PollFetches(t.Context())
	if letters := fetches.Records(); len(letters) != 1 || !strings.Contains(string(letters[0].Value), "400 Bad Request") {
		t.Errorf("%d dead letters", len(letters))
	}
}

// waitForGroup waits until the group has its positions.
func waitForGroup(t *testing.T, cfg Config, group string) {
	t.Helper()
	adm := kadm.NewClient(client(t, cfg))
	waitFor(t, "the group's positions", func() bool {
		offsets, err := adm.FetchOffsets(t.Context(), group)
		return err == nil && len(offsets) > 0
	})
}

// TestFollowLeavesWhatIsAnothers: a member whose peer is away holds records of all partitions when a second one takes some of them
// over. What that one has delivered the first does not deliver again, and older than what is there, when its peer is back.
func TestFollowLeavesWhatIsAnothers(t *testing.T) {
	cfg := broker(t)
	log := zaptest.NewLogger(t)
	var mu sync.Mutex
	came := map[string][]string{} // members that delivered, by alert
	asked := make(chan struct{}, 1000)
	away := true
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		member, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if member == "first" && away {
			asked <- struct{}{}
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		came[r.Header.Get("Webhook-Id")] = append(came[r.Header.Get("Webhook-Id")], member)
	}))
	t.Cleanup(peer.Close)
	ctx, cancel := context.WithCancel(t.Context())
	var members sync.WaitGroup
	t.Cleanup(func() { cancel(); members.Wait() })
	follow := func(member string) {
		b, err := bridge.New(bridge.Config{Name: "b", Kind: "webhook", URL: peer.URL + "/" + member, Key: "k", PerMinute: 60_000}, log)
		if err != nil {
			t.Fatal(err)
		}
		members.Go(func() {
			if err := Follow(ctx, cfg, "b", member, b.Deliver, b.Refresh, log); err != nil {
				t.Error(err)
			}
		})
	}
	follow("first")
	waitForGroup(t, cfg, cfg.Group+"-bridge-b")
	const alerts = 24
	producer := client(t, cfg)
	for n := range alerts {
		a := &pipeline.Alert{ID: pipeline.NewID(fmt.Sprint(n)), Version: 1, Status: pipeline.StatusFiring, Team: "sec", DedupKey: fmt.Sprint(n), Title: "t", EventIDs: []uuid.UUID{}}
		value, err := pipeline.EncodeAlert(a, "tocsin/test", time.Now())
		if err == nil {
			err = producer.ProduceSync(t.Context(), &kgo.Record{Topic: AlertsPrefix + "sec", Key: []byte(a.DedupKey), Value: value}).FirstErr()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	<-asked
	follow("second")
	waitFor(t, "what the second one has taken over", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(came) > 0
	})
	time.Sleep(time.Second) // it has more than one
	mu.Lock()
	away = false
	mu.Unlock()
	waitFor(t, "all alerts", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(came) == alerts
	})
	by := map[string]int{}
	for id, members := range came {
		if len(members) != 1 {
			t.Errorf("%s was delivered by %v", id, members)
		}
		by[members[0]]++
	}
	if by["first"] == 0 || by["second"] == 0 {
		t.Errorf("delivered by %v: nothing was shared", by)
	}
}
