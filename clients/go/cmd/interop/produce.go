package main

import (
	"context"
	"encoding/base64"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
)

// atOnce is how many dispatches share the stream: as many as its frames under way can hold.
const atOnce = 4000

func dispatch(ctx context.Context, arguments []string) error {
	f := newFlags("dispatch")
	specFile := f.String("spec", "", "file of a JobSpec as JSON, - for standard input; default {\"kind\":\"echo\"}")
	mode := f.String("mode", "single", "single, batch or stream")
	wait := f.Float64("wait", 0, "seconds to wait for the end of each job; 0 does not wait")
	quiet := f.quiet()
	if err := f.read(arguments); err != nil {
		return err
	}
	if *mode != "single" && *mode != "batch" && *mode != "stream" {
		return exitError(2)
	}
	job, err := readSpec(*specFile)
	if err != nil {
		return err
	}
	job.Queue = f.queue
	client, err := f.client(*mode == "single")
	if err != nil {
		return err
	}
	defer client.Close()
	began := time.Now()
	results, err := send(ctx, client, job, f.n, *mode)
	if err != nil {
		return err
	}
	if *quiet {
		return tellAll(results, time.Since(began))
	}
	var failure error
	for _, result := range results {
		if result.Err != nil {
			emitError(result.Err)
			failure = exitError(1)
			continue
		}
		values := line{"job_id": result.JobID, "outcome": result.Outcome, "state": nil}
		if result.State != "" {
			values["state"] = result.State
		}
		emit("dispatched", values)
	}
	if failure != nil || *wait <= 0 {
		return failure
	}
	ctx, stop := context.WithTimeout(ctx, time.Duration(*wait*float64(time.Second)))
	defer stop()
	for _, result := range results {
		info, err := client.Wait(ctx, result.JobID)
		if err != nil {
			return err
		}
		emit("finished", jobLine(info))
	}
	return nil
}

// tellAll says in one line what became of all jobs, or in one why the first of those that were refused was.
func tellAll(results []protojobs.Result, took time.Duration) error {
	for _, result := range results {
		if result.Err != nil {
			return result.Err
		}
	}
	emit("dispatched_all", line{"jobs": len(results), "seconds": took.Seconds()})
	return nil
}

func readSpec(name string) (protojobs.Job, error) {
	text := []byte(`{"kind":"echo"}`)
	var err error
	switch name {
	case "":
	case "-":
		text, err = io.ReadAll(os.Stdin)
	default:
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return protojobs.Job{}, err
	}
	spec := &pb.JobSpec{}
	if err := protojson.Unmarshal(text, spec); err != nil {
		return protojobs.Job{}, err
	}
	return protojobs.JobFromSpec(spec), nil
}

// send dispatches n jobs; a refused one is a result with its error.
func send(ctx context.Context, client *protojobs.Client, job protojobs.Job, n int, mode string) ([]protojobs.Result, error) {
	if mode == "batch" {
		jobs := make([]protojobs.Job, n)
		for i := range jobs {
			jobs[i] = job
		}
		return client.DispatchMany(ctx, jobs)
	}
	results := make([]protojobs.Result, n)
	free := make(chan struct{}, atOnce)
	if mode == "single" {
		free = make(chan struct{}, 1)
	}
	var group sync.WaitGroup
	for i := range results {
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			results[i].Dispatched, results[i].Err = client.Dispatch(ctx, job)
		})
	}
	group.Wait()
	return results, nil
}

func schedule(ctx context.Context, arguments []string) error {
	f := newFlags("schedule")
	in := f.Float64("in", 0, "seconds until the job starts")
	kind := f.String("kind", "echo", "kind of the job")
	if err := f.read(arguments); err != nil {
		return err
	}
	client, err := f.client(false)
	if err != nil {
		return err
	}
	defer client.Close()
	wait := time.Duration(*in * float64(time.Second))
	id, err := client.ScheduleIn(ctx, protojobs.Job{Kind: *kind, Queue: f.queue}, wait)
	if err != nil {
		return err
	}
	info, err := client.Get(ctx, id, false)
	if err != nil {
		return err
	}
	emit("dispatched", line{"job_id": id, "outcome": protojobs.Created, "state": info.State})
	return nil
}

func get(ctx context.Context, arguments []string) error {
	return withJob(ctx, "get", arguments, func(*protojobs.Client, string) error { return nil })
}

func cancel(ctx context.Context, arguments []string) error {
	return withJob(ctx, "cancel", arguments, func(client *protojobs.Client, id string) error {
		_, err := client.Cancel(ctx, id, 0)
		return err
	})
}

func retry(ctx context.Context, arguments []string) error {
	return withJob(ctx, "retry", arguments, func(client *protojobs.Client, id string) error {
		_, err := client.Retry(ctx, id, protojobs.RetryOptions{})
		return err
	})
}

// withJob acts on a job and shows it as it is then.
func withJob(ctx context.Context, name string, arguments []string, act func(*protojobs.Client, string) error) error {
	f := newFlags(name)
	if err := f.read(arguments); err != nil {
		return err
	}
	if f.jobID == "" {
		return exitError(2)
	}
	client, err := f.client(true)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := act(client, f.jobID); err != nil {
		return err
	}
	info, err := client.Get(ctx, f.jobID, true)
	if err != nil {
		return err
	}
	emit("job", jobLine(info))
	return nil
}

func failed(ctx context.Context, arguments []string) error {
	f := newFlags("failed")
	f.n = 0
	if err := f.read(arguments); err != nil {
		return err
	}
	client, err := f.client(true)
	if err != nil {
		return err
	}
	defer client.Close()
	filter := protojobs.JobFilter{Queues: []string{f.queue}, States: []protojobs.State{protojobs.Failed}, Full: true}
	shown := 0
	for info, err := range client.List(ctx, filter) {
		if err != nil {
			return err
		}
		emit("job", jobLine(info))
		if shown++; shown == f.n {
			break
		}
	}
	return nil
}

func stats(ctx context.Context, arguments []string) error {
	f := newFlags("stats")
	if err := f.read(arguments); err != nil {
		return err
	}
	client, err := f.client(true)
	if err != nil {
		return err
	}
	defer client.Close()
	found, err := client.Stats(ctx, f.queue)
	if err != nil {
		return err
	}
	for _, each := range found {
		values := line{"queue": each.Queue}
		for state, count := range each.Counts {
			values[strings.ToLower(string(state))] = count
		}
		emit("stats", values)
	}
	return nil
}

func watch(ctx context.Context, arguments []string) error {
	f := newFlags("watch")
	if err := f.read(arguments); err != nil {
		return err
	}
	client, err := f.client(true)
	if err != nil {
		return err
	}
	defer client.Close()
	events, err := client.Watch(ctx, protojobs.WatchOptions{Filter: protojobs.JobFilter{Queues: []string{f.queue}}})
	if err != nil {
		return err
	}
	defer events.Close()
	emit("watching", line{})
	for range f.n {
		event, err := events.Next(ctx)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(event.Type, "job.")
		emit("job_event", line{"type": name, "job_id": event.JobID, "attempt": event.Attempt})
	}
	return nil
}

func jobLine(info protojobs.JobInfo) line {
	values := line{
		"job_id": info.ID, "state": info.State, "attempt": info.Attempt, "failures": info.Failures, "crashes": info.Crashes,
		"payload": base64.StdEncoding.EncodeToString(info.Payload), "result": base64.StdEncoding.EncodeToString(info.Result),
	}
	if info.Error != nil {
		values["error"] = line{"type": info.Error.Type, "message": info.Error.Message}
	}
	return values
}

var wordBegins = regexp.MustCompile("([a-z])([A-Z])")

// codeName is a status code as the contract spells it.
func codeName(code codes.Code) string {
	switch code {
	case codes.OK:
		return "OK"
	case codes.Canceled:
		return "CANCELLED"
	default:
		return strings.ToUpper(wordBegins.ReplaceAllString(code.String(), "${1}_${2}"))
	}
}
