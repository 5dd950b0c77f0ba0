"""Limits of queues on the wire: settings in, settings out, and why jobs wait."""

from datetime import timedelta
from math import ceil
from typing import Any

from protojobs.v1 import queue_service_pb2, worker_service_pb2

from protojobs_service.domain import bounds
from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.queue import QueueSettings
from protojobs_service.domain.queue_limits import HoldCause, Overflow, RateLimit
from protojobs_service.transport.convert import to_duration

LIMIT_PATHS = ("rate_limit", "max_in_flight", "max_depth", "overflow")
"""Fields of Queue, each changed as a whole."""


def parse_limits(queue: queue_service_pb2.Queue) -> dict[str, Any]:
    """Return what a message says of each of LIMIT_PATHS; unset means none. Raises InvalidField."""
    if queue.max_in_flight > bounds.MAX_QUEUE_IN_FLIGHT:
        raise InvalidField("max_in_flight", f"must be 1 to {bounds.MAX_QUEUE_IN_FLIGHT}, or 0 for no limit")
    if queue.max_depth > bounds.MAX_DEPTH:
        raise InvalidField("max_depth", f"must be 1 to {bounds.MAX_DEPTH}, or 0 for no limit")
    if queue.overflow not in queue_service_pb2.Overflow.values():
        raise InvalidField("overflow", "is no known value")
    return {
        "rate_limit": _parse_rate(queue.rate_limit) if queue.HasField("rate_limit") else None,
        "max_in_flight": queue.max_in_flight,
        "max_depth": queue.max_depth,
        "overflow": Overflow(queue.overflow) if queue.overflow else Overflow.REJECT,
    }


def _parse_rate(rate: queue_service_pb2.RateLimit) -> RateLimit:
    if not 0 < rate.per_second <= bounds.MAX_RATE:  # NaN neither
        raise InvalidField("rate_limit.per_second", f"must be more than 0, and at most {bounds.MAX_RATE:.0f}")
    if rate.burst > bounds.MAX_BURST:
        raise InvalidField("rate_limit.burst", f"must be 1 to {bounds.MAX_BURST}, or 0 for per_second")
    return RateLimit(per_second=rate.per_second, burst=rate.burst or ceil(rate.per_second))


def set_limits(queue: queue_service_pb2.Queue, settings: QueueSettings) -> None:
    """Put a queue's limits into its message; what nobody has set stays unset."""
    queue.max_in_flight, queue.max_depth = settings.max_in_flight, settings.max_depth
    if settings.rate_limit is not None:
        queue.rate_limit.per_second = settings.rate_limit.per_second
        queue.rate_limit.burst = settings.rate_limit.burst
    if settings.overflow is not Overflow.REJECT:
        queue.overflow = queue_service_pb2.Overflow.ValueType(settings.overflow.value)


def to_throttle(queue: str, cause: HoldCause, until: timedelta | None) -> worker_service_pb2.Throttle:
    """Return the frame that tells a worker why nothing comes from a queue."""
    throttle = worker_service_pb2.Throttle(queue=queue, why=worker_service_pb2.ThrottleReason.ValueType(cause.value))
    if until is not None:
        throttle.until.CopyFrom(to_duration(until))
    return throttle
