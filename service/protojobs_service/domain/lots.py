"""Pieces of many things that are in hand at the same time: bounded by their bytes, not only by how many they are."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

LOT_BYTES = 8 * 1024 * 1024
"""Of one lot of jobs, unless somebody says otherwise."""


def fitting(sizes: Iterable[int], max_bytes: int) -> int:
    """Return how many of the first things have no more than `max_bytes` in all; 0 where the first is larger."""
    count = total = 0
    for size in sizes:
        total += size
        if total > max_bytes:
            break
        count += 1
    return count


def lots(items: Sequence[T], sizes: Sequence[int], most: int, max_bytes: int = LOT_BYTES) -> Iterator[Sequence[T]]:
    """Yield all in order, at most `most` and `max_bytes` at once; one goes whatever its size."""
    start = 0
    while start < len(items):
        end = start + max(1, fitting(sizes[start : start + most], max_bytes))
        yield items[start:end]
        start = end
