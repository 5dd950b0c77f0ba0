// Package fake is a Proto Jobs server in this process, for tests: it keeps jobs in memory, and its Lease streams are
// played by the test.
package fake

import (
	"context"
	"net"
	"path"
	"strings"
	"sync"
	"testing"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// Server is a fake server that listens on Address until the test ends.
type Server struct {
	pb.UnimplementedJobServiceServer
	pb.UnimplementedQueueServiceServer
	pb.UnimplementedScheduleServiceServer
	pb.UnimplementedWorkerServiceServer

	Address string

	// Refuse is asked before each spec is stored; nil stores all.
	Refuse func(*pb.JobSpec) error

	mu       sync.Mutex
	jobs     map[string]*pb.JobSpec
	order    []string
	calls    map[string]int
	failures map[string][]error
	tokens   []string
	frames   int
	pending  uint64
	events   []*pb.WatchJobsResponse
	cursors  [][]byte
	streams  chan *Stream
	grpc     *grpc.Server
}

// Start begins to listen.
func Start(t testing.TB) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Address: listener.Addr().String(), jobs: map[string]*pb.JobSpec{}, calls: map[string]int{},
		failures: map[string][]error{}, streams: make(chan *Stream, 16),
	}
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.intercept), grpc.StreamInterceptor(s.interceptStream))
	pb.RegisterJobServiceServer(s.grpc, s)
	pb.RegisterQueueServiceServer(s.grpc, s)
	pb.RegisterScheduleServiceServer(s.grpc, s)
	pb.RegisterWorkerServiceServer(s.grpc, s)
	healthpb.RegisterHealthServer(s.grpc, health.NewServer())
	go func() { _ = s.grpc.Serve(listener) }()
	t.Cleanup(s.grpc.Stop)
	return s
}

// FailNext lets the next calls of a method fail so, one after the other.
func (s *Server) FailNext(method string, errors ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[method] = append(s.failures[method], errors...)
}

// Calls counts the calls of a method.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Tokens lists what each call showed as its authorization.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.tokens...)
}

// Jobs lists what is stored, in order.
func (s *Server) Jobs() []*pb.JobSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*pb.JobSpec
	for _, id := range s.order {
		found = append(found, s.jobs[id])
	}
	return found
}

// Frames counts the frames of dispatch streams.
func (s *Server) Frames() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

// Error makes an error as a server tells it.
func Error(code codes.Code, reason, message string, details ...proto.Message) error {
	told := []protoadapt.MessageV1{protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: reason, Domain: "protojobs.dev"})}
	for _, detail := range details {
		told = append(told, protoadapt.MessageV1Of(detail))
	}
	made, err := status.New(code, message).WithDetails(told...)
	if err != nil {
		panic(err)
	}
	return made.Err()
}

func (s *Server) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := s.note(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func (s *Server) interceptStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := s.note(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return handle(server, stream)
}

func (s *Server) note(ctx context.Context, fullMethod string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	method := path.Base(fullMethod)
	s.calls[method]++
	ours := strings.HasPrefix(fullMethod, "/protojobs.")
	if values := metadata.ValueFromIncomingContext(ctx, "authorization"); ours && len(values) > 0 {
		s.tokens = append(s.tokens, values[0])
	}
	if waiting := s.failures[method]; len(waiting) > 0 {
		s.failures[method] = waiting[1:]
		return waiting[0]
	}
	return nil
}
