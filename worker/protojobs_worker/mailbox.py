"""A one-way box between threads: many post, one loop collects; the loop is woken once per batch, never per item."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items for one event loop. `post` is safe from every thread, also before `bind` and after the loop's end."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: Callable[[], None] | None = None
        self._woken = False

    def bind(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        """Say which loop collects and what wakes it. `wake` runs in that loop."""
        self._loop, self._wake = loop, wake
        if self._items:
            wake()

    def close(self) -> None:
        """Stop waking the loop: it is about to end."""
        self._loop = None

    def post(self, item: T) -> None:
        """Add an item and wake the loop unless it is awake already."""
        self._items.append(item)
        # Appended before the flag is read, and the flag is cleared before items are taken: no item is left behind.
        if not self._woken:
            loop, wake = self._loop, self._wake
            if loop is not None and wake is not None:
                self._woken = True
                try:
                    loop.call_soon_threadsafe(wake)
                except RuntimeError:  # the loop ended meanwhile
                    self._loop = None

    def collect(self) -> list[T]:
        """Take everything."""
        self._woken = False
        items = self._items
        return [items.popleft() for _ in range(len(items))]

    def __len__(self) -> int:
        return len(self._items)
