"""The first page: every queue with what waits, what runs, how fast it goes and why it does not."""

from dataclasses import dataclass
from datetime import timedelta

from protojobs.v1 import queue_service_pb2 as pb

from protojobs_service.admin.console.views.fields import STATES, length

WAITING = ("scheduled", "pending", "retrying")
_MOST_KINDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One point of the charts: all that is drawn of a moment. at: Unix seconds by the server's clock."""

    at: float
    waiting: int
    running: int
    done: float
    failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A queue as it is now. counts: by state. limits: why pending jobs wait, in words."""

    name: str
    counts: dict[str, int]
    oldest: timedelta | None
    done_1m: float
    done_5m: float
    failed_1m: float
    failed_5m: float
    average: timedelta | None
    p95: timedelta | None
    workers: int
    limits: list[str]
    paused: bool
    approximate: bool
    may_operate: bool

    @property
    def waiting(self) -> int:
        """Return how many jobs are still to run and do not run now."""
        return sum(self.counts[state] for state in WAITING)

    def pulse(self, at: float) -> Pulse:
        """Return what the charts of this queue draw of the moment."""
        done, failed = round(self.done_1m, 3), round(self.failed_1m, 3)
        return Pulse(at=at, waiting=self.waiting, running=self.counts["running"], done=done, failed=failed)


def view_queue(stats: pb.QueueStats, *, may_operate: bool) -> QueueRow:
    """Return the row of a queue."""
    return QueueRow(
        name=stats.queue,
        counts={state: getattr(stats.counts, state) for state in STATES},
        oldest=length(stats, "oldest_pending_age"),
        done_1m=stats.completed_per_second_1m,
        done_5m=stats.completed_per_second_5m,
        failed_1m=stats.failed_per_second_1m,
        failed_5m=stats.failed_per_second_5m,
        average=length(stats, "average_run_time"),
        p95=length(stats, "p95_run_time"),
        workers=stats.workers,
        limits=_limits(stats),
        paused=stats.paused,
        approximate=stats.approximate,
        may_operate=may_operate,
    )


def take_pulse(response: pb.StatsResponse) -> Pulse:
    """Return the sums over all queues of an answer."""
    queues = response.queues
    return Pulse(
        at=response.snapshot_time.ToMilliseconds() / 1000,
        waiting=sum(q.counts.scheduled + q.counts.pending + q.counts.retrying for q in queues),
        running=sum(q.counts.running for q in queues),
        done=round(sum(q.completed_per_second_1m for q in queues), 3),
        failed=round(sum(q.failed_per_second_1m for q in queues), 3),
    )


def _limits(stats: pb.QueueStats) -> list[str]:
    limited = stats.limited_by
    words = [word for word, holds in (("rate limit", limited.rate), ("concurrency", limited.concurrency)) if holds]
    words += [f"no worker for {each.kind} ({each.pending:,})" for each in limited.no_worker_kinds[:_MOST_KINDS]]
    if (more := len(limited.no_worker_kinds) - _MOST_KINDS) > 0:
        words.append(f"no worker for {more:,} more kinds")
    return words
