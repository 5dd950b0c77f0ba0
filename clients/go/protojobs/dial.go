package protojobs

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets the balancer leave servers alone that say they are not serving
	"google.golang.org/grpc/keepalive"
)

const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": ""}
}`

// Dial makes a gRPC connection with these options, for calls of the generated code that Client has no method for. It
// connects when it is first used; close it by its Close.
//
// Fails for options that cannot work, and for files that cannot be read.
func (o Options) Dial() (*grpc.ClientConn, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.filled()
	where, builder := target(o.Address)
	options := []grpc.DialOption{
		grpc.WithUserAgent("protojobs-go/" + Version),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallSendMsgSize(o.MaxMessageBytes),
			grpc.MaxCallRecvMsgSize(o.MaxReceiveBytes),
		),
		grpc.WithMaxHeaderListSize(16 * 1024),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 20 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		// gRPC's own defaults find a restarted server only after up to 2 minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	if builder != nil {
		options = append(options, grpc.WithResolvers(builder))
	}
	if o.usesTLS() {
		credentials, err := newFileTLS(o)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithTransportCredentials(credentials))
	} else {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	token, err := newBearer(o.Token, o.TokenFile)
	if err != nil {
		return nil, err
	}
	if token != nil {
		options = append(options, grpc.WithPerRPCCredentials(token))
	}
	return grpc.NewClient(where, append(options, o.DialOptions...)...)
}
