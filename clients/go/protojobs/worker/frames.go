package worker

import (
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	maxSettles = 10_000
	maxUpdates = 1_000
	// An item of the short form is an id; of the long form an id, an attempt and what follows.
	shortCost = 40
	longCost  = shortCost + 64

	longestGoodbye = 24 * time.Hour
)

// size is how many bytes an outcome takes in a frame at most.
func (o *outcome) size() int {
	if o == completed {
		return shortCost
	}
	size := longCost + len(o.result) + proto.Size(o.failure) + len(o.checkpoint)
	for _, child := range o.children {
		size += proto.Size(child) + 8
	}
	return size
}

// settleFrame makes a frame of outcomes; completions without a result take the short form.
func settleFrame(leases []*lease) *pb.LeaseRequest {
	settle := &pb.Settle{}
	groups := map[uint32]*pb.CompletedGroup{}
	for _, each := range leases {
		if each.outcome != completed {
			settle.Items = append(settle.Items, settleItem(each))
			continue
		}
		group := groups[each.attempt]
		if group == nil {
			group = &pb.CompletedGroup{Attempt: each.attempt}
			groups[each.attempt] = group
			settle.Completed = append(settle.Completed, group)
		}
		group.JobIds = append(group.JobIds, each.id)
	}
	return &pb.LeaseRequest{Frame: &pb.LeaseRequest_Settle{Settle: settle}}
}

func settleItem(each *lease) *pb.SettleItem {
	how := each.outcome
	item := &pb.SettleItem{JobId: each.id, Attempt: each.attempt}
	switch how.kind {
	case OutcomeComplete:
		item.Outcome = &pb.SettleItem_Complete{Complete: &pb.Complete{Result: how.result, Dispatch: how.children}}
	case OutcomeSnooze:
		item.Outcome = &pb.SettleItem_Snooze{Snooze: &pb.Snooze{Delay: bounded(how.delay)}}
	case OutcomeReleased:
		item.Outcome = &pb.SettleItem_Release{Release: &pb.Release{Reason: how.release}}
	case OutcomeCancel, OutcomeCancelled:
		item.Outcome = &pb.SettleItem_Cancelled{Cancelled: &pb.Cancelled{}}
	default:
		fail := &pb.Fail{Error: how.failure, Checkpoint: how.checkpoint}
		if !how.retryable {
			fail.Retryable = proto.Bool(false)
		}
		if how.retryAfter != nil {
			fail.RetryAfter = bounded(*how.retryAfter)
		}
		item.Outcome = &pb.SettleItem_Fail{Fail: fail}
	}
	return item
}

func bounded(delay time.Duration) *durationpb.Duration {
	return durationpb.New(max(0, min(delay, longestDelay)))
}

// heldLeases lists everything delivered and not settled, for Hello.
func (l *ledger) heldLeases(now time.Time) []*pb.HeldLease {
	held := make([]*pb.HeldLease, 0, len(l.held))
	for _, each := range l.held {
		line := &pb.HeldLease{JobId: each.id, Attempt: each.attempt}
		if !each.beganAt.IsZero() {
			line.Started, line.Elapsed = true, durationpb.New(max(0, now.Sub(each.beganAt)))
		}
		held = append(held, line)
	}
	return held
}

func windowFrame(jobs int) *pb.LeaseRequest {
	return &pb.LeaseRequest{Frame: &pb.LeaseRequest_Window{Window: &pb.Window{MaxInFlight: uint32(jobs)}}}
}

func goodbyeFrame(deadline time.Duration) *pb.LeaseRequest {
	goodbye := &pb.Goodbye{Mode: pb.GoodbyeMode_GOODBYE_MODE_FINISH, Deadline: durationpb.New(min(deadline, longestGoodbye))}
	return &pb.LeaseRequest{Frame: &pb.LeaseRequest_Goodbye{Goodbye: goodbye}}
}

func pingFrame() *pb.LeaseRequest {
	return &pb.LeaseRequest{Frame: &pb.LeaseRequest_Ping{Ping: &pb.Ping{}}}
}

func updateFrame(items []*pb.UpdateItem) *pb.LeaseRequest {
	return &pb.LeaseRequest{Frame: &pb.LeaseRequest_Update{Update: &pb.Update{Items: items}}}
}
