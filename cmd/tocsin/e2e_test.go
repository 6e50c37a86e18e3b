//go:build e2e

package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tocsin-project/tocsin/pipeline/embedded"
	"github.com/tocsin-project/tocsin/pipeline/embedded/embeddedtest"
	"github.com/tocsin-project/tocsin/pipeline/pipelinetest"
)

// The tests of this file need Java and Apache Kafka's jars, in the folder that TOCSIN_KAFKA_LIBS names. `make e2e` fetches
// them and runs the tests.

// TestE2EUndisturbed: what the tests below compare with an oracle also comes out where nothing is killed.
func TestE2EUndisturbed(t *testing.T) {
	cfg, _ := apache(t, 1)
	p := newPlant(t, cfg, "raw")
	p.produce()
	process := p.start("tocsin", "run", "-c", p.config("a"))
	time.Sleep(5 * time.Second)
	p.conclude(process)
}

// TestE2EKilledPipeline is TestKilledPipeline against Apache Kafka.
func TestE2EKilledPipeline(t *testing.T) {
	cfg, _ := apache(t, 1)
	killPipeline(newPlant(t, cfg, "raw"), *kills)
}

// TestE2EKilledBrokers kills each of three brokers in turn, the pipeline once between, while records keep coming in.
func TestE2EKilledBrokers(t *testing.T) {
	cfg, cluster := apache(t, 3)
	p := newPlant(t, cfg, "raw")
	p.produce()
	p.patience = 2 * time.Minute // leaders and coordinators move
	process := p.start("tocsin", "run", "-c", p.config("a"))
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", process)
	for n := range cluster.brokers {
		cluster.kill(n)
		cluster.await(2)
		time.Sleep(2 * time.Second)
		if n == 1 {
			process.kill()
			process = p.start("tocsin", "run", "-c", p.config("a"))
		}
		cluster.start(n)
		cluster.await(3)
		cluster.awaitReplicas()
	}
	p.conclude(process)
}

// TestE2ESecured runs the pipeline over TLS with certificates on both sides, logged in by SCRAM, as a user who has the rights of
// docs/security.md and no others; `check --live` finds nothing wrong with them by any mechanism, and names one that is taken away.
func TestE2ESecured(t *testing.T) {
	authority := pipelinetest.NewAuthority(t)
	cert, key := authority.Issue("server")
	pem := filepath.Join(t.TempDir(), "server.pem")
	var both []byte
	for _, name := range []string{cert, key} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(pem, both, 0o600); err != nil {
		t.Fatal(err)
	}
	secure := freePort(t)
	const module = "org.apache.kafka.common.security."
	// The test itself, and the broker, speak to it in plain text: whoever does so may do everything.
	cfg, cluster := apache(t, 1, func(plain, controller string) string {
		return fmt.Sprintf(`listeners=PLAINTEXT://%s,SASL_SSL://%s,CONTROLLER://%s
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config=%splain.PlainLoginModule required user_tocsin="bell-secret";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=%[4]sscram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=%[4]sscram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=%[4]soauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="tocsin";
ssl.keystore.type=PEM
ssl.keystore.location=%s
ssl.truststore.type=PEM
ssl.truststore.location=%s
ssl.client.auth=required
`, plain, secure, controller, module, pem, authority.File)
	})
	p := newPlant(t, cfg, "raw")
	admin := cluster.admin()
	defer admin.Close()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		r, err := admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: "tocsin", Mechanism: mechanism, Iterations: 4096, Password: "bell-secret"}})
		if err != nil || r["tocsin"].Err != nil {
			t.Fatal(err, r)
		}
	}
	user := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:tocsin").AllowHosts("*").ResourcePatternType(kadm.ACLPatternPrefixed)
	}
	groups := user().Groups(p.topic + "-").Operations(kadm.OpRead)
	for _, rights := range []*kadm.ACLBuilder{
		user().Topics(p.topic).Operations(kadm.OpRead, kadm.OpDescribeConfigs),
		user().Topics("tocsin.").Operations(kadm.OpRead, kadm.OpWrite, kadm.OpCreate, kadm.OpDescribeConfigs),
		user().TransactionalIDs(p.topic + "-").Operations(kadm.OpWrite),
		groups,
	} {
		r, err := admin.CreateACLs(t.Context(), rights)
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r)
		}
	}
	cert, key = authority.Issue("tocsin")
	b64 := base64.RawURLEncoding.EncodeToString
	now := time.Now().Unix()
	token := b64([]byte(`{"alg":"none"}`)) + "." + b64(fmt.Appendf(nil, `{"sub":"tocsin","iat":%d,"exp":%d}`, now, now+3600)) + "."
	config := func(mechanism string) string {
		password := "bell-secret"
		if mechanism == "OAUTHBEARER" {
			password = token
		}
		p.secure = fmt.Sprintf(`, tls: {enabled: true, ca: %q, cert: %q, key: %q}, sasl: {mechanism: %s, user: tocsin, password: %q}`, authority.File, cert, key, mechanism, password)
		p.brokers = []string{secure}
		return p.config("a")
	}
	process := p.start("tocsin", "run", "-c", config("SCRAM-SHA-512"))
	p.produce()
	p.await("the first alerts", "SELECT count() >= 4 FROM v_alerts", process)
	refused := func(mechanism string) (list []string) {
		t.Helper()
		check := p.start("tocsin", "check", "--live", "-c", config(mechanism))
		check.wait(time.Minute)
		if code := check.ProcessState.ExitCode(); code > 1 {
			t.Errorf("%s: exit code %d\n%s", mechanism, code, check.log())
		}
		said, err := os.ReadFile(check.path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(said)) {
			if strings.HasPrefix(line, "refused: kafka: ") {
				list = append(list, line)
			}
			if strings.Contains(line, "secret") {
				t.Errorf("the secret is said: %s", line)
			}
		}
		return list
	}
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"} {
		if got := refused(mechanism); len(got) > 0 {
			t.Errorf("%s: %s", mechanism, got)
		}
	}
	p.conclude(process)
	if _, err := admin.DeleteACLs(t.Context(), groups); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(refused("PLAIN"), ""); strings.Count(got, "may not be a member of group raw-") != 3 {
		t.Errorf("without the right to the groups: %q", got)
	}
}

// apacheCluster are brokers of Apache Kafka, each of which is a controller as well (KRaft).
type apacheCluster struct {
	t       *testing.T
	libs    string
	dirs    []string
	addrs   []string
	brokers []*exec.Cmd
}

// apache starts so many brokers and a ClickHouse. more gives further lines of a broker's properties, from its addresses.
func apache(t *testing.T, n int, more ...func(plain, controller string) string) (Config, *apacheCluster) {
	t.Helper()
	c := &apacheCluster{t: t, libs: os.Getenv("TOCSIN_KAFKA_LIBS"), brokers: make([]*exec.Cmd, n)}
	if c.libs == "" {
		t.Fatal("TOCSIN_KAFKA_LIBS is not set: run `make e2e`")
	}
	var controllers, voters []string
	for i := range n {
		c.addrs, controllers = append(c.addrs, freePort(t)), append(controllers, freePort(t))
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, controllers[i]))
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	for i := range n {
		dir := t.TempDir()
		c.dirs = append(c.dirs, dir)
		properties := fmt.Sprintf(`process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=PLAINTEXT://%s,CONTROLLER://%s
controller.listener.names=CONTROLLER
log.dirs=%s/data
default.replication.factor=%d
offsets.topic.replication.factor=%[6]d
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=%[6]d
transaction.state.log.num.partitions=5
transaction.state.log.min.isr=%d
min.insync.replicas=%[7]d
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
`, i+1, strings.Join(voters, ","), c.addrs[i], controllers[i], dir, n, (n+1)/2)
		for _, f := range more {
			properties += f(c.addrs[i], controllers[i])
		}
		if err := os.WriteFile(filepath.Join(dir, "server.properties"), []byte(properties), 0o600); err != nil {
			t.Fatal(err)
		}
		format := c.java(i, "kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id), "-c", "server.properties")
		if err := format.Run(); err != nil {
			t.Fatalf("format the storage of broker %d: %v", i+1, err)
		}
		c.start(i)
	}
	c.await(n)
	cfg := DefaultConfig()
	cfg.Kafka.Brokers, cfg.Kafka.Replicas = c.addrs, int16(n)
	server, err := embedded.StartClickHouse(t.Context(), embedded.ClickHouseConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	cfg.ClickHouse.Addrs = []string{embeddedtest.Relay(t, server.TCPAddr)}
	return cfg, c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *apacheCluster) java(n int, args ...string) *exec.Cmd {
	cmd := exec.Command("java", append([]string{"-Xms128m", "-Xmx384m", "-cp", filepath.Join(c.libs, "*")}, args...)...)
	cmd.Dir = c.dirs[n]
	return cmd
}

// start starts a broker on the data that it has.
func (c *apacheCluster) start(n int) {
	c.t.Helper()
	cmd := c.java(n, "kafka.Kafka", "server.properties")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.brokers[n] = cmd
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone already
		_ = cmd.Wait()
	})
}

// kill ends a broker as a crash would.
func (c *apacheCluster) kill(n int) {
	_ = c.brokers[n].Process.Signal(syscall.SIGKILL)
	_ = c.brokers[n].Wait()
}

func (c *apacheCluster) admin() *kadm.Client {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.addrs...))
	if err != nil {
		c.t.Fatal(err)
	}
	return kadm.NewClient(client)
}

// await waits until so many brokers belong to the cluster.
func (c *apacheCluster) await(n int) {
	c.t.Helper()
	admin := c.admin()
	defer admin.Close()
	c.until(fmt.Sprint(n, " brokers"), func(ctx context.Context) bool {
		brokers, err := admin.ListBrokers(ctx)
		return err == nil && len(brokers) == n
	})
}

// awaitReplicas waits until no partition lacks a replica: before that the next kill could take the last one that is whole.
func (c *apacheCluster) awaitReplicas() {
	c.t.Helper()
	admin := c.admin()
	defer admin.Close()
	c.until("all replicas", func(ctx context.Context) bool {
		topics, err := admin.ListTopicsWithInternal(ctx)
		whole := err == nil
		topics.EachPartition(func(p kadm.PartitionDetail) { whole = whole && len(p.ISR) == len(p.Replicas) })
		return whole
	})
}

func (c *apacheCluster) until(what string, ok func(context.Context) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for !ok(ctx) {
		if ctx.Err() != nil {
			c.t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
