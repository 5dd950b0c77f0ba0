"""Splits many jobs into messages that a server takes."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)

MAX_ITEMS = 1000

# Tag and length of an embedded message, and the other fields of the request that carries it.
_ITEM_OVERHEAD = 8
_REQUEST_OVERHEAD = 1024


def room(max_message_bytes: int) -> int:
    """Return how many bytes of items fit into one message."""
    return max_message_bytes - _REQUEST_OVERHEAD


def size_of(item: Message) -> int:
    """Return how many bytes an item takes in a message at most."""
    return item.ByteSize() + _ITEM_OVERHEAD


def batches(items: Sequence[MessageT], *, max_bytes: int, max_items: int = MAX_ITEMS) -> Iterator[list[MessageT]]:
    """Yield runs of the items, in order, within both bounds. An item that is larger alone is a run of its own."""
    batch: list[MessageT] = []
    batch_bytes = 0
    for item in items:
        item_bytes = size_of(item)
        if batch and (len(batch) == max_items or batch_bytes + item_bytes > max_bytes):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += item_bytes
    if batch:
        yield batch
