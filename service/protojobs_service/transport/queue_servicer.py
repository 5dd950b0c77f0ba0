"""QueueService: settings, pausing, clearing and numbers of queues."""

# ruff: noqa: N802 # methods have the names of the RPCs

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from protojobs.v1 import queue_service_pb2

from protojobs_service.application import Application, Cleared, ClearQuery
from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue import EventLevel, Fairness, QueueSettings, Retention
from protojobs_service.transport import convert
from protojobs_service.transport.call import Context
from protojobs_service.transport.interceptors import Drain
from protojobs_service.transport.pages import Pages
from protojobs_service.transport.permissions import access
from protojobs_service.transport.queue_history import KEPT_PATHS, parse_kept
from protojobs_service.transport.queue_limits import LIMIT_PATHS, parse_limits
from protojobs_service.transport.views import to_queue, to_stats
from protojobs_service.transport.watch import watch_stats

_CLEARED_BY_DEFAULT = (State.SCHEDULED, State.PENDING, State.RETRYING)
_OUTPUT_ONLY = ("name", "paused", "create_time", "update_time")
_RETRY_FIELDS = ("max_retries", "initial_backoff", "multiplier", "max_backoff", "jitter", "max_retry_duration")
_RETENTION_FIELDS: tuple[Literal["completed", "failed", "cancelled"], ...] = ("completed", "failed", "cancelled")
_PATHS = (
    "retry",
    *(f"retry.{name}" for name in _RETRY_FIELDS),
    "run_timeout",
    "retention",
    *(f"retention.{name}" for name in _RETENTION_FIELDS),
    "strict_leases",
    *LIMIT_PATHS,
    *KEPT_PATHS,
    "events",
    "per_key_limit",
    "fairness",
    "fairness.enabled",
    "fairness.weights",
    "priority_mode",
    "aging_interval",
)


class QueueServicer:
    """Answers QueueService over the use cases; one method per RPC, named as there."""

    def __init__(self, application: Application, drain: Drain) -> None:
        self._queues = application.queues
        self._most_payload = application.limits.max_payload_bytes
        self._drain = drain

    async def ListQueues(
        self, request: queue_service_pb2.ListQueuesRequest, _context: Context
    ) -> queue_service_pb2.ListQueuesResponse:
        """Return a page of queues."""
        size = convert.parse_page_size(request.page_size)
        pages = Pages(request)
        after = pages.name(request.page_token)
        may = access().may
        rest = [queue for queue in await self._queues.list() if queue.name > after and may(queue.name)]
        token = pages.after_name(rest[size - 1].name) if len(rest) > size else ""
        return queue_service_pb2.ListQueuesResponse(queues=[to_queue(queue) for queue in rest[:size]], next_page_token=token)

    async def GetQueue(self, request: queue_service_pb2.GetQueueRequest, _context: Context) -> queue_service_pb2.GetQueueResponse:
        """Return one queue."""
        queue = await self._queues.get(_named(request.queue))
        return queue_service_pb2.GetQueueResponse(queue=to_queue(queue))

    async def UpdateQueue(
        self, request: queue_service_pb2.UpdateQueueRequest, _context: Context
    ) -> queue_service_pb2.UpdateQueueResponse:
        """Change settings of a queue."""
        name = _named(request.queue.name, "queue.name")
        try:
            change = _change(request.queue, request.update_mask.paths, self._most_payload)
        except InvalidField as error:
            raise error if error.field.startswith("update_mask") else error.under("queue") from None
        return queue_service_pb2.UpdateQueueResponse(queue=to_queue(await self._queues.update(name, change)))

    async def DeleteQueue(
        self, request: queue_service_pb2.DeleteQueueRequest, _context: Context
    ) -> queue_service_pb2.DeleteQueueResponse:
        """Remove a queue."""
        await self._queues.delete(_named(request.queue), force=request.force)
        return queue_service_pb2.DeleteQueueResponse()

    async def PauseQueue(
        self, request: queue_service_pb2.PauseQueueRequest, _context: Context
    ) -> queue_service_pb2.PauseQueueResponse:
        """Stop leasing from a queue."""
        await self._queues.pause(_named(request.queue))
        return queue_service_pb2.PauseQueueResponse()

    async def ResumeQueue(
        self, request: queue_service_pb2.ResumeQueueRequest, _context: Context
    ) -> queue_service_pb2.ResumeQueueResponse:
        """Lease from a queue again."""
        await self._queues.resume(_named(request.queue))
        return queue_service_pb2.ResumeQueueResponse()

    async def ClearQueue(
        self, request: queue_service_pb2.ClearQueueRequest, _context: Context
    ) -> queue_service_pb2.ClearQueueResponse:
        """Delete jobs of a queue in one bounded step."""
        pages = Pages(request)
        cleared = await self._queues.clear(_clear_query(request, pages))
        return queue_service_pb2.ClearQueueResponse(deleted=cleared.deleted, continuation_token=_continuation(cleared, pages))

    async def Stats(self, request: queue_service_pb2.StatsRequest, _context: Context) -> queue_service_pb2.StatsResponse:
        """Return numbers of one queue or of all."""
        return await self._stats(request.queue)

    async def WatchStats(self, request: queue_service_pb2.WatchStatsRequest, context: Context) -> None:
        """Stream the numbers of one queue or of all."""
        low, default, high = bounds.MIN_STATS_INTERVAL, bounds.DEFAULT_STATS_INTERVAL, bounds.MAX_STATS_INTERVAL
        interval = convert.parse_span("interval", request.interval, low, high) if request.HasField("interval") else default
        await watch_stats(lambda: self._stats(request.queue), interval, self._drain, context)

    async def _stats(self, name: str) -> queue_service_pb2.StatsResponse:
        queue, may = _named(name) if name else None, access().may
        stats, at = await self._queues.stats(queue)
        response = queue_service_pb2.StatsResponse(snapshot_time=convert.to_timestamp(at))
        for each in stats:
            if not may(each.numbers.queue):
                continue
            message = to_stats(each)
            oldest = each.numbers.oldest_pending_at
            if oldest is not None:
                message.oldest_pending_age.CopyFrom(convert.to_duration(max(at - oldest, timedelta())))
            response.queues.append(message)
        return response


def _named(name: str, field: str = "queue") -> str:
    """Return the queue that a request names. Raises InvalidField, PermissionDenied."""
    queue = convert.check_name(field, name)
    access().check(queue)
    return queue


def _change(queue: queue_service_pb2.Queue, mask: Any, most_payload: int) -> Callable[[QueueSettings], QueueSettings]:
    """Return what a request does to a queue's settings. most_payload: the server's limit. Raises InvalidField."""
    paths = _check_mask(mask) if mask else _set_paths(queue)
    level = _parse_level(queue)
    set_policy = convert.parse_policy(queue, "retry", "run_timeout")
    set_retention = _parse_retention(queue)
    whole = parse_limits(queue) | parse_kept(queue, most_payload)
    per_key_limit, fairness = _parse_per_key_limit(queue), _parse_fairness(queue)
    aging = _parse_aging(queue) if {"priority_mode", "aging_interval"}.intersection(paths) else None

    def change(old: QueueSettings) -> QueueSettings:
        policy: dict[str, Any] = {}
        retention: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        shares: dict[str, Any] = {}
        for path in paths:
            section, _, name = path.partition(".")
            match section:
                case "retry":
                    policy |= {each: getattr(set_policy, each) for each in ([name] if name else _RETRY_FIELDS)}
                case "run_timeout":
                    policy["run_timeout"] = set_policy.run_timeout
                case "retention":
                    retention |= {
                        each: set_retention.get(each, getattr(_KEPT, each)) for each in ([name] if name else _RETENTION_FIELDS)
                    }
                case "events":
                    settings["events"] = level
                case "fairness":
                    shares |= {each: getattr(fairness, each) for each in ([name] if name else ("enabled", "weights"))}
                case "priority_mode" | "aging_interval":
                    settings["aging"] = aging
                case "per_key_limit":
                    settings["per_key_limit"] = per_key_limit
                case "strict_leases":
                    settings["strict_leases"] = queue.strict_leases
                case _:
                    settings[section] = whole[section]
        return replace(
            old,
            retry=replace(old.retry, **policy),
            retention=replace(old.retention, **retention),
            fairness=replace(old.fairness, **shares),
            **settings,
        )

    return change


_KEPT = Retention()


def _check_mask(mask: Any) -> list[str]:
    for place, path in enumerate(mask):
        if path in _OUTPUT_ONLY:
            raise InvalidField(f"update_mask.paths[{place}]", "cannot be changed here")
        if path not in _PATHS:
            raise InvalidField(f"update_mask.paths[{place}]", "is no field of Queue")
    return list(mask)


def _set_paths(queue: queue_service_pb2.Queue) -> list[str]:
    """Return the paths of everything that is set: a field that is not keeps its value, inside retry and retention too.

    Fairness is replaced as a whole, or it could never be switched off.
    """
    paths: list[str] = []
    for field, value in queue.ListFields():
        match field.name:
            case "retry" | "retention":
                paths += [f"{field.name}.{inner.name}" for inner, _ in value.ListFields()]
            case "run_timeout" | "strict_leases" | "events" | "per_key_limit" | "fairness" | "priority_mode" | "aging_interval":
                paths.append(field.name)
            case name if name in LIMIT_PATHS or name in KEPT_PATHS:
                paths.append(name)
            case _:
                pass
    return paths


def _parse_level(queue: queue_service_pb2.Queue) -> EventLevel:
    if queue.events not in queue_service_pb2.EventLevel.values():
        raise InvalidField("events", "is no known level")
    return EventLevel(queue.events or queue_service_pb2.EVENT_LEVEL_FINAL)


def _parse_retention(queue: queue_service_pb2.Queue) -> dict[str, timedelta]:
    kept = queue.retention
    return {
        name: convert.parse_span(f"retention.{name}", getattr(kept, name), timedelta(), bounds.MAX_RETENTION)
        for name in _RETENTION_FIELDS
        if kept.HasField(name)
    }


def _parse_per_key_limit(queue: queue_service_pb2.Queue) -> int:
    if queue.per_key_limit > bounds.MAX_PER_KEY:
        raise InvalidField("per_key_limit", f"must be 1 to {bounds.MAX_PER_KEY}, or 0 for the default, which is 1")
    return queue.per_key_limit or 1


def _parse_fairness(queue: queue_service_pb2.Queue) -> Fairness:
    weights = queue.fairness.weights
    if len(weights) > bounds.MAX_FAIR_WEIGHTS:
        raise InvalidField("fairness.weights", f"at most {bounds.MAX_FAIR_WEIGHTS} keys")
    for key, weight in weights.items():
        convert.check_text("fairness.weights", key, bounds.MAX_KEY_BYTES)
        if not 1 <= weight <= bounds.MAX_WEIGHT:
            raise InvalidField(f"fairness.weights[{key}]", f"must be 1 to {bounds.MAX_WEIGHT}")
    return Fairness(enabled=queue.fairness.enabled, weights=dict(weights))


def _parse_aging(queue: queue_service_pb2.Queue) -> timedelta | None:
    """Return the interval; None for STRICT. Mode and interval are one setting."""
    match queue.priority_mode:
        case queue_service_pb2.PRIORITY_MODE_AGING:
            return convert.parse_span("aging_interval", queue.aging_interval, bounds.MIN_AGING, bounds.MAX_AGING)
        case queue_service_pb2.PRIORITY_MODE_UNSPECIFIED | queue_service_pb2.PRIORITY_MODE_STRICT:
            if queue.HasField("aging_interval"):
                raise InvalidField("aging_interval", "needs priority_mode AGING")
            return None
        case _:
            raise InvalidField("priority_mode", "is no known value")


def _clear_query(request: queue_service_pb2.ClearQueueRequest, pages: Pages) -> ClearQuery:
    queue = _named(request.queue)
    states = convert.parse_states("states", request.states)
    if State.RUNNING in states:
        raise InvalidField(f"states[{states.index(State.RUNNING)}]", "RUNNING jobs are never deleted; cancel them")
    before = convert.parse_time("before", request.before) if request.HasField("before") else None
    after = None
    step = pages.step(request.continuation_token)
    if step is not None:
        before, after = step
    return ClearQuery(
        queue=queue,
        states=frozenset(states or _CLEARED_BY_DEFAULT),
        before=before,
        dry_run=request.validate_only,
        after=after,
    )


def _continuation(cleared: Cleared, pages: Pages) -> str:
    if cleared.after is None:
        return ""
    return pages.after_step(cleared.barrier, cleared.after)
