package protojobs

import (
	"cmp"
	"context"
	"errors"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// JobChanges are what Update changes of a job that waits. Nil and zero fields stay.
type JobChanges struct {
	Data        any // a new payload, as in Job
	Payload     []byte
	ContentType string
	Priority    int
	Queue       string
	Labels      map[string]string // all of them
	Retry       *RetryPolicy      // what it leaves out is as the queue says
	Delay       *time.Duration    // from the moment of the change; exclusive with RunAt
	RunAt       *time.Time        // zero, or one in the past, means at once
}

// Update changes a job that waits, and returns it. A pending one then waits behind all others of its priority.
//
// Fails with ErrJobRunning and ErrJobFinal, and where nothing is to change.
func (c *Client) Update(ctx context.Context, jobID string, changes JobChanges) (JobInfo, error) {
	spec, paths, err := c.changed(ctx, jobID, changes)
	if err != nil {
		return JobInfo{}, err
	}
	request := &pb.UpdateJobRequest{JobId: jobID, Spec: spec, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}}
	answer, err := call(ctx, c, c.jobs.UpdateJob, request, c.options.ReadTimeout)
	if err != nil {
		return JobInfo{}, err
	}
	return jobInfo(answer.GetJob()), nil
}

// changed returns the changes as a spec, and the names of its fields that count.
func (c *Client) changed(ctx context.Context, jobID string, changes JobChanges) (*pb.JobSpec, []string, error) {
	spec := &pb.JobSpec{Priority: unsigned(changes.Priority), Queue: changes.Queue, Labels: changes.Labels}
	var paths []string
	if changes.Priority != 0 {
		paths = append(paths, "priority")
	}
	if changes.Queue != "" {
		paths = append(paths, "queue")
	}
	if changes.Labels != nil {
		paths = append(paths, "labels")
	}
	if changes.Retry != nil {
		spec.Retry = changes.Retry.message()
		paths = append(paths, "retry")
	}
	switch {
	case changes.Delay != nil && changes.RunAt != nil:
		return nil, nil, errors.New("protojobs: Delay and RunAt exclude each other")
	case changes.Delay != nil:
		spec.Start = &pb.JobSpec_Delay{Delay: durationpb.New(*changes.Delay)}
		paths = append(paths, "delay")
	case changes.RunAt != nil:
		if !changes.RunAt.IsZero() {
			spec.Start = &pb.JobSpec_RunTime{RunTime: timestampOf(*changes.RunAt)}
		}
		paths = append(paths, "run_time")
	}
	if changes.Data != nil || changes.Payload != nil {
		// A codec may bind it to the queue that the job will be in.
		job, err := c.Get(ctx, jobID, false)
		if err != nil {
			return nil, nil, err
		}
		payload, err := payloadOf(Job{
			ID: jobID, Kind: job.Kind, Queue: cmp.Or(changes.Queue, job.Queue),
			Data: changes.Data, Payload: changes.Payload, ContentType: changes.ContentType,
		}, c.options.Codec)
		if err != nil {
			return nil, nil, err
		}
		spec.Payload, spec.ContentType = payload.Data, payload.ContentType
		paths = append(paths, "payload", "content_type")
	} else if changes.ContentType != "" {
		spec.ContentType = changes.ContentType
		paths = append(paths, "content_type")
	}
	if len(paths) == 0 {
		return nil, nil, errors.New("protojobs: nothing to change")
	}
	return spec, paths, nil
}
