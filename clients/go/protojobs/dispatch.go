package protojobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	maxItems      = 1000
	batchesAtOnce = 4

	// Tag and length of an embedded message, and the other fields of the request that carries it.
	itemOverhead    = 8
	requestOverhead = 1024
)

// DispatchFunc stores jobs that have their ids, and says what became of each, in order. An error means that nothing is
// known of any of them.
type DispatchFunc func(ctx context.Context, jobs []Job) ([]Result, error)

// Middleware wraps every dispatch of a client: it may change the jobs, refuse them, or look at what became of them.
type Middleware func(next DispatchFunc) DispatchFunc

// Dispatch stores one job; it returns once the server has committed it. Concurrent calls share one stream, unless
// Options.Unary says otherwise.
//
// Fails with an *Error (ErrDuplicateJob, ErrQueueFull, ErrUnavailable, ...), and for data that cannot be encoded.
func (c *Client) Dispatch(ctx context.Context, job Job) (Dispatched, error) {
	results, err := c.dispatch(ctx, []Job{job}, c.send)
	if err != nil {
		return Dispatched{}, err
	}
	return results[0].Dispatched, results[0].Err
}

// DispatchMany stores many jobs in batches of up to 1000, and returns what became of each, in order. A refused job is a
// Result with its error. Data that cannot be encoded fails the call before anything is sent.
func (c *Client) DispatchMany(ctx context.Context, jobs []Job) ([]Result, error) {
	return c.dispatch(ctx, jobs, c.send)
}

// DispatchAtomic stores all of the jobs or none. They must fit into one batch of 1000 jobs and MaxMessageBytes.
func (c *Client) DispatchAtomic(ctx context.Context, jobs []Job) ([]Result, error) {
	if len(jobs) > maxItems {
		return nil, fmt.Errorf("protojobs: an atomic batch has at most %d jobs", maxItems)
	}
	return c.dispatch(context.WithValue(ctx, atomicKey{}, true), jobs, c.send)
}

type atomicKey struct{}

// dispatch gives jobs their ids, and once more where the server's clock is another one than ours.
func (c *Client) dispatch(ctx context.Context, jobs []Job, send DispatchFunc) ([]Result, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	results, err := send(ctx, c.withIDs(jobs))
	if c.learned(err) {
		return send(ctx, c.withIDs(jobs))
	}
	if err != nil {
		return nil, err
	}
	if len(results) != len(jobs) {
		return nil, errors.New("protojobs: a middleware has lost results")
	}
	var again []int
	for i, result := range results {
		if jobs[i].ID == "" && c.learned(result.Err) {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		return results, nil
	}
	repeated := make([]Job, len(again))
	for i, place := range again {
		repeated[i] = jobs[place]
	}
	answers, err := send(ctx, c.withIDs(repeated))
	for i, place := range again {
		if err != nil {
			results[place].Err = err
		} else {
			results[place] = answers[i]
		}
	}
	return results, nil
}

func (c *Client) withIDs(jobs []Job) []Job {
	named := make([]Job, len(jobs))
	copy(named, jobs)
	for i := range named {
		if named[i].ID == "" {
			named[i].ID = c.ids.next()
		}
	}
	return named
}

// learned takes the server's time from a refused id; it tells whether another id may do better.
func (c *Client) learned(err error) bool {
	var told *Error
	if !errors.Is(err, ErrJobIDTime) || !errors.As(err, &told) || told.ServerTime().IsZero() {
		return false
	}
	c.ids.learn(told.ServerTime())
	return true
}

// dispatchAll is the innermost DispatchFunc.
func (c *Client) dispatchAll(ctx context.Context, jobs []Job) ([]Result, error) {
	select {
	case <-c.closed:
		return nil, ErrClosed
	default:
	}
	items := make([]sized, len(jobs))
	for i, job := range jobs {
		spec, err := SpecOf(job, c.options.Codec)
		if err != nil {
			return nil, err
		}
		items[i] = sized{spec, proto.Size(spec) + itemOverhead}
		if room := c.room(); items[i].size > room {
			return nil, tooLarge(items[i].size, room)
		}
	}
	if atomic, _ := ctx.Value(atomicKey{}).(bool); atomic {
		return c.sendBatch(ctx, items, true)
	}
	if len(items) > 1 {
		return c.sendBatches(ctx, items), nil
	}
	if c.options.Unary {
		return []Result{c.sendOne(ctx, items[0].spec)}, nil
	}
	return []Result{c.pipe.submit(ctx, items[0])}, nil
}

// DispatchSpecs stores specs that were built elsewhere, ids inside, as DispatchMany does: for relays of an outbox. No
// middleware and no codec sees them.
func (c *Client) DispatchSpecs(ctx context.Context, specs []*pb.JobSpec) ([]Result, error) {
	items := make([]sized, len(specs))
	for i, spec := range specs {
		if spec.GetId() == "" {
			return nil, fmt.Errorf("protojobs: specs[%d] has no id", i)
		}
		items[i] = sized{spec, proto.Size(spec) + itemOverhead}
		if room := c.room(); items[i].size > room {
			return nil, tooLarge(items[i].size, room)
		}
	}
	return c.sendBatches(ctx, items), nil
}

// sized is a spec and how many bytes it takes in a message at most.
type sized struct {
	spec *pb.JobSpec
	size int
}

// room is how many bytes of items fit into one message.
func (c *Client) room() int { return c.options.MaxMessageBytes - requestOverhead }

// sendBatches sends specs in batches, a few at once. The error of a whole batch becomes that of each of its items.
func (c *Client) sendBatches(ctx context.Context, items []sized) []Result {
	results := make([]Result, len(items))
	free := make(chan struct{}, batchesAtOnce)
	var group sync.WaitGroup
	for begin := 0; begin < len(items); {
		end := begin + c.fitting(items[begin:])
		batch, into := items[begin:end], results[begin:end]
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			answers, err := c.sendBatch(ctx, batch, false)
			for i := range into {
				if err != nil {
					into[i] = Result{Dispatched{JobID: batch[i].spec.GetId()}, err}
				} else {
					into[i] = answers[i]
				}
			}
		})
		begin = end
	}
	group.Wait()
	return results
}

// fitting counts how many of the items, from the first, fit into one message; at least one.
func (c *Client) fitting(items []sized) int {
	count, bytes := 0, 0
	for count < len(items) && count < maxItems {
		bytes += items[count].size
		if count > 0 && bytes > c.room() {
			break
		}
		count++
	}
	return count
}

func (c *Client) sendBatch(ctx context.Context, items []sized, atomic bool) ([]Result, error) {
	request := &pb.DispatchBatchRequest{Specs: make([]*pb.JobSpec, len(items)), Atomic: atomic}
	for i, item := range items {
		request.Specs[i] = item.spec
	}
	answer, err := call(ctx, c, c.jobs.DispatchBatch, request, c.options.DispatchTimeout)
	if err != nil {
		return nil, err
	}
	if len(answer.GetResults()) != len(items) {
		return nil, &Error{Code: codes.Internal, Message: "the server answered another number of jobs than were sent"}
	}
	results := make([]Result, len(items))
	for i, result := range answer.GetResults() {
		results[i] = resultOf(result, items[i].spec.GetId())
	}
	return results, nil
}

func (c *Client) sendOne(ctx context.Context, spec *pb.JobSpec) Result {
	answer, err := call(ctx, c, c.jobs.Dispatch, &pb.DispatchRequest{Spec: spec}, c.options.DispatchTimeout)
	if err != nil {
		return Result{Dispatched{JobID: spec.GetId()}, err}
	}
	return Result{Dispatched: Dispatched{answer.GetJobId(), outcomeOf(answer.GetOutcome()), stateOf(answer.GetState())}}
}

func resultOf(result *pb.DispatchResult, sentID string) Result {
	jobID := result.GetJobId()
	if jobID == "" {
		jobID = sentID
	}
	if refused := result.GetError(); refused != nil {
		return Result{Dispatched{JobID: jobID}, fromStatus(refused)}
	}
	return Result{Dispatched: Dispatched{JobID: jobID, Outcome: outcomeOf(result.GetOutcome())}}
}

func outcomeOf(outcome pb.DispatchOutcome) Outcome {
	if outcome == pb.DispatchOutcome_DISPATCH_OUTCOME_UNSPECIFIED {
		return Created
	}
	return Outcome(nameOf(outcome.String(), "DISPATCH_OUTCOME_"))
}

func tooLarge(size, limit int) error {
	return &Error{
		Code: codes.FailedPrecondition, Reason: "PAYLOAD_TOO_LARGE", Message: "the job does not fit into a message",
		Metadata: map[string]string{"limit": strconv.Itoa(limit), "size": strconv.Itoa(size)},
	}
}

// ScheduleAt stores one job for a time and returns its id. A time in the past means at once.
func (c *Client) ScheduleAt(ctx context.Context, job Job, at time.Time) (string, error) {
	job.RunAt, job.Delay = at, 0
	return c.scheduleOnce(ctx, job)
}

// ScheduleIn stores one job that starts this long after it was stored, and returns its id.
func (c *Client) ScheduleIn(ctx context.Context, job Job, wait time.Duration) (string, error) {
	job.Delay, job.RunAt = wait, time.Time{}
	return c.scheduleOnce(ctx, job)
}

func (c *Client) scheduleOnce(ctx context.Context, job Job) (string, error) {
	dispatched, err := c.Dispatch(ctx, job)
	return dispatched.JobID, err
}
