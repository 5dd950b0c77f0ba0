package worker

import (
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const progressEvery = time.Second

// updates are progress and checkpoints on their way: at most one a second of each job, but the last before its outcome.
//
// Accepted updates are not answered. So what was told last stays with its run until something newer replaces it, and is
// told again when the server says that it was not stored, or when the stream that carried it is lost.
type updates struct {
	fresh []*run
}

// add notes that a run has something to tell; a later one replaces what has not left.
func (u *updates) add(news update) {
	if news.progress != nil {
		news.run.progress = news.progress
	}
	if news.checkpoint != nil {
		news.run.checkpoint = news.checkpoint
	}
	u.freshen(news.run)
}

func (u *updates) freshen(r *run) {
	if !r.isFresh {
		r.isFresh = true
		u.fresh = append(u.fresh, r)
	}
}

// again tells once more what was told last, unless there is something newer.
func (u *updates) again(r *run) {
	if r.toldProgress != nil || r.toldCheckpoint != nil {
		r.again = true
		u.freshen(r)
	}
}

// take returns frames of what may leave now. What comes too early stays.
func (u *updates) take(now time.Time) []*pb.LeaseRequest {
	var frames []*pb.LeaseRequest
	var items []*pb.UpdateItem
	var early []*run
	size := 0
	for _, r := range u.fresh {
		if r.isEarly(now) {
			early = append(early, r)
			continue
		}
		item := r.news()
		if item == nil {
			continue
		}
		r.progressSentAt = now
		items = append(items, item)
		size += len(item.GetCheckpoint())
		if len(items) == maxUpdates || size > frameBytes {
			frames = append(frames, updateFrame(items))
			items, size = nil, 0
		}
	}
	u.fresh = early
	if len(items) > 0 {
		frames = append(frames, updateFrame(items))
	}
	return frames
}

// news takes what a run has to tell; nil where that is nothing, or nobody would hear it.
func (r *run) news() *pb.UpdateItem {
	progress, checkpoint := r.progress, r.checkpoint
	r.progress, r.checkpoint = nil, nil
	if r.again {
		if progress == nil {
			progress = r.toldProgress
		}
		if checkpoint == nil {
			checkpoint = r.toldCheckpoint
		}
	}
	r.isFresh, r.again = false, false
	if r.lease.state == gone || (progress == nil && checkpoint == nil) {
		return nil
	}
	if progress != nil {
		r.toldProgress = progress
	}
	if checkpoint != nil {
		r.toldCheckpoint = checkpoint
	}
	return &pb.UpdateItem{JobId: r.lease.id, Attempt: r.lease.attempt, Progress: progress, Checkpoint: checkpoint}
}

func (r *run) isEarly(now time.Time) bool {
	return r.checkpoint == nil && !r.again && r.lease.state == running && now.Before(r.progressSentAt.Add(progressEvery))
}
