package protojobs

import (
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

// Job is what to dispatch. Only Kind is required; what is left out takes the queue's value, then the default.
type Job struct {
	Kind  string // which handler runs it
	Queue string // default "default"
	ID    string // UUIDv7; chosen by the client when left out. One id never runs twice

	Data        any    // becomes JSON; exclusive with Payload
	Payload     []byte // bytes as they are; ContentType says what they are, default JSON
	ContentType string

	Delay    time.Duration // from the moment of storing; exclusive with RunAt
	RunAt    time.Time     // one in the past means at once
	ExpireAt time.Time     // the job ends as EXPIRED if it waits then
	Priority int           // 1 to 9, higher first; default 5

	RunTimeout      time.Duration // longest run of one attempt; default 300 s
	ResultRetention time.Duration // how long its result is kept, at most as long as the queue keeps the job
	Retry           RetryPolicy
	Unique          *Unique // at most one job of a key in its queue
	FairnessKey     string  // whose share of a fair queue it takes
	ConcurrencyKey  string  // of one key no more jobs of the queue run at once than its limit says

	Headers map[string]string // opaque pairs for its handler, at most 8 KiB
	Labels  map[string]string // indexed pairs to find it by, at most 16

	OnComplete []Job // jobs to store in the transaction that completes it, at most 16; they take no ID
	OnFailed   []Job // jobs to store in the transaction in which it fails for good
}

// RetryPolicy says how failures are retried. Nil and zero fields take the queue's value, then the default.
type RetryPolicy struct {
	MaxRetries       *int           // retries after the first run, 0 to 1000; default 3. See Retries
	InitialBackoff   *time.Duration // wait before the first retry, 0 s to 365 days; default 60 s
	Multiplier       float64        // from one wait to the next, 1 to 100; default 2
	MaxBackoff       *time.Duration // longest wait, 0 s to 365 days; default 1 h
	Jitter           Jitter         // randomisation of waits; default JitterFull
	MaxRetryDuration *time.Duration // no retry starts later than this after the job was stored; default no bound
}

// Jitter is the randomisation of a backoff.
type Jitter string

// Randomisations.
const (
	JitterFull Jitter = "FULL" // a random wait up to the backoff
	JitterNone Jitter = "NONE" // exactly the backoff
)

// Retries is a policy of so many retries after the first run.
func Retries(count int) RetryPolicy { return RetryPolicy{MaxRetries: &count} }

// UniqueScope says when a unique key is free again.
type UniqueScope int

// Scopes of unique keys.
const (
	UntilDone    UniqueScope = iota // once the job is final
	UntilStart                      // once a worker has got the job; its retries do not take the key again
	WithinWindow                    // Window after the dispatch, whatever becomes of the job
)

// OnConflict says what becomes of a job whose unique key another one has.
type OnConflict int

// What happens to a job whose unique key is taken.
const (
	Reject         OnConflict = iota // ErrDuplicateJob, with the id of the other one
	ReturnExisting                   // the other one is the answer, outcome Existing
	Replace                          // the other one ends as cancelled, unless it runs: then as Reject
	Debounce                         // as Replace; never starts sooner than the other one was to. Needs Delay
)

// Unique is a key of 1 to 256 bytes of which at most one job may be in its queue, within its scope.
type Unique struct {
	Key        string
	Scope      UniqueScope
	Window     time.Duration // of WithinWindow, and of no other scope; 1 s to 365 days
	OnConflict OnConflict
}

// Outcome is what a dispatch did.
type Outcome string

// Outcomes of a dispatch.
const (
	Created  Outcome = "CREATED"  // stored by this call
	Existing Outcome = "EXISTING" // the id, or the unique key, was stored before; nothing changed
	Replaced Outcome = "REPLACED" // stored; another job of the unique key was ended
)

// Dispatched is a job that the server has. State is empty where the way to it does not tell: streams and batches.
type Dispatched struct {
	JobID   string
	Outcome Outcome
	State   State
}

// Result is what became of one of many jobs: Err is nil where it is stored.
type Result struct {
	Dispatched
	Err error
}

// State is where a job stands.
type State string

// States of jobs; docs/lifecycle.md has the transitions.
const (
	Scheduled State = "SCHEDULED" // waits for its time
	Pending   State = "PENDING"   // waits for a worker with room
	Running   State = "RUNNING"   // leased by one worker
	Retrying  State = "RETRYING"  // an attempt failed; waits for its backoff
	Completed State = "COMPLETED"
	Failed    State = "FAILED"
	Cancelled State = "CANCELLED"
	Expired   State = "EXPIRED"
)

// Final tells whether the job will not run again unless somebody retries it.
func (s State) Final() bool {
	switch s {
	case Completed, Failed, Cancelled, Expired:
		return true
	default:
		return false
	}
}

// JobFromSpec returns the job that a spec of the contract asks for, its payload as it is.
func JobFromSpec(spec *pb.JobSpec) Job {
	job := Job{
		Kind: spec.GetKind(), Queue: spec.GetQueue(), ID: spec.GetId(),
		Payload: spec.GetPayload(), ContentType: spec.GetContentType(),
		Delay: spec.GetDelay().AsDuration(), RunAt: timeOf(spec.GetRunTime()), ExpireAt: timeOf(spec.GetExpireTime()),
		Priority: int(spec.GetPriority()), RunTimeout: spec.GetRunTimeout().AsDuration(),
		ResultRetention: spec.GetResultRetention().AsDuration(), Retry: retryPolicyOf(spec.GetRetry()),
		FairnessKey: spec.GetFairnessKey(), ConcurrencyKey: spec.GetConcurrencyKey(),
		Headers: spec.GetHeaders(), Labels: spec.GetLabels(),
	}
	if unique := spec.GetUnique(); unique != nil {
		job.Unique = &Unique{
			Key: unique.GetKey(), Scope: scopes[unique.GetScope()], Window: unique.GetWindow().AsDuration(),
			OnConflict: conflicts[unique.GetOnConflict()],
		}
	}
	for _, next := range spec.GetOnComplete() {
		job.OnComplete = append(job.OnComplete, JobFromSpec(next))
	}
	for _, next := range spec.GetOnFailed() {
		job.OnFailed = append(job.OnFailed, JobFromSpec(next))
	}
	return job
}
