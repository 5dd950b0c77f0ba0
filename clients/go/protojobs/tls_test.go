package protojobs_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// sign writes name.pem and name.key of a certificate for a host.
func (a *authority) sign(name, host string) {
	a.t.Helper()
	key := a.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", secret)
}

// callers is a server that notes who calls.
type callers struct {
	pb.UnimplementedServerServiceServer
	names chan string
}

func (c *callers) GetServerInfo(ctx context.Context, _ *pb.GetServerInfoRequest) (*pb.GetServerInfoResponse, error) {
	caller, _ := peer.FromContext(ctx)
	for _, cert := range caller.AuthInfo.(credentials.TLSInfo).State.PeerCertificates {
		c.names <- cert.Subject.CommonName
	}
	return &pb.GetServerInfoResponse{}, nil
}

// serveTLS serves with the certificate "server", to clients that the authority knows.
func (a *authority) serveTLS() (string, *callers) {
	a.t.Helper()
	a.sign("server", "jobs.example.com")
	pair, err := tls.LoadX509KeyPair(a.path("server.pem"), a.path("server.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.t.Fatal(err)
	}
	server, noted := grpc.NewServer(grpc.Creds(credentials.NewTLS(config))), &callers{names: make(chan string, 10)}
	pb.RegisterServerServiceServer(server, noted)
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(listener) }()
	a.t.Cleanup(server.Stop)
	return listener.Addr().String(), noted
}

func TestMutualTLSKnowsTheCallerAndTakesRenewedCertificatesForNewConnections(t *testing.T) {
	a := newAuthority(t)
	address, noted := a.serveTLS()
	a.sign("client", "first")
	options := protojobs.Options{
		Address: address, CA: a.path("ca.pem"), Cert: a.path("client.pem"), Key: a.path("client.key"), ServerName: "jobs.example.com",
	}
	for _, name := range []string{"first", "second"} {
		a.sign("client", name)
		client, err := protojobs.NewClient(options)
		if err != nil {
			t.Fatal(err)
		}

		_, err = client.ServerInfo(t.Context())

		if err != nil || <-noted.names != name {
			t.Errorf("%s: %v", name, err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAServerOfAnotherNameIsNotTrusted(t *testing.T) {
	a := newAuthority(t)
	address, _ := a.serveTLS()
	a.sign("client", "me")
	client, err := protojobs.NewClient(protojobs.Options{
		Address: address, CA: a.path("ca.pem"), Cert: a.path("client.pem"), Key: a.path("client.key"), ServerName: "other.example.com",
		CallTimeout: time.Millisecond, ReadTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	_, err = client.ServerInfo(t.Context())

	if !errors.Is(err, protojobs.ErrUnavailable) || !strings.Contains(err.Error(), "the server's certificate is for another name") {
		t.Errorf("error %v", err)
	}
}

func TestFilesThatCannotBeReadFailAtOnce(t *testing.T) {
	a := newAuthority(t)
	for name, options := range map[string]protojobs.Options{
		"no CA":          {CA: a.path("none.pem")},
		"no key":         {CA: a.path("ca.pem"), Cert: a.path("ca.pem"), Key: a.path("none.key")},
		"no certificate": {CA: writeText(t, "nothing")},
	} {
		if _, err := protojobs.NewClient(options); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func writeText(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
