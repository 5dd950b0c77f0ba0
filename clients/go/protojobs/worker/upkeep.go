package worker

import (
	"context"
	"os"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const (
	rarely       = time.Second
	emptyLook    = 250 * time.Millisecond
	statsTimeout = 5 * time.Second
)

// upkeep looks after everything that only time brings about, by one timer, until the session is over.
func (s *session) upkeep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-timer.C:
			timer.Reset(s.look(time.Now()))
		}
	}
}

// look does what is due, and returns when to look again.
func (s *session) look(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.unlock()
	h := s.holding
	if !s.connected {
		h.collect(now)
	}
	s.watchStream(now)
	s.fence(now)
	h.watch(now)
	if h.stuck >= s.options.StuckLimit && h.phase != phaseLeaving {
		s.log.Error("too many stuck handlers; leaving", "stuck", h.stuck)
		s.leaving.leave(ExitStuck, nil, now)
	}
	if h.adapt(now) && h.window() != s.windowTold {
		s.wake()
	}
	s.press(now)
	return h.limits.tick()
}

func (s *session) noteAnswer(stream *stream) {
	if stream.answeredAt.After(s.answeredAt) {
		s.answeredAt, s.fenced = stream.answeredAt, false
	}
}

func (s *session) watchStream(now time.Time) {
	stream := s.stream
	if stream == nil || !s.connected {
		return
	}
	s.noteAnswer(stream)
	switch {
	case now.After(stream.lastRead.Add(3 * s.holding.limits.heartbeat)):
		s.log.Warn("no frame in three heartbeat intervals; dropping the stream")
		stream.drop(errDropped)
	case s.isDue(stream, now):
		s.wake()
	}
}

// fence stops handlers whose leases may be gone: no answer for 80 % of the session's life without a heartbeat.
func (s *session) fence(now time.Time) {
	ledger := s.holding.ledger
	if s.fenced || ledger.running == 0 || now.Before(s.answeredAt.Add(s.holding.limits.ttl*8/10)) {
		return
	}
	s.fenced = true
	s.log.Warn("no answer for 80 % of the session's ttl; stopping handlers")
	s.holding.stop(ledger.runningLeases(), ErrLeaseLost, now)
}

func (s *session) press(now time.Time) {
	if s.leaving.press(now, s.connected) {
		s.end(s.leaving.exit)
	}
}

// leave finishes what runs and ends; with ExitKilled it ends at once.
func (s *session) leave(reason ExitReason) {
	s.mu.Lock()
	defer s.unlock()
	now := time.Now()
	s.leaving.leave(reason, nil, now)
	if reason == ExitKilled {
		s.press(now)
	}
}

// rules looks once a second at the health, and at the rules by which a worker ends by itself.
func (s *session) rules(began time.Time) {
	ticker := time.NewTicker(rarely)
	defer ticker.Stop()
	file := s.options.HealthFile
	if file != "" {
		defer os.Remove(file)
	}
	for {
		if file != "" {
			s.health().show(file, s.log)
		}
		select {
		case <-s.over:
			return
		case now := <-ticker.C:
			s.applyRules(began, now)
		}
	}
}

func (s *session) applyRules(began, now time.Time) {
	options := s.options
	if options.MaxLifetime > 0 && now.Sub(began) >= options.MaxLifetime {
		s.leave(ExitMaxLifetime)
	}
	if options.MaxMemory > 0 {
		if used := memoryBytes(); used > options.MaxMemory {
			s.log.Warn("memory exceeded", "memory_bytes", used, "limit_bytes", options.MaxMemory)
			s.leave(ExitMaxMemory)
		}
	}
}

// untilEmpty leaves when nothing was delivered for a second and the server counts no PENDING job in our queues.
func (s *session) untilEmpty(stats pb.QueueServiceClient) {
	ticker := time.NewTicker(emptyLook)
	defer ticker.Stop()
	for {
		select {
		case <-s.over:
			return
		case now := <-ticker.C:
			idle, is := s.idle(now)
			if is && idle >= rarely && (idle >= s.options.EmptyGrace || s.nothingWaits(stats)) {
				s.leave(ExitEmpty)
				return
			}
		}
	}
}

// idle tells since when nothing was delivered or ended, where nothing is held.
func (s *session) idle(now time.Time) (time.Duration, bool) {
	s.mu.Lock()
	defer s.unlock()
	ledger := s.holding.ledger
	return now.Sub(s.holding.lastBusy), s.connected && len(ledger.held) == 0 && ledger.running == 0
}

func (s *session) nothingWaits(stats pb.QueueServiceClient) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), statsTimeout)
	defer cancel()
	answer, err := stats.Stats(ctx, &pb.StatsRequest{})
	if err != nil {
		return false // the idle grace decides
	}
	ours := map[string]bool{}
	for _, each := range s.options.Queues {
		ours[each.Name] = true
	}
	for _, queue := range answer.GetQueues() {
		if ours[queue.GetQueue()] && queue.GetCounts().GetPending() > 0 {
			return false
		}
	}
	return true
}

// watchToken moves to another stream when the token file changes, so that the server sees the new one.
func (s *session) watchToken() {
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	seen := changedAt(s.options.Server.TokenFile)
	for {
		select {
		case <-s.over:
			return
		case <-ticker.C:
			if found := changedAt(s.options.Server.TokenFile); !found.Equal(seen) {
				seen = found
				s.move()
			}
		}
	}
}

func changedAt(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// move goes on by another stream, with all leases, as if the server had asked for it.
func (s *session) move() {
	s.mu.Lock()
	defer s.unlock()
	select {
	case s.moved <- struct{}{}:
	default:
	}
	if s.stream != nil && s.stream.leaveAt.IsZero() {
		s.stream.leaveAt = time.Now()
		s.wake()
	}
}
