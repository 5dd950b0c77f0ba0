package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// run is one run of one handler. Its session owns it; the handler's goroutine reports into the mailbox.
type run struct {
	lease     *lease
	job       *Job
	cancel    context.CancelCauseFunc
	stopped   error // why the handler was asked to stop; the first reason stays
	stoppedAt time.Time
	abandoned bool        // its slot is lost
	told      atomic.Bool // events have heard of its end

	boxed          update // news in the mailbox, which guards it
	inBox          bool
	progress       *pb.Progress // to be told
	checkpoint     []byte
	toldProgress   *pb.Progress // what left last: nobody says whether it was stored
	toldCheckpoint []byte
	progressSentAt time.Time
	isFresh        bool
	again          bool
}

// stop asks the handler to stop.
func (r *run) stop(why error, now time.Time) {
	if r.stopped == nil {
		r.stopped, r.stoppedAt = why, now
		r.cancel(why)
	}
}

const (
	// What ends within this goes to the server together: a frame costs both sides more than an outcome in it.
	gatherFor  = time.Millisecond
	gatherMost = 128
)

// mailbox takes what handlers report, and wakes the session once per batch: when everything that runs has ended, when much
// has, or a moment after the first end.
type mailbox struct {
	wake   func()
	gather time.Duration

	mu      sync.Mutex
	busy    int // handlers that run
	ended   []ending
	updated []*run
	soon    *time.Timer
}

type ending struct {
	run *run
	how *outcome
}

type update struct {
	run        *run
	progress   *pb.Progress
	checkpoint []byte
}

// expect notes that so many handlers are about to run: the first to end waits for those that begin with it.
func (m *mailbox) expect(handlers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy += handlers
}

// skip notes that a handler that was expected does not run.
func (m *mailbox) skip() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy--; m.busy == 0 && len(m.ended) > 0 {
		m.wake()
	}
}

func (m *mailbox) postEnd(run *run, how *outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy--
	m.ended = append(m.ended, ending{run, how})
	switch {
	case m.busy == 0 || len(m.ended) == gatherMost:
		m.wake()
	case len(m.ended) > 1:
	case m.soon == nil:
		m.soon = time.AfterFunc(m.gather, m.wake)
	default:
		m.soon.Reset(m.gather)
	}
}

// postUpdate keeps the latest news of each run: the session may be held up while a handler tells more and more.
func (m *mailbox) postUpdate(r *run, progress *pb.Progress, checkpoint []byte) {
	m.mu.Lock()
	r.boxed.run = r
	if progress != nil {
		r.boxed.progress = progress
	}
	if checkpoint != nil {
		r.boxed.checkpoint = checkpoint
	}
	first := !r.inBox
	if first {
		r.inBox = true
		m.updated = append(m.updated, r)
	}
	m.mu.Unlock()
	if first {
		m.wake()
	}
}

func (m *mailbox) collect() ([]ending, []update) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ended, updated := m.ended, make([]update, len(m.updated))
	for i, r := range m.updated {
		updated[i] = r.boxed
		r.boxed, r.inBox = update{}, false
	}
	m.ended, m.updated = nil, nil
	if m.soon != nil {
		m.soon.Stop()
	}
	return ended, updated
}

// runContext is the context of a handler. It tells when the run timeout passes without a timer of its own: the session's
// one timer ends it then.
type runContext struct {
	context.Context
	deadline time.Time
}

func (c runContext) Deadline() (time.Time, bool) { return c.deadline, true }

// start runs a lease's handler on a goroutine of its own. The frame that covers the lease has left.
func start(base context.Context, each *lease, found *handler, box *mailbox, events *Events, log *slog.Logger) *run {
	cancellable, cancel := context.WithCancelCause(base)
	job := &Job{leased: each.job, handler: found}
	r := &run{lease: each, job: job, cancel: cancel}
	job.tell = func(progress *pb.Progress, checkpoint []byte) { box.postUpdate(r, progress, checkpoint) }
	ctx := runContext{cancellable, each.beganAt.Add(job.RunTimeout())}
	go func() {
		var how *outcome
		var err error
		returned := false
		defer func() {
			if !returned {
				err = crash(recover())
				how = classify(ctx, job, err, log)
			}
			r.tell(events, told(ctx, how), err, log)
			cancel(nil)
			box.postEnd(r, how)
		}()
		if events.Started != nil {
			events.Started(job)
		}
		err = found.run(ctx, job)
		how = classify(ctx, job, err, log)
		returned = true
	}()
	return r
}

// tell lets events hear of the end of a run, once.
func (r *run) tell(events *Events, how Outcome, err error, log *slog.Logger) {
	if events.Ended == nil || !r.told.CompareAndSwap(false, true) {
		return
	}
	defer func() {
		if recover() != nil {
			log.Error("Events.Ended panicked", "job_id", r.job.ID(), "kind", r.job.Kind())
		}
	}()
	events.Ended(r.job, how, err)
}

// told is the outcome as events have it: what a handler says after its lease was lost does not count.
func told(ctx context.Context, how *outcome) Outcome {
	if errors.Is(context.Cause(ctx), ErrLeaseLost) {
		return OutcomeLost
	}
	return how.kind
}

// panicked is a handler that panicked, or ended its goroutine.
type panicked struct {
	value any
	stack []byte
}

func crash(value any) error {
	if value == nil {
		return &panicked{"the handler ended its goroutine", nil}
	}
	return &panicked{value, debug.Stack()}
}

func (p *panicked) ErrorType() string { return "panic" }
func (p *panicked) Error() string     { return fmt.Sprint(p.value) }

func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// Format writes the stack too where it is asked for by %+v.
func (p *panicked) Format(state fmt.State, verb rune) {
	fmt.Fprint(state, p.Error())
	if verb == 'v' && state.Flag('+') && p.stack != nil {
		fmt.Fprintf(state, "\n\n%s", p.stack)
	}
}

// classify turns what a handler returned into exactly one outcome.
func classify(ctx context.Context, job *Job, err error, log *slog.Logger) *outcome {
	if errors.Is(context.Cause(ctx), ErrLeaseLost) {
		// Others may have run the job meanwhile. The server refuses this, unless it was an outage in which nothing expired.
		return released(pb.ReleaseReason_RELEASE_REASON_SHUTDOWN)
	}
	if err == nil {
		return job.completion()
	}
	var said *verdict
	if errors.As(err, &said) {
		return said.outcome(err, log.With("job_id", job.ID()))
	}
	if cause := stopCause(ctx); cause != nil && isStop(err, cause) {
		return stopped(cause, job)
	}
	var invalid *invalidPayload
	var undecodable *protojobs.UndecodableError
	if errors.As(err, &invalid) || errors.As(err, &undecodable) {
		return failed(err, false)
	}
	return failed(err, job.handler.mayRetry(err, log))
}

// completion is the outcome of a job whose handler has completed.
func (j *Job) completion() *outcome {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.hasResult && len(j.children) == 0 {
		return completed
	}
	return &outcome{kind: OutcomeComplete, result: j.result, children: j.children}
}

// stopCause returns why a handler was to stop; nil where it was not. Calls that it makes end by the deadline of its context,
// which is somewhat before the session's timer sees it.
func stopCause(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if deadline, has := ctx.Deadline(); has && !time.Now().Before(deadline) {
		return ErrTimeout
	}
	return nil
}

// isStop tells whether a handler's error is that of its ended context, from here or from a call that it made.
func isStop(err, cause error) bool {
	code := status.Code(err)
	if errors.Is(err, cause) || errors.Is(err, context.Canceled) || code == codes.Canceled {
		return true
	}
	late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || code == codes.DeadlineExceeded
	return late && errors.Is(cause, ErrTimeout)
}

// stopped is how an attempt ends whose handler stopped because it was asked to.
func stopped(cause error, job *Job) *outcome {
	switch {
	case errors.Is(cause, ErrTimeout):
		return timedOut(job.RunTimeout())
	case errors.Is(cause, ErrJobCancelled):
		return &outcome{kind: OutcomeCancelled}
	default:
		return released(pb.ReleaseReason_RELEASE_REASON_SHUTDOWN)
	}
}

func (v *verdict) outcome(err error, log *slog.Logger) *outcome {
	switch v.kind {
	case verdictSnooze:
		return &outcome{kind: OutcomeSnooze, delay: *v.delay}
	case verdictCancel:
		log.Info("the handler cancels its job", "reason", v.reason)
		return &outcome{kind: OutcomeCancel}
	case verdictDiscard:
		return &outcome{kind: OutcomeDiscard, failure: newFailure("Discard", v.reason, ""), cause: err}
	case verdictRetry:
		how := v.failure("Retry", err)
		how.retryable, how.retryAfter = true, v.delay
		return how
	default:
		return v.failure("NonRetryable", err)
	}
}

// failure describes the cause that the handler gave, or the verdict itself where it gave none.
func (v *verdict) failure(name string, err error) *outcome {
	if v.cause == nil {
		return &outcome{kind: OutcomeFail, failure: newFailure(name, v.reason, ""), cause: err}
	}
	return &outcome{kind: OutcomeFail, failure: describe(v.cause), cause: v.cause}
}

// mayRetry asks the handler; a mistake in its answer costs no retry.
func (h *handler) mayRetry(err error, log *slog.Logger) (may bool) {
	if h.shouldRetry == nil {
		return true
	}
	defer func() {
		if recover() != nil {
			log.Error("WithShouldRetry panicked", "kind", h.kind)
			may = true
		}
	}()
	return h.shouldRetry(err)
}
