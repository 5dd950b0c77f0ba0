package protojobs

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

type dispatchStream = grpc.BidiStreamingClient[pb.DispatchStreamRequest, pb.DispatchStreamResponse]

// stream serves the queue by one stream until it ends. It tells whether anything was acknowledged, and why it ended
// before everything was; what is left unacknowledged goes to the next one.
func (p *pipe) stream(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(p.client.options.DispatchTimeout, func() { cancel(errLate) })
	defer patience.Stop()

	p.mu.Lock()
	p.window = firstWindow
	p.mu.Unlock()

	var progress atomic.Bool
	stream, err := p.client.jobs.DispatchStream(ctx)
	if err == nil {
		ended := make(chan error, 1)
		go func() { ended <- p.read(stream, patience, &progress) }()
		err = p.write(stream, patience, ended)
	}
	err = p.reasonOf(ctx, err)
	p.takeBack(err)
	return progress.Load(), err
}

// reasonOf returns why a stream ended early; nil where everything on it was acknowledged.
func (p *pipe) reasonOf(ctx context.Context, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(context.Cause(ctx), ErrClosed):
		return nil
	case errors.Is(context.Cause(ctx), errLate):
		err = late()
	case err == nil || errors.Is(err, io.EOF):
		if len(p.frames) == 0 {
			return nil
		}
		err = &Error{Code: codes.Unavailable, Message: "the server ended the stream"}
	default:
		err = TranslateError(err)
	}
	p.lastErr = err
	return err
}

// takeBack puts what was sent and not acknowledged before what waits, or before judges of single jobs where no repeat of
// the frame can help.
func (p *pipe) takeBack(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var items []*item
	for _, sent := range p.frames {
		items = append(items, sent.items...)
	}
	p.frames, p.inFlight = nil, 0
	var told *Error
	if errors.As(err, &told) && !told.Retryable() && told.Code != codes.Unimplemented {
		// Where nothing had been sent, the refusal is of whatever would have been.
		if len(items) == 0 {
			items, p.queue = p.queue, nil
		}
		p.suspects = slices.Concat(items, p.suspects)
		return
	}
	p.queue = slices.Concat(items, p.queue)
}

// read hands out acknowledgements until the stream ends; it returns why, io.EOF where the server had nothing to say.
func (p *pipe) read(stream dispatchStream, patience *time.Timer, progress *atomic.Bool) error {
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		// The first frame tells only the window, also where nothing can be stored.
		if answer.GetUpToSeq() > 0 {
			progress.Store(true)
		}
		p.acknowledge(answer)
		p.mu.Lock()
		p.expect(patience, len(p.frames) > 0)
		p.mu.Unlock()
	}
}

// expect gives the stream up if the server says nothing for DispatchTimeout although it should.
func (p *pipe) expect(patience *time.Timer, expected bool) {
	patience.Stop()
	if expected {
		patience.Reset(p.client.options.DispatchTimeout)
	}
}

// write sends frames until there has been nothing to send for a while, or the stream has ended.
func (p *pipe) write(stream dispatchStream, patience *time.Timer, ended <-chan error) error {
	idle := time.NewTimer(pipeIdle)
	defer idle.Stop()
	for seq := uint64(1); ; {
		sent, done := p.next(seq, patience)
		if sent != nil {
			seq++
			request := &pb.DispatchStreamRequest{Seq: sent.seq, Specs: make([]*pb.JobSpec, len(sent.items))}
			for i, each := range sent.items {
				request.Specs[i] = each.spec
			}
			if stream.Send(request) != nil {
				return <-ended // the reader learns why
			}
			idle.Reset(pipeIdle)
			continue
		}
		if !done {
			select {
			case <-p.wake:
				continue
			case err := <-ended:
				return err
			case <-idle.C:
				if p.busy() {
					idle.Reset(pipeIdle)
					continue
				}
			}
		}
		if err := stream.CloseSend(); err != nil {
			return err
		}
		p.mu.Lock()
		p.expect(patience, true)
		p.mu.Unlock()
		return <-ended
	}
}

func (p *pipe) busy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.frames) > 0 || len(p.queue) > 0
}

// next takes the next frame, if the server's window and the size of a message allow one; done where none will come.
func (p *pipe) next(seq uint64, patience *time.Timer) (sent *frame, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.frames) < maxFrames {
		// With nothing in flight no acknowledgement would ever open a window of 0.
		allowed := p.window - p.inFlight
		if len(p.frames) == 0 {
			allowed = max(allowed, 1)
		}
		if items := p.takeFrom(&p.queue, min(allowed, maxItems)); len(items) > 0 {
			sent = &frame{seq: seq, items: items, results: map[uint32]Result{}}
			p.frames = append(p.frames, sent)
			p.inFlight += len(items)
			if len(p.frames) == 1 {
				p.expect(patience, true)
			}
			return sent, false
		}
	}
	return nil, p.closing && len(p.frames) == 0 && len(p.queue) == 0
}
