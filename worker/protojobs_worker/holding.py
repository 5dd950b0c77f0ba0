"""The jobs that this worker has: how many it wants, which begin now, what their handlers said.

Belongs to the session's thread. `session.py` says when, `answers.py` hears what the server makes of it.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from typing import Final

from protojobs.v1 import worker_service_pb2 as wire

from protojobs_worker.context import Attempt, StopReason
from protojobs_worker.exchange import Exchange
from protojobs_worker.executor import Executor
from protojobs_worker.frames import WireLease
from protojobs_worker.ledger import Ledger
from protojobs_worker.limits import Limits
from protojobs_worker.options import WorkerOptions
from protojobs_worker.outcomes import COMPLETED, Cancelled, Completed, Failed, Outcome, Released, ReleaseReason, timed_out
from protojobs_worker.pacing import Dryness, Prefetch
from protojobs_worker.updates import Updates

logger = logging.getLogger(__name__)

_WAITED_TOO_LONG: Final = 5.0
# Slots that stand idle for a smaller share of the time cost less than an urgent job's wait behind what would fill them.
_STARVED: Final = 0.1


class Phase(Enum):
    """What the worker is about."""

    WORKING = "working"
    QUIET = "quiet"  # takes no more jobs
    LEAVING = "leaving"  # finishes, then ends


class Holding:
    """Every job from its delivery to its outcome, and the room that is left."""

    def __init__(
        self,
        options: WorkerOptions,
        executor: Executor,
        wake: Callable[[], None],
        clock: Callable[[], float],
        exchange: Exchange | None = None,
    ) -> None:
        """`wake` asks for a turn: there is something to begin or to say. `exchange`: who is told of frames."""
        self.ledger: Ledger[wire.LeasedJob] = Ledger()
        self.updates = Updates()
        self.limits = Limits()
        self.phase = Phase.WORKING
        self.ended = 0
        self.stuck = 0
        self.last_busy = clock()
        self.exchange = exchange
        self._options = options
        self._executor = executor
        self._wake = wake
        self._clock = clock
        self._started = 0
        self._stuck_jobs: set[str] = set()
        self._prefetch = Prefetch(options.concurrency)
        self._adapted_at = clock()
        self._ended_before = 0
        self._dryness = Dryness()

    @property
    def slots(self) -> int:
        """How many handlers can run at once."""
        return max(1, self._options.concurrency - self.stuck)

    @property
    def used_up(self) -> bool:
        """Tell whether `max_jobs` have begun."""
        return self._options.max_jobs is not None and self._started >= self._options.max_jobs

    @property
    def nothing_left(self) -> bool:
        """Tell whether everything is settled and nothing runs that could still be."""
        return not len(self.ledger) and self.ledger.running <= self.stuck

    def window(self) -> int:
        """Say how many jobs may be delivered and not settled."""
        if self.phase is not Phase.WORKING:
            return 0
        wanted = self._options.window
        if wanted is None:
            wanted = self._options.concurrency + self._prefetch.jobs
        if self._options.max_jobs is not None:
            # What has begun stays in flight until it is settled; beyond it only what may still begin.
            to_begin = max(0, self._options.max_jobs - self._started)
            wanted = min(wanted, len(self.ledger) - self.ledger.waiting + to_begin)
        return max(0, min(wanted - self.stuck, self.limits.max_in_flight))

    def deliver(self, deliver: wire.Deliver) -> None:
        """Take delivered jobs."""
        self.last_busy = self._clock()
        self._dryness.refilled(self.last_busy)
        if self.exchange is not None:
            self.exchange.delivered(deliver.items)
        superseded = self.ledger.deliver((item.job_id, item.attempt, item) for item in deliver.items)
        self.stop(superseded, StopReason.LEASE_LOST)
        if self.phase is Phase.LEAVING:
            self.ledger.drop_waiting()
        elif self.phase is Phase.QUIET:
            self.ledger.release_waiting(ReleaseReason.SHUTDOWN)
        if self.ledger.running < self._options.concurrency or self.phase is not Phase.WORKING:
            self._wake()

    def begin(self) -> list[WireLease]:
        """Begin what there is room for. The frame that covers it must leave before `start`; else `put_back`."""
        if self.phase is not Phase.WORKING or not self.ledger.waiting:
            return []
        room = self._options.concurrency - self.ledger.running
        if self._options.max_jobs is not None:
            room = min(room, self._options.max_jobs - self._started)
        if room <= 0:
            return []
        begun = self.ledger.begin(room, self._clock(), self._executor.gate())
        self._started += len(begun)
        return begun

    def put_back(self, begun: list[WireLease]) -> None:
        """Undo `begin`: the stream was lost before the frame had left."""
        self._started -= len(begun)
        self.ledger.put_back(begun)

    def start(self, begun: list[WireLease]) -> None:
        """Run the handlers of what has begun."""
        if self._stuck_jobs:
            for lease in begun:
                if lease.job_id in self._stuck_jobs:
                    self.ledger.end(lease, Released(ReleaseReason.OVERLOAD))
            begun = [lease for lease in begun if lease.job_id not in self._stuck_jobs]
        for lease in self._executor.start(begun):
            logger.warning("no handler for kind", extra={"job_id": lease.job_id, "kind": lease.job.spec.kind})
            self.ledger.end(lease, Released(ReleaseReason.UNKNOWN_KIND))
        self._wake()

    def collect(self) -> None:
        """Note what handlers reported."""
        ledger, count = self.ledger, 0
        for report in self._executor.ended.collect():
            for attempt, outcome in report:
                count += 1
                if outcome is not COMPLETED:
                    outcome = self._complete(attempt, outcome)
                if attempt.abandoned:
                    self.stuck -= 1
                    self._stuck_jobs.discard(attempt.lease.job_id)
                ledger.end(attempt.lease, outcome)
        self.ended += count
        for attempt in self._executor.updated.collect():
            self.updates.add(attempt)
        if count:
            self.last_busy = self._clock()
            if not ledger.waiting and ledger.running < self._options.concurrency:
                self._dryness.ran_dry(self.last_busy)

    def _complete(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """Drop a result that is too large; add the last checkpoint to a failure."""
        match outcome:
            case Completed(result) if result is not None and len(result) > self.limits.max_result_bytes:
                logger.warning(
                    "result is too large and is dropped",
                    extra={"job_id": attempt.lease.job_id, "size": len(result), "limit": self.limits.max_result_bytes},
                )
                # One byte too many is enough for the server to drop it, and to say so on the job.
                return replace(outcome, result=result[: self.limits.max_result_bytes + 1])
            case Failed():
                # An update may still be on its way, or lost; with the failure it cannot come too late.
                checkpoint = attempt.told_checkpoint if attempt.checkpoint is None else attempt.checkpoint
                if checkpoint is None or len(checkpoint) > self.limits.max_checkpoint_bytes:
                    return outcome
                attempt.checkpoint = attempt.told_checkpoint = None
                return replace(outcome, checkpoint=checkpoint)
            case _:
                return outcome

    def resume(self, kept: Iterable[wire.LeaseRef]) -> None:
        """Go on with what the server says we still have; tell it again what it may not have stored."""
        lost = self.ledger.resume((lease.job_id, lease.attempt) for lease in kept)
        self.stop(lost, StopReason.LEASE_LOST)
        for lease in self.ledger:
            attempt: Attempt | None = lease.run
            # A failure carries its checkpoint itself, and nothing follows the other ends.
            if attempt is not None and not isinstance(lease.outcome, Completed | Failed | Cancelled):
                self.updates.again(attempt)

    def reset(self) -> None:
        """Forget everything: the session is over."""
        self.stop(self.ledger.reset(), StopReason.LEASE_LOST)

    def stop(self, leases: Iterable[WireLease], reason: StopReason) -> None:
        """Ask handlers to stop."""
        now = self._clock()
        for lease in list(leases):
            self._executor.stop(lease, reason, now)

    def watch(self, now: float) -> None:
        """Enforce run timeouts; a handler that does not stop loses its slot and its job gets its outcome."""
        for attempt in self._executor.watch(now):
            self.stuck += 1
            self._stuck_jobs.add(attempt.lease.job_id)
            cancelled = attempt.stop_reason is StopReason.CANCELLED
            outcome = Cancelled() if cancelled else self._complete(attempt, timed_out(attempt.run_timeout))
            self.ledger.conclude(attempt.lease, outcome)
            self._wake()

    def adapt(self, now: float) -> bool:
        """Learn how much to ask for ahead. True: it has looked; it does so four times a second at most."""
        seconds = now - self._adapted_at
        if self.phase is not Phase.WORKING or self._options.window is not None or seconds < 0.25:
            return False
        ended, self._ended_before = self.ended - self._ended_before, self.ended
        # Where the window is mostly full, more is there than we had asked for: what stood idle needed not to.
        starved = self._dryness.take(now) > _STARVED * seconds and 2 * len(self.ledger) >= self.window()
        self._prefetch.observe(ended=ended, running=self.ledger.running, seconds=seconds, starved=starved)
        self._adapted_at = now
        if self.ledger.waiting and now > self.last_busy + _WAITED_TOO_LONG:
            # Every slot is held by a slow job: somebody else may have room for what waits here.
            self.ledger.release_waiting(ReleaseReason.OVERLOAD)
            self._wake()
        return True
