package worker

import (
	"context"
	"errors"
	"strings"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

// How long callbacks may take to stop once their context is cancelled.
const hookPatience = time.Second

// settled notes what became of outcomes and updates: it forgets what is settled, and sends again what was not stored.
func (s *session) settled(settled *pb.Settled, now time.Time) {
	for _, group := range settled.GetGroups() {
		for _, id := range group.GetJobIds() {
			s.settledOne(id, group.GetAttempt(), group.GetCode(), group.GetNextState(), nil, now)
		}
	}
	for _, item := range settled.GetItems() {
		s.settledOne(item.GetJobId(), item.GetAttempt(), item.GetCode(), item.GetNextState(), item, now)
	}
	for _, item := range settled.GetUpdates() {
		s.updateRefused(item)
	}
	if s.holding.phase == phaseLeaving || s.holding.ledger.unsent.len() > 0 {
		s.wake()
	}
}

// settledOne notes the answer to one outcome. item is nil in the short form.
func (s *session) settledOne(id string, attempt uint32, code pb.SettleCode, state pb.JobState, item *pb.SettledItem, now time.Time) {
	ledger := s.holding.ledger
	each := ledger.find(id, attempt)
	if each == nil || each.state != concluded {
		return
	}
	if s.options.Events.Settled != nil {
		event := settledEvent(id, attempt, code, state, item)
		s.holding.notify(func() { s.options.Events.Settled(event) })
	}
	switch code {
	case pb.SettleCode_SETTLE_CODE_RETRY_LATER:
		wait := settleAgainAfter(each.tries)
		ledger.retryLater(each, now.Add(wait))
		time.AfterFunc(wait, s.revive)
	case pb.SettleCode_SETTLE_CODE_INVALID:
		s.log.Error("outcome refused", "job_id", id, "why", item.GetMessage())
		if !ledger.refuse(each, item.GetMessage()) {
			s.log.Error("outcome given up", "job_id", id)
		}
	case pb.SettleCode_SETTLE_CODE_OK, pb.SettleCode_SETTLE_CODE_ALREADY:
		ledger.settled(each)
		if state == pb.JobState_JOB_STATE_FAILED {
			s.callFailed(each)
		}
	default:
		ledger.settled(each)
		s.log.Info("outcome superseded", "job_id", id, "attempt", attempt)
	}
}

func settledEvent(id string, attempt uint32, code pb.SettleCode, state pb.JobState, item *pb.SettledItem) Settled {
	event := Settled{
		JobID: id, Attempt: int(attempt), Code: strings.TrimPrefix(code.String(), "SETTLE_CODE_"),
		State: protojobs.State(strings.TrimPrefix(state.String(), "JOB_STATE_")),
	}
	if item.GetNextTime() != nil {
		event.NextAt = item.GetNextTime().AsTime()
	}
	return event
}

// callFailed runs the handler's WithOnFailed for exactly this attempt.
func (s *session) callFailed(each *lease) {
	if each.run == nil || each.outcome.failure == nil || each.run.job.handler.onFailed == nil {
		return
	}
	job, cause, failure := each.run.job, each.outcome.cause, each.outcome.failure
	if cause == nil {
		cause = errors.New(failure.GetType() + ": " + failure.GetMessage())
	}
	s.hooks.Go(func() {
		defer func() {
			if recover() != nil {
				s.log.Error("WithOnFailed panicked", "job_id", job.ID(), "kind", job.Kind())
			}
		}()
		job.handler.onFailed(s.base, job, cause)
	})
}

// finishHooks gives WithOnFailed callbacks the rest of the grace, and cancels them then; one that does not stop is left.
func (s *session) finishHooks(cancel context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		s.hooks.Wait()
		close(done)
	}()
	s.mu.Lock()
	rest := s.leaving.rest(time.Now())
	s.mu.Unlock()
	select {
	case <-done:
		return
	case <-time.After(rest):
		cancel()
	}
	select {
	case <-done:
	case <-time.After(hookPatience):
		s.log.Error("a WithOnFailed callback does not stop; leaving without it")
	}
}

func (s *session) revive() {
	s.mu.Lock()
	defer s.unlock()
	if s.holding.ledger.revive(time.Now()) {
		s.wake()
	}
}

func (s *session) updateRefused(item *pb.SettledItem) {
	each := s.holding.ledger.find(item.GetJobId(), item.GetAttempt())
	if item.GetCode() == pb.SettleCode_SETTLE_CODE_RETRY_LATER {
		if each != nil && each.run != nil {
			time.AfterFunc(between(500*time.Millisecond, 2*time.Second), func() { s.tellAgain(each) })
		}
		return
	}
	s.log.Info("update refused", "job_id", item.GetJobId(), "code", item.GetCode().String(), "why", item.GetMessage())
	if each != nil && each.run != nil {
		each.run.toldProgress, each.run.toldCheckpoint = nil, nil
	}
}

func (s *session) tellAgain(each *lease) {
	s.mu.Lock()
	defer s.unlock()
	if each.state != gone {
		s.holding.updates.again(each.run)
		s.wake()
	}
}

// cancel stops jobs, whether they run or wait.
func (s *session) cancel(cancel *pb.Cancel, now time.Time) {
	for _, item := range cancel.GetItems() {
		var why error
		var how *outcome
		switch item.GetReason() {
		case pb.CancelReason_CANCEL_REASON_LEASE_LOST:
			why = ErrLeaseLost
		case pb.CancelReason_CANCEL_REASON_TIMEOUT:
			why, how = ErrTimeout, released(pb.ReleaseReason_RELEASE_REASON_OVERLOAD)
		default:
			why, how = ErrJobCancelled, &outcome{kind: OutcomeCancelled}
		}
		if each := s.holding.ledger.cancel(item.GetJobId(), item.GetAttempt(), how); each != nil {
			s.holding.stop([]*lease{each}, why, now)
		}
	}
	s.wake()
}
