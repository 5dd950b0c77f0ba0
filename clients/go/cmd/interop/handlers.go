package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
)

const bigResult = 5 * 1024 * 1024

// noLuck is a failure with a type of its own.
type noLuck struct {
	attempt int
}

func (e noLuck) Error() string   { return fmt.Sprintf("no luck, attempt %d: žluť", e.attempt) }
func (noLuck) ErrorType() string { return "NoLuck" }

type sleeping struct {
	Seconds float64 `json:"seconds"`
}

func (s sleeping) duration() time.Duration { return time.Duration(s.Seconds * float64(time.Second)) }

type counted struct {
	N *int `json:"n"`
}

// Validate wants the number to be there.
func (c counted) Validate() error {
	if c.N == nil {
		return errors.New("n is missing")
	}
	return nil
}

// kindsOf are the kinds that this program handles, each with what registers it.
func kindsOf() map[string]func(*worker.Worker) {
	kinds := map[string]func(*worker.Worker){
		"sleep":    func(w *worker.Worker) { worker.Register(w, "sleep", sleep) },
		"stubborn": func(w *worker.Worker) { worker.Register(w, "stubborn", stubborn) },
		"typed":    func(w *worker.Worker) { worker.Register(w, "typed", typed) },
	}
	for kind, handle := range map[string]worker.HandlerFunc{
		"echo":         echo,
		"noop":         func(context.Context, *worker.Job) error { return nil },
		"fail_twice":   failTwice,
		"fail":         func(_ context.Context, job *worker.Job) error { return noLuck{job.Attempt()} },
		"nonretryable": func(_ context.Context, job *worker.Job) error { return worker.NonRetryable(noLuck{job.Attempt()}) },
		"snooze_once":  snoozeOnce,
		"checkpoint":   checkpoint,
		"progress":     progress,
		"odd":          func(context.Context, *worker.Job) error { panic(42) },
		"big":          func(_ context.Context, job *worker.Job) error { return job.SetResult(make([]byte, bigResult)) },
		"chain":        chain,
		"discard":      func(context.Context, *worker.Job) error { return worker.Discard("not wanted any more") },
		"cancel":       func(context.Context, *worker.Job) error { return worker.Cancel("not wanted any more") },
	} {
		kinds[kind] = func(w *worker.Worker) { w.Handle(kind, handle) }
	}
	return kinds
}

func echo(_ context.Context, job *worker.Job) error {
	payload, err := job.Payload()
	if err != nil {
		return err
	}
	return job.SetResult(payload.Data)
}

func failTwice(_ context.Context, job *worker.Job) error {
	if job.Failures() < 2 {
		return noLuck{job.Attempt()}
	}
	return job.SetResult([]byte(strconv.Itoa(job.Attempt())))
}

func snoozeOnce(_ context.Context, job *worker.Job) error {
	if job.Attempt() == 1 {
		return worker.Snooze(time.Second)
	}
	return nil
}

func sleep(ctx context.Context, _ *worker.Job, payload sleeping) error {
	select {
	case <-time.After(payload.duration()):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func stubborn(_ context.Context, _ *worker.Job, payload sleeping) error {
	time.Sleep(payload.duration())
	return nil
}

func checkpoint(_ context.Context, job *worker.Job) error {
	saved, err := job.Checkpoint()
	if err != nil {
		return err
	}
	if saved != nil {
		return job.SetResult(saved)
	}
	if err := job.SaveCheckpoint([]byte("half")); err != nil {
		return err
	}
	return noLuck{job.Attempt()}
}

func progress(_ context.Context, job *worker.Job) error {
	for _, ratio := range []float64{0.1, 0.5, 1} {
		if err := job.Progress(ratio, fmt.Sprintf("%.0f %%", 100*ratio)); err != nil {
			return err
		}
	}
	return nil
}

func typed(_ context.Context, job *worker.Job, payload counted) error {
	return job.SetResult([]byte(strconv.Itoa(*payload.N + 1)))
}

func chain(_ context.Context, job *worker.Job) error {
	return job.Dispatch(protojobs.Job{Kind: "noop", Queue: job.Queue()})
}
