package worker

import (
	"context"
	"errors"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const welcomePatience = 10 * time.Second

var (
	errDropped   = errors.New("the worker has dropped the stream")
	errNoWelcome = &protojobs.Error{Code: codes.Unavailable, Message: "no Welcome within 10 s"}
)

// stream is one Lease stream from Hello on: it numbers frames, and remembers what was heard when. Its session guards
// everything but the call.
type stream struct {
	call grpc.BidiStreamingClient[pb.LeaseRequest, pb.LeaseResponse]
	ctx  context.Context
	drop context.CancelCauseFunc

	seq         uint64
	receivedSeq uint64
	unanswered  queue[sent]
	lastRead    time.Time
	lastWrite   time.Time
	// When the newest frame that the server says it has read was sent: its lease clock began no earlier.
	answeredAt   time.Time
	leaveAt      time.Time // when to go on by another stream; zero: not asked for
	receiptAt    time.Time // when a frame that covers the newest Deliver must leave; zero: one has left
	deliveredSeq uint64
	goodbyeSent  bool
	halfClosed   bool
}

type sent struct {
	seq uint64
	at  time.Time
}

func newStream(ctx context.Context, now time.Time) *stream {
	ctx, drop := context.WithCancelCause(ctx)
	return &stream{ctx: ctx, drop: drop, lastRead: now, lastWrite: now, answeredAt: now}
}

// number gives a frame its place before it leaves.
func (s *stream) number(frame *pb.LeaseRequest, startedSeq uint64, now time.Time) {
	s.seq++
	frame.Seq, frame.ReceivedSeq, frame.StartedSeq = s.seq, s.receivedSeq, startedSeq
	s.unanswered.push(sent{s.seq, now})
}

// left notes that a frame has left.
func (s *stream) left(frame *pb.LeaseRequest, now time.Time) {
	s.lastWrite = now
	// A Deliver that was read meanwhile is not covered by this frame.
	if s.receiptAt = (time.Time{}); frame.GetReceivedSeq() < s.deliveredSeq {
		s.receiptAt = now
	}
}

// heard notes that a frame was read.
func (s *stream) heard(frame *pb.LeaseResponse, now time.Time) {
	s.lastRead, s.receivedSeq = now, frame.GetSeq()
	for s.unanswered.len() > 0 && s.unanswered.first().seq <= frame.GetReceivedSeq() {
		s.answeredAt = s.unanswered.pop().at
	}
}

// delivered notes that the frame just read was a Deliver. True: its receipt is to leave then, and no other is due.
func (s *stream) delivered(receiptAt time.Time) bool {
	s.deliveredSeq = s.receivedSeq
	if !s.receiptAt.IsZero() {
		return false
	}
	s.receiptAt = receiptAt
	return true
}

// owesReceipt tells whether a Deliver must be acknowledged now.
func (s *stream) owesReceipt(now time.Time) bool {
	return !s.receiptAt.IsZero() && !now.Before(s.receiptAt)
}

// open makes the call, says Hello and reads Welcome.
func (s *stream) open(client pb.WorkerServiceClient, hello *pb.LeaseRequest) (*pb.LeaseResponse, error) {
	patience := time.AfterFunc(welcomePatience, func() { s.drop(errNoWelcome) })
	defer patience.Stop()
	var err error
	if s.call, err = client.Lease(s.ctx); err != nil {
		return nil, s.reason(err)
	}
	// Where Send fails, Recv tells why.
	_ = s.call.Send(hello)
	answer, err := s.call.Recv()
	if err != nil {
		return nil, s.reason(err)
	}
	if answer.GetWelcome() == nil {
		return nil, &protojobs.Error{Code: codes.FailedPrecondition, Message: "the first frame is not Welcome"}
	}
	return answer, nil
}

// reason returns why the stream ended; nil where the worker wanted it so.
func (s *stream) reason(err error) error {
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, errDropped):
		return nil
	case errors.Is(cause, errNoWelcome):
		return errNoWelcome
	default:
		return protojobs.TranslateError(err)
	}
}
