package receive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/kafka"
	"github.com/tocsin-project/tocsin/processors/parse"
)

const secret = "0123456789abcdef0123456789abcdef"

// rig is a receiver on loopback in front of a broker.
type rig struct {
	*Server
	cluster *kfake.Cluster
	url     string
}

func start(t testing.TB, log *zap.Logger, change func(*Config)) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "ci"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	conf := kafka.DefaultConfig()
	conf.Brokers = cluster.ListenAddrs()
	cfg := DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	for _, verify := range []string{"github", "gitlab", "bitbucket", "gitea", "slack", "token"} {
		cfg.Routes = append(cfg.Routes, Route{Path: "/" + verify, Topic: "ci", Verify: verify, Secrets: []string{secret}})
	}
	cfg.Routes = append(cfg.Routes, Route{Path: "/open", Topic: "ci", Verify: "none"}, Route{Path: "/junit", Topic: "ci", Verify: "none", Source: "junit-xml"})
	if change != nil {
		change(&cfg)
	}
	sender, err := kafka.NewSender(t.Context(), conf, cfg.Topics(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	s, err := New(cfg, sender, prometheus.NewRegistry(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &rig{s, cluster, "http://" + s.Addr()}
}

// post returns the status and the text of the answer.
func (r *rig) post(t testing.TB, path string, body []byte, h http.Header) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, r.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = h.Clone()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text)), resp.Header
}

// records returns the first n records of the topic, and fails where there are more.
func (r *rig) records(t testing.TB, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ConsumeTopics("ci"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var out []*kgo.Record
	for len(out) < n {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		fetches := cl.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records, then: %v", len(out), n, err)
		}
		out = append(out, fetches.Records()...)
	}
	if end := r.cluster.PartitionInfo("ci", 0).HighWatermark; len(out) != n || end != int64(n) {
		t.Fatalf("%d records in the topic, want %d", end, n)
	}
	return out
}

func signedFor(body []byte, more ...string) http.Header {
	return header(append(more, "X-Hub-Signature-256", "sha256="+hex.EncodeToString(sum(secret, body)), "Content-Type", "application/json")...)
}

// TestWebhooksBecomeEvents posts samples as their senders do, and reads what is in Kafka with the parsers.
func TestWebhooksBecomeEvents(t *testing.T) {
	r := start(t, zaptest.NewLogger(t), nil)
	read := func(name string) []byte {
		b, err := os.ReadFile("../../processors/parse/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	push := []byte(`{"ref":"refs/heads/main","before":"0000000000000000000000000000000000000000","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","repository":{"full_name":"acme/shop"},"pusher":{"name":"ann"},"commits":[]}`)
	form := []byte("payload=" + url.QueryEscape(string(push)))
	junit := []byte(`<testsuite name="s" tests="1"><testcase classname="a.B" name="c" time="0.1"/></testsuite>`)
	size := read("db-size/pg_database_size.csv")
	ce := []byte(`{"commit":"x"}`)
	for i, c := range []struct {
		path   string
		body   []byte
		header http.Header
		source string
	}{
		{"/github", push, signedFor(push, "X-GitHub-Event", "push", "X-GitHub-Delivery", "a-1"), "github"},
		{"/github", form, signedForm(form), "github"},
		{"/gitlab", []byte(`{"object_kind":"push","event_name":"push","ref":"refs/heads/main","after":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","project":{"path_with_namespace":"acme/shop","web_url":"https://gitlab.example.com/acme/shop"},"user_username":"ann","commits":[]}`),
			header("X-Gitlab-Token", secret, "X-Gitlab-Event", "Push Hook", "Idempotency-Key", "b-1"), "gitlab-webhook"},
		{"/junit", junit, http.Header{}, "junit-xml"},
		{"/token", size, header("Authorization", "Bearer "+secret, "Tocsin-Source", "db-size", "Tocsin-Project", "shop"), "db-size"},
		{"/open", ce, header("Ce-Specversion", "1.0", "Ce-Type", "com.example.done", "Ce-Source", "/x", "Ce-Id", "1", "Content-Type", "application/json"), "cloudevents"},
		{"/open", []byte(`{"specversion":"1.0","type":"com.example.done","source":"/x","id":"2","data":{}}`), header("Content-Type", "application/cloudevents+json"), "cloudevents"},
	} {
		if code, text, _ := r.post(t, c.path, c.body, c.header); code != http.StatusAccepted {
			t.Fatalf("%d %s: %d %s", i, c.path, code, text)
		}
		recs := r.records(t, i+1)
		rec := recs[i]
		b := &pipeline.Batch{TopicPartition: pipeline.TopicPartition{Topic: "ci"}, Records: []pipeline.Record{{Time: rec.Timestamp, Value: rec.Value}}}
		for _, h := range rec.Headers {
			b.Records[0].Headers = append(b.Records[0].Headers, pipeline.Header{Key: h.Key, Value: h.Value})
			if strings.Contains(string(h.Value), secret) {
				t.Errorf("%d %s: header %s carries the secret", i, c.path, h.Key)
			}
		}
		parser, err := parse.New(parse.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := parser.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(b.Events) == 0 || len(b.Failures) > 0 || b.Events[0].Source != c.source {
			t.Errorf("%d %s: %d events %v, want some of %s", i, c.path, len(b.Events), b.Failures, c.source)
			continue
		}
		if c.source == "db-size" && b.Events[0].Project != "shop" {
			t.Errorf("project %q, want the header's", b.Events[0].Project)
		}
	}
}

func signedForm(body []byte) http.Header {
	h := signedFor(body, "X-GitHub-Event", "push", "X-GitHub-Delivery", "a-2")
	h.Set("Content-Type", "application/x-www-form-urlencoded")
	return h
}

func TestRequestsThatAreRefused(t *testing.T) {
	r := start(t, zaptest.NewLogger(t), func(c *Config) { c.MaxBytes, c.MaxPending = 1000, 1000 })
	body := []byte(`{"zen":"x"}`)
	long := bytes.Repeat([]byte("x"), 1001)
	for _, c := range []struct {
		name, path string
		body       []byte
		header     http.Header
		want       int
	}{
		{"no signature", "/github", body, http.Header{}, 401},
		{"signature of another body", "/github", []byte(`{"zen":"y"}`), signedFor(body), 401},
		{"the old SHA-1 header", "/github", body, header("X-Hub-Signature", "sha1=00"), 401},
		{"wrong token", "/token", body, header("Authorization", "Bearer nope"), 401},
		{"token of another scheme", "/token", body, header("Authorization", "Basic "+secret), 401},
		{"too large", "/open", long, http.Header{}, 413},
		{"empty", "/open", []byte(" \n"), http.Header{}, 400},
		{"no such route", "/else", body, http.Header{}, 404},
	} {
		if code, text, _ := r.post(t, c.path, c.body, c.header); code != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, code, text, c.want)
		}
	}
	if resp, err := http.Get(r.url + "/open"); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v, want 405", resp, err)
	} else {
		resp.Body.Close()
	}
	// One that does not say how long it is may still not be longer.
	req, err := http.NewRequest(http.MethodPost, r.url+"/open", io.MultiReader(bytes.NewReader(long)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("chunked and too long: %d, want 413", resp.StatusCode)
	}
	r.records(t, 0)
}

// TestBackPressure: while one slow body holds all that may be pending, the next is told to come again, and taken later.
func TestBackPressure(t *testing.T) {
	r := start(t, zaptest.NewLogger(t), func(c *Config) { c.MaxBytes, c.MaxPending = 1000, 1000 })
	slow, feed := io.Pipe()
	first := make(chan int, 1)
	go func() {
		resp, err := http.Post(r.url+"/open", "text/plain", slow)
		if err != nil {
			first <- 0
			return
		}
		resp.Body.Close()
		first <- resp.StatusCode
	}()
	if _, err := feed.Write([]byte("half ")); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for r.pending.TryAcquire(1) {
		r.pending.Release(1)
		if time.Now().After(deadline) {
			t.Fatal("the first request never came")
		}
		time.Sleep(time.Millisecond)
	}
	code, text, h := r.post(t, "/open", []byte("second"), http.Header{})
	if code != http.StatusTooManyRequests || h.Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %q; want 429 and a time", code, text, h.Get("Retry-After"))
	}
	if _, err := feed.Write([]byte("done")); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	if code := <-first; code != http.StatusAccepted {
		t.Errorf("the slow one: %d, want 202", code)
	}
	if code, text, _ := r.post(t, "/open", []byte("second"), http.Header{}); code != http.StatusAccepted {
		t.Errorf("again: %d %s, want 202", code, text)
	}
	r.records(t, 2)
}

// TestNothingIsAcknowledgedThatKafkaRefuses: what the broker does not take is answered so that the sender comes again.
func TestNothingIsAcknowledgedThatKafkaRefuses(t *testing.T) {
	r := start(t, zap.NewNop(), nil)
	answer := func(code int16) {
		r.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			in := req.(*kmsg.ProduceRequest)
			resp := in.ResponseKind().(*kmsg.ProduceResponse)
			for _, t := range in.Topics {
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.TopicID = t.Topic, t.TopicID
				for _, p := range t.Partitions {
					part := kmsg.NewProduceResponseTopicPartition()
					part.Partition, part.ErrorCode = p.Partition, code
					topic.Partitions = append(topic.Partitions, part)
				}
				resp.Topics = append(resp.Topics, topic)
			}
			return resp, nil, true
		})
	}
	h := header("Idempotency-Key", "k")
	answer(kerr.TopicAuthorizationFailed.Code)
	code, text, head := r.post(t, "/open", []byte("a"), h)
	if code != http.StatusServiceUnavailable || head.Get("Retry-After") == "" {
		t.Errorf("%d %s, want 503 and Retry-After", code, text)
	}
	if strings.Contains(text, "AUTHORIZATION") {
		t.Errorf("the answer tells the sender about Kafka: %s", text)
	}
	answer(kerr.MessageTooLarge.Code)
	if code, text, _ := r.post(t, "/open", []byte("a"), h); code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s, want 413", code, text)
	}
	// The delivery was not remembered: its next attempt is written.
	if code, text, _ := r.post(t, "/open", []byte("a"), h); code != http.StatusAccepted || text != "accepted" {
		t.Errorf("%d %s, want 202 accepted", code, text)
	}
	r.records(t, 1)
}

// TestADeliveryIsWrittenOnce sends the same delivery many times at once and again later, and other bodies under its id.
func TestADeliveryIsWrittenOnce(t *testing.T) {
	r := start(t, zaptest.NewLogger(t), nil)
	body := []byte(`{"zen":"x"}`)
	h := signedFor(body, "X-GitHub-Event", "ping", "X-GitHub-Delivery", "d-1")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if code, text, _ := r.post(t, "/github", body, h); code != http.StatusAccepted {
				t.Errorf("%d %s", code, text)
			}
		})
	}
	all.Wait()
	rec := r.records(t, 1)[0]
	if string(rec.Key) != "d-1" || !slices.ContainsFunc(rec.Headers, func(h kgo.RecordHeader) bool { return h.Key == "delivery-id" && string(h.Value) == "d-1" }) {
		t.Errorf("key %q, headers %v; want the delivery's id in both", rec.Key, rec.Headers)
	}
	if _, text, _ := r.post(t, "/github", body, h); text != "accepted before" {
		t.Errorf("later: %s", text)
	}
	other := []byte(`{"zen":"y"}`)
	if _, text, _ := r.post(t, "/github", other, signedFor(other, "X-GitHub-Event", "ping", "X-GitHub-Delivery", "d-1")); text != "accepted" {
		t.Errorf("another body under the same id: %s; it must not disappear", text)
	}
	if _, text, _ := r.post(t, "/open", body, header("X-GitHub-Delivery", "d-1")); text != "accepted" {
		t.Errorf("another route: %s", text)
	}
	r.records(t, 3)
}

func TestSeenForgetsTheOldest(t *testing.T) {
	var s seen
	name := func(i int) (n [32]byte) { copy(n[:], fmt.Sprint(i)); return n }
	for i := range 3 * remembered {
		s.add(name(i))
	}
	if s.has(name(0)) || !s.has(name(2*remembered)) || !s.has(name(3*remembered-1)) {
		t.Error("want the latest, not the first")
	}
	if n := len(s.young) + len(s.old); n > 2*remembered {
		t.Errorf("%d entries, want at most %d", n, 2*remembered)
	}
}

func TestSlackChallenge(t *testing.T) {
	r := start(t, zaptest.NewLogger(t), nil)
	body := []byte(`{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}`)
	at := fmt.Sprint(time.Now().Unix())
	h := header("X-Slack-Request-Timestamp", at, "X-Slack-Signature", "v0="+hex.EncodeToString(sum(secret, []byte("v0:"+at+":"), body)))
	if code, text, _ := r.post(t, "/slack", body, h); code != http.StatusOK || text != "3eZbrw1a" {
		t.Errorf("%d %s", code, text)
	}
	if code, _, _ := r.post(t, "/slack", body, http.Header{}); code != http.StatusUnauthorized {
		t.Errorf("unsigned: %d, want 401", code)
	}
	r.records(t, 0)
}

func TestUnknownTopicIsSaidAtOnce(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "ci"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	conf := kafka.DefaultConfig()
	conf.Brokers = cluster.ListenAddrs()
	if _, err := kafka.NewSender(t.Context(), conf, []string{"ci", "scnas"}, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "no such topic: scnas") {
		t.Errorf("%v, want it to name the topic", err)
	}
}

// FuzzRequest sends requests as they come off the wire. None may be a crash; none that is not signed may reach Kafka; and
// no header of a record may carry a secret.
func FuzzRequest(f *testing.F) {
	body := `{"zen":"x"}`
	signature := "X-Hub-Signature-256: sha256=" + hex.EncodeToString(sum(secret, []byte(body)))
	f.Add([]byte("POST /github HTTP/1.1\r\nHost: x\r\n" + signature + "\r\nX-GitHub-Delivery: 1\r\nContent-Length: 11\r\n\r\n" + body))
	f.Add([]byte("POST /github HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + body + "\r\n0\r\n\r\n"))
	f.Add([]byte("POST /slack HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nX-Slack-Request-Timestamp: -1\r\nContent-Length: 9\r\n\r\npayload=a"))
	f.Add([]byte("POST /token HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret + "\r\nTocsin-Source: syslog\r\nCe-Type: a\r\nCe-Id: b\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("GET /%2e%2e/github?x=1 HTTP/1.0\r\n\r\n"))
	r := start(f, zap.NewNop(), func(c *Config) {
		c.MaxBytes, c.MaxPending = 4096, 4096
		c.Routes = slices.DeleteFunc(c.Routes, func(r Route) bool { return r.Verify == "none" })
	})
	h := r.handler()
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		before := r.cluster.PartitionInfo("ci", 0).HighWatermark
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		after := r.cluster.PartitionInfo("ci", 0).HighWatermark
		known := bytes.Contains(raw, []byte(secret)) || bytes.Contains(bytes.ToLower(raw), []byte("signature"))
		if after > before && !known {
			t.Errorf("written though nothing shows who sent it: %d %s", w.Code, w.Body)
		}
		if after > before && w.Code != http.StatusAccepted || after > before+1 {
			t.Errorf("%d records written, answer %d", after-before, w.Code)
		}
		for _, name := range []string{"Authorization", "Cookie", "X-Gitlab-Token", "X-Hub-Signature-256"} {
			req.Header.Set(name, "shown to nobody")
		}
		for _, route := range r.cfg.Routes {
			for _, h := range route.headers(req.Header) {
				if string(h.Value) == "shown to nobody" {
					t.Errorf("header %s of the record carries a credential", h.Key)
				}
			}
		}
	})
}
