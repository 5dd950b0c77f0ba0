package protojobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const (
	shortestTry = 50 * time.Millisecond
	firstWait   = 100 * time.Millisecond
	longestWait = 5 * time.Second
)

// pauses decide whether and when an error is retried: when the server says, else with full jitter up to 5 s.
type pauses struct {
	ceiling time.Duration
}

// after returns the wait before the next try; false where no retry can help.
func (p *pauses) after(err *Error) (time.Duration, bool) {
	if !err.Retryable() {
		return 0, false
	}
	if err.RetryAfter > 0 {
		return err.RetryAfter, true
	}
	if p.ceiling == 0 {
		p.ceiling = firstWait
	}
	wait := time.Duration(rand.Int64N(int64(p.ceiling) + 1))
	p.ceiling = min(2*p.ceiling, longestWait)
	return wait, true
}

// method is one unary RPC of the generated code.
type method[Request, Response any] func(context.Context, *Request, ...grpc.CallOption) (*Response, error)

// call makes an idempotent call with a deadline, and repeats it while its error is retryable, until CallTimeout is over.
// oneTry bounds each try.
func call[Request, Response any](
	ctx context.Context, c *Client, rpc method[Request, Response], request *Request, oneTry time.Duration,
) (*Response, error) {
	end := time.Now().Add(max(c.options.CallTimeout, oneTry))
	var waits pauses
	var failure *Error
	for {
		response, err := tryOnce(ctx, rpc, request, max(shortestTry, min(oneTry, time.Until(end))))
		if err == nil {
			return response, nil
		}
		if gone := ended(ctx); gone != nil {
			return nil, gone
		}
		var told *Error
		if !errors.As(TranslateError(err), &told) {
			return nil, err
		}
		// The last tries are cut short: why the earlier ones failed tells more.
		if failure == nil || told.Code != codes.DeadlineExceeded {
			failure = told
		}
		wait, again := waits.after(failure)
		if !again || !time.Now().Add(wait).Before(end) {
			return nil, failure
		}
		c.log.Debug("trying again", "reason", failure.Reason, "in", wait)
		if !pause(ctx, wait) {
			return nil, ended(ctx)
		}
	}
}

func tryOnce[Request, Response any](
	ctx context.Context, rpc method[Request, Response], request *Request, timeout time.Duration,
) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return rpc(ctx, request)
}

// pause waits; false when the context ended first.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
