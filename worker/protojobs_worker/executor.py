"""Gives started leases to the loop, a thread or a process, watches over what runs, and calls `failed()` hooks.

`start`, `watch` and `stop` are called by the session's thread; handlers run elsewhere and report into a mailbox.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from protojobs_worker.context import Attempt, JobContext, StopReason
from protojobs_worker.execution import Around, start
from protojobs_worker.frames import WireLease
from protojobs_worker.lanes import Lanes
from protojobs_worker.mailbox import Mailbox
from protojobs_worker.middleware import Hooks, JobFailed
from protojobs_worker.outcomes import Failed, Outcome
from protojobs_worker.pools import Processes, Threads
from protojobs_worker.registry import Pool, Registry

logger = logging.getLogger(__name__)

Report = list[tuple[Attempt, Outcome]]


class Executor:
    """Where handlers run."""

    def __init__(
        self,
        registry: Registry,
        hooks: Hooks,
        around: Around | None,
        *,
        concurrency: int,
        processes: int | None,
        stop_grace: float,
    ) -> None:
        self.ended: Mailbox[Report] = Mailbox()
        self.updated: Mailbox[Attempt] = Mailbox()
        self._registry = registry
        self._hooks = hooks
        self._stop_grace = stop_grace
        self._active: set[Attempt] = set()
        report = self.ended.post
        self._lanes = Lanes(report, self._active, around)
        self._threads = Threads(concurrency, report, self._active, around)
        size = concurrency if processes is None else min(processes, concurrency)
        self._scarce = size < concurrency
        self._processes = Processes(size, report, self._active, around, stop_grace=stop_grace)
        self._seen: Attempt | None = None

    def bind(self, group: asyncio.TaskGroup) -> None:
        """Run async and inline handlers in this loop and group."""
        self._lanes.bind(group)
        self._threads.bind()
        self._processes.bind()

    def stop_lanes(self) -> None:
        """Cancel what is left on the loop: the session has ended, nobody waits for its outcome."""
        self._lanes.stop_all()

    def close(self) -> None:
        """Let idle threads and processes end."""
        self._threads.close()
        self._processes.close()

    def gate(self) -> Callable[[WireLease], bool] | None:
        """Return what tells of the leases in line, one by one, whether each may begin now. None: all may."""
        if not self._scarce:
            return None
        find, free = self._registry.get, self._processes.free

        def may_begin(lease: WireLease) -> bool:
            nonlocal free
            handler = find(lease.job.spec.kind)
            if handler is None or handler.pool is not Pool.PROCESS:
                return True
            free -= 1
            return free >= 0

        return may_begin

    def start(self, leases: Iterable[WireLease]) -> list[WireLease]:
        """Begin the handlers of leases whose frame has left, in order. Returns those whose kind has no handler."""
        inline: list[Attempt] = []
        unknown: list[WireLease] = []
        find, told = self._registry.get, self.updated.post
        for lease in leases:
            attempt = start(lease, find)
            if attempt is None:
                unknown.append(lease)
                continue
            lease.run = attempt
            attempt.on_update = told
            if lease.stop_asked is not None:
                attempt.stop(*lease.stop_asked)
            pool = attempt.handler.pool
            if pool is Pool.LOOP:
                inline.append(attempt)
            elif pool is Pool.THREAD:
                self._threads.start(attempt)
            else:
                self._processes.start(attempt)
        if inline:
            self._lanes.start(inline)
        return unknown

    def stop(self, lease: WireLease, reason: StopReason, now: float) -> None:
        """Ask the handler of a lease to stop."""
        attempt: Attempt | None = lease.run
        if attempt is not None:
            attempt.stop(reason, now)
        else:  # it counts as begun, and the frame that says so is being written
            lease.stop_asked = (reason, now)

    def watch(self, now: float) -> list[Attempt]:
        """Stop what has passed its run timeout. Returns attempts that did not stop in time: their slots are stuck."""
        stuck: list[Attempt] = []
        for attempt in [*self._active, *self._blocking(now)]:
            began = attempt.began_at
            if began is None or attempt.abandoned:
                continue
            deadline = began + attempt.run_timeout
            if now >= deadline:
                attempt.stop(StopReason.TIMEOUT, now)
            if attempt.stop_reason is None or attempt.handler.pool is Pool.PROCESS:
                continue  # a process is killed by its pool
            patience = attempt.stopped_at if attempt.stop_reason is StopReason.TIMEOUT else deadline
            if now >= max(patience, attempt.stopped_at) + self._stop_grace:
                attempt.abandoned = True
                stuck.append(attempt)
                logger.error(
                    "handler does not stop; its slot is stuck",
                    extra={"job_id": attempt.lease.job_id, "kind": attempt.handler.kind},
                )
        return stuck

    def _blocking(self, now: float) -> list[Attempt]:
        """Find a handler that has held the loop since the last look; such a one has no clock of its own."""
        current, seen = self._lanes.current, self._seen
        self._seen = current
        if current is None or current is not seen:
            return []
        if current.began_at is None:
            current.began_at = now
        return [current]

    def failure_stored(self, attempt: Attempt, outcome: Failed, *, final: bool, next_time: datetime | None) -> None:
        """Run `failed()` of exactly this attempt if the job is FAILED, and tell `job.failed`."""
        handler = attempt.handler
        if final and handler.failed is not None:
            error = outcome.cause or JobError(outcome.error.type, outcome.error.message)
            self._hooks.spawn("failed", _call_failed(handler.failed, attempt, error))
        if self._hooks.has("job.failed"):
            self._hooks.emit_on_loop(
                "job.failed",
                JobFailed(context=JobContext(attempt), error=outcome.error, final=final, next_time=next_time),
            )


class JobError(Exception):
    """Stands in `failed()` for an error that never was an exception of this process (a timeout, a dead child)."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


async def _call_failed(failed: Callable[[Attempt, BaseException], object], attempt: Attempt, error: BaseException) -> None:
    # On a thread: a plain `failed` may block. An async one returns at once and is awaited here.
    result = await asyncio.to_thread(failed, attempt, error)
    if inspect.isawaitable(result):
        await result
