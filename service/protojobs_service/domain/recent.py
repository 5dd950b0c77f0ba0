"""A table of what came last, which has an end: for what anybody may make us remember."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """The `most` entries that were set last, oldest first. Setting one more forgets the oldest; reading changes nothing."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: K, value: V) -> None:
        """Set an entry, which is the newest then."""
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)

    def add(self, keys: Iterable[K], value: V) -> None:
        """Set entries in turn, all to one value, for less than half of what each costs alone."""
        put, move = super().__setitem__, self.move_to_end
        for key in keys:
            if key in self:
                move(key)
            put(key, value)
        for _ in range(len(self) - self._most):
            self.popitem(last=False)
