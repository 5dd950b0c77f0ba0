package worker

import (
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

// Events are called as things happen, on goroutines of the worker, and hold it up until they return. Unset
// ones cost nothing.
type Events struct {
	Connected func(Connected)
	Started   func(job *Job)
	Ended     func(job *Job, outcome Outcome, err error)
	Settled   func(Settled)
	Draining  func() // it takes no more jobs and is about to leave
}

// Connected is a stream that a server has welcomed.
type Connected struct {
	Session string // tells sessions apart; not the secret that proves leases
	Server  string
	Resumed bool // the session had a stream before, and keeps what it holds
	Held    int
	Lost    int // of what it held, what it has not any more
}

// Settled is the server's answer to one outcome.
type Settled struct {
	JobID   string
	Attempt int
	Code    string // OK, ALREADY, LEASE_SUPERSEDED, INVALID or RETRY_LATER
	State   protojobs.State
	NextAt  time.Time // SCHEDULED and RETRYING: when it becomes PENDING
}
