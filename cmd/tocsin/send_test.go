package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/pipeline/receive"
)

// tocsin runs a command line in this process.
func tocsin(t *testing.T, stdin string, args ...string) (stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(t.Context())
	return errs.String(), err
}

// outsideCI clears what the machine that runs the tests may say of its own job.
func outsideCI(t *testing.T) {
	for _, name := range []string{"GITHUB_ACTIONS", "GITLAB_CI", "BITBUCKET_BUILD_NUMBER", "JENKINS_URL", "TOCSIN_URL", "TOCSIN_TOKEN"} {
		t.Setenv(name, "")
	}
}

// TestSendReachesKafka sends a report from a CI job through a receiver, and another straight to Kafka.
func TestSendReachesKafka(t *testing.T) {
	outsideCI(t)
	broker, err := embedded.StartKafka(embedded.KafkaConfig{Dir: t.TempDir(), Topics: []embedded.Topic{{Name: "ci", Partitions: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	conf := kafka.DefaultConfig()
	conf.Brokers = broker.Addrs
	log := zaptest.NewLogger(t)
	sender, err := kafka.NewSender(t.Context(), conf, []string{"ci"}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	cfg := receive.DefaultConfig()
	cfg.Listen, cfg.MaxBytes = "127.0.0.1:0", 1000
	const token = "a-token-of-a-good-length"
	cfg.Routes = []receive.Route{{Path: "/ci", Topic: "ci", Verify: "token", Secrets: []string{token}}}
	server, err := receive.New(cfg, sender, prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	report := filepath.Join(t.TempDir(), "report.xml")
	text := `<testsuite name="s" tests="1"><testcase classname="a.B" name="c" time="0.1"/></testsuite>`
	if err := os.WriteFile(report, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "http://" + server.Addr() + "/ci"
	if stderr, err := tocsin(t, "", "send", "--to", url, report); !errors.Is(err, errNo) || !strings.Contains(stderr, "401") {
		t.Errorf("without the token: %v %s, want no and 401", err, stderr)
	}
	t.Setenv("TOCSIN_TOKEN", token)
	if stderr, err := tocsin(t, strings.Repeat("x", 1001), "send", "--to", url); !errors.Is(err, errNo) || !strings.Contains(stderr, "413") {
		t.Errorf("too large: %v %s, want no and 413", err, stderr)
	}
	t.Setenv("GITHUB_ACTIONS", "true")
	t.Setenv("GITHUB_SERVER_URL", "https://github.com")
	t.Setenv("GITHUB_REPOSITORY", "Acme/Shop")
	t.Setenv("GITHUB_SHA", "6113728f27ae82c7b1a177c8d03f9e96e0adf246")
	t.Setenv("GITHUB_RUN_ID", "77")
	if stderr, err := tocsin(t, "", "send", "--to", url, "--source", "junit-xml", "--field", "project=shop", report); err != nil {
		t.Fatal(err, stderr)
	}
	path := filepath.Join(t.TempDir(), "tocsin.yaml")
	if err := os.WriteFile(path, []byte(`kafka: {brokers: ["`+broker.Addrs[0]+`"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if stderr, err := tocsin(t, "from standard input", "send", "-c", path, "--topic", "ci"); err != nil {
		t.Fatal(err, stderr)
	}

	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Addrs...), kgo.ConsumeTopics("ci"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var recs []*kgo.Record
	for len(recs) < 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		fetches := cl.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		recs = append(recs, fetches.Records()...)
	}
	if string(recs[0].Value) != text || string(recs[1].Value) != "from standard input" {
		t.Errorf("values %q and %q", recs[0].Value, recs[1].Value)
	}
	for _, want := range []string{
		"tocsin_source=junit-xml", "tocsin_project=shop", "tocsin_repo=github.com/acme/shop", "tocsin_run_id=github.com/acme/shop/77",
		"tocsin_commit_sha=6113728f27ae82c7b1a177c8d03f9e96e0adf246",
	} {
		if !slices.ContainsFunc(recs[0].Headers, func(h kgo.RecordHeader) bool { return h.Key+"="+string(h.Value) == want }) {
			t.Errorf("headers %s: no %s", recs[0].Headers, want)
		}
	}
}

// TestSendTriesAgain: a receiver that is busy is asked again, under the same id; one that stays away ends in a failure.
func TestSendTriesAgain(t *testing.T) {
	outsideCI(t)
	var calls atomic.Int32
	ids := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		ids <- r.Header.Get("Idempotency-Key")
		if calls.Add(1) == 1 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer server.Close()
	if stderr, err := tocsin(t, "x", "send", "--to", server.URL); err != nil {
		t.Fatal(err, stderr)
	}
	if a, b := <-ids, <-ids; a != b || a == "" {
		t.Errorf("ids %q and %q, want one", a, b)
	}
	server.Close()
	if _, err := tocsin(t, "x", "send", "--timeout", "50ms", "--to", server.URL); err == nil || errors.Is(err, errNo) {
		t.Errorf("nobody there: %v, want a failure", err)
	}
}
