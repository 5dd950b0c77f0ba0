// Command keda asks an external scaler as KEDA's operator does: with KEDA's generated client, and in its order of calls.
//
//	keda [-ca FILE -cert FILE -key FILE] ADDRESS METADATA
//
// METADATA is what the trigger has as metadata, as JSON. It asks for the metric specs, opens both streams, and then takes each
// line of its standard input as a poll. What it hears it prints, one JSON object a line. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"strings"
	"sync"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const (
	// As in KEDA's external_scaler.go.
	serviceConfig = `{"loadBalancingConfig": [{"round_robin":{}}]}`
	prefix        = "s0-"
)

type event map[string]any

type operator struct {
	client pb.ExternalScalerClient
	object *pb.ScaledObjectRef

	printing sync.Mutex
	out      *json.Encoder
}

func main() {
	ca := flag.String("ca", "", "PEM file of the roots to trust")
	cert := flag.String("cert", "", "PEM file of the client's certificate")
	key := flag.String("key", "", "PEM file of its key")
	flag.Parse()
	if flag.NArg() != 2 {
		log.Fatal("usage: keda [-ca FILE -cert FILE -key FILE] ADDRESS METADATA")
	}
	metadata := map[string]string{}
	if err := json.Unmarshal([]byte(flag.Arg(1)), &metadata); err != nil {
		log.Fatalf("metadata: %v", err)
	}
	transport, err := transportCredentials(*ca, *cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	connection, err := grpc.NewClient(flag.Arg(0),
		grpc.WithDefaultServiceConfig(serviceConfig), grpc.WithTransportCredentials(transport))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	keda := &operator{
		client: pb.NewExternalScalerClient(connection),
		object: &pb.ScaledObjectRef{Name: "worker", Namespace: "jobs", ScalerMetadata: metadata},
		out:    json.NewEncoder(os.Stdout),
	}
	keda.run()
}

// run does what KEDA does for a ScaledObject with an external-push trigger.
func (o *operator) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	names := o.specs(ctx)
	go o.watchSpecs(ctx)
	go o.watchActivity(ctx)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		for _, name := range names {
			o.poll(ctx, name)
		}
	}
}

// specs asks for the metrics and returns their names as the autoscaler of Kubernetes knows them.
func (o *operator) specs(ctx context.Context) []string {
	answer, err := o.client.GetMetricSpec(ctx, o.object)
	if err != nil {
		o.failed("GetMetricSpec", err)
		return nil
	}
	var names []string
	for _, spec := range answer.MetricSpecs {
		names = append(names, prefix+spec.MetricName)
	}
	o.tellSpecs("GetMetricSpec", answer)
	return names
}

// poll is GetMetricsAndActivity: the metric first, then whether it is active.
func (o *operator) poll(ctx context.Context, name string) {
	request := &pb.GetMetricsRequest{MetricName: strings.TrimPrefix(name, prefix), ScaledObjectRef: o.object}
	metrics, err := o.client.GetMetrics(ctx, request)
	if err != nil {
		o.failed("GetMetrics", err)
		return
	}
	for _, metric := range metrics.MetricValues {
		value := float64(metric.MetricValue)
		if metric.MetricValueFloat > 0 {
			value = metric.MetricValueFloat
		}
		o.tell(event{"call": "GetMetrics", "name": name, "value": value, "whole": metric.MetricValue})
	}
	active, err := o.client.IsActive(ctx, o.object)
	if err != nil {
		o.failed("IsActive", err)
		return
	}
	o.tell(event{"call": "IsActive", "active": active.Result})
}

func (o *operator) watchActivity(ctx context.Context) {
	stream, err := o.client.StreamIsActive(ctx, o.object)
	for err == nil {
		var answer *pb.IsActiveResponse
		if answer, err = stream.Recv(); err == nil {
			o.tell(event{"call": "StreamIsActive", "active": answer.Result})
		}
	}
	o.failed("StreamIsActive", err)
}

func (o *operator) watchSpecs(ctx context.Context) {
	stream, err := o.client.StreamMetricSpec(ctx, o.object)
	for err == nil {
		var answer *pb.GetMetricSpecResponse
		if answer, err = stream.Recv(); err == nil {
			o.tellSpecs("StreamMetricSpec", answer)
		}
	}
	o.failed("StreamMetricSpec", err)
}

func (o *operator) tellSpecs(call string, answer *pb.GetMetricSpecResponse) {
	for _, spec := range answer.MetricSpecs {
		target := float64(spec.TargetSize)
		if spec.TargetSizeFloat > 0 {
			target = spec.TargetSizeFloat
		}
		o.tell(event{"call": call, "name": spec.MetricName, "target": target, "whole": spec.TargetSize})
	}
}

// failed tells how a call has ended; EOF is how KEDA knows a stream that has ended well.
func (o *operator) failed(call string, err error) {
	if errors.Is(err, io.EOF) {
		o.tell(event{"call": call, "ended": "EOF"})
		return
	}
	o.tell(event{"call": call, "ended": status.Code(err).String(), "message": status.Convert(err).Message()})
}

func (o *operator) tell(said event) {
	o.printing.Lock()
	defer o.printing.Unlock()
	if err := o.out.Encode(said); err != nil {
		log.Fatal(err)
	}
}

func transportCredentials(ca, cert, key string) (credentials.TransportCredentials, error) {
	if ca == "" {
		return insecure.NewCredentials(), nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), nil
}
