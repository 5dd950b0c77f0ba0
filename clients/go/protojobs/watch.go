package protojobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc"
)

const (
	silence    = 35 * time.Second       // the server speaks every 10 s
	afterAnEnd = 200 * time.Millisecond // before the next stream at most: a server that drains ends its streams
)

// JobEvent is one change of one job.
type JobEvent struct {
	Type          string // job.processed, job.failed, job.retrying, ...; see the Event constants
	JobID         string
	Attempt       int
	From          State
	To            State
	At            time.Time
	Actor         string // a worker's label, a principal, or "server"
	ExecutionTime time.Duration
	Job           JobInfo // as the change left it; empty but for its id once it was deleted
	Cursor        []byte  // where to go on behind it
}

// Types of events. Starts and progress come of queues with events = ALL, as well as can be.
const (
	EventProcessing = "job.processing"
	EventProgress   = "job.progress"
	EventProcessed  = "job.processed"
	EventFailed     = "job.failed"
	EventRetrying   = "job.retrying"
	EventCancelled  = "job.cancelled"
	EventExpired    = "job.expired"
	EventDeleted    = "job.deleted"
)

// leadingTo are the states that events of a type lead to; none where all must be looked at.
var leadingTo = map[string][]State{
	EventProcessing: {Running},
	EventProgress:   {Running},
	EventProcessed:  {Completed},
	EventFailed:     {Failed},
	EventRetrying:   {Retrying, Pending},
	EventCancelled:  {Cancelled},
	EventExpired:    {Expired},
	EventDeleted:    {},
}

func jobEvent(event *pb.JobEvent) JobEvent {
	return JobEvent{
		Type: event.GetType(), JobID: event.GetJob().GetId(), Attempt: int(event.GetAttempt()),
		From: stateOf(event.GetFrom()), To: stateOf(event.GetTo()), At: timeOf(event.GetEventTime()), Actor: event.GetActor(),
		ExecutionTime: event.GetExecutionTime().AsDuration(), Job: jobInfo(event.GetJob()), Cursor: event.GetCursor(),
	}
}

// WatchOptions say which events, and from where on.
type WatchOptions struct {
	Filter JobFilter // States are those that events lead to; Expression and the order do not count
	Cursor []byte    // goes on behind this event, for 24 hours; default from now on
}

// Watch is events as they come. Next is called by one goroutine at a time.
//
// A lost connection and a server that leaves are made good without a gap: what ends or retries a job comes once.
type Watch struct {
	client   *Client
	request  *pb.WatchJobsRequest
	stream   grpc.ServerStreamingClient[pb.WatchJobsResponse]
	drop     context.CancelFunc
	events   []*pb.JobEvent
	behind   []byte // where to go on once the events are handled
	cursor   []byte
	answered bool
	until    time.Time
	waits    pauses
}

// Watch begins to watch; it returns once a server has answered: what happens from now on will come. Close it.
//
// Fails with what no retry can help (ErrCursorExpired, ErrInvalidArgument), and with what Options.CallTimeout does not
// outlast.
func (c *Client) Watch(ctx context.Context, options WatchOptions) (*Watch, error) {
	w := &Watch{
		client: c, request: &pb.WatchJobsRequest{Filter: options.Filter.message()},
		cursor: options.Cursor, until: time.Now().Add(c.options.CallTimeout),
	}
	for !w.answered {
		if err := w.advance(ctx); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil
}

// Cursor is the place behind the last event that Next gave: keep it to go on there later.
func (w *Watch) Cursor() []byte { return w.cursor }

// Next returns the next event. It fails with what no retry can help, and when the context ends; then it may be called
// again.
func (w *Watch) Next(ctx context.Context) (JobEvent, error) {
	for len(w.events) == 0 {
		if err := w.advance(ctx); err != nil {
			return JobEvent{}, err
		}
	}
	event := jobEvent(w.events[0])
	w.events = w.events[1:]
	w.cursor = event.Cursor
	if len(w.events) == 0 {
		w.cursor = w.behind
	}
	return event, nil
}

// Close ends it. It may be repeated.
func (w *Watch) Close() {
	if w.drop != nil {
		w.drop()
		w.stream, w.drop = nil, nil
	}
}

// advance reads one message, or waits until the next stream may begin.
func (w *Watch) advance(ctx context.Context) error {
	select {
	case <-w.client.closed:
		return ErrClosed
	default:
	}
	answer, err := w.receive(ctx)
	if err == nil {
		w.answered, w.waits = true, pauses{}
		w.events, w.behind = answer.GetEvents(), answer.GetCursor()
		if len(w.events) == 0 && len(w.behind) > 0 {
			w.cursor = w.behind
		}
		return nil
	}
	w.Close()
	if gone := ended(ctx); gone != nil {
		return gone
	}
	if errors.Is(err, io.EOF) {
		pause(ctx, time.Duration(rand.Int64N(int64(afterAnEnd))))
		return nil
	}
	return w.wait(ctx, err)
}

// receive reads one message; a stream that is silent for too long is given up.
func (w *Watch) receive(ctx context.Context) (*pb.WatchJobsResponse, error) {
	var streaming context.Context
	if w.stream == nil {
		// Of its own life: a context of Next ends one wait, not the stream.
		streaming, w.drop = context.WithCancel(context.WithoutCancel(ctx))
	}
	patience := silence
	if !w.answered {
		patience = max(shortestTry, min(patience, time.Until(w.until)))
	}
	quiet := time.AfterFunc(patience, w.drop)
	defer quiet.Stop()
	defer context.AfterFunc(ctx, w.drop)()
	if w.stream == nil {
		w.request.Cursor = w.cursor
		stream, err := w.client.jobs.WatchJobs(streaming, w.request)
		if err != nil {
			return nil, err
		}
		w.stream = stream
	}
	return w.stream.Recv()
}

func (w *Watch) wait(ctx context.Context, err error) error {
	var told *Error
	if !errors.As(TranslateError(err), &told) {
		return err
	}
	wait, again := w.waits.after(told)
	impatient := !w.answered && time.Now().Add(wait).After(w.until)
	if !again || impatient {
		return told
	}
	pause(ctx, wait)
	return nil
}

// Listen calls back for each event of one type until the context ends, which is no error, or the watch fails. An error of
// the callback ends it, too.
func (c *Client) Listen(ctx context.Context, eventType string, options WatchOptions, callback func(context.Context, JobEvent) error) error {
	states, known := leadingTo[eventType]
	if !known {
		return fmt.Errorf("protojobs: no event is called %q", eventType)
	}
	options.Filter.States = slices.Clone(states)
	watch, err := c.Watch(ctx, options)
	if err != nil {
		return err
	}
	defer watch.Close()
	for {
		event, err := watch.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case event.Type != eventType:
			continue
		}
		if err := callback(ctx, event); err != nil {
			return err
		}
	}
}
