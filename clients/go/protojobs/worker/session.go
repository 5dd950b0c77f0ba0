package worker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/protobuf/types/known/durationpb"
)

const lockedOutTold = time.Minute

// session is the worker's side of the Lease stream, from the first Hello to the last Settled: it connects, takes jobs,
// settles outcomes, stays alive, leaves.
//
// One mutex guards all of it. It is never held while a frame is sent or a handler runs.
type session struct {
	options Options
	client  pb.WorkerServiceClient
	kinds   []string
	log     *slog.Logger
	base    context.Context
	wakes   chan struct{}
	moved   chan struct{}
	over    chan struct{}
	hooks   sync.WaitGroup

	telling sync.Mutex // held while events are called, one after the other

	mu            sync.Mutex
	holding       *holding
	leaving       *leaving
	connected     bool
	downSince     time.Time
	windowTold    int
	id            []byte
	streamNo      uint64
	stream        *stream
	wasWelcome    bool
	resumes       bool // this session was welcomed before
	isOver        bool
	refusal       error
	lockedOutTold time.Time
	answeredAt    time.Time
	fenced        bool
	reconnect     reconnect
}

func newSession(base context.Context, options Options, handlers map[string]*handler, client pb.WorkerServiceClient) *session {
	now := time.Now()
	s := &session{
		options: options, client: client, log: options.Server.Logger, base: base,
		wakes: make(chan struct{}, 1), moved: make(chan struct{}, 1), over: make(chan struct{}),
		downSince: now, answeredAt: now, id: newSessionID(),
	}
	for kind := range handlers {
		s.kinds = append(s.kinds, kind)
	}
	slices.Sort(s.kinds)
	s.holding = newHolding(base, options, handlers, s.wake)
	s.leaving = &leaving{holding: s.holding, grace: options.Grace, stopGrace: options.StopGrace}
	return s
}

// newSessionID draws what proves leases: a secret of this process.
func newSessionID() []byte {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return id
}

// name tells sessions apart in logs and events; the id itself is a secret.
func (s *session) name() string {
	digest := sha256.Sum256(s.id)
	return hex.EncodeToString(digest[:8])
}

// unlock lets go of the session, and then calls the events that came up meanwhile, in order.
func (s *session) unlock() {
	pending := len(s.holding.notices) > 0
	s.mu.Unlock()
	if !pending {
		return
	}
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	notices := s.holding.notices
	s.holding.notices = nil
	s.mu.Unlock()
	for _, event := range notices {
		event()
	}
}

// wake asks for a turn.
func (s *session) wake() {
	select {
	case s.wakes <- struct{}{}:
	default:
	}
}

// run opens one stream after the other until the worker has left.
func (s *session) run() {
	for {
		wait := s.oneStream()
		select {
		case <-s.over:
			return
		default:
		}
		if wait > 0 {
			s.log.Info("next stream", "in", wait)
			s.pause(wait)
		}
	}
}

// pause waits, but no longer than until the session is over or the way to the server is another one.
func (s *session) pause(wait time.Duration) {
	select {
	case <-s.moved: // of a stream that there was
	default:
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.over:
	case <-s.moved:
	}
}

// oneStream lives through one stream; it returns the wait before the next one.
func (s *session) oneStream() time.Duration {
	stream := newStream(context.WithoutCancel(s.base), time.Now())
	defer stream.drop(errDropped)
	hello := s.begin(stream)
	if hello == nil {
		return 0
	}
	err := s.greet(stream, hello)
	if err == nil && s.isConnected() {
		err = s.hold(stream)
	}

	s.mu.Lock()
	defer s.unlock()
	s.judge(err)
	s.stream = nil
	if s.connected {
		s.noteAnswer(stream)
		s.connected, s.downSince = false, time.Now()
	}
	if stream.halfClosed {
		s.end(s.leaving.exit)
	}
	// The server may have ended the stream of a worker that leaves: there is nothing to come back for.
	s.press(time.Now())
	if !stream.leaveAt.IsZero() {
		// Told to leave: no backoff, but not before the server wants us back.
		return max(0, time.Until(stream.leaveAt))
	}
	return s.reconnect.wait()
}

func (s *session) isConnected() bool {
	s.mu.Lock()
	defer s.unlock()
	return s.connected
}

// begin makes the Hello of a stream; nil where the session is over.
func (s *session) begin(stream *stream) *pb.LeaseRequest {
	s.mu.Lock()
	defer s.unlock()
	if s.isOver {
		return nil
	}
	now := time.Now()
	s.stream = stream
	s.streamNo++
	s.holding.collect(now)
	s.holding.ledger.openStream(s.streamNo)
	s.windowTold = s.holding.window()
	hello := &pb.Hello{
		SessionId: s.id, Worker: cut(s.options.Name, 128), Sdk: "protojobs-go", SdkVersion: protojobs.Version,
		QueueOrder: pb.QueueOrder_QUEUE_ORDER_WEIGHTED, Kinds: s.kinds, Window: &pb.Window{MaxInFlight: uint32(s.windowTold)},
		Slots: uint32(s.holding.slots()), StreamNo: s.streamNo, Held: s.holding.ledger.heldLeases(now),
	}
	if s.options.Strict {
		hello.QueueOrder = pb.QueueOrder_QUEUE_ORDER_STRICT
	}
	for _, each := range s.options.Queues {
		hello.Queues = append(hello.Queues, &pb.QueueSubscription{Name: each.Name, Weight: uint32(each.Weight)})
	}
	if s.options.SessionTTL > 0 {
		hello.SessionTtl = durationpb.New(s.options.SessionTTL)
	}
	frame := &pb.LeaseRequest{Frame: &pb.LeaseRequest_Hello{Hello: hello}}
	stream.number(frame, 0, now)
	return frame
}

// greet says Hello and takes Welcome.
func (s *session) greet(stream *stream, hello *pb.LeaseRequest) error {
	answer, err := stream.open(s.client, hello)
	if err != nil || answer == nil {
		return err
	}
	s.mu.Lock()
	defer s.unlock()
	now := time.Now()
	stream.lastWrite = now
	stream.heard(answer, now)
	welcome := answer.GetWelcome()
	s.holding.limits = limitsOf(welcome)
	lost := s.holding.resume(welcome.GetKept(), now)
	s.answeredAt, s.fenced = stream.answeredAt, false
	resumed := s.resumes
	s.resumes = true
	s.wasWelcome, s.connected, s.lockedOutTold = true, true, time.Time{}
	s.reconnect.welcomed()
	s.wake()
	s.log.Info("stream open", "server", welcome.GetServerId(), "kept", len(welcome.GetKept()), "lost", len(welcome.GetLost()))
	if s.options.Events.Connected != nil {
		event := Connected{
			Session: s.name(), Server: welcome.GetServerId(), Resumed: resumed, Held: len(s.holding.ledger.held), Lost: lost,
		}
		s.holding.notify(func() { s.options.Events.Connected(event) })
	}
	return nil
}

// judge decides what the end of a stream means for the session.
func (s *session) judge(err error) {
	if err == nil {
		return
	}
	var told *protojobs.Error
	isTold := errors.As(err, &told)
	switch {
	case errors.Is(err, protojobs.ErrSessionClosed), errors.Is(err, protojobs.ErrSessionSuperseded):
		// The server knows this session no more: what it held is not ours, a new one begins.
		s.log.Warn("session is over; starting a new one", "reason", told.Reason)
		s.holding.reset(time.Now())
		s.id, s.streamNo, s.resumes = newSessionID(), 0, false
	case !s.wasWelcome && isRefusal(err):
		s.log.Error("this worker is refused", "error", err)
		s.refusal = err
		s.end(ExitRefused)
	case errors.Is(err, protojobs.ErrUnauthenticated), errors.Is(err, protojobs.ErrPermissionDenied):
		s.tellLockedOut(err)
	case isTold:
		s.log.Warn("stream ended", "reason", told.Reason, "code", told.Code.String(), "message", told.Message)
	default:
		s.log.Warn("stream ended", "error", err)
	}
}

// isRefusal tells what ends a worker that no server has welcomed yet: trying again would change nothing.
func isRefusal(err error) bool {
	for _, kind := range []error{
		protojobs.ErrInvalidArgument, protojobs.ErrUnsupported, protojobs.ErrProtocolViolation, protojobs.ErrUnauthenticated,
		protojobs.ErrPermissionDenied,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// tellLockedOut says that credentials which were good are so no more: at once, and then once a minute.
func (s *session) tellLockedOut(err error) {
	if now := time.Now(); now.Sub(s.lockedOutTold) >= lockedOutTold {
		s.lockedOutTold = now
		s.log.Error("credentials are not accepted any more; what runs goes on, and each try reads the token file again", "error", err)
	}
}

// end ends the session, whatever it holds.
func (s *session) end(reason ExitReason) {
	s.leaving.exit = reason
	s.holding.phase = phaseLeaving
	if !s.isOver {
		s.isOver = true
		close(s.over)
	}
	if s.stream != nil {
		s.stream.drop(errDropped)
	}
}
