package kafka

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap/zaptest"

	"github.com/tocsin-project/tocsin/pipeline"
)

const testLateness = 2 * time.Minute

func check(t *testing.T, cfg Config, roles Roles) *Checked {
	t.Helper()
	c, err := Check(t.Context(), cfg, "instance", roles, testLateness, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// losing returns what is refused, each with what mends it.
func losing(flaws []pipeline.Flaw) []string {
	var list []string
	for _, f := range flaws {
		if f.Loses {
			list = append(list, f.What+" | "+f.Mend)
		}
	}
	return list
}

// expectFlaws wants exactly those to be refused; each text has the words of one, in their order, with * between them.
func expectFlaws(t *testing.T, flaws []pipeline.Flaw, want ...string) {
	t.Helper()
	got := losing(flaws)
	for _, w := range want {
		found := -1
		for i, g := range got {
			if inOrder(g, strings.Split(w, "*")) {
				found = i
			}
		}
		if found < 0 {
			t.Errorf("nothing is said of %q", w)
			continue
		}
		got = append(got[:found], got[found+1:]...)
	}
	for _, g := range got {
		t.Errorf("should not be refused: %s", g)
	}
}

func inOrder(text string, words []string) bool {
	for _, w := range words {
		_, rest, ok := strings.Cut(text, strings.TrimSpace(w))
		if !ok {
			return false
		}
		text = rest
	}
	return true
}

// TestCheckIsContent: brokers as they should be are refused nothing, before and after tocsin's first start.
func TestCheckIsContent(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(3, "raw"), kfake.BrokerConfigs(map[string]string{
		"min.insync.replicas": "2", "offsets.retention.minutes": "20160",
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := DefaultConfig()
	cfg.Brokers, cfg.Topics = cluster.ListenAddrs(), []string{"^ra.$"}
	c := check(t, cfg, AllRoles)
	expectFlaws(t, c.Flaws)
	if c.Partitions != 3 || c.Outage != longestOutage {
		t.Errorf("%d partitions, outage %v", c.Partitions, c.Outage)
	}
	if err := EnsureTopics(t.Context(), cfg, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	expectFlaws(t, check(t, cfg, AllRoles).Flaws)
}

// TestCheckNamesEverySetting breaks everything at once.
func TestCheckNamesEverySetting(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(3, "raw"), kfake.BrokerConfigs(map[string]string{
		"min.insync.replicas": "2", "offsets.retention.minutes": "60", "transaction.max.timeout.ms": "10000",
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := DefaultConfig()
	cfg.Brokers, cfg.Topics, cfg.Partitions = cluster.ListenAddrs(), []string{"raw", "absent"}, 3
	admin := kadm.NewClient(client(t, cfg))
	for topic, partitions := range map[string]int32{StateTopic: 2, DeskTopic: 4} {
		configs := map[string]*string{"cleanup.policy": kadm.StringPtr("delete")}
		if topic == StateTopic {
			configs["cleanup.policy"] = kadm.StringPtr("compact")
		}
		if r, err := admin.CreateTopic(t.Context(), partitions, 3, configs, topic); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	if err := EnsureTopics(t.Context(), cfg, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	for topic, settings := range map[string][2]string{
		SignalsTopic:     {"cleanup.policy", "compact"},
		AlertsStateTopic: {"cleanup.policy", "compact,delete"},
		DeadLetterTopic:  {"retention.ms", "1000"},
		GrowthTopic:      {"min.insync.replicas", "1"},
		"raw":            {"retention.ms", "60000"},
		ControlTopic:     {"retention.bytes", "1000000"},
	} {
		r, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: settings[0], Value: kadm.StringPtr(settings[1])}}, topic)
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r[0].Err)
		}
	}
	ahead := client(t, cfg)
	if err := ahead.ProduceSync(t.Context(), &kgo.Record{Topic: "raw", Value: []byte("x"), Timestamp: time.Now().Add(time.Hour)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c := check(t, cfg, AllRoles)
	mend := "kafka-configs.sh --bootstrap-server " + strings.Join(cfg.Brokers, ",") + " --alter --entity-type topics --entity-name "
	expectFlaws(t, c.Flaws,
		"topic absent does not exist * | kafka-topics.sh * --create --topic absent --partitions 3",
		SignalsTopic+" has cleanup.policy compact, want delete * | "+mend+SignalsTopic+" --add-config cleanup.policy=delete",
		AlertsStateTopic+" has cleanup.policy compact,delete, want compact * | "+mend,
		DeadLetterTopic+" keeps records for 1s, want 168h0m0s * | "+mend,
		GrowthTopic+" has min.insync.replicas 1 * | "+mend+GrowthTopic+" --add-config min.insync.replicas=2",
		"topic raw keeps records for 1m0s * | "+mend+"raw --add-config retention.ms=",
		ControlTopic+" is cut at 1000000 bytes * | "+mend,
		StateTopic+" has 2 partitions and needs 3 * | kafka-topics.sh * --alter --topic "+StateTopic+" --partitions 3",
		ControlTopic+" has 3 partitions and needs 4 * | kafka-topics.sh",
		DeskStateTopic+" has 3 partitions and needs 4 * | kafka-topics.sh",
		"the brokers allow no transaction of 30s * | kafka-configs.sh * --entity-type brokers",
		"the newest record of topic raw is 1h0m0s ahead of",
	)
}

// TestCheckNamesReplicas: what one broker alone has acknowledged is lost with it, and offsets that are forgotten are stored twice.
func TestCheckNamesReplicas(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.BrokerConfigs(map[string]string{"min.insync.replicas": "2", "offsets.retention.minutes": "60"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg := DefaultConfig()
	cfg.Brokers, cfg.Topics = cluster.ListenAddrs(), []string{"raw"}
	if r, err := kadm.NewClient(client(t, cfg)).CreateTopic(t.Context(), 1, 1, nil, "raw"); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	expectFlaws(t, check(t, cfg, Roles{Ingest: true}).Flaws,
		"topic raw has one replica * | kafka-reassign-partitions.sh",
		"forget a group's offsets after 1h0m0s, and the raw topics keep records for 168h0m0s * | kafka-configs.sh * offsets.retention.minutes=10080")
}

// grants are the rights of docs/security.md, as ACLs.
func grants(roles Roles) []kfake.ACL {
	need := roles.rights(DefaultConfig(), "instance")
	var list []kfake.ACL
	add := func(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) {
		list = append(list, kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true})
	}
	for topic, ops := range need.topics {
		if topic == "" {
			topic = "raw"
		}
		for _, op := range append(ops, kmsg.ACLOperationDescribeConfigs) {
			add(kmsg.ACLResourceTypeTopic, topic, op)
		}
	}
	for _, group := range need.groups {
		add(kmsg.ACLResourceTypeGroup, group, kmsg.ACLOperationRead)
	}
	for id := range need.transactions {
		add(kmsg.ACLResourceTypeTransactionalId, id, kmsg.ACLOperationWrite)
	}
	return list
}

// guarded starts a broker that checks who asks, with one user who has those rights.
func guarded(t *testing.T, acls []kfake.ACL, encrypted pipeline.TLS, opts ...kfake.Opt) (cfg Config, root *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.SeedTopics(3, "raw"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "root", "root-secret"), kfake.User("PLAIN", "tocsin", "bell-secret", acls...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cfg = DefaultConfig()
	cfg.Brokers, cfg.Topics, cfg.Partitions, cfg.Replicas = cluster.ListenAddrs(), []string{"raw"}, 3, 1
	cfg.TLS = encrypted
	admin := cfg
	admin.SASL = SASL{Mechanism: "PLAIN", User: "root", Password: "root-secret"}
	if err := EnsureTopics(t.Context(), admin, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	opts2, err := admin.options(zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	root, err = kgo.NewClient(opts2...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	cfg.SASL = SASL{Mechanism: "PLAIN", User: "tocsin", Password: "bell-secret"}
	return cfg, root
}

// TestCheckNamesEveryRight takes each right away in turn: that one is missed, and no other. A right to describe is implied by those to read
// and to write.
func TestCheckNamesEveryRight(t *testing.T) {
	all := grants(AllRoles)
	for i, gone := range append(all, kfake.ACL{}) {
		if gone.Operation == kmsg.ACLOperationDescribe || gone.Operation == kmsg.ACLOperationDescribeConfigs {
			continue
		}
		t.Run(fmt.Sprint(gone.Name, " ", gone.Operation), func(t *testing.T) {
			t.Parallel()
			left := append(append([]kfake.ACL{}, all[:min(i, len(all))]...), all[min(i+1, len(all)):]...)
			cfg, _ := guarded(t, left, pipeline.TLS{})
			flaws := check(t, cfg, AllRoles).Flaws
			switch gone.Resource {
			case kmsg.ACLResourceTypeTopic:
				name := operations[gone.Operation]
				if gone.Name == "raw" {
					expectFlaws(t, flaws, "may not describe topic raw* | kafka-acls.sh")
				} else {
					expectFlaws(t, flaws, fmt.Sprintf("may not %s topic %s | kafka-acls.sh * --add --allow-principal User:tocsin --operation %s --topic %s", strings.ToLower(name), gone.Name, name, gone.Name))
				}
			case kmsg.ACLResourceTypeGroup:
				expectFlaws(t, flaws, "may not be a member of group "+gone.Name+" | kafka-acls.sh")
			case kmsg.ACLResourceTypeTransactionalId:
				expectFlaws(t, flaws, "may not use the transactional id "+gone.Name+" | kafka-acls.sh")
			default: // none is gone
				expectFlaws(t, flaws)
			}
		})
	}
}

// TestCheckNamesTooManyRights: a user who may delete what it reads is told so, and not refused.
func TestCheckNamesTooManyRights(t *testing.T) {
	cfg := broker(t)
	for _, f := range check(t, cfg, AllRoles).Flaws {
		if strings.Contains(f.What, "may alter or delete topics") && !f.Loses {
			return
		}
	}
	t.Error("a broker without ACLs is not named")
}
