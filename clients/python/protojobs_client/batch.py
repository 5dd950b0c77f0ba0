"""Splits many jobs into messages that a server takes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf.message import Message
from protojobs.v1 import job_pb2

MAX_ITEMS = 1000

# Tag and length of an embedded message, and the other fields of the request that carries it.
_ITEM_OVERHEAD = 8
_REQUEST_OVERHEAD = 1024


def room(max_message_bytes: int) -> int:
    """Return how many bytes of items fit into one message."""
    return max_message_bytes - _REQUEST_OVERHEAD


class Sized(NamedTuple):
    """A spec and how many bytes it takes in a message at most."""

    spec: job_pb2.JobSpec
    size: int


def size_of(item: Message) -> int:
    """Return how many bytes an item takes in a message at most."""
    return item.ByteSize() + _ITEM_OVERHEAD


def batches(items: Sequence[Sized], *, max_bytes: int, max_items: int = MAX_ITEMS) -> Iterator[list[job_pb2.JobSpec]]:
    """Yield runs of the specs, in order, within both bounds. One that is larger alone is a run of its own."""
    batch: list[job_pb2.JobSpec] = []
    batch_bytes = 0
    for spec, size in items:
        if batch and (len(batch) == max_items or batch_bytes + size > max_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(spec)
        batch_bytes += size
    if batch:
        yield batch
