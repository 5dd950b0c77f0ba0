"""Queues: their settings, pause, clearing and numbers."""

from collections.abc import Collection
from datetime import datetime
from typing import TypedDict, Unpack

from google.protobuf.field_mask_pb2 import FieldMask
from protojobs.v1 import queue_service_pb2

from protojobs_client.calls import Calls
from protojobs_client.convert import (
    to_fairness,
    to_history,
    to_overflow,
    to_rate_limit,
    to_retention,
    to_retry_policy,
    to_state,
    to_timestamp,
)
from protojobs_client.models import (
    Aging,
    EventLevel,
    Fairness,
    History,
    JobState,
    Overflow,
    QueueInfo,
    RateLimit,
    Retention,
    RetryPolicy,
    Seconds,
    Stats,
)
from protojobs_client.pages import AsyncPages
from protojobs_client.parse import queue_info, queue_stats, snapshot_at
from protojobs_client.request import span


class QueueSettings(TypedDict, total=False):
    """What `update_queue` changes. None, and a None within, means back to the default."""

    retry: RetryPolicy | None  # defaults of its jobs
    run_timeout: Seconds | None  # default of its jobs
    retention: Retention | None
    events: EventLevel  # which events those hear who watch; default FINAL
    strict_leases: bool  # refuse completions that come after the lease's deadline
    max_in_flight: int | None  # jobs running at once, over all workers
    rate_limit: RateLimit | None  # jobs that start per second, over all workers
    max_depth: int | None  # waiting jobs
    overflow: Overflow | None  # what happens to a dispatch beyond max_depth
    max_payload_bytes: int | None  # at most the server's limit
    history: History | None  # what is remembered of attempts; default ALL
    per_key_limit: int | None  # jobs of one concurrency_key that may run at once; default 1, one after the other
    fairness: Fairness | None  # default None, off
    priority: Aging | None  # default None, strict: a higher priority always goes first


_PATHS = {"priority": ["priority_mode", "aging_interval"]}


def _at_least_one(name: str, limit: int | None) -> int:
    """Return a limit as the wire has it, where 0 means none."""
    if limit is not None and limit < 1:
        raise ValueError(f"{name} must be at least 1, or None for no limit")
    return limit or 0


class QueueCalls(Calls):
    """The part of the client about queues. A queue exists when it is first used."""

    def queues(self, *, page_size: int = 100) -> AsyncPages[QueueInfo]:
        """Return the queues by name."""

        async def read(token: str) -> tuple[tuple[QueueInfo, ...], str]:
            answer = await self._connection.call(
                self._connection.queues.ListQueues,
                queue_service_pb2.ListQueuesRequest(page_size=page_size, page_token=token),
            )
            return tuple(queue_info(queue) for queue in answer.queues), answer.next_page_token

        return AsyncPages(read)

    async def queue(self, name: str) -> QueueInfo:
        """Return one queue. Raises QueueNotFoundError."""
        answer = await self._connection.call(self._connection.queues.GetQueue, queue_service_pb2.GetQueueRequest(queue=name))
        return queue_info(answer.queue)

    async def update_queue(self, name: str, **settings: Unpack[QueueSettings]) -> QueueInfo:
        """Change the settings that are named, and make the queue if it is new.

        Raises ValueError for a limit below 1: None means no limit.
        """
        queue = queue_service_pb2.Queue(name=name)
        if policy := settings.get("retry"):
            queue.retry.CopyFrom(to_retry_policy(policy) or queue.retry)
        if (run_timeout := settings.get("run_timeout")) is not None:
            queue.run_timeout.FromTimedelta(span(run_timeout))
        if retention := settings.get("retention"):
            queue.retention.CopyFrom(to_retention(retention))
        if settings.get("events") is EventLevel.ALL:
            queue.events = queue_service_pb2.EVENT_LEVEL_ALL
        queue.strict_leases = settings.get("strict_leases", False)
        if (rate_limit := settings.get("rate_limit")) is not None:
            queue.rate_limit.CopyFrom(to_rate_limit(rate_limit))
        queue.max_in_flight = _at_least_one("max_in_flight", settings.get("max_in_flight"))
        queue.max_depth = _at_least_one("max_depth", settings.get("max_depth"))
        queue.overflow = to_overflow(settings.get("overflow"))
        queue.max_payload_bytes = _at_least_one("max_payload_bytes", settings.get("max_payload_bytes"))
        queue.history = to_history(settings.get("history"))
        queue.per_key_limit = settings.get("per_key_limit") or 0
        if fairness := settings.get("fairness"):
            queue.fairness.CopyFrom(to_fairness(fairness))
        if aging := settings.get("priority"):
            queue.priority_mode = queue_service_pb2.PRIORITY_MODE_AGING
            queue.aging_interval.FromTimedelta(aging.interval)
        paths = [path for name in settings for path in _PATHS.get(name, [name])]
        answer = await self._connection.call(
            self._connection.queues.UpdateQueue,
            queue_service_pb2.UpdateQueueRequest(queue=queue, update_mask=FieldMask(paths=paths)),
        )
        return queue_info(answer.queue)

    async def pause(self, queue: str) -> None:
        """Stop leasing from a queue; running jobs go on."""
        await self._connection.call(self._connection.queues.PauseQueue, queue_service_pb2.PauseQueueRequest(queue=queue))

    async def resume(self, queue: str) -> None:
        """Lease from a queue again."""
        await self._connection.call(self._connection.queues.ResumeQueue, queue_service_pb2.ResumeQueueRequest(queue=queue))

    async def delete_queue(self, queue: str, *, force: bool = False) -> None:
        """Remove an empty queue, or with `force` its waiting and final jobs too.

        Raises QueueNotFoundError, QueueNotEmptyError, and JobRunningError even with `force`.
        """
        await self._connection.call(
            self._connection.queues.DeleteQueue, queue_service_pb2.DeleteQueueRequest(queue=queue, force=force)
        )

    async def clear(
        self,
        queue: str,
        *,
        states: Collection[JobState] = (),
        before: datetime | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete jobs of a queue and return how many; with `dry_run` only count them.

        Takes scheduled, pending and retrying ones unless `states` says otherwise, never running ones, and only
        those created before `before` (default now). Raises QueueNotFoundError.
        """
        deleted = 0
        token = ""
        while True:
            answer = await self._connection.call(
                self._connection.queues.ClearQueue,
                queue_service_pb2.ClearQueueRequest(
                    queue=queue,
                    states=[to_state(state) for state in states],
                    before=to_timestamp(before),
                    validate_only=dry_run,
                    continuation_token=token,
                ),
            )
            deleted += answer.deleted
            token = answer.continuation_token
            if not token:
                return deleted

    async def stats(self, queue: str | None = None) -> Stats:
        """Return the numbers of one queue, or of all by name. Raises QueueNotFoundError."""
        answer = await self._connection.call(self._connection.queues.Stats, queue_service_pb2.StatsRequest(queue=queue or ""))
        return Stats(queues=tuple(queue_stats(stats) for stats in answer.queues), snapshot_at=snapshot_at(answer))
