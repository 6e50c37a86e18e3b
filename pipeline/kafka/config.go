package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tocsin-project/tocsin/pipeline"
)

// Config says how Kafka is reached.
type Config struct {
	// Brokers are the seed brokers, host:port.
	Brokers []string `yaml:"brokers"`
	// Group is the start of the consumer groups' names: <group>-ingest and <group>-detect.
	Group string `yaml:"group"`
	// Topics are the raw topics to read. A topic that begins with ^ is a regular expression.
	Topics []string `yaml:"topics"`
	// Partitions is how many partitions a topic gets that tocsin has to create.
	Partitions int32 `yaml:"partitions"`
	// Replicas is how many replicas such a topic gets; -1 is the broker's default.
	Replicas int16 `yaml:"replicas"`
	// Protocol is who divides partitions among the members of a group: the members themselves (classic, cooperative) or the
	// brokers (consumer: KIP-848, from Kafka 4.0 on).
	Protocol string `yaml:"group_protocol"`

	TLS  pipeline.TLS `yaml:"tls"`
	SASL SASL         `yaml:"sasl"`

	more []kgo.Opt // of every client; tests put them on a network of their own
}

// SASL says who tocsin is.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; empty is none
	User      string `yaml:"user"`
	// Password is the user's, or with OAUTHBEARER the token, or with TokenURL the client's secret.
	Password string `yaml:"password"`
	// TokenURL is where tokens for OAUTHBEARER come from, by OAuth's client credentials: User is the client's id.
	TokenURL string `yaml:"token_url"`
	// PasswordFile is the file that Password came from, if it came from one: it is read again whenever a connection logs in,
	// for tokens that expire and passwords that are changed.
	PasswordFile string `yaml:"-"`
}

// DefaultConfig is a broker on this machine.
func DefaultConfig() Config {
	return Config{Brokers: []string{"127.0.0.1:9092"}, Group: "tocsin", Partitions: 6, Replicas: -1, Protocol: "classic"}
}

// options are what every client of the process has.
func (c Config) options(log *zap.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("tocsin"),
		kgo.MetadataMinAge(time.Second), // the client waits that long after each refusal of a broker that no longer leads a partition
		kgo.WithLogger(kzap.New(log.Named("kafka"), kzap.Level(kgo.LogLevelWarn))),
	}
	if err := errors.Join(c.Check(), c.TLS.Check()); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if c.TLS.Enabled {
		opts = append(opts, kgo.Dialer(c.TLS.Dial))
	}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return append(opts, c.more...), nil
}

// member returns the options of a member of a group. Under the classic protocol it is a static one, and classic divides the
// partitions; under KIP-848 the brokers do it, as served has it. There a member with a name of its own would be kept out after a crash until
// its session has ended, so it has none.
func (c Config) member(group, instance string, classic, served kgo.GroupBalancer) []kgo.Opt {
	opts := []kgo.Opt{kgo.ConsumerGroup(group)}
	if c.Protocol == "consumer" {
		return append(opts, kgo.Balancers(served), kgo.ServerSideBalancer())
	}
	return append(opts, kgo.Balancers(classic), kgo.InstanceID(instance))
}

// Check returns all that is wrong with the configuration itself; it reads no files.
func (c Config) Check() error {
	_, err := c.matcher()
	errs := []error{err}
	if !slices.Contains([]string{"classic", "consumer"}, c.Protocol) {
		errs = append(errs, fmt.Errorf("kafka.group_protocol: %q is none of classic, consumer", c.Protocol))
	}
	s := c.SASL
	if !slices.Contains([]string{"", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"}, s.Mechanism) {
		errs = append(errs, fmt.Errorf("kafka.sasl.mechanism: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism))
	}
	if s.TokenURL != "" && s.Mechanism != "OAUTHBEARER" {
		errs = append(errs, fmt.Errorf("kafka.sasl.token_url: %s takes no tokens; it is for OAUTHBEARER", cmp.Or(s.Mechanism, "no mechanism")))
	}
	return errors.Join(errs...)
}

// mechanism returns who logs a connection in; nil for none.
func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.User, Pass: password}, err
		})
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		by := scram.Sha256
		if s.Mechanism == "SCRAM-SHA-512" {
			by = scram.Sha512
		}
		return by(func(context.Context) (scram.Auth, error) {
			password, err := s.password()
			return scram.Auth{User: s.User, Pass: password}, err
		})
	case "OAUTHBEARER":
		return oauth.Oauth(s.token())
	}
	return nil
}

// password reads the file again, if there is one.
func (s SASL) password() (string, error) {
	if s.PasswordFile == "" {
		return s.Password, nil
	}
	b, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("kafka.sasl.password: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// token returns where tokens come from.
func (s SASL) token() func(context.Context) (oauth.Auth, error) {
	if s.TokenURL == "" {
		return func(context.Context) (oauth.Auth, error) {
			token, err := s.password()
			return oauth.Auth{Token: token}, err
		}
	}
	return func(ctx context.Context) (oauth.Auth, error) {
		secret, err := s.password()
		if err != nil {
			return oauth.Auth{}, err
		}
		client := clientcredentials.Config{ClientID: s.User, ClientSecret: secret, TokenURL: s.TokenURL}
		token, err := client.Token(ctx)
		if err != nil {
			return oauth.Auth{}, fmt.Errorf("kafka.sasl.token_url: %w", err)
		}
		return oauth.Auth{Token: token.AccessToken}, nil
	}
}

// matcher returns which topics are raw ones. What is wrong with an expression is said for all of them.
func (c Config) matcher() (func(topic string) bool, error) {
	var expressions []*regexp.Regexp
	var errs []error
	for i, t := range c.Topics {
		if !strings.HasPrefix(t, "^") {
			t = "^" + regexp.QuoteMeta(t) + "$"
		}
		re, err := regexp.Compile(t)
		if err != nil {
			errs = append(errs, fmt.Errorf("kafka.topics[%d]: %w", i, err))
		}
		expressions = append(expressions, re)
	}
	return func(topic string) bool {
		return slices.ContainsFunc(expressions, func(re *regexp.Regexp) bool { return re.MatchString(topic) })
	}, errors.Join(errs...)
}

// unmatched returns those of the wanted topics and expressions that none of the topics is.
func unmatched(wanted, topics []string) (none []string) {
	for _, w := range wanted {
		is := func(topic string) bool { return topic == w }
		if strings.HasPrefix(w, "^") {
			is = regexp.MustCompile(w).MatchString // Check has compiled it before
		}
		if !slices.ContainsFunc(topics, is) {
			none = append(none, w)
		}
	}
	return none
}

// subscription returns the topics to consume: the raw ones and those given. With regular expressions among them, all
// become expressions.
func (c Config) subscription(own ...string) (topics []string, regex bool) {
	for _, t := range c.Topics {
		regex = regex || strings.HasPrefix(t, "^")
	}
	topics = append(append(topics, c.Topics...), own...)
	if regex {
		for i, t := range topics {
			if !strings.HasPrefix(t, "^") {
				topics[i] = "^" + regexp.QuoteMeta(t) + "$"
			}
		}
	}
	return topics, regex
}
