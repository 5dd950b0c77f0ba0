"""What the server says about jobs that this worker has: `Settled` and `Cancel`."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC
from typing import Final

from protojobs.v1 import job_pb2
from protojobs.v1 import worker_service_pb2 as wire

from protojobs_worker.context import Attempt, StopReason
from protojobs_worker.executor import Executor
from protojobs_worker.frames import WireLease
from protojobs_worker.holding import Holding, Phase
from protojobs_worker.ledger import LeaseState
from protojobs_worker.outcomes import Cancelled, Failed, Outcome, Released, ReleaseReason
from protojobs_worker.pacing import settle_again_after

logger = logging.getLogger(__name__)

# An update that the store did not take comes again after so many seconds.
_UPDATE_AGAIN: Final = (0.5, 2.0)


class Answers:
    """Forgets what is settled, sends again what was not stored, stops what must not go on."""

    def __init__(
        self,
        holding: Holding,
        executor: Executor,
        wake: Callable[[], None],
        uniform: Callable[[float, float], float],
        clock: Callable[[], float],
    ) -> None:
        self._holding = holding
        self._ledger = holding.ledger
        self._executor = executor
        self._wake = wake
        self._uniform = uniform
        self._clock = clock

    def settled(self, settled: wire.Settled) -> None:
        """Note what became of outcomes and updates."""
        for group in settled.groups:
            if group.code == wire.SETTLE_CODE_OK and group.next_state == job_pb2.JOB_STATE_COMPLETED:
                if self._holding.exchange is not None:
                    self._holding.exchange.answered(self._ledger.get(job_id, group.attempt) for job_id in group.job_ids)
                self._ledger.settled(group.job_ids, group.attempt)
                continue
            for job_id in group.job_ids:
                self._outcome(wire.SettledItem(job_id=job_id, attempt=group.attempt, code=group.code, next_state=group.next_state))
        for item in settled.items:
            self._outcome(item)
        for item in settled.updates:
            self._update(item)
        if self._holding.phase is Phase.LEAVING or self._ledger.unsent:
            self._wake()

    def _outcome(self, item: wire.SettledItem) -> None:
        lease = self._ledger.get(item.job_id, item.attempt)
        if lease is None or lease.state is not LeaseState.ENDED:
            return
        match item.code:
            case wire.SETTLE_CODE_RETRY_LATER:
                wait = settle_again_after(lease.tries, self._uniform)
                self._ledger.retry_later(lease, self._clock() + wait)
                asyncio.get_running_loop().call_later(wait, self._revive)
            case wire.SETTLE_CODE_INVALID:
                logger.error("outcome refused", extra={"job_id": item.job_id, "why": item.message})
                if not self._ledger.refuse(lease, item.message):
                    logger.error("outcome given up", extra={"job_id": item.job_id})
            case wire.SETTLE_CODE_OK | wire.SETTLE_CODE_ALREADY:
                self._answered(lease)
                self._ledger.settled((item.job_id,), item.attempt)
                self._stored(lease, item)
            case _:
                self._answered(lease, error="LEASE_SUPERSEDED")
                self._ledger.settled((item.job_id,), item.attempt)
                logger.info("outcome superseded", extra={"job_id": item.job_id, "attempt": item.attempt})

    def _answered(self, lease: WireLease, error: str | None = None) -> None:
        if self._holding.exchange is not None:
            self._holding.exchange.answered([lease], error)

    def _stored(self, lease: WireLease, item: wire.SettledItem) -> None:
        attempt: Attempt | None = lease.run
        if attempt is None or not isinstance(lease.outcome, Failed):
            return
        self._executor.failure_stored(
            attempt,
            lease.outcome,
            final=item.next_state == job_pb2.JOB_STATE_FAILED,
            next_time=item.next_time.ToDatetime(UTC) if item.HasField("next_time") else None,
        )

    def _revive(self) -> None:
        self._ledger.revive(self._clock())
        self._wake()

    def _update(self, item: wire.SettledItem) -> None:
        lease = self._ledger.get(item.job_id, item.attempt)
        attempt: Attempt | None = None if lease is None else lease.run
        if item.code == wire.SETTLE_CODE_RETRY_LATER:
            if attempt is not None:
                asyncio.get_running_loop().call_later(self._uniform(*_UPDATE_AGAIN), self._tell_again, attempt)
            return
        logger.info("update refused", extra={"job_id": item.job_id, "code": item.code, "why": item.message})
        if attempt is not None:
            attempt.told_progress = attempt.told_checkpoint = None

    def _tell_again(self, attempt: Attempt) -> None:
        if attempt.lease.state is not LeaseState.GONE:
            self._holding.updates.again(attempt)
            self._wake()

    def cancel(self, cancel: wire.Cancel) -> None:
        """Stop jobs, whether they run or wait."""
        now = self._clock()
        for item in cancel.items:
            outcome: Outcome | None
            match item.reason:
                case wire.CANCEL_REASON_LEASE_LOST:
                    reason, outcome = StopReason.LEASE_LOST, None
                case wire.CANCEL_REASON_TIMEOUT:
                    reason, outcome = StopReason.TIMEOUT, Released(ReleaseReason.OVERLOAD)
                case _:
                    reason, outcome = StopReason.CANCELLED, Cancelled()
            lease = self._ledger.cancel(item.job_id, item.attempt, outcome)
            if lease is not None:
                self._executor.stop(lease, reason, now)
        self._wake()
