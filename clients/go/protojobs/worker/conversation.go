package worker

import (
	"errors"
	"io"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const (
	// A Deliver is acknowledged with the next frame, at the latest after this (the server's limit is 5 s).
	receiptWait = 50 * time.Millisecond
	eofWait     = 2 * time.Second
)

// hold reads and writes a stream until it ends; it returns why, nil where that was the worker's wish or the server's.
func (s *session) hold(stream *stream) error {
	ended := make(chan error, 1)
	go func() { ended <- s.read(stream) }()
	for {
		select {
		case <-s.wakes:
		case err := <-ended:
			return err
		}
		if !s.turn(stream) {
			return <-ended // the reader learns why
		}
		s.mu.Lock()
		leave := !stream.leaveAt.IsZero() && !time.Now().Before(stream.leaveAt)
		finished := stream.goodbyeSent && s.holding.nothingLeft()
		stream.halfClosed = stream.halfClosed || (finished && !leave)
		s.unlock()
		switch {
		case leave:
			stream.drop(errDropped)
			return <-ended
		case finished:
			// The server then ends the stream.
			_ = stream.call.CloseSend()
			patience := time.AfterFunc(eofWait, func() { stream.drop(errDropped) })
			defer patience.Stop()
			return <-ended
		}
	}
}

// turn collects what handlers reported, begins what there is room for, writes frames for all of it, and only then starts
// the begun jobs: the frame that covers a job leaves before its handler begins. False: the stream has ended.
func (s *session) turn(stream *stream) bool {
	s.mu.Lock()
	defer s.unlock()
	now := time.Now()
	s.holding.collect(now)
	begun := s.holding.begin(now)
	startedSeq := s.holding.ledger.begun
	frames := s.frames(stream, len(begun) > 0, now)
	for _, frame := range frames {
		stream.number(frame, startedSeq, time.Now())
		s.unlock()
		err := stream.call.Send(frame)
		s.mu.Lock()
		if err != nil {
			s.holding.putBack(begun)
			return false
		}
		stream.left(frame, time.Now())
		if len(begun) > 0 {
			s.holding.start(begun)
			begun = nil
			if s.holding.usedUp() {
				s.leaving.leave(ExitMaxJobs, nil, now)
			}
		}
	}
	if s.holding.ledger.unsent.len() > 0 {
		s.wake() // what was given back by start
	}
	return true
}

// frames makes what there is to say. Nothing to say but something to acknowledge is a Ping.
func (s *session) frames(stream *stream, begun bool, now time.Time) []*pb.LeaseRequest {
	h := s.holding
	frames := h.updates.take(now)
	for {
		leases := h.ledger.takeUnsent(maxSettles, h.limits.frameBytes)
		if len(leases) == 0 {
			break
		}
		frames = append(frames, settleFrame(leases))
	}
	if h.phase == phaseLeaving {
		if !stream.goodbyeSent {
			stream.goodbyeSent = true
			frames = append(frames, goodbyeFrame(s.leaving.deadline()))
		}
	} else if window := h.window(); window != s.windowTold {
		s.windowTold = window
		frames = append(frames, windowFrame(window))
	}
	if len(frames) == 0 && (begun || stream.owesReceipt(now) || s.heartbeatDue(stream, now)) {
		frames = append(frames, pingFrame())
	}
	return frames
}

func (s *session) heartbeatDue(stream *stream, now time.Time) bool {
	limits := s.holding.limits
	return !now.Before(stream.lastWrite.Add(limits.heartbeat - limits.tick()))
}

// isDue tells whether time alone has brought something to say.
func (s *session) isDue(stream *stream, now time.Time) bool {
	return len(s.holding.updates.fresh) > 0 || stream.owesReceipt(now) || s.heartbeatDue(stream, now)
}

// read hears the server until the stream ends; it returns why.
func (s *session) read(stream *stream) error {
	for {
		frame, err := stream.call.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return stream.reason(err)
		}
		s.hear(stream, frame)
	}
}

func (s *session) hear(stream *stream, frame *pb.LeaseResponse) {
	s.mu.Lock()
	defer s.unlock()
	now := time.Now()
	stream.heard(frame, now)
	switch body := frame.GetFrame().(type) {
	case *pb.LeaseResponse_Deliver:
		s.holding.deliver(body.Deliver.GetItems(), now)
		wait := time.Duration(0)
		if s.holding.ledger.running > 0 {
			wait = receiptWait
		}
		if stream.delivered(now.Add(wait)) {
			time.AfterFunc(wait, s.wake)
		}
	case *pb.LeaseResponse_Settled:
		s.settled(body.Settled, now)
	case *pb.LeaseResponse_Cancel:
		s.cancel(body.Cancel, now)
	case *pb.LeaseResponse_Drain:
		s.drain(stream, body.Drain, now)
	case *pb.LeaseResponse_Throttle:
		why := pb.ThrottleReason_name[int32(body.Throttle.GetWhy())]
		s.log.Debug("throttled", "queue", body.Throttle.GetQueue(), "why", why, "until", body.Throttle.GetUntil().AsDuration())
	}
}

func (s *session) drain(stream *stream, drain *pb.Drain, now time.Time) {
	s.log.Info("drain", "reason", drain.GetReason().String())
	if drain.GetReason() == pb.DrainReason_DRAIN_REASON_WORKER {
		var within *time.Duration
		if drain.GetDeadline() != nil {
			deadline := drain.GetDeadline().AsDuration()
			within = &deadline
		}
		s.leaving.leave(ExitDrained, within, now)
		return
	}
	wait := drain.GetReconnectAfter().AsDuration()
	stream.leaveAt = now.Add(wait)
	time.AfterFunc(wait, s.wake)
	s.wake()
}
