package worker

import (
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

// A second refusal of the plain failure that replaced a malformed outcome means that nothing we can say is accepted.
const maxInvalid = 2

type leaseState uint8

const (
	waiting leaseState = iota
	running
	concluded
	gone
)

// lease is one attempt of one job, held by this session.
type lease struct {
	id       string
	attempt  uint32
	job      *pb.LeasedJob
	streamNo uint64
	state    leaseState
	outcome  *outcome
	beganAt  time.Time
	run      *run  // what runs the handler; the ledger never looks at it
	stopWhy  error // asked to stop before there was a run
	tries    int
	invalid  int
}

type ref struct {
	id      string
	attempt uint32
}

// ledger is what a session holds: every delivered job from its delivery to the server's answer about its outcome.
//
//	waiting ──begin──> running ──conclude──> concluded ──settled──> forgotten
//	   └──────release / drop─────────────────────┘
//	waiting, running ──lost, superseded──> gone (its outcome is dropped when its handler ends)
//
// It keeps four promises: a handler begins only for a lease that still stands, in delivery order; an outcome is sent on
// every stream until it is answered; an answered or lost outcome is never sent again; begun counts the jobs of the current
// stream that have begun or were released unstarted (LeaseRequest.started_seq).
//
// Pure: no clock, no goroutines, no wire. Its owner guards it.
type ledger struct {
	streamNo uint64
	begun    uint64
	running  int

	held    map[string]*lease
	line    queue[*lease] // in delivery order, also of leases that are gone: each has its place in what begun counts
	unsent  queue[*lease]
	delayed []delayed
	inLine  int // leases in line that still stand
}

type delayed struct {
	due   time.Time
	lease *lease
}

func newLedger() *ledger {
	return &ledger{held: map[string]*lease{}}
}

// find returns the lease of exactly this attempt, or nil.
func (l *ledger) find(id string, attempt uint32) *lease {
	if found := l.held[id]; found != nil && found.attempt == attempt {
		return found
	}
	return nil
}

// runningLeases lists held leases whose handler is running.
func (l *ledger) runningLeases() []*lease {
	var found []*lease
	for _, each := range l.held {
		if each.state == running {
			found = append(found, each)
		}
	}
	return found
}

// deliver takes delivered jobs in order. It returns running leases that a newer attempt supersedes: stop those.
func (l *ledger) deliver(jobs []*pb.LeasedJob) []*lease {
	var superseded []*lease
	for _, job := range jobs {
		each := &lease{id: job.GetJobId(), attempt: job.GetAttempt(), job: job, streamNo: l.streamNo}
		// Also a repeated delivery takes its place in the order, or begun would count the wrong jobs.
		l.line.push(each)
		if old := l.held[each.id]; old != nil {
			if old.attempt >= each.attempt {
				each.state = gone
				continue
			}
			if l.forget(old) {
				superseded = append(superseded, old)
			}
		}
		l.held[each.id] = each
		l.inLine++
	}
	return superseded
}

// begin moves up to limit waiting leases to running, in delivery order, and counts them as begun.
func (l *ledger) begin(limit int, now time.Time) []*lease {
	var begun []*lease
	for l.line.len() > 0 && len(begun) < limit {
		each := l.line.pop()
		if each.streamNo == l.streamNo {
			l.begun++
		}
		if each.state == waiting {
			each.state, each.beganAt = running, now
			begun = append(begun, each)
		}
	}
	l.running += len(begun)
	l.inLine -= len(begun)
	return begun
}

// putBack undoes begin for leases whose frame never left; their handlers have not been called. Only valid when the stream
// that should have carried the frame is lost: begun is not corrected.
func (l *ledger) putBack(leases []*lease) {
	var back []*lease
	for _, each := range leases {
		l.running--
		if each.state == running {
			each.state, each.beganAt = waiting, time.Time{}
			back = append(back, each)
			l.inLine++
		}
	}
	l.line.pushFront(back)
}

// end notes that a handler has ended. False: the lease is gone or was concluded before, and the outcome is dropped.
func (l *ledger) end(each *lease, how *outcome) bool {
	l.running--
	return l.conclude(each, how)
}

// conclude gives a running lease its outcome, also while its handler is still running (a stuck one).
func (l *ledger) conclude(each *lease, how *outcome) bool {
	if each.state != running {
		return false
	}
	l.settle(each, how)
	return true
}

// releaseWaiting gives everything back that has not begun.
func (l *ledger) releaseWaiting(reason pb.ReleaseReason) {
	for l.line.len() > 0 {
		each := l.line.pop()
		if each.streamNo == l.streamNo {
			l.begun++
		}
		if each.state == waiting {
			l.inLine--
			l.settle(each, released(reason))
		}
	}
}

// dropWaiting forgets everything that has not begun: after Goodbye the server takes back what begun does not count.
func (l *ledger) dropWaiting() {
	for l.line.len() > 0 {
		if each := l.line.pop(); each.state == waiting {
			l.forget(each)
		}
	}
}

// cancel stops one attempt. Waiting: it ends with the outcome (nil: is forgotten). Running: returned, to be stopped.
func (l *ledger) cancel(id string, attempt uint32, how *outcome) *lease {
	each := l.find(id, attempt)
	if each == nil {
		return nil
	}
	was := each.state
	switch {
	case how == nil && was != concluded:
		l.forget(each)
	case how != nil && was == waiting:
		// It keeps its place in line; begin counts and skips it.
		l.inLine--
		l.settle(each, how)
	}
	if was != running {
		return nil
	}
	return each
}

// takeUnsent takes outcomes for one frame: at most so many, and stops at so many bytes, but takes at least one.
func (l *ledger) takeUnsent(maxItems, maxBytes int) []*lease {
	var taken []*lease
	size := 0
	for l.unsent.len() > 0 && len(taken) < maxItems && size < maxBytes {
		each := l.unsent.first()
		if each.state == concluded {
			cost := each.outcome.size()
			if len(taken) > 0 && size+cost > maxBytes {
				break
			}
			size += cost
			taken = append(taken, each)
		}
		l.unsent.pop()
	}
	return taken
}

// settled forgets a lease whose outcome was answered for good: OK, ALREADY or LEASE_SUPERSEDED.
func (l *ledger) settled(each *lease) {
	l.forget(each)
}

// retryLater sends the outcome again when it is due: the server could not store it.
func (l *ledger) retryLater(each *lease, due time.Time) {
	if each.state == concluded {
		each.tries++
		l.delayed = append(l.delayed, delayed{due, each})
	}
}

// refuse replaces a malformed outcome by a plain failure, so that the job is not stuck. False: given up.
func (l *ledger) refuse(each *lease, message string) bool {
	if each.state != concluded {
		return false
	}
	each.invalid++
	if each.invalid > maxInvalid {
		l.forget(each)
		return false
	}
	each.outcome = &outcome{kind: OutcomeFail, failure: newFailure("INVALID_OUTCOME", message, "")}
	l.unsent.push(each)
	return true
}

// revive queues delayed outcomes that are due; it tells whether there were any.
func (l *ledger) revive(now time.Time) bool {
	left := l.delayed[:0]
	for _, each := range l.delayed {
		if each.due.After(now) {
			left = append(left, each)
		} else {
			l.unsent.push(each.lease)
		}
	}
	revived := len(left) < len(l.delayed)
	l.delayed = left
	return revived
}

// openStream begins a new stream: nothing was delivered on it, and every unconfirmed outcome goes out on it again.
func (l *ledger) openStream(no uint64) {
	l.streamNo, l.begun, l.delayed = no, 0, nil
	l.unsent = queue[*lease]{}
	for _, each := range l.held {
		if each.state == concluded {
			l.unsent.push(each)
		}
	}
}

// resume keeps what the server says this session still has. It returns running leases that it has not: stop those.
//
// Outcomes of lost leases stay: an answer may have been lost with the old stream, and Settled decides.
func (l *ledger) resume(kept []*pb.LeaseRef) []*lease {
	stands := make(map[ref]bool, len(kept))
	for _, each := range kept {
		stands[ref{each.GetJobId(), each.GetAttempt()}] = true
	}
	var lost []*lease
	for _, each := range l.held {
		if each.streamNo == l.streamNo || stands[ref{each.id, each.attempt}] {
			continue
		}
		if each.state != concluded && l.forget(each) {
			lost = append(lost, each)
		}
	}
	return lost
}

// reset forgets everything: the session is over. It returns running leases: stop those.
func (l *ledger) reset() []*lease {
	var stop []*lease
	for _, each := range l.held {
		if l.forget(each) {
			stop = append(stop, each)
		}
	}
	l.line, l.unsent, l.delayed = queue[*lease]{}, queue[*lease]{}, nil
	return stop
}

func (l *ledger) settle(each *lease, how *outcome) {
	each.state, each.outcome = concluded, how
	l.unsent.push(each)
}

// forget drops a lease. True: its handler is running and must be stopped.
func (l *ledger) forget(each *lease) bool {
	was := each.state
	each.state = gone
	if l.held[each.id] == each {
		delete(l.held, each.id)
	}
	if was == waiting {
		l.inLine--
	}
	return was == running
}
