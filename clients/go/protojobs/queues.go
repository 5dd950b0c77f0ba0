package protojobs

import (
	"context"
	"iter"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// QueueStats are the numbers of one queue.
type QueueStats struct {
	Queue  string
	Counts map[State]int // jobs by state; final ones as long as they are kept
	Paused bool

	OldestPending      time.Duration // age of the oldest PENDING job; 0 where there is none
	CompletedPerSecond float64       // over the last minute
	FailedPerSecond    float64       // over the last minute
	AverageRunTime     time.Duration // over the last 5 minutes
	P95RunTime         time.Duration // over the last 5 minutes
	Workers            int           // connected sessions that read the queue
	Approximate        bool          // the counts are estimates
}

func queueStats(stats *pb.QueueStats) QueueStats {
	counts := stats.GetCounts()
	return QueueStats{
		Queue: stats.GetQueue(), Paused: stats.GetPaused(),
		Counts: map[State]int{
			Scheduled: int(counts.GetScheduled()), Pending: int(counts.GetPending()), Running: int(counts.GetRunning()),
			Retrying: int(counts.GetRetrying()), Completed: int(counts.GetCompleted()), Failed: int(counts.GetFailed()),
			Cancelled: int(counts.GetCancelled()), Expired: int(counts.GetExpired()),
		},
		OldestPending: stats.GetOldestPendingAge().AsDuration(), CompletedPerSecond: stats.GetCompletedPerSecond_1M(),
		FailedPerSecond: stats.GetFailedPerSecond_1M(), AverageRunTime: stats.GetAverageRunTime().AsDuration(),
		P95RunTime: stats.GetP95RunTime().AsDuration(), Workers: int(stats.GetWorkers()), Approximate: stats.GetApproximate(),
	}
}

// Stats returns the numbers of one queue, or of all by name where it is empty. Fails with ErrQueueNotFound.
func (c *Client) Stats(ctx context.Context, queue string) ([]QueueStats, error) {
	answer, err := call(ctx, c, c.queues.Stats, &pb.StatsRequest{Queue: queue}, c.options.ReadTimeout)
	if err != nil {
		return nil, err
	}
	return mapped(answer.GetQueues(), queueStats), nil
}

// Pause stops leasing from a queue; running jobs go on.
func (c *Client) Pause(ctx context.Context, queue string) error {
	_, err := call(ctx, c, c.queues.PauseQueue, &pb.PauseQueueRequest{Queue: queue}, c.options.ReadTimeout)
	return err
}

// Resume leases from a queue again.
func (c *Client) Resume(ctx context.Context, queue string) error {
	_, err := call(ctx, c, c.queues.ResumeQueue, &pb.ResumeQueueRequest{Queue: queue}, c.options.ReadTimeout)
	return err
}

// ClearOptions say which jobs of a queue are deleted. The zero value takes those that wait.
type ClearOptions struct {
	States []State   // default SCHEDULED, PENDING and RETRYING; never RUNNING
	Before time.Time // only jobs created before; default now
	DryRun bool      // only count
}

// Clear deletes jobs of a queue and returns how many. Fails with ErrQueueNotFound.
func (c *Client) Clear(ctx context.Context, queue string, options ClearOptions) (int, error) {
	request := &pb.ClearQueueRequest{
		Queue: queue, States: statesOf(options.States), Before: timestampOf(options.Before), ValidateOnly: options.DryRun,
	}
	deleted := 0
	for {
		answer, err := call(ctx, c, c.queues.ClearQueue, request, c.options.ReadTimeout)
		if err != nil {
			return deleted, err
		}
		deleted += int(answer.GetDeleted())
		if request.ContinuationToken = answer.GetContinuationToken(); request.ContinuationToken == "" {
			return deleted, nil
		}
	}
}

// Queues reads the queues and their settings, by name.
func (c *Client) Queues(ctx context.Context) iter.Seq2[*pb.Queue, error] {
	return pages(func(token string) ([]*pb.Queue, string, error) {
		request := &pb.ListQueuesRequest{PageSize: pageSize, PageToken: token}
		answer, err := call(ctx, c, c.queues.ListQueues, request, c.options.ReadTimeout)
		return answer.GetQueues(), answer.GetNextPageToken(), err
	})
}

// Queue returns one queue and its settings. Fails with ErrQueueNotFound.
func (c *Client) Queue(ctx context.Context, name string) (*pb.Queue, error) {
	answer, err := call(ctx, c, c.queues.GetQueue, &pb.GetQueueRequest{Queue: name}, c.options.ReadTimeout)
	return answer.GetQueue(), err
}

// UpdateQueue changes settings of a queue and makes it if it is new. The fields that are named, as `max_in_flight`,
// change; one that is named and not set goes back to its default. Without names all fields change that are set.
func (c *Client) UpdateQueue(ctx context.Context, queue *pb.Queue, fields ...string) (*pb.Queue, error) {
	request := &pb.UpdateQueueRequest{Queue: queue}
	if len(fields) > 0 {
		request.UpdateMask = &fieldmaskpb.FieldMask{Paths: fields}
	}
	answer, err := call(ctx, c, c.queues.UpdateQueue, request, c.options.ReadTimeout)
	return answer.GetQueue(), err
}

// DeleteQueue removes an empty queue, or with force its waiting and final jobs too.
//
// Fails with ErrQueueNotFound, ErrQueueNotEmpty, and with ErrJobRunning even with force.
func (c *Client) DeleteQueue(ctx context.Context, name string, force bool) error {
	_, err := call(ctx, c, c.queues.DeleteQueue, &pb.DeleteQueueRequest{Queue: name, Force: force}, c.options.ReadTimeout)
	return err
}
