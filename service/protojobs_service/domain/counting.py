"""Counting what lasts."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import TypeVar

Key = TypeVar("Key")


@contextmanager
def counted(counts: Counter[Key], key: Key, number: int = 1) -> Generator[None]:
    """Count `number` more of a key as long as the block lasts; a key that has none is not kept."""
    counts[key] += number
    try:
        yield
    finally:
        counts[key] -= number
        if not counts[key]:
            del counts[key]
