package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Times that a setting must allow for.
const (
	// leastRetention is what a restart or an upgrade takes with room to spare: a raw record that is gone by then was never read.
	leastRetention = time.Hour
	// goodRetention is what a weekend's outage takes.
	goodRetention = 72 * time.Hour
	// longestOutage is for how long at most a replay is prepared for, whatever the topics keep.
	longestOutage = 7 * 24 * time.Hour
	// goodSkew is how far clocks that are kept by NTP never are apart.
	goodSkew = 5 * time.Second
)

// Checked is what Check found.
type Checked struct {
	Flaws []pipeline.Flaw
	// Partitions is how many partitions the raw topics have together.
	Partitions int
	// Outage is after what time a record may be read again: as long as the raw topics keep records, a week at most.
	Outage time.Duration
}

// Check asks the brokers for all that would lose or double data: settings of topics and brokers, the rights of this user in
// the roles, and clocks that are further apart than lateness. It changes nothing.
func Check(ctx context.Context, cfg Config, instance string, roles Roles, lateness time.Duration, log *zap.Logger) (*Checked, error) {
	opts, err := cfg.options(log)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	defer client.Close()
	c := &checker{cfg: cfg, client: client, admin: kadm.NewClient(client), lateness: lateness, topics: map[string]kmsg.MetadataResponseTopic{}}
	c.rights = roles.rights(cfg, instance)
	if err := c.metadata(ctx); err != nil {
		return nil, fmt.Errorf("ask for the topics: %w", err)
	}
	var errs []error
	for _, look := range []func(context.Context) error{c.missing, c.allowed, c.settings, c.brokers, c.clocks} {
		errs = append(errs, look(ctx))
	}
	c.partitions()
	c.Outage = cmp.Or(min(c.Outage, longestOutage), longestOutage)
	return &c.Checked, errors.Join(errs...)
}

// Roles are those of a process.
type Roles struct{ Ingest, Detect bool }

// AllRoles is a process that does everything.
var AllRoles = Roles{Ingest: true, Detect: true}

// rights are what a role needs.
type rights struct {
	topics       map[string][]kmsg.ACLOperation // of tocsin's own topics; under "" of the raw ones
	groups       []string
	transactions map[string]string // the group of each transactional id
}

func (r Roles) rights(cfg Config, instance string) rights {
	need := rights{topics: map[string][]kmsg.ACLOperation{}, transactions: map[string]string{}}
	add := func(op kmsg.ACLOperation, topics ...string) {
		for _, t := range topics {
			if !slices.Contains(need.topics[t], op) {
				need.topics[t] = append(need.topics[t], op)
			}
		}
	}
	add(kmsg.ACLOperationDescribe, slices.Collect(maps.Keys(OwnTopics()))...)
	if r.Ingest {
		add(kmsg.ACLOperationRead, "", AlertsStateTopic, ControlTopic, GrowthTopic, DeadLetterTopic)
		add(kmsg.ACLOperationWrite, SignalsTopic, DeadLetterTopic)
		need.groups = append(need.groups, cfg.Group+"-ingest")
	}
	if r.Detect {
		add(kmsg.ACLOperationRead, SignalsTopic, StateTopic, DeskTopic, DeskStateTopic, ControlTopic)
		add(kmsg.ACLOperationWrite, SignalsTopic, StateTopic, DeskTopic, DeskStateTopic, ControlTopic, GrowthTopic, AlertsStateTopic, DeadLetterTopic)
		for t := range OwnTopics() {
			if strings.HasPrefix(t, AlertsPrefix) {
				add(kmsg.ACLOperationWrite, t)
			}
		}
		for _, stage := range []string{"-detect", "-desk"} {
			need.groups = append(need.groups, cfg.Group+stage)
			need.transactions[cfg.Group+stage+"-"+instance] = cfg.Group + stage
		}
	}
	return need
}

type checker struct {
	Checked
	cfg      Config
	client   *kgo.Client
	admin    *kadm.Client
	lateness time.Duration
	rights   rights
	alive    int                                   // brokers
	topics   map[string]kmsg.MetadataResponseTopic // raw and own, those that may be described
	raw      []string
}

func (c *checker) flaw(loses bool, mend, format string, args ...any) {
	c.Flaws = append(c.Flaws, pipeline.Flaw{Loses: loses, What: "kafka: " + fmt.Sprintf(format, args...), Mend: mend})
}

// tool is a command line of Kafka's own tools.
func (c *checker) tool(name, format string, args ...any) string {
	return fmt.Sprintf("%s.sh --bootstrap-server %s %s", name, strings.Join(c.cfg.Brokers, ","), fmt.Sprintf(format, args...))
}

func (c *checker) configure(topic, key, value string) string {
	return c.tool("kafka-configs", "--alter --entity-type topics --entity-name %s --add-config %s=%s", topic, key, value)
}

func (c *checker) allow(operation, resource string) string {
	return c.tool("kafka-acls", "--add --allow-principal User:%s --operation %s %s", cmp.Or(c.cfg.SASL.User, "TOCSIN"), operation, resource)
}

// metadata reads the raw topics and our own, with what this user may do to each.
func (c *checker) metadata(ctx context.Context) error {
	req := kmsg.NewPtrMetadataRequest() // of all topics that the user may describe
	req.IncludeTopicAuthorizedOperations = true
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return err
	}
	c.alive = len(resp.Brokers)
	raw, err := c.cfg.matcher()
	if err != nil {
		return err
	}
	own := OwnTopics()
	for _, t := range resp.Topics {
		if t.Topic == nil || t.ErrorCode != 0 {
			continue
		}
		_, ours := own[*t.Topic]
		if isRaw := !ours && raw(*t.Topic); isRaw {
			c.raw = append(c.raw, *t.Topic)
			c.Partitions += len(t.Partitions)
		} else if !ours {
			continue
		}
		c.topics[*t.Topic] = t
	}
	slices.Sort(c.raw)
	return nil
}

// missing looks for topics that are not there or not to be seen, and asks whether our own could be created.
func (c *checker) missing(ctx context.Context) error {
	for _, t := range unmatched(c.cfg.Topics, c.raw) {
		if strings.HasPrefix(t, "^") {
			c.flaw(false, "", "no topic that may be described matches %s: nothing is read by it", t)
			continue
		}
		req := kmsg.NewPtrMetadataRequest() // asked for a name a broker says which it is; the client would remember the refusal
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr(t)}}
		resp, err := req.RequestWith(ctx, c.client.SeedBrokers()[0])
		if err != nil {
			return fmt.Errorf("ask for topic %s: %w", t, err)
		}
		if resp.Topics[0].ErrorCode == kerr.TopicAuthorizationFailed.Code {
			c.flaw(true, c.allow("Read", "--topic "+t), "this user may not describe topic %s: nothing of it is read", t)
		} else {
			c.flaw(true, c.tool("kafka-topics", "--create --topic %s --partitions %d", t, c.cfg.Partitions), "topic %s does not exist: nothing of it is read", t)
		}
	}
	var wanted []string
	for _, name := range slices.Sorted(maps.Keys(OwnTopics())) {
		if _, ok := c.topics[name]; ok {
			continue
		}
		r, err := c.admin.ValidateCreateTopics(ctx, c.cfg.Partitions, c.cfg.Replicas, topicConfigs(c.cfg, name), name)
		if err != nil {
			return fmt.Errorf("ask whether topic %s may be created: %w", name, err)
		}
		switch err := r[name].Err; {
		case err == nil:
			wanted = append(wanted, name)
		case errors.Is(err, kerr.TopicAlreadyExists):
			c.flaw(true, c.allow("Describe", "--topic "+name), "this user may not describe topic %s", name)
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
			c.flaw(true, c.allow("Create", "--topic "+name), "topic %s does not exist, or may not be described, and this user may not create it", name)
		default:
			c.flaw(true, "", "topic %s does not exist and cannot be created with kafka.partitions %d and kafka.replicas %d: %v", name, c.cfg.Partitions, c.cfg.Replicas, err)
		}
	}
	if len(wanted) > 0 {
		c.flaw(false, "", "these topics do not exist yet, `tocsin run` creates them: %s", strings.Join(wanted, ", "))
	}
	return nil
}

var operations = map[kmsg.ACLOperation]string{
	kmsg.ACLOperationRead: "Read", kmsg.ACLOperationWrite: "Write", kmsg.ACLOperationDescribe: "Describe",
}

// allowed compares what the role needs with what this user may.
func (c *checker) allowed(ctx context.Context) error {
	own := OwnTopics()
	var much []string
	for _, name := range slices.Sorted(maps.Keys(c.topics)) {
		may := c.topics[name].AuthorizedOperations
		need := c.rights.topics[name]
		if _, ours := own[name]; !ours {
			need = c.rights.topics[""]
		}
		if may == -1<<31 { // a broker older than 2.3 does not say
			return nil
		}
		has := func(op kmsg.ACLOperation) bool { return may&(1<<op) != 0 }
		for _, op := range need {
			if !has(op) {
				c.flaw(true, c.allow(operations[op], "--topic "+name), "this user may not %s topic %s", strings.ToLower(operations[op]), name)
			}
		}
		if has(kmsg.ACLOperationDelete) || has(kmsg.ACLOperationAlter) {
			much = append(much, name)
		}
	}
	if len(much) > 0 {
		c.flaw(false, "", "this user may alter or delete topics, which no role needs: %s. Either the brokers check no rights, and anybody may forge events, or the user has too many",
			strings.Join(much, ", "))
	}
	var errs []error
	for _, group := range c.rights.groups {
		// A heartbeat of no member changes nothing, and the right to read comes before everything else.
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = group, "tocsin-check", -1
		resp, err := req.RequestWith(ctx, c.client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if errors.Is(err, kerr.GroupAuthorizationFailed) {
			c.flaw(true, c.allow("Read", "--group "+group), "this user may not be a member of group %s", group)
		} else if !isAnswer(err) {
			errs = append(errs, fmt.Errorf("ask for rights on group %s: %w", group, err))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.rights.transactions)) {
		// Nobody has such a producer: it is refused, but for want of rights first.
		req := kmsg.NewPtrAddOffsetsToTxnRequest()
		req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = id, -1, -1, c.rights.transactions[id]
		resp, err := req.RequestWith(ctx, c.client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
			c.flaw(true, c.allow("Write", "--transactional-id "+id), "this user may not use the transactional id %s", id)
		} else if !isAnswer(err) {
			errs = append(errs, fmt.Errorf("ask for rights on transactional id %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// isAnswer reports whether a broker has answered, if only to refuse.
func isAnswer(err error) bool {
	var answer *kerr.Error
	return err == nil || errors.As(err, &answer)
}

// settings looks at the replicas and the configuration of each topic.
func (c *checker) settings(ctx context.Context) error {
	own := OwnTopics()
	names := slices.Sorted(maps.Keys(c.topics))
	var single []string
	configs, err := c.admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("read settings of topics: %w", err)
	}
	for _, name := range names {
		r, err := configs.On(name, nil)
		if err = errors.Join(err, r.Err); err != nil {
			c.flaw(false, c.allow("DescribeConfigs", "--topic "+name), "the settings of topic %s may not be read, and were not checked: %v", name, err)
			continue
		}
		value := map[string]string{}
		for _, v := range r.Configs {
			value[v.Key] = v.MaybeValue()
		}
		if c.replicas(name, value) == 1 && c.alive == 1 {
			single = append(single, name)
		}
		if want, ours := own[name]; ours {
			c.ownTopic(name, value, want)
		} else {
			c.rawTopic(name, value)
		}
	}
	if len(single) > 0 {
		c.flaw(false, "", "there is one broker, and with its disk all is lost that these topics hold: %s", strings.Join(single, ", "))
	}
	return nil
}

// replicas: what is acknowledged must survive the loss of a broker, where there are several. It returns how many a partition has.
func (c *checker) replicas(name string, value map[string]string) (replicas int) {
	for _, p := range c.topics[name].Partitions {
		replicas = len(p.Replicas)
		if p.Leader < 0 {
			c.flaw(true, "", "%s/%d has no leader: nothing can be read or written there", name, p.Partition)
		}
	}
	insync := number(value["min.insync.replicas"])
	switch {
	case c.alive == 1:
	case replicas == 1:
		c.flaw(true, c.tool("kafka-reassign-partitions", "--execute --reassignment-json-file REPLICAS.json"), "topic %s has one replica: records that were acknowledged are lost with its broker", name)
	case insync < 2:
		c.flaw(true, c.configure(name, "min.insync.replicas", "2"),
			"topic %s has min.insync.replicas %d: a record that one replica alone has acknowledged is lost with it", name, insync)
	}
	if value["unclean.leader.election.enable"] == "true" {
		c.flaw(true, c.configure(name, "unclean.leader.election.enable", "false"),
			"topic %s may have a leader that lacks acknowledged records (unclean.leader.election.enable)", name)
	}
	return replicas
}

func (c *checker) ownTopic(name string, value, want map[string]string) {
	policy := cmp.Or(want["cleanup.policy"], "delete")
	if got := value["cleanup.policy"]; got != policy {
		why := "records vanish before they are read"
		if policy == "compact" {
			why = "state vanishes that is not written again, and with it open windows and alerts"
		}
		c.flaw(true, c.configure(name, "cleanup.policy", policy), "topic %s has cleanup.policy %s, want %s: %s", name, got, policy, why)
	}
	if keep := want["retention.ms"]; keep != "" && shorter(value["retention.ms"], number(keep)) {
		c.flaw(true, c.configure(name, "retention.ms", keep), "topic %s keeps records for %v, want %v: what detect or ingest have not read by then is lost",
			name, millis(number(value["retention.ms"])), millis(number(keep)))
	}
	if size := value["retention.bytes"]; policy == "delete" && size != "" && size != "-1" {
		c.flaw(true, c.configure(name, "retention.bytes", "-1"), "topic %s is cut at %s bytes a partition, whether they were read or not", name, size)
	}
}

func (c *checker) rawTopic(name string, value map[string]string) {
	keep := value["retention.ms"]
	if strings.Contains(value["cleanup.policy"], "compact") {
		c.flaw(false, c.configure(name, "cleanup.policy", "delete"), "topic %s is compacted: of records with one key those that were not read in time are gone", name)
	}
	switch {
	case shorter(keep, leastRetention.Milliseconds()):
		c.flaw(true, c.configure(name, "retention.ms", fmt.Sprint(goodRetention.Milliseconds())),
			"topic %s keeps records for %v: those that come while tocsin is restarted or upgraded may be gone before they are read", name, millis(number(keep)))
	case shorter(keep, goodRetention.Milliseconds()):
		c.flaw(false, c.configure(name, "retention.ms", fmt.Sprint(goodRetention.Milliseconds())),
			"topic %s keeps records for %v: a longer outage loses records", name, millis(number(keep)))
	}
	if size := value["retention.bytes"]; size != "" && size != "-1" {
		c.flaw(false, c.configure(name, "retention.bytes", "-1"), "topic %s is cut at %s bytes a partition, whether they were read or not", name, size)
	}
	if kept := millis(number(keep)); kept < 0 {
		c.Outage = longestOutage
	} else {
		c.Outage = max(c.Outage, kept)
	}
}

// shorter compares a retention, of which -1 is for ever and "" is not known.
func shorter(retention string, least int64) bool {
	n := number(retention)
	return retention != "" && n >= 0 && n < least
}

// number reads a setting; one that is none is -1.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// brokers looks at the settings of a broker.
func (c *checker) brokers(ctx context.Context) error {
	list, err := c.admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	configs, err := c.admin.DescribeBrokerConfigs(ctx, list.NodeIDs()[0])
	if err == nil && len(configs) > 0 {
		err = configs[0].Err
	}
	if err != nil {
		if !isAnswer(err) {
			return fmt.Errorf("read settings of brokers: %w", err)
		}
		c.flaw(false, c.allow("DescribeConfigs", "--cluster"), "the brokers' settings may not be read, and were not checked: %v", err)
		return nil
	}
	for _, v := range configs[0].Configs {
		n := number(v.MaybeValue())
		mend := func(value any) string {
			return c.tool("kafka-configs", "--alter --entity-type brokers --entity-default --add-config %s=%v", v.Key, value)
		}
		switch kept := time.Duration(n) * time.Minute; {
		case v.Key == "offsets.retention.minutes" && n >= 0 && kept < min(c.Outage, longestOutage):
			c.flaw(true, mend(int(longestOutage.Minutes())), "the brokers forget a group's offsets after %v, and the raw topics keep records for %v: after such a stop all is read again, and stored twice", kept, c.Outage)
		case v.Key == "transaction.max.timeout.ms" && n >= 0 && millis(n) < transactionTimeout:
			c.flaw(true, mend(transactionTimeout.Milliseconds()), "the brokers allow no transaction of %v: detect cannot work", transactionTimeout)
		case v.Key == "transactional.id.expiration.ms" && n >= 0 && millis(n) < time.Hour:
			c.flaw(true, mend(longestOutage.Milliseconds()), "the brokers forget transactional ids after %v: a transaction that a crash left open may be committed by nobody", millis(n))
		}
	}
	return nil
}

// partitions compares topics whose partitions of one number belong together.
func (c *checker) partitions() {
	for _, group := range [][]string{{SignalsTopic, StateTopic}, {DeskTopic, ControlTopic, DeskStateTopic}} {
		most := 0
		for _, t := range group {
			most = max(most, len(c.topics[t].Partitions))
		}
		for _, t := range group {
			if n := len(c.topics[t].Partitions); n > 0 && n < most {
				c.flaw(true, c.tool("kafka-topics", "--alter --topic %s --partitions %d", t, most), "topic %s has %d partitions and needs %d, as many as %s: detect does not start",
					t, n, most, strings.Join(group, ", "))
			}
		}
	}
}

// clocks compares this machine's clock with the controller's, and with the newest record of each topic: producers and brokers
// whose clock is ahead show by that. One that is behind cannot be told from a topic where nothing comes.
func (c *checker) clocks(ctx context.Context) error {
	if skew, ok := c.controllerSkew(ctx); ok && skew.Abs() > goodSkew {
		c.flaw(skew.Abs() > c.lateness, "", "the clock of Kafka's controller is %s this machine's: let NTP keep both", pipeline.Skew(skew))
	}
	names := slices.Sorted(maps.Keys(c.topics))
	if len(names) == 0 {
		return nil
	}
	newest, err := c.admin.ListMaxTimestampOffsets(ctx, names...)
	if err != nil {
		return fmt.Errorf("ask for the newest records: %w", err)
	}
	now := time.Now()
	for _, name := range names {
		ahead := time.Duration(0)
		for _, o := range newest[name] {
			if o.Err == nil && o.Timestamp > 0 {
				ahead = max(ahead, time.UnixMilli(o.Timestamp).Sub(now))
			}
		}
		if ahead > goodSkew {
			c.flaw(ahead > c.lateness, "", "the newest record of topic %s is %v ahead of this machine's clock: who writes there, or this machine, has a wrong clock, and rules take events for late", name, ahead.Round(time.Second))
		}
	}
	return nil
}

// controllerSkew asks the controllers' leader when replicas have fetched last, by its clock: KIP-836 gives the leader's own time
// for itself. Brokers before 3.3, without KRaft, or without the right to ask, do not say.
func (c *checker) controllerSkew(ctx context.Context) (time.Duration, bool) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	before := time.Now()
	resp, err := req.RequestWith(ctx, c.client)
	took := time.Since(before)
	if err != nil || resp.ErrorCode != 0 {
		return 0, false
	}
	var latest int64
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			for _, r := range append(p.CurrentVoters, p.Observers...) {
				latest = max(latest, r.LastFetchTimestamp, r.LastCaughtUpTimestamp)
			}
		}
	}
	if latest <= 0 {
		return 0, false
	}
	return time.UnixMilli(latest).Sub(before.Add(took / 2)), true
}
