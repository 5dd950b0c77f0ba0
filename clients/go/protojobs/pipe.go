package protojobs

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc/codes"
)

const (
	// Frames without an acknowledgement; what is dispatched meanwhile gathers for the next one.
	maxFrames = 4
	// Jobs, until the first acknowledgement tells the server's window.
	firstWindow = 1000
	pipeIdle    = 30 * time.Second
)

// pipe coalesces single dispatches onto one DispatchStream.
//
// Callers put specs into a queue and wait. One goroutine serves it while there is work: it opens a stream, packs what
// waits into frames, and another hands out the answers. When the stream is lost, the next one carries what is
// unacknowledged again, in order and with the same ids. A server without the method gets unary calls instead.
type pipe struct {
	client *Client
	wake   chan struct{}

	mu        sync.Mutex
	queue     []*item
	suspects  []*item // of a frame that was refused as a whole: each gets its own verdict
	frames    []*frame
	inFlight  int
	window    int
	lastErr   error
	streaming bool
	serving   bool
	closing   bool
	finished  chan struct{} // closed when the serving goroutine ends
	cancel    context.CancelCauseFunc
}

// item is one spec and who waits for its answer.
type item struct {
	sized
	ctx    context.Context
	answer chan Result
}

func (i *item) resolve(result Result) {
	select {
	case i.answer <- result:
	default: // answered before
	}
}

func (i *item) refuse(err error) {
	i.resolve(Result{Dispatched{JobID: i.spec.GetId()}, err})
}

// frame is what was sent under one sequence number, and the answers to it so far.
type frame struct {
	seq     uint64
	items   []*item
	results map[uint32]Result
}

func newPipe(client *Client) *pipe {
	return &pipe{client: client, wake: make(chan struct{}, 1), streaming: true}
}

// submit dispatches one spec and returns what became of it. After Options.CallTimeout, or with its context, the caller
// stops waiting: what was sent is not taken back.
func (p *pipe) submit(ctx context.Context, spec sized) Result {
	ctx, cancel := context.WithTimeoutCause(ctx, p.client.options.CallTimeout, errLate)
	defer cancel()
	mine := &item{sized: spec, ctx: ctx, answer: make(chan Result, 1)}
	p.mu.Lock()
	if p.closing {
		p.mu.Unlock()
		return Result{Dispatched{JobID: spec.spec.GetId()}, ErrClosed}
	}
	p.queue = append(p.queue, mine)
	if !p.serving {
		p.serving, p.finished = true, make(chan struct{})
		var serving context.Context
		serving, p.cancel = context.WithCancelCause(context.Background())
		go p.serve(serving, p.finished)
	}
	p.mu.Unlock()
	p.signal()
	select {
	case result := <-mine.answer:
		return result
	case <-ctx.Done():
		return Result{Dispatched{JobID: spec.spec.GetId()}, p.lateError(ctx)}
	}
}

var errLate = errors.New("no acknowledgement came in time")

func (p *pipe) lateError(ctx context.Context) error {
	if !errors.Is(context.Cause(ctx), errLate) {
		return ended(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastErr != nil {
		return p.lastErr
	}
	return late()
}

func late() *Error {
	return &Error{Code: codes.DeadlineExceeded, Message: errLate.Error(), cause: context.DeadlineExceeded}
}

func (p *pipe) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// close finishes what was submitted, for at most the grace; the rest is refused.
func (p *pipe) close(grace time.Duration) {
	p.mu.Lock()
	p.closing = true
	finished, cancel := p.finished, p.cancel
	serving := p.serving
	p.mu.Unlock()
	if !serving {
		return
	}
	p.signal()
	select {
	case <-finished:
	case <-time.After(grace):
		cancel(ErrClosed)
		<-finished
	}
}

// serve runs until nothing waits.
func (p *pipe) serve(ctx context.Context, finished chan struct{}) {
	defer close(finished)
	var waits pauses
	for p.hasWork(ctx) {
		progress, err := p.once(ctx)
		if progress {
			waits = pauses{}
		}
		var told *Error
		if err != nil && errors.As(err, &told) && (!progress || !told.Retryable()) {
			p.judge(ctx, told, &waits)
		}
		// One caller's job must not fail another's: each gets its own verdict.
		p.unary(ctx, &p.suspects, 1)
	}
}

// hasWork drops what nobody waits for any more; where nothing is left, the goroutine ends with the next submit to begin
// another.
func (p *pipe) hasWork(ctx context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := p.queue[:0]
	for _, each := range p.queue {
		switch {
		case ctx.Err() != nil:
			each.refuse(ErrClosed)
		case each.ctx.Err() == nil:
			waiting = append(waiting, each)
		}
	}
	clear(p.queue[len(waiting):])
	p.queue = waiting
	if len(p.queue) == 0 {
		p.serving = false
		p.cancel(nil)
	}
	return p.serving
}

// judge waits after an error that a retry can help, and takes the way without a stream where there is none.
func (p *pipe) judge(ctx context.Context, told *Error, waits *pauses) {
	if told.Code == codes.Unimplemented {
		p.client.log.Info("the server has no dispatch stream")
		p.mu.Lock()
		p.streaming = false
		p.mu.Unlock()
		return
	}
	if wait, again := waits.after(told); again {
		pause(ctx, wait)
		return
	}
	p.client.log.Warn("dispatch stream refused", "reason", told.Reason, "code", told.Code)
}

// once serves the queue by one stream until it ends, or by calls.
func (p *pipe) once(ctx context.Context) (bool, error) {
	p.mu.Lock()
	streaming := p.streaming
	p.mu.Unlock()
	if !streaming {
		p.unary(ctx, &p.queue, maxItems)
		return true, nil
	}
	return p.stream(ctx)
}

// unary sends a queue without a stream. Every item gets an answer, be it the error of its call.
func (p *pipe) unary(ctx context.Context, queue *[]*item, most int) {
	for {
		p.mu.Lock()
		items := p.takeFrom(queue, most)
		p.mu.Unlock()
		if len(items) == 0 {
			return
		}
		if len(items) == 1 {
			items[0].resolve(p.client.sendOne(ctx, items[0].spec))
			continue
		}
		specs := make([]sized, len(items))
		for i, each := range items {
			specs[i] = each.sized
		}
		results, err := p.client.sendBatch(ctx, specs, false)
		for i, each := range items {
			if err != nil {
				each.refuse(err)
			} else {
				each.resolve(results[i])
			}
		}
	}
}

// takeFrom takes items that somebody waits for, as many as fit into a message.
func (p *pipe) takeFrom(queue *[]*item, most int) []*item {
	var items []*item
	free, rest := p.client.room(), *queue
	for len(rest) > 0 && len(items) < most && (len(items) == 0 || rest[0].size <= free) {
		first := rest[0]
		rest[0], rest = nil, rest[1:]
		if first.ctx.Err() == nil {
			items = append(items, first)
			free -= first.size
		}
	}
	*queue = rest
	return items
}

// acknowledge hands out the answers of one message of the server.
func (p *pipe) acknowledge(answer *pb.DispatchStreamResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer.GetUpToSeq() > 0 {
		p.lastErr = nil
	}
	p.window = int(answer.GetWindow())
	for _, result := range answer.GetResults() {
		for _, sent := range p.frames {
			if sent.seq == result.GetSeq() && int(result.GetIndex()) < len(sent.items) {
				sent.results[result.GetIndex()] = resultOf(result.GetResult(), sent.items[result.GetIndex()].spec.GetId())
			}
		}
	}
	for len(p.frames) > 0 && p.frames[0].seq <= answer.GetUpToSeq() {
		done := p.frames[0]
		p.frames = p.frames[1:]
		p.inFlight -= len(done.items)
		for i, each := range done.items {
			result, told := done.results[uint32(i)]
			if !told {
				result = Result{Dispatched: Dispatched{JobID: each.spec.GetId(), Outcome: Created}}
			}
			each.resolve(result)
		}
	}
	p.signal()
}
