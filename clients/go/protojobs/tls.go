package protojobs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// fileTLS makes each connection with the certificates that the files hold then: they may be renewed while it runs.
type fileTLS struct {
	options Options

	mu      sync.Mutex
	stamps  [3]stamp
	current credentials.TransportCredentials
}

type stamp struct {
	changedAt time.Time
	size      int64
}

func newFileTLS(options Options) (*fileTLS, error) {
	t := &fileTLS{options: options}
	_, err := t.load()
	return t, err
}

// load returns the credentials of the files as they are; those of before while a file is being replaced.
func (t *fileTLS) load() (credentials.TransportCredentials, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.look()
	if t.current != nil && found == t.stamps {
		return t.current, nil
	}
	config, err := t.read()
	if err != nil {
		if t.current == nil {
			return nil, err
		}
		t.options.Logger.Warn("changed certificate cannot be used; the old one stays", "error", err)
	} else {
		t.current = credentials.NewTLS(config)
	}
	t.stamps = found
	return t.current, nil
}

func (t *fileTLS) look() [3]stamp {
	var found [3]stamp
	for i, name := range []string{t.options.CA, t.options.Cert, t.options.Key} {
		if info, err := os.Stat(name); name != "" && err == nil {
			found[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return found
}

func (t *fileTLS) read() (*tls.Config, error) {
	config := &tls.Config{ServerName: t.options.ServerName, MinVersion: tls.VersionTLS12}
	if t.options.CA != "" {
		pem, err := os.ReadFile(t.options.CA)
		if err != nil {
			return nil, fmt.Errorf("protojobs: the CA cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("protojobs: %s holds no certificate", t.options.CA)
		}
	}
	if t.options.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.options.Cert, t.options.Key)
		if err != nil {
			return nil, fmt.Errorf("protojobs: the client certificate cannot be used: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// ClientHandshake makes a connection with the current files.
func (t *fileTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	current, err := t.load()
	if err != nil {
		return nil, nil, err
	}
	return current.ClientHandshake(ctx, authority, conn)
}

// ServerHandshake fails: these are credentials of a client.
func (t *fileTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("protojobs: these are credentials of a client")
}

// Info tells gRPC what protocol this is.
func (t *fileTLS) Info() credentials.ProtocolInfo {
	current, err := t.load()
	if err != nil {
		return credentials.ProtocolInfo{SecurityProtocol: "tls"}
	}
	return current.Info()
}

// Clone returns credentials of the same files.
func (t *fileTLS) Clone() credentials.TransportCredentials {
	return &fileTLS{options: t.options}
}

// OverrideServerName sets the name to expect in the server's certificate.
func (t *fileTLS) OverrideServerName(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.options.ServerName, t.current = name, nil
	return nil
}
