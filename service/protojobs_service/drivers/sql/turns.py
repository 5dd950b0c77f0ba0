"""Fair queueing: what one sender asks for waits behind what it asked for before, not behind all that others ask for."""

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True)
class _Line(Generic[Item]):
    """What waits of one sender. due: what the sender will have been given, when its first item is done."""

    due: float
    items: deque[tuple[Item, int]] = field(default_factory=deque[tuple[Item, int]])


class Turns(Generic[Item]):
    """Items of several senders, each with what it costs: next is always the one that lets its sender have had the least.

    Self-clocked fair queueing (Golestani, A Self-Clocked Fair Queueing Scheme for Broadband Applications, INFOCOM 1994): a sender
    that comes late is not given what it did not ask for before, and small items do not wait for large ones of others. Those of one
    sender keep their order. Belongs to the event loop.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lines: dict[Hashable, _Line[Item]] = {}
        self._order: list[tuple[float, int, Hashable]] = []
        self._clock = 0.0
        self._number = self._passed = 0
        self._len = 0
        self.cost = 0
        """Of all that waits."""

    def __len__(self) -> int:
        return self._len

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            for item, _ in line.items:
                yield item

    def add(self, sender: Hashable, item: Item, cost: int) -> None:
        """Let an item wait for its turn."""
        line = self._lines.get(sender)
        if line is None:
            line = self._lines[sender] = _Line(self._clock + cost)
            self._line_up(sender, line)
        line.items.append((item, cost))
        self._len += 1
        self.cost += cost

    def first(self) -> Item:
        """Return whose turn it is. Raises IndexError where nobody waits."""
        return self._lines[self._order[0][2]].items[0][0]

    def take(self) -> Item:
        """Remove and return whose turn it is. Raises IndexError where nobody waits."""
        due, _, sender = heappop(self._order)
        self._clock = due
        line = self._lines[sender]
        item, cost = line.items.popleft()
        self._len -= 1
        self.cost -= cost
        if line.items:
            line.due += line.items[0][1]
            self._line_up(sender, line)
            return item
        del self._lines[sender]
        if not self._lines:
            self.clear()
        return item

    def pass_over(self) -> None:
        """Let whose turn it is wait for more room; the second time what comes from now on comes behind it, however little it costs.

        Otherwise small items that keep coming would be done before a large one, a few each time.
        """
        due, number, _ = self._order[0]
        if self._passed == number:
            self._clock = due
        self._passed = number

    def clear(self) -> None:
        """Forget everything: a new busy time begins."""
        self._lines.clear()
        self._order.clear()
        self._clock = 0.0
        self._len = self.cost = 0

    def _line_up(self, sender: Hashable, line: _Line[Item]) -> None:
        self._number += 1
        heappush(self._order, (line.due, self._number, sender))
