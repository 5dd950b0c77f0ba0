package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const (
	waitedTooLong = 5 * time.Second
	// Slots that stand idle for a smaller share of the time cost less than an urgent job's wait behind what would fill them.
	starvedShare = 0.1
)

// phase is what the worker is about.
type phase string

const (
	phaseWorking phase = "working"
	phaseQuiet   phase = "quiet"   // takes no more jobs
	phaseLeaving phase = "leaving" // finishes, then ends
)

// holding is the jobs that a worker has: how many it wants, which begin now, what their handlers said. Its session guards
// it, says when, and answers.go hears what the server makes of it.
type holding struct {
	ledger   *ledger
	updates  updates
	box      mailbox
	limits   limits
	phase    phase
	ended    int // handlers that ended
	stuck    int // slots whose handler does not stop
	lastBusy time.Time

	options     Options
	handlers    map[string]*handler
	base        context.Context // that handlers' contexts come from
	log         *slog.Logger
	wake        func() // asks for a turn: there is something to begin or to say
	started     int
	stuckJobs   map[string]bool
	active      map[*run]struct{}
	prefetch    *prefetch
	adaptedAt   time.Time
	endedBefore int
	dry         dryness
	notices     []func() // events to call
}

func newHolding(base context.Context, options Options, handlers map[string]*handler, wake func()) *holding {
	now := time.Now()
	return &holding{
		ledger: newLedger(), box: mailbox{wake: wake, gather: gatherFor}, limits: defaultLimits(), phase: phaseWorking, lastBusy: now,
		options: options, handlers: handlers, base: base, log: options.Server.Logger, wake: wake,
		stuckJobs: map[string]bool{}, active: map[*run]struct{}{}, prefetch: newPrefetch(options.Slots), adaptedAt: now,
	}
}

// slots is how many handlers can run at once.
func (h *holding) slots() int { return max(1, h.options.Slots-h.stuck) }

// usedUp tells whether MaxJobs have begun.
func (h *holding) usedUp() bool { return h.options.MaxJobs > 0 && h.started >= h.options.MaxJobs }

// nothingLeft tells whether everything is settled and nothing runs that could still be.
func (h *holding) nothingLeft() bool { return len(h.ledger.held) == 0 && h.ledger.running <= h.stuck }

// window is how many jobs may be delivered and not settled.
func (h *holding) window() int {
	if h.phase != phaseWorking {
		return 0
	}
	wanted := h.options.Window
	if wanted == 0 {
		wanted = h.options.Slots + h.prefetch.jobs
	}
	if h.options.MaxJobs > 0 {
		// What has begun stays in flight until it is settled; beyond it only what may still begin.
		toBegin := max(0, h.options.MaxJobs-h.started)
		wanted = min(wanted, len(h.ledger.held)-h.ledger.inLine+toBegin)
	}
	return max(0, min(wanted-h.stuck, h.limits.inFlight))
}

// deliver takes delivered jobs.
func (h *holding) deliver(jobs []*pb.LeasedJob, now time.Time) {
	h.lastBusy = now
	h.dry.refilled(now)
	h.stop(h.ledger.deliver(jobs), ErrLeaseLost, now)
	switch h.phase {
	case phaseLeaving:
		h.ledger.dropWaiting()
	case phaseQuiet:
		h.ledger.releaseWaiting(pb.ReleaseReason_RELEASE_REASON_SHUTDOWN)
	case phaseWorking:
		if h.ledger.running >= h.options.Slots {
			return
		}
	}
	h.wake()
}

// begin begins what there is room for. The frame that covers it must leave before start; else putBack.
func (h *holding) begin(now time.Time) []*lease {
	if h.phase != phaseWorking || h.ledger.inLine == 0 {
		return nil
	}
	room := h.options.Slots - h.ledger.running
	if h.options.MaxJobs > 0 {
		room = min(room, h.options.MaxJobs-h.started)
	}
	if room <= 0 {
		return nil
	}
	begun := h.ledger.begin(room, now)
	h.started += len(begun)
	return begun
}

// putBack undoes begin: the stream was lost before the frame had left.
func (h *holding) putBack(begun []*lease) {
	h.started -= len(begun)
	for _, each := range begun {
		// Whether the lease stands, the next stream will tell.
		if !errors.Is(each.stopWhy, ErrJobCancelled) {
			each.stopWhy = nil
		}
	}
	h.ledger.putBack(begun)
	switch h.phase {
	case phaseLeaving:
		h.ledger.dropWaiting()
	case phaseQuiet:
		h.ledger.releaseWaiting(pb.ReleaseReason_RELEASE_REASON_SHUTDOWN)
	case phaseWorking:
	}
}

// start runs the handlers of what has begun.
func (h *holding) start(begun []*lease) {
	h.box.expect(len(begun))
	for _, each := range begun {
		found := h.handlers[each.job.GetSpec().GetKind()]
		switch {
		case h.stuckJobs[each.id]:
			h.ledger.end(each, released(pb.ReleaseReason_RELEASE_REASON_OVERLOAD))
		case found == nil:
			h.log.Warn("no handler for kind", "job_id", each.id, "kind", each.job.GetSpec().GetKind())
			h.ledger.end(each, released(pb.ReleaseReason_RELEASE_REASON_UNKNOWN_KIND))
		case each.state == running:
			each.run = start(h.base, each, found, &h.box, &h.options.Events, h.log)
			h.active[each.run] = struct{}{}
			if each.stopWhy != nil {
				each.run.stop(each.stopWhy, time.Now())
			}
			continue
		default:
			// Lost while its frame was on the way: its outcome, where it has one, stands.
			h.ledger.running--
		}
		h.box.skip()
	}
}

// collect notes what handlers reported.
func (h *holding) collect(now time.Time) {
	ended, updated := h.box.collect()
	for _, news := range updated {
		h.updates.add(news)
	}
	for _, each := range ended {
		delete(h.active, each.run)
		if each.run.abandoned {
			h.stuck--
			delete(h.stuckJobs, each.run.lease.id)
		}
		h.ledger.end(each.run.lease, h.completed(each.run, each.how))
	}
	if len(ended) > 0 {
		h.ended += len(ended)
		h.lastBusy = now
		if h.ledger.inLine == 0 && h.ledger.running < h.options.Slots {
			h.dry.ranDry(now)
		}
	}
}

// completed drops a result that is too large, and adds the last checkpoint to a failure.
func (h *holding) completed(r *run, how *outcome) *outcome {
	switch {
	case len(how.result) > h.limits.resultBytes:
		h.log.Warn("result is too large and is dropped", "job_id", r.lease.id, "size", len(how.result), "limit", h.limits.resultBytes)
		cut := *how
		// One byte too many is enough for the server to drop it, and to say so on the job.
		cut.result = how.result[:h.limits.resultBytes+1]
		return &cut
	case how.failure != nil:
		// An update may still be on its way, or lost; with the failure it cannot come too late.
		checkpoint := r.checkpoint
		if checkpoint == nil {
			checkpoint = r.toldCheckpoint
		}
		if checkpoint == nil || len(checkpoint) > h.limits.checkpointBytes {
			return how
		}
		r.checkpoint, r.toldCheckpoint = nil, nil
		with := *how
		with.checkpoint = checkpoint
		return &with
	default:
		return how
	}
}

// resume goes on with what the server says we still have, and tells it again what it may not have stored. It returns how
// many running handlers have lost their lease.
func (h *holding) resume(kept []*pb.LeaseRef, now time.Time) int {
	lost := h.ledger.resume(kept)
	h.stop(lost, ErrLeaseLost, now)
	for _, each := range h.ledger.held {
		// A failure carries its checkpoint itself, and nothing follows the other ends.
		if each.run != nil && (each.outcome == nil || each.outcome.kind == OutcomeSnooze || each.outcome.kind == OutcomeReleased) {
			h.updates.again(each.run)
		}
	}
	return len(lost)
}

// reset forgets everything: the session is over.
func (h *holding) reset(now time.Time) {
	h.stop(h.ledger.reset(), ErrLeaseLost, now)
}

// stop asks handlers to stop.
func (h *holding) stop(leases []*lease, why error, now time.Time) {
	for _, each := range leases {
		switch {
		case each.run != nil:
			each.run.stop(why, now)
		case each.stopWhy == nil:
			each.stopWhy = why // its frame is on the way; its handler has not been called yet
		}
	}
}

// watch enforces run timeouts; a handler that does not stop loses its slot, and its job gets its outcome.
func (h *holding) watch(now time.Time) {
	for r := range h.active {
		if r.abandoned {
			continue
		}
		deadline := r.lease.beganAt.Add(r.job.RunTimeout())
		if !now.Before(deadline) {
			r.stop(ErrTimeout, now)
		}
		if r.stopped == nil {
			continue
		}
		patience := r.stoppedAt
		if !errors.Is(r.stopped, ErrTimeout) && deadline.After(patience) {
			patience = deadline
		}
		if !now.Before(patience.Add(h.options.StopGrace)) {
			h.abandon(r)
		}
	}
}

func (h *holding) abandon(r *run) {
	r.abandoned = true
	h.stuck++
	h.stuckJobs[r.lease.id] = true
	h.log.Error("handler does not stop; its slot is stuck", "job_id", r.lease.id, "kind", r.job.Kind())
	how := &outcome{kind: OutcomeCancelled}
	if !errors.Is(r.stopped, ErrJobCancelled) {
		how = h.completed(r, timedOut(r.job.RunTimeout()))
	}
	h.ledger.conclude(r.lease, how)
	h.abandoned(r, r.stopped)
	h.wake()
}

// abandoned lets events hear that the worker does not wait for a handler.
func (h *holding) abandoned(r *run, why error) {
	h.notify(func() { r.tell(&h.options.Events, OutcomeAbandoned, why, h.log) })
}

// notify calls an event once the session is not locked any more: it may ask the worker how it is.
func (h *holding) notify(event func()) { h.notices = append(h.notices, event) }

// adapt learns how much to ask for ahead. True: it has looked; it does so four times a second at most.
func (h *holding) adapt(now time.Time) bool {
	seconds := now.Sub(h.adaptedAt).Seconds()
	if h.phase != phaseWorking || h.options.Window > 0 || seconds < 0.25 {
		return false
	}
	ended := h.ended - h.endedBefore
	h.endedBefore = h.ended
	// Where the window is mostly full, more is there than we had asked for: what stood idle needed not to.
	starved := h.dry.take(now).Seconds() > starvedShare*seconds && 2*len(h.ledger.held) >= h.window()
	h.prefetch.observe(ended, h.ledger.running, seconds, starved)
	h.adaptedAt = now
	if h.ledger.inLine > 0 && now.After(h.lastBusy.Add(waitedTooLong)) {
		// Every slot is held by a slow job: somebody else may have room for what waits here.
		h.ledger.releaseWaiting(pb.ReleaseReason_RELEASE_REASON_OVERLOAD)
		h.wake()
	}
	return true
}
