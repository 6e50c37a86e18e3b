package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
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
	TLS      TLS   `yaml:"tls"`
	SASL     SASL  `yaml:"sasl"`
}

// TLS says how connections are encrypted.
type TLS struct {
	Enabled bool   `yaml:"enabled"`
	CA      string `yaml:"ca"`   // file with the authorities' certificates; empty takes the system's
	Cert    string `yaml:"cert"` // file with the client's certificate, for mutual TLS
	Key     string `yaml:"key"`  // file with the client's key
}

// SASL says who tocsin is.
type SASL struct {
	Mechanism string `yaml:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; empty is none
	User      string `yaml:"user"`
	Password  string `yaml:"password"` // the token for OAUTHBEARER
}

// DefaultConfig is a broker on this machine.
func DefaultConfig() Config {
	return Config{Brokers: []string{"127.0.0.1:9092"}, Group: "tocsin", Partitions: 6, Replicas: -1}
}

// options are what every client of the process has.
func (c Config) options(log *zap.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID("tocsin"),
		kgo.WithLogger(kzap.New(log.Named("kafka"), kzap.Level(kgo.LogLevelWarn))),
	}
	if c.TLS.Enabled {
		conf, err := c.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer((&tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: conf}).DialContext))
	}
	switch s := c.SASL; s.Mechanism {
	case "":
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()))
	case "OAUTHBEARER":
		opts = append(opts, kgo.SASL(oauth.Auth{Token: s.Password}.AsMechanism()))
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
	}
	return opts, nil
}

func (t TLS) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.ca: %s holds no certificate", t.CA)
		}
	}
	if t.Cert != "" || t.Key != "" {
		// Read again for each handshake: a certificate that was renewed is used without a restart.
		if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
			return nil, fmt.Errorf("kafka.tls.cert: %w", err)
		}
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
			return &cert, err
		}
	}
	return conf, nil
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
