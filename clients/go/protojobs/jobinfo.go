package protojobs

import (
	"strings"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

// JobInfo is a stored job, all of one moment. Times are zero where there is none.
type JobInfo struct {
	ID       string
	Queue    string
	Kind     string
	State    State
	Priority int
	Labels   map[string]string

	Attempt  int // raised at every lease; never lowered
	Failures int // attempts whose handler said failed, since the last Retry
	Crashes  int // attempts whose worker died after the handler had started

	CreatedAt  time.Time
	NextAt     time.Time // when a SCHEDULED or RETRYING job becomes PENDING
	StartedAt  time.Time // when the current or last attempt was leased
	FinishedAt time.Time

	Worker          string // label of the worker of the current or last attempt
	Progress        *Progress
	Error           *JobError // of the last attempt that had one
	Reason          string    // why it ended where no handler decided it: POISON, TIMEOUT, ...; or what was lost: RESULT_DROPPED, ...
	Retry           RetryPolicy
	RunTimeout      time.Duration
	CancelRequested bool
	ParentID        string // the job whose end stored this one

	// Of a full view only. Payload and Result are as stored: see Client.Payload and Client.Result for codecs.
	Payload     []byte
	ContentType string
	Headers     map[string]string
	Result      []byte
}

// Progress is how far a running attempt says it is, 0.0 to 1.0.
type Progress struct {
	Ratio     float64
	Message   string
	UpdatedAt time.Time
}

// JobError is why an attempt failed. Stack is empty unless the view is full.
type JobError struct {
	Type    string
	Message string
	Stack   string
}

// AttemptInfo is one lease of a job, or the end of a job that waited.
type AttemptInfo struct {
	Attempt    int
	Outcome    string // COMPLETED, FAILED, RETRIED, SNOOZED, RELEASED, CRASHED, CANCELLED, EXPIRED or RUNNING
	Worker     string
	StartedAt  time.Time
	FinishedAt time.Time
	Error      *JobError
	Reason     string
}

func jobInfo(job *pb.Job) JobInfo {
	spec := job.GetSpec()
	info := JobInfo{
		ID: job.GetId(), Queue: spec.GetQueue(), Kind: spec.GetKind(), State: stateOf(job.GetState()),
		Priority: int(spec.GetPriority()), Labels: spec.GetLabels(),
		Attempt: int(job.GetAttempt()), Failures: int(job.GetFailures()), Crashes: int(job.GetCrashes()),
		CreatedAt: timeOf(job.GetCreateTime()), NextAt: timeOf(job.GetNextTime()),
		StartedAt: timeOf(job.GetStartTime()), FinishedAt: timeOf(job.GetFinishTime()),
		Worker: job.GetWorker(), Error: jobError(job.GetLastError()), Reason: job.GetReason(),
		Retry: retryPolicyOf(job.GetRetry()), RunTimeout: job.GetRunTimeout().AsDuration(),
		CancelRequested: job.GetCancelRequested(), ParentID: job.GetParentJobId(),
		Payload: spec.GetPayload(), ContentType: orJSON(spec.GetContentType()), Headers: spec.GetHeaders(), Result: job.GetResult(),
	}
	if progress := job.GetProgress(); progress != nil {
		info.Progress = &Progress{progress.GetRatio(), progress.GetMessage(), timeOf(progress.GetUpdateTime())}
	}
	return info
}

func jobError(failure *pb.JobError) *JobError {
	if failure == nil {
		return nil
	}
	return &JobError{failure.GetType(), failure.GetMessage(), failure.GetStack()}
}

func attemptInfo(attempt *pb.Attempt) AttemptInfo {
	return AttemptInfo{
		Attempt: int(attempt.GetAttempt()), Outcome: nameOf(attempt.GetOutcome().String(), "ATTEMPT_OUTCOME_"),
		Worker: attempt.GetWorker(), StartedAt: timeOf(attempt.GetStartTime()), FinishedAt: timeOf(attempt.GetFinishTime()),
		Error: jobError(attempt.GetError()), Reason: attempt.GetReason(),
	}
}

// nameOf returns the name of a value of an enum without its prefix; empty where it is not set.
func nameOf(full, prefix string) string {
	name := strings.TrimPrefix(full, prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return name
}

func stateOf(state pb.JobState) State {
	return State(nameOf(state.String(), "JOB_STATE_"))
}

func statesOf(states []State) []pb.JobState {
	var found []pb.JobState
	for _, state := range states {
		found = append(found, pb.JobState(pb.JobState_value["JOB_STATE_"+string(state)]))
	}
	return found
}
