package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
)

func work(ctx context.Context, arguments []string) error {
	f := newFlags("work")
	slots := f.Int("slots", 10, "handlers at once")
	kinds := f.String("kinds", "", "kinds to handle, separated by commas; default all")
	grace := f.Float64("grace", 10, "seconds that running handlers may take after SIGTERM")
	healthFile := f.String("health-file", "", "file that exists while the worker is healthy")
	quiet := f.quiet()
	if err := f.read(arguments); err != nil {
		return err
	}
	server, err := f.options()
	if err != nil {
		return err
	}
	server.Logger = slog.Default()
	options := worker.Options{
		Server: server, Queues: worker.Queues(f.queue), Slots: *slots, HealthFile: *healthFile,
		Grace: time.Duration(*grace * float64(time.Second)), Events: streamEvents(),
	}
	report := &report{limit: f.n, ended: map[string]bool{}}
	if *quiet {
		options.MaxJobs = f.n
	} else {
		report.tellJobs(&options.Events)
	}
	w := worker.New(options)
	report.stop = w.Stop
	for kind, register := range kindsOf() {
		if *kinds == "" || slices.Contains(strings.Split(*kinds, ","), kind) {
			register(w)
		}
	}
	reason, err := w.RunUntilSignal(ctx)
	if err != nil {
		return err
	}
	emit("stopped", line{"processed": w.Processed()})
	if reason.Code() != 0 {
		return exitError(1)
	}
	return nil
}

// streamEvents tell of the worker's streams and of its leaving.
func streamEvents() worker.Events {
	return worker.Events{
		Connected: func(is worker.Connected) {
			emit("ready", line{"session": is.Session, "resumed": is.Resumed})
		},
		Draining: func() { emit("draining", line{}) },
	}
}

// report tells what becomes of each job, and stops it once enough jobs that ended are settled.
type report struct {
	limit int
	stop  func()

	mu      sync.Mutex
	ended   map[string]bool
	settled int
}

func (r *report) tellJobs(events *worker.Events) {
	events.Started = started
	events.Ended = func(job *worker.Job, outcome worker.Outcome, _ error) {
		if outcome == worker.OutcomeReleased {
			outcome = worker.OutcomeAbandoned // stopped because the worker leaves
		}
		emit("ended", line{"job_id": job.ID(), "attempt": job.Attempt(), "outcome": outcome})
		r.note(job.ID(), job.Attempt())
	}
	events.Settled = func(is worker.Settled) {
		emit("settled", line{"job_id": is.JobID, "attempt": is.Attempt, "code": is.Code})
		if is.Code != "INVALID" && is.Code != "RETRY_LATER" {
			r.count(is.JobID, is.Attempt)
		}
	}
}

func attemptOf(id string, attempt int) string { return fmt.Sprintf("%s/%d", id, attempt) }

func (r *report) note(id string, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended[attemptOf(id, attempt)] = true
}

// count counts the settles of what has ended: what was given back unstarted is no work.
func (r *report) count(id string, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended[attemptOf(id, attempt)] {
		return
	}
	delete(r.ended, attemptOf(id, attempt))
	if r.settled++; r.settled == r.limit {
		r.stop()
	}
}

func started(job *worker.Job) {
	payload, err := job.Payload()
	if err != nil {
		slog.Error("the payload cannot be read", "error", err)
	}
	digest := sha256.Sum256(payload.Data)
	values := line{
		"job_id": job.ID(), "kind": job.Kind(), "attempt": job.Attempt(), "headers": headers(job),
		"payload_sha256": hex.EncodeToString(digest[:]), "payload_len": len(payload.Data), "priority": job.Priority(),
		"run_time_us": nil, "traceparent": nil, "checkpoint": nil, "at_us": time.Now().UnixMicro(),
	}
	if at := job.Spec().GetRunTime(); at != nil {
		values["run_time_us"] = at.AsTime().UnixMicro()
	}
	if trace, has := job.Headers()["traceparent"]; has {
		values["traceparent"] = trace
	}
	if checkpoint, err := job.Checkpoint(); err == nil && checkpoint != nil {
		values["checkpoint"] = base64.StdEncoding.EncodeToString(checkpoint)
	}
	emit("started", values)
}

func headers(job *worker.Job) map[string]string {
	if job.Headers() == nil {
		return map[string]string{}
	}
	return job.Headers()
}
