package worker

import (
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const (
	confirm       = 5 * time.Second
	confirmKilled = 500 * time.Millisecond
)

// leaving is the way from the first request to leave to the end of the session: the worker finishes what runs, after a
// while asks it to stop, then gives it back.
type leaving struct {
	holding     *holding
	exit        ExitReason
	grace       time.Duration
	stopGrace   time.Duration
	beganAt     time.Time
	stopped     bool
	givenBack   bool
	givenBackAt time.Time
}

// deadline is from the first request until everything goes back.
func (l *leaving) deadline() time.Duration { return l.grace + l.stopGrace }

// rest is what is left of that time; none for a worker that ends at once.
func (l *leaving) rest(now time.Time) time.Duration {
	if l.exit == ExitKilled || l.beganAt.IsZero() {
		return 0
	}
	return max(0, l.beganAt.Add(l.deadline()).Sub(now))
}

// quiet takes no more jobs, and gives back what has not begun.
func (l *leaving) quiet() {
	if l.holding.phase == phaseWorking {
		l.holding.phase = phaseQuiet
		l.holding.ledger.releaseWaiting(pb.ReleaseReason_RELEASE_REASON_SHUTDOWN)
		l.holding.log.Info("quiet: taking no more jobs")
		l.holding.wake()
	}
}

// leave finishes what runs, for so long at most (nil: the grace). A later call changes nothing, unless it says ExitKilled.
func (l *leaving) leave(reason ExitReason, within *time.Duration, now time.Time) {
	if within != nil {
		l.grace = min(l.grace, *within)
	}
	switch {
	case l.holding.phase != phaseLeaving:
		l.holding.phase = phaseLeaving
		l.exit, l.beganAt = reason, now
		l.holding.ledger.dropWaiting()
		l.holding.log.Info("leaving", "reason", reason, "running", l.holding.ledger.running)
		if draining := l.holding.options.Events.Draining; draining != nil {
			l.holding.notify(draining)
		}
	case reason == ExitKilled:
		l.exit = reason
	}
	l.holding.wake()
}

// press cancels handlers after the grace, and gives their jobs back after the stop grace. True: nothing is left to do.
func (l *leaving) press(now time.Time, connected bool) bool {
	if l.holding.phase != phaseLeaving {
		return false
	}
	ledger, killed := l.holding.ledger, l.exit == ExitKilled
	if !l.stopped && (killed || !now.Before(l.beganAt.Add(l.grace))) {
		l.stopped = true
		l.holding.stop(ledger.runningLeases(), ErrShutdown, now)
	}
	if !l.givenBack && (killed || !now.Before(l.beganAt.Add(l.deadline()))) {
		l.givenBack, l.givenBackAt = true, now
		for _, each := range ledger.runningLeases() {
			if ledger.conclude(each, released(pb.ReleaseReason_RELEASE_REASON_SHUTDOWN)) && each.run != nil {
				l.holding.abandoned(each.run, ErrShutdown)
			}
		}
		l.holding.wake()
	}
	if !l.givenBack {
		return !connected && l.holding.nothingLeft()
	}
	patience := confirm
	if killed {
		patience = confirmKilled
	}
	return len(ledger.held) == 0 || !now.Before(l.givenBackAt.Add(patience))
}
