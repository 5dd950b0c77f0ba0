package worker

import (
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

// HandlerFunc runs one attempt of a job.
type HandlerFunc func(ctx context.Context, job *Job) error

// Middleware wraps handlers: it sees each job before, and its error after.
type Middleware func(next HandlerFunc) HandlerFunc

// Validator is a payload that checks itself once it is read; an error fails the job without a retry.
type Validator interface {
	Validate() error
}

// handler is what a worker knows of a kind.
type handler struct {
	kind        string
	run         HandlerFunc
	codec       protojobs.Codec
	timeout     time.Duration
	shouldRetry func(error) bool
	onFailed    func(context.Context, *Job, error)
}

// HandlerOption is said about a handler when it is registered.
type HandlerOption func(*handler)

// WithTimeout shortens the run timeout of the handler's jobs.
func WithTimeout(longest time.Duration) HandlerOption {
	return func(h *handler) { h.timeout = longest }
}

// WithShouldRetry asks about each error whether a retry may help. It may stop retries, never add any.
func WithShouldRetry(ask func(error) bool) HandlerOption {
	return func(h *handler) { h.shouldRetry = ask }
}

// WithOnFailed calls back once an attempt of this worker has ended its job as FAILED. Ends that the server decides (a dead
// worker, an expired job) call nobody.
func WithOnFailed(callback func(ctx context.Context, job *Job, err error)) HandlerOption {
	return func(h *handler) { h.onFailed = callback }
}

// Register makes a function the handler of a kind. The payload is read into a T, JSON by its media type; with T []byte or
// protojobs.Payload it comes as it is. A payload that is no T, or whose Validate fails, fails its job without a retry.
//
// Panics if the kind has a handler already, or the worker runs: both are mistakes of the program.
func Register[T any](w *Worker, kind string, run func(ctx context.Context, job *Job, payload T) error, options ...HandlerOption) {
	w.register(kind, func(ctx context.Context, job *Job) error {
		payload, err := read[T](job)
		if err != nil {
			return &invalidPayload{err}
		}
		return run(ctx, job, payload)
	}, options)
}

// Handle makes a function the handler of a kind that reads its payload itself, by Job.Payload. Panics as Register does.
func (w *Worker) Handle(kind string, run HandlerFunc, options ...HandlerOption) {
	w.register(kind, run, options)
}

// invalidPayload says that the payload is not what the handler expects; no retry can help.
type invalidPayload struct {
	cause error
}

func (e *invalidPayload) Error() string     { return e.cause.Error() }
func (e *invalidPayload) Unwrap() error     { return e.cause }
func (e *invalidPayload) ErrorType() string { return "InvalidPayload" }

func read[T any](job *Job) (T, error) {
	var payload T
	plain, err := job.Payload()
	if err != nil {
		return payload, err
	}
	if whole, ok := any(&payload).(*protojobs.Payload); ok {
		*whole = plain
		return payload, nil
	}
	if err := protojobs.DecodeData(plain, &payload); err != nil {
		return payload, err
	}
	validator, ok := any(payload).(Validator)
	if !ok {
		validator, ok = any(&payload).(Validator)
	}
	if ok {
		return payload, validator.Validate()
	}
	return payload, nil
}

func (w *Worker) register(kind string, run HandlerFunc, options []HandlerOption) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		panic("worker: Register after Run")
	}
	if !utf8.ValidString(kind) {
		panic("worker: a kind is not UTF-8")
	}
	if w.handlers[kind] != nil {
		panic(fmt.Sprintf("worker: kind %q has a handler already", kind))
	}
	for _, wrap := range slices.Backward(w.options.Middleware) {
		run = wrap(run)
	}
	made := &handler{kind: kind, run: run, codec: w.options.Server.Codec}
	for _, option := range options {
		option(made)
	}
	w.handlers[kind] = made
}
