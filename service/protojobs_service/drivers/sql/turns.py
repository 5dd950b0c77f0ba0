"""Fair queueing: what one origin asks for waits behind what it asked for before, not behind all that others ask for."""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

Item = TypeVar("Item")

_MOST_GIVEN = 1000
"""Origins without anything that are remembered before those are forgotten that others have caught up with."""


@dataclass(slots=True)
class _Line(Generic[Item]):
    """What waits of one origin. due: what the origin will have been given, when its first item is done."""

    due: float
    items: deque[tuple[Item, int]] = field(default_factory=deque[tuple[Item, int]])


class Turns(Generic[Item]):
    """Items of several origins, each with what it costs: next is always the one that lets its origin have had the least.

    Self-clocked fair queueing (Golestani, A Self-Clocked Fair Queueing Scheme for Broadband Applications, INFOCOM 1994): an origin
    that comes late is not given what it did not ask for before, and small items do not wait for large ones of others. Those of one
    origin keep their order. Belongs to the event loop.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lines: dict[Hashable, _Line[Item]] = {}
        self._order: list[tuple[float, int, Hashable]] = []
        self._given: dict[Hashable, float] = {}
        """Of origins with nothing left, up to where they were given more than the others."""
        self._clock = 0.0
        self._number = 0

    def __len__(self) -> int:
        return sum(len(line.items) for line in self._lines.values())

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            for item, _ in line.items:
                yield item

    @property
    def remembered(self) -> int:
        """Return how many origins it knows."""
        return len(self._lines) + len(self._given)

    def add(self, origin: Hashable, item: Item, cost: int) -> None:
        """Let an item wait for its turn."""
        line = self._lines.get(origin)
        if line is None:
            line = self._lines[origin] = _Line(max(self._clock, self._given.pop(origin, 0.0)) + cost)
            self._line_up(origin, line)
        line.items.append((item, cost))

    def first(self) -> Item:
        """Return whose turn it is. Raises IndexError where nobody waits."""
        return self._lines[self._order[0][2]].items[0][0]

    def take(self) -> Item:
        """Remove and return whose turn it is. Raises IndexError where nobody waits."""
        due, _, origin = heappop(self._order)
        self._clock = due
        line = self._lines[origin]
        item, _ = line.items.popleft()
        if line.items:
            line.due += line.items[0][1]
            self._line_up(origin, line)
            return item
        del self._lines[origin]
        self._given[origin] = due
        if not self._lines:
            self.clear()
        elif len(self._given) > _MOST_GIVEN:
            self._given = {each: given for each, given in self._given.items() if given > self._clock}
        return item

    def clear(self) -> None:
        """Forget everything: a new busy time begins."""
        self._lines.clear()
        self._order.clear()
        self._given.clear()
        self._clock = 0.0

    def _line_up(self, origin: Hashable, line: _Line[Item]) -> None:
        self._number += 1
        heappush(self._order, (line.due, self._number, origin))
