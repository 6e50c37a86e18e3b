package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// TLS says how connections to a server are encrypted. Its files are read for each connection: certificates that were renewed,
// the authorities' too, are used without a restart.
type TLS struct {
	Enabled bool   `yaml:"enabled"`
	CA      string `yaml:"ca"`   // file with the authorities' certificates; empty takes the system's
	Cert    string `yaml:"cert"` // file with the client's certificate, for mutual TLS
	Key     string `yaml:"key"`  // file with the client's key
}

// dialTime bounds how long a connection may take.
const dialTime = 10 * time.Second

// Dial connects to addr, host:port.
func (t TLS) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTime}
	if !t.Enabled {
		return dialer.DialContext(ctx, network, addr)
	}
	conf, err := t.config()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return (&tls.Dialer{NetDialer: dialer, Config: conf}).DialContext(ctx, network, addr)
}

// Check reads the files and returns all that is wrong with them.
func (t TLS) Check() error {
	if !t.Enabled {
		return nil
	}
	_, err := t.config()
	return err
}

func (t TLS) config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	var errs []error
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		conf.RootCAs = x509.NewCertPool()
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.ca: %w", err))
		} else if !conf.RootCAs.AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("tls.ca: %s holds no certificate", t.CA))
		}
	}
	if t.Cert != "" || t.Key != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.cert, tls.key: %w", err))
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, errors.Join(errs...)
}
