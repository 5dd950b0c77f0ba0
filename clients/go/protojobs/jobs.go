package protojobs

import (
	"context"
	"fmt"
	"iter"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	longPoll      = 20 * time.Second // below what proxies cut
	longPollSlack = 5 * time.Second
	pageSize      = 100
)

// Get returns a job; with its payload, headers and result if full. Fails with ErrJobNotFound.
func (c *Client) Get(ctx context.Context, jobID string, full bool) (JobInfo, error) {
	request := &pb.GetJobRequest{JobId: jobID, View: view(full)}
	answer, err := call(ctx, c, c.jobs.GetJob, request, c.options.ReadTimeout)
	if err != nil {
		return JobInfo{}, err
	}
	return jobInfo(answer.GetJob()), nil
}

func view(full bool) pb.JobView {
	if full {
		return pb.JobView_JOB_VIEW_FULL
	}
	return pb.JobView_JOB_VIEW_BASIC
}

// JobFilter says which jobs; all that is given must hold.
type JobFilter struct {
	Queues        []string
	Kinds         []string
	States        []State
	Labels        map[string]string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	ParentID      string // jobs that the end of this one has stored
	Expression    string // a condition in the filter language, as `queue = mail and state in (failed, cancelled)`

	OldestFirst bool // order of a list; else newest first
	Full        bool // lists with payload, headers and result
}

func (f JobFilter) message() *pb.JobFilter {
	return &pb.JobFilter{
		Queues: f.Queues, Kinds: f.Kinds, States: statesOf(f.States), Labels: f.Labels, ParentJobId: f.ParentID,
		CreatedAfter: timestampOf(f.CreatedAfter), CreatedBefore: timestampOf(f.CreatedBefore),
	}
}

// List reads the jobs of a filter, page by page as they are asked for. It ends with the first error.
func (c *Client) List(ctx context.Context, filter JobFilter) iter.Seq2[JobInfo, error] {
	request := &pb.ListJobsRequest{
		Filter: filter.message(), Expression: filter.Expression, PageSize: pageSize, View: view(filter.Full),
		Order: pb.JobOrder_JOB_ORDER_NEWEST,
	}
	if filter.OldestFirst {
		request.Order = pb.JobOrder_JOB_ORDER_OLDEST
	}
	return pages(func(token string) ([]JobInfo, string, error) {
		request.PageToken = token
		answer, err := call(ctx, c, c.jobs.ListJobs, request, c.options.ReadTimeout)
		return mapped(answer.GetJobs(), jobInfo), answer.GetNextPageToken(), err
	})
}

// FailedJobs reads the jobs that failed for good, of one queue, or of all where it is empty.
func (c *Client) FailedJobs(ctx context.Context, queue string) iter.Seq2[JobInfo, error] {
	filter := JobFilter{States: []State{Failed}}
	if queue != "" {
		filter.Queues = []string{queue}
	}
	return c.List(ctx, filter)
}

// Attempts reads the attempts of a job, oldest first.
func (c *Client) Attempts(ctx context.Context, jobID string) iter.Seq2[AttemptInfo, error] {
	return pages(func(token string) ([]AttemptInfo, string, error) {
		request := &pb.ListAttemptsRequest{JobId: jobID, PageSize: pageSize, PageToken: token}
		answer, err := call(ctx, c, c.jobs.ListAttempts, request, c.options.ReadTimeout)
		return mapped(answer.GetAttempts(), attemptInfo), answer.GetNextPageToken(), err
	})
}

// pages reads one page after the other.
func pages[T any](read func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token, first := "", true; first || token != ""; first = false {
			items, next, err := read(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			token = next
		}
	}
}

func mapped[From, To any](items []From, read func(From) To) []To {
	found := make([]To, len(items))
	for i, item := range items {
		found[i] = read(item)
	}
	return found
}

// Wait waits until the job is final, and returns it with its result. The context bounds the wait: the job goes on.
func (c *Client) Wait(ctx context.Context, jobID string) (JobInfo, error) {
	for {
		wait := longPoll
		if end, has := ctx.Deadline(); has {
			wait = max(0, min(wait, time.Until(end)))
		}
		request := &pb.WaitJobRequest{JobId: jobID, Wait: durationpb.New(wait)}
		answer, err := call(ctx, c, c.jobs.WaitJob, request, wait+longPollSlack)
		if err != nil {
			return JobInfo{}, err
		}
		if answer.GetDone() {
			return jobInfo(answer.GetJob()), nil
		}
		if gone := ended(ctx); gone != nil {
			return jobInfo(answer.GetJob()), gone
		}
	}
}

// JobEndedError says that a job ended otherwise than by completion.
type JobEndedError struct {
	Job JobInfo
}

// Error tells the state, and the reason or the type of the last error.
func (e *JobEndedError) Error() string {
	why := e.Job.Reason
	if why == "" && e.Job.Error != nil {
		why = e.Job.Error.Type
	}
	return fmt.Sprintf("protojobs: job %s is %s (%s)", e.Job.ID, e.Job.State, why)
}

// Result waits until the job is final and reads its result into what target points to, as DecodeData does.
//
// Fails with a *JobEndedError if it ended otherwise, and with a *UndecodableError if the codec cannot read the result.
func (c *Client) Result(ctx context.Context, jobID string, target any) error {
	job, err := c.Wait(ctx, jobID)
	if err != nil {
		return err
	}
	if job.State != Completed {
		return &JobEndedError{job}
	}
	result, err := Open(c.options.Codec, Payload{job.Result, JSON}, contextOf(job, UseResult))
	if err != nil {
		return err
	}
	return DecodeData(result, target)
}

// Payload returns the payload of a job, read by the codec of this client. Fails with a *UndecodableError if it cannot.
func (c *Client) Payload(ctx context.Context, jobID string) (Payload, error) {
	job, err := c.Get(ctx, jobID, true)
	if err != nil {
		return Payload{}, err
	}
	return Open(c.options.Codec, Payload{job.Payload, job.ContentType}, contextOf(job, UsePayload))
}

func contextOf(job JobInfo, use Use) PayloadContext {
	return PayloadContext{Kind: job.Kind, Queue: job.Queue, Use: use, JobID: job.ID}
}

// Cancel cancels a job and returns its state: at once while it waits, by its worker while it runs, where RUNNING means
// that the worker was asked. After the deadline, by default 30 s, the lease of a running job is revoked.
//
// Fails with ErrJobFinal if it ended otherwise before.
func (c *Client) Cancel(ctx context.Context, jobID string, deadline time.Duration) (State, error) {
	request := &pb.CancelRequest{JobId: jobID, Deadline: durationOf(deadline)}
	answer, err := call(ctx, c, c.jobs.Cancel, request, c.options.ReadTimeout)
	return stateOf(answer.GetState()), err
}

// RetryOptions change what is taken up again.
type RetryOptions struct {
	Data        any    // a new payload, as in Job
	Payload     []byte // or its bytes
	ContentType string // of either
	RunAt       time.Time
	ExpireAt    time.Time
}

// Retry takes a final job up again under its id, or runs a scheduled or retrying one now; it returns the state after it.
// The job is read first, so that a repeated call runs it once.
//
// Fails with ErrJobNotFinal if it is pending or running.
func (c *Client) Retry(ctx context.Context, jobID string, options RetryOptions) (State, error) {
	job, err := c.Get(ctx, jobID, false)
	if err != nil {
		return "", err
	}
	request := &pb.RetryRequest{
		JobId: jobID, ExpectedAttempt: unsigned(job.Attempt),
		RunTime: timestampOf(options.RunAt), ExpireTime: timestampOf(options.ExpireAt),
	}
	if options.Data != nil || options.Payload != nil {
		payload, err := payloadOf(Job{
			ID: jobID, Kind: job.Kind, Queue: job.Queue,
			Data: options.Data, Payload: options.Payload, ContentType: options.ContentType,
		}, c.options.Codec)
		if err != nil {
			return "", err
		}
		request.Payload, request.ContentType = payload.Data, payload.ContentType
	}
	answer, err := call(ctx, c, c.jobs.Retry, request, c.options.ReadTimeout)
	return stateOf(answer.GetState()), err
}

// Delete removes a job with its history; its id stays taken. Fails with ErrJobRunning while it runs.
func (c *Client) Delete(ctx context.Context, jobID string) error {
	_, err := call(ctx, c, c.jobs.DeleteJob, &pb.DeleteJobRequest{JobId: jobID}, c.options.ReadTimeout)
	return err
}

// BulkAction is what BulkJobs does.
type BulkAction string

// Actions on many jobs. Where the filter names no states, each takes the jobs that it is for.
const (
	BulkRetry       BulkAction = "RETRY"
	BulkCancel      BulkAction = "CANCEL"
	BulkDelete      BulkAction = "DELETE"
	BulkMove        BulkAction = "MOVE"
	BulkSetPriority BulkAction = "SET_PRIORITY"
)

// BulkOptions say which jobs, and what with them. One of Filter, JobIDs and All is required.
type BulkOptions struct {
	Filter   *JobFilter
	JobIDs   []string // at most 1000
	All      bool
	Queue    string // where BulkMove moves to
	Priority int    // what BulkSetPriority sets
	DryRun   bool   // only count
}

// BulkStep is what one bounded call has done.
type BulkStep struct {
	Changed int
	Skipped int
	Sample  []string // ids, of a dry run
}

// BulkJobs acts on many jobs. Nothing happens before the first step is read, and each step is one bounded call: read all
// of them, once.
func (c *Client) BulkJobs(ctx context.Context, action BulkAction, options BulkOptions) iter.Seq2[BulkStep, error] {
	request := &pb.BulkJobsRequest{
		Action: pb.BulkAction(pb.BulkAction_value["BULK_ACTION_"+string(action)]), JobIds: options.JobIDs, All: options.All,
		Queue: options.Queue, Priority: unsigned(options.Priority), ValidateOnly: options.DryRun,
	}
	if options.Filter != nil {
		request.Filter, request.Expression = options.Filter.message(), options.Filter.Expression
	}
	return pages(func(token string) ([]BulkStep, string, error) {
		request.ContinuationToken = token
		answer, err := call(ctx, c, c.jobs.BulkJobs, request, c.options.ReadTimeout)
		step := BulkStep{int(answer.GetChanged()), int(answer.GetSkipped()), answer.GetSampleJobIds()}
		return []BulkStep{step}, answer.GetContinuationToken(), err
	})
}
