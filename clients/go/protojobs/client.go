package protojobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const closeGrace = 5 * time.Second

// Client dispatches jobs and looks after them. It is safe for concurrent use; one per process is enough.
//
// Every method takes a context, and ends with it: what was sent by then may have been stored, and the same call with the
// same ids may be repeated. Calls whose error a retry can help are repeated until Options.CallTimeout is over.
type Client struct {
	options Options
	log     *slog.Logger
	conn    *grpc.ClientConn
	ids     jobIDs
	send    DispatchFunc
	pipe    *pipe

	jobs      pb.JobServiceClient
	queues    pb.QueueServiceClient
	schedules pb.ScheduleServiceClient
	server    pb.ServerServiceClient

	closing sync.Once
	closed  chan struct{}
}

// NewClient makes a client; it connects when it is first used. Close it when it is used no more.
//
// Fails for options that cannot work, and for files that cannot be read.
func NewClient(options Options) (*Client, error) {
	conn, err := options.Dial()
	if err != nil {
		return nil, err
	}
	options = options.filled()
	c := &Client{
		options:   options,
		log:       options.Logger,
		conn:      conn,
		jobs:      pb.NewJobServiceClient(conn),
		queues:    pb.NewQueueServiceClient(conn),
		schedules: pb.NewScheduleServiceClient(conn),
		server:    pb.NewServerServiceClient(conn),
		closed:    make(chan struct{}),
	}
	c.pipe = newPipe(c)
	c.send = c.dispatchAll
	for i := len(options.Middleware) - 1; i >= 0; i-- {
		c.send = options.Middleware[i](c.send)
	}
	return c, nil
}

// Conn is the connection, for calls of the generated code that the client has no method for. See TranslateError.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close finishes dispatches that are under way, for at most 5 s, and closes the connection. It may be repeated.
func (c *Client) Close() error {
	var err error
	c.closing.Do(func() {
		close(c.closed)
		c.pipe.close(closeGrace)
		err = c.conn.Close()
	})
	return err
}

// ErrClosed says that the client was closed.
var ErrClosed error = &Error{Code: codes.FailedPrecondition, Message: "the client is closed"}

// ServerInfo is what the server is and can do.
type ServerInfo struct {
	Version         string
	Driver          string // memory, sqlite, postgres, mysql or kafka
	Capabilities    []Capability
	MaxPayloadBytes int
	IDWindow        time.Duration // how long a repeated dispatch is recognised
	Time            time.Time     // the store's clock
	ServerID        string
}

// Capability is a feature that drivers may lack; Reason says why.
type Capability struct {
	Name      string
	Available bool
	Reason    string
}

// ServerInfo returns what the server is and can do.
func (c *Client) ServerInfo(ctx context.Context) (ServerInfo, error) {
	answer, err := call(ctx, c, c.server.GetServerInfo, &pb.GetServerInfoRequest{}, c.options.ReadTimeout)
	if err != nil {
		return ServerInfo{}, err
	}
	info := ServerInfo{
		Version: answer.GetVersion(), Driver: answer.GetDriver(), ServerID: answer.GetServerId(),
		MaxPayloadBytes: int(answer.GetLimits().GetMaxPayloadBytes()),
		IDWindow:        answer.GetLimits().GetIdWindow().AsDuration(), Time: timeOf(answer.GetServerTime()),
	}
	for _, each := range answer.GetCapabilities() {
		info.Capabilities = append(info.Capabilities, Capability{each.GetName(), each.GetAvailable(), each.GetReason()})
	}
	return info, nil
}
