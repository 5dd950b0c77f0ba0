package worker

import (
	"math/rand/v2"
	"time"
)

const (
	// Work that is asked for ahead covers the way to the server, the store's commit and the answer: some 5 ms on a quiet
	// machine, 200 ms on one that is busy to its limit. What is ahead delays an urgent job by as much, so it is grown by
	// need only.
	leastAhead = 0.02
	mostAhead  = 0.25
	growth     = 2.0
	decay      = 0.8
	// Handlers that take longer get nothing ahead beyond what their rate needs.
	slowSeconds = 0.25
)

// prefetch is how many jobs to ask for beyond those that can run at once: what 0.02 to 0.25 s of work need.
//
// As little as keeps the slots busy: what waits here cannot be overtaken by an urgent job, nor run by another worker. Slow
// handlers get none; fast ones get thousands.
type prefetch struct {
	slots int
	floor int
	ahead float64
	jobs  int
}

func newPrefetch(slots int) *prefetch {
	floor := min(slots, 10)
	return &prefetch{slots: slots, floor: floor, ahead: leastAhead, jobs: floor}
}

// observe learns from the last seconds: handlers that ended, handlers running now, whether slots stood idle over a backlog.
func (p *prefetch) observe(ended, running int, seconds float64, starved bool) {
	if starved {
		p.ahead = min(p.ahead*growth, mostAhead)
	} else {
		p.ahead = max(p.ahead*decay, leastAhead)
	}
	switch {
	case ended > 0:
		rate := float64(ended) / seconds
		wanted := int(rate * p.ahead)
		// Little's law: running / rate is the mean time of a handler.
		if slow := float64(running)/rate > slowSeconds; !slow {
			wanted = max(wanted, p.floor)
		}
		if wanted > p.jobs {
			p.jobs = wanted
		} else {
			p.jobs = (wanted + p.jobs) / 2
		}
	case running >= p.slots:
		p.jobs /= 2
	case running == 0:
		p.jobs = p.floor
	}
	p.jobs = min(p.jobs, maxWindow-p.slots)
}

// dryness is how long slots stood idle because nothing was there to begin.
type dryness struct {
	since time.Time
	total time.Duration
}

// ranDry notes that a slot is idle and nothing waits for it.
func (d *dryness) ranDry(now time.Time) {
	if d.since.IsZero() {
		d.since = now
	}
}

// refilled notes that there is something to begin.
func (d *dryness) refilled(now time.Time) {
	if !d.since.IsZero() {
		d.total += now.Sub(d.since)
		d.since = time.Time{}
	}
}

// take returns how long it was since this was asked last.
func (d *dryness) take(now time.Time) time.Duration {
	if !d.since.IsZero() {
		d.total += now.Sub(d.since)
		d.since = now
	}
	total := d.total
	d.total = 0
	return total
}

// reconnect is the wait before a stream is opened again: 0 to 1 s after a lost one, then full jitter of 0.2 to 10 s.
type reconnect struct {
	tries int
}

func (r *reconnect) welcomed() { r.tries = 0 }

func (r *reconnect) wait() time.Duration {
	r.tries++
	if r.tries == 1 {
		return between(0, time.Second)
	}
	longest := 10 * time.Second
	if r.tries < 5 {
		longest = time.Second << (r.tries - 1)
	}
	return between(200*time.Millisecond, longest)
}

// settleAgainAfter is the wait before an outcome goes out again that the server could not store: up to 5 s, full jitter.
func settleAgainAfter(tries int) time.Duration {
	return between(50*time.Millisecond, min(5*time.Second, 100*time.Millisecond<<min(tries, 6)))
}

func between(least, most time.Duration) time.Duration {
	return least + time.Duration(rand.Int64N(int64(most-least)+1))
}
