package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tocsin-project/tocsin/pipeline"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
	"github.com/tocsin-project/tocsin/processors/alert"
	"github.com/tocsin-project/tocsin/processors/rule"
)

// ask lists the topics of cfg's brokers, and returns what is said in the log and in the error.
func ask(t *testing.T, cfg Config) (said string, err error) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	opts, err := cfg.options(zap.New(core))
	if err == nil {
		var cl *kgo.Client
		cl, err = kgo.NewClient(append(opts, kgo.RetryTimeout(time.Second), kgo.RequestRetries(1))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		_, err = kadm.NewClient(cl).ListTopics(ctx)
	}
	for _, e := range logs.All() {
		said += fmt.Sprintln(e.Message, e.ContextMap())
	}
	return fmt.Sprint(said, err), err
}

// TestLogins: each way to log in lets in who has the secret, over TLS, and nobody else; and no secret is said.
func TestLogins(t *testing.T) {
	authority := pipelinetest.NewAuthority(t)
	server := authority.Server(false)
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.TLS(server.Clone()), kfake.Superuser(mechanism, "tocsin", "bell-secret"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			cfg := DefaultConfig()
			cfg.Brokers, cfg.TLS = cluster.ListenAddrs(), pipeline.TLS{Enabled: true, CA: authority.File}
			cfg.SASL = SASL{Mechanism: mechanism, User: "tocsin", Password: "bell-secret"}
			if said, err := ask(t, cfg); err != nil {
				t.Errorf("the right password: %v", said)
			}
			// The password of a file is read at each login.
			file := filepath.Join(t.TempDir(), "password")
			cfg.SASL.Password, cfg.SASL.PasswordFile = "old-secret", file
			for content, want := range map[string]bool{"bell-secret\n": true, "old-secret": false} {
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				said, err := ask(t, cfg)
				if (err == nil) != want {
					t.Errorf("password %q of a file: %v", content, said)
				}
				if strings.Contains(said, "secret") {
					t.Errorf("the secret is said: %s", said)
				}
			}
			cfg.SASL = SASL{}
			if _, err := ask(t, cfg); err == nil {
				t.Error("nobody is let in")
			}
		})
	}
}

// TestTLS: a server whose certificate nobody vouches for is not talked to, nor is a client without one let in; and files that
// change are used by the connection that comes next.
func TestTLS(t *testing.T) {
	authority, other := pipelinetest.NewAuthority(t), pipelinetest.NewAuthority(t)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(authority.Server(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := DefaultConfig()
	cfg.Brokers = cluster.ListenAddrs()
	copied := func(from string) string {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), filepath.Base(from))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert, key := authority.Issue("tocsin")
	otherCert, otherKey := other.Issue("tocsin")
	cfg.TLS = pipeline.TLS{Enabled: true, CA: copied(other.File), Cert: copied(otherCert), Key: copied(otherKey)}
	refused := func(why string) {
		t.Helper()
		if _, err := ask(t, cfg); err == nil {
			t.Error(why)
		}
	}
	renew := func(to, from string) {
		t.Helper()
		if err := os.Rename(copied(from), to); err != nil {
			t.Fatal(err)
		}
	}
	refused("a broker of an unknown authority is talked to")
	renew(cfg.TLS.CA, authority.File)
	refused("a client of an unknown authority is let in")
	renew(cfg.TLS.Cert, cert)
	renew(cfg.TLS.Key, key)
	if said, err := ask(t, cfg); err != nil {
		t.Errorf("renewed files are not used: %s", said)
	}
	// An open client uses what was renewed for its next connection.
	log := zap.NewNop()
	opts, err := cfg.options(log)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	renew(cfg.TLS.CA, other.File)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	if err := cl.Ping(ctx); err == nil {
		t.Error("the authority that was taken away is trusted")
	}
	cancel()
	renew(cfg.TLS.CA, authority.File)
	if err := cl.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	cfg.TLS = pipeline.TLS{}
	refused("a client without TLS is let in")
	cfg.TLS = pipeline.TLS{Enabled: true, CA: "nonesuch", Cert: "nonesuch"}
	if said, err := ask(t, cfg); err == nil || !strings.Contains(said, "tls.ca") || !strings.Contains(said, "tls.cert") {
		t.Errorf("files that are missing: %s", said)
	}
}

// TestTokens: OAUTHBEARER sends the token of a file, as it is when a connection logs in, or one that the client's secret gets.
func TestTokens(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var want atomic.Value
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return req.ResponseKind(), nil, true
	})
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if !strings.Contains(string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes), "auth=Bearer "+want.Load().(string)) {
			resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		}
		return resp, nil, true
	})
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "tocsin" || secret != "bell-secret" || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": want.Load(), "token_type": "Bearer", "expires_in": 60})
	}))
	t.Cleanup(issuer.Close)
	cfg := DefaultConfig()
	cfg.Brokers = cluster.ListenAddrs()
	file := filepath.Join(t.TempDir(), "token")
	cfg.SASL = SASL{Mechanism: "OAUTHBEARER", PasswordFile: file}
	for _, token := range []string{"first-secret", "second-secret"} {
		want.Store(token)
		if said, err := ask(t, cfg); err == nil {
			t.Errorf("an old token lets in: %s", said)
		}
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := ask(t, cfg); err != nil {
			t.Errorf("the token of the file is not used: %s", said)
		}
	}
	cfg.SASL = SASL{Mechanism: "OAUTHBEARER", User: "tocsin", Password: "bell-secret", TokenURL: issuer.URL}
	want.Store("third-secret")
	if said, err := ask(t, cfg); err != nil {
		t.Errorf("the issuer's token is not used: %s", said)
	}
	cfg.SASL.Password = "wrong-secret"
	if said, err := ask(t, cfg); err == nil || strings.Contains(said, "secret") {
		t.Errorf("a wrong secret: %s", said)
	}
}

// TestRolesWorkWithTheirRightsAlone runs ingest, detect and the desk as a user who has the rights that docs/security.md lists, over TLS: a
// record is stored, a signal becomes an alert, and the alert reaches its team.
func TestRolesWorkWithTheirRightsAlone(t *testing.T) {
	authority := pipelinetest.NewAuthority(t)
	cert, key := authority.Issue("tocsin")
	var acls []kfake.ACL
	for _, a := range grants(AllRoles) {
		if a.Operation != kmsg.ACLOperationDescribeConfigs { // which only `check --live` needs
			acls = append(acls, a)
		}
	}
	cfg, root := guarded(t, acls, pipeline.TLS{Enabled: true, CA: authority.File, Cert: cert, Key: key}, kfake.TLS(authority.Server(true)))
	core, logs := observer.New(zapcore.WarnLevel)
	log := zap.New(core)
	if err := EnsureTopics(t.Context(), cfg, log); err != nil {
		t.Fatal(err)
	}
	producer, err := NewProducer(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	warehouse := pipelinetest.NewWarehouse()
	metrics := pipeline.NewMetrics(prometheus.NewRegistry())
	ingest, err := NewConsumer(cfg, "instance", nil, func(tp pipeline.TopicPartition) (*pipeline.Worker, error) {
		sink := &pipelinetest.Sink{Warehouse: pipelinetest.NewWarehouse()}
		if tp.Topic == "raw" {
			sink.Warehouse = warehouse
		}
		return &pipeline.Worker{
			Processors: []pipeline.Processor{eventEach{}, signalEach{}}, NewSink: sink.Copy, Publisher: producer.Worker(),
			Limits: pipeline.Limits{Rows: 50, Bytes: 1 << 20, Interval: 20 * time.Millisecond}, Now: time.Now, Log: log, Metrics: metrics,
		}, nil
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	detect, err := NewDetect(t.Context(), cfg, "instance", func(int, int) pipeline.Correlator { return newTally() }, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := rule.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := NewDesk(t.Context(), cfg, "instance", func() pipeline.Desk { return alert.NewDesk(func() *rule.Set { return rules }, alert.DeskConfig{}) }, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 3)
	for _, run := range []func(context.Context) error{ingest.Run, detect.Run, desk.Run} {
		go func() { done <- run(ctx) }()
	}
	for range 3 {
		if err := root.ProduceSync(t.Context(), &kgo.Record{Topic: "raw", Partition: 1, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	root.AddConsumeTopics(AlertsPrefix + "sec")
	alerts := 0
	waitFor(t, "the alert on the team's topic", func() bool {
		select {
		case err := <-done:
			t.Fatalf("a role ended: %v\n%v", err, logs.All())
		default:
		}
		wait, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		alerts += root.PollFetches(wait).NumRecords()
		return alerts > 0
	})
	cancel()
	for range 3 {
		err = errors.Join(err, <-done)
	}
	if err = errors.Join(err, producer.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if n := len(warehouse.Offsets()); n != 3 {
		t.Errorf("%d records are stored, want 3", n)
	}
	for _, e := range logs.All() {
		t.Errorf("%s %v", e.Message, e.ContextMap())
	}
}

// signalEach is a processor that makes one signal of each record of the raw topic.
type signalEach struct{}

func (signalEach) Process(_ context.Context, b *pipeline.Batch) error {
	if b.Topic != "raw" {
		return nil
	}
	for i := range b.Records {
		r := &b.Records[i]
		b.Signals = append(b.Signals, pipeline.Signal{Kind: pipeline.SignalMatch, Key: "key", Offset: r.Offset, Time: r.Time, Ingest: r.Time})
	}
	return nil
}
