"""What a queue keeps and takes, on the wire: history, and the largest payload."""

from typing import Any

from protojobs.v1 import queue_service_pb2

from protojobs_service.domain.errors import InvalidField
from protojobs_service.domain.queue import History, QueueSettings

KEPT_PATHS = ("history", "max_payload_bytes")
"""Fields of Queue, each changed as a whole."""


def parse_kept(queue: queue_service_pb2.Queue, most: int) -> dict[str, Any]:
    """Return what a message says of each of KEPT_PATHS; unset means the default. most: the server's limit. Raises InvalidField."""
    if queue.history not in queue_service_pb2.History.values():
        raise InvalidField("history", "is no known value")
    if queue.max_payload_bytes > most:
        raise InvalidField("max_payload_bytes", f"must be 1 to {most}, or 0 for as much as the server takes")
    return {
        "history": History(queue.history) if queue.history else History.ALL,
        "max_payload_bytes": queue.max_payload_bytes,
    }


def set_kept(queue: queue_service_pb2.Queue, settings: QueueSettings) -> None:
    """Put these settings into a queue's message; what nobody has set stays unset."""
    if settings.history is not History.ALL:
        queue.history = queue_service_pb2.History.ValueType(settings.history.value)
    queue.max_payload_bytes = settings.max_payload_bytes
