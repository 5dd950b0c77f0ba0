package fake

import (
	"testing"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
)

const patience = 20 * time.Second

// Stream is one Lease stream, played by the test.
type Stream struct {
	t       testing.TB
	call    grpc.BidiStreamingServer[pb.LeaseRequest, pb.LeaseResponse]
	Hello   *pb.Hello
	seq     uint64
	read    uint64
	inbox   chan *pb.LeaseRequest
	end     chan error
	Started uint64 // the newest started_seq that Next has seen
	Receipt uint64 // the newest received_seq that Next has seen
}

// Lease hands the stream to the test and waits until that ends it.
func (s *Server) Lease(call grpc.BidiStreamingServer[pb.LeaseRequest, pb.LeaseResponse]) error {
	first, err := call.Recv()
	if err != nil {
		return err
	}
	stream := &Stream{call: call, Hello: first.GetHello(), read: 1, inbox: make(chan *pb.LeaseRequest, 10_000), end: make(chan error, 1)}
	s.streams <- stream
	go func() {
		defer close(stream.inbox)
		for {
			frame, err := call.Recv()
			if err != nil {
				return
			}
			stream.inbox <- frame
		}
	}()
	select {
	case err := <-stream.end:
		return err
	case <-call.Context().Done():
		return nil
	}
}

// Accept waits for the next stream.
func (s *Server) Accept(t testing.TB) *Stream {
	t.Helper()
	select {
	case stream := <-s.streams:
		stream.t = t
		return stream
	case <-time.After(patience):
		t.Fatal("no worker has opened a stream")
		return nil
	}
}

// Welcome answers Hello: heartbeats come every quarter of the ttl.
func (s *Stream) Welcome(ttl time.Duration, kept ...*pb.LeaseRef) {
	s.t.Helper()
	s.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Welcome{Welcome: &pb.Welcome{
		ServerId: "fake", SessionTtl: durationpb.New(ttl), HeartbeatInterval: durationpb.New(ttl / 4), Kept: kept,
	}}})
}

// Deliver sends jobs.
func (s *Stream) Deliver(jobs ...*pb.LeasedJob) {
	s.t.Helper()
	s.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Deliver{Deliver: &pb.Deliver{Items: jobs}}})
}

// Settled answers an outcome.
func (s *Stream) Settled(id string, attempt uint32, code pb.SettleCode, state pb.JobState) {
	s.t.Helper()
	item := &pb.SettledItem{JobId: id, Attempt: attempt, Code: code, NextState: state}
	s.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Settled{Settled: &pb.Settled{Items: []*pb.SettledItem{item}}}})
}

// Cancel asks the worker to stop a job.
func (s *Stream) Cancel(id string, attempt uint32, why pb.CancelReason) {
	s.t.Helper()
	item := &pb.CancelItem{JobId: id, Attempt: attempt, Reason: why}
	s.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Cancel{Cancel: &pb.Cancel{Items: []*pb.CancelItem{item}}}})
}

// Drain asks the worker to go on elsewhere, or with reason WORKER to leave.
func (s *Stream) Drain(why pb.DrainReason) {
	s.t.Helper()
	s.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Drain{Drain: &pb.Drain{Reason: why}}})
}

// Pong says that everything was read, and nothing else.
func (s *Stream) Pong() {
	s.t.Helper()
	s.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Pong{Pong: &pb.Pong{}}})
}

// Send numbers a frame and sends it.
func (s *Stream) Send(frame *pb.LeaseResponse) {
	s.t.Helper()
	s.seq++
	frame.Seq, frame.ReceivedSeq = s.seq, s.read
	if err := s.call.Send(frame); err != nil {
		s.t.Fatalf("the worker has left: %v", err)
	}
}

// Next returns the next frame for which wanted holds; the others are read over.
func (s *Stream) Next(wanted func(*pb.LeaseRequest) bool) *pb.LeaseRequest {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case frame, open := <-s.inbox:
			if !open {
				s.t.Fatal("the worker has ended the stream")
			}
			s.read, s.Started, s.Receipt = frame.GetSeq(), frame.GetStartedSeq(), frame.GetReceivedSeq()
			if wanted(frame) {
				return frame
			}
		case <-timeout:
			s.t.Fatal("the frame did not come")
		}
	}
}

// NextSettle returns the outcomes of the next frame that has any, the short form as items.
func (s *Stream) NextSettle() []*pb.SettleItem {
	s.t.Helper()
	frame := s.Next(func(frame *pb.LeaseRequest) bool { return frame.GetSettle() != nil })
	items := frame.GetSettle().GetItems()
	for _, group := range frame.GetSettle().GetCompleted() {
		for _, id := range group.GetJobIds() {
			outcome := &pb.SettleItem_Complete{Complete: &pb.Complete{}}
			items = append(items, &pb.SettleItem{JobId: id, Attempt: group.GetAttempt(), Outcome: outcome})
		}
	}
	return items
}

// End ends the stream so; nil is a server that leaves.
func (s *Stream) End(err error) { s.end <- err }

// Ended waits until the worker has ended the stream, or closed its side.
func (s *Stream) Ended() {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case _, open := <-s.inbox:
			if !open {
				return
			}
		case <-timeout:
			s.t.Fatal("the worker has not ended the stream")
		}
	}
}
