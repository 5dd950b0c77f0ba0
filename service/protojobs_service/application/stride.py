"""In which order a session's queues are tried: stride scheduling, so that each gets its share over time."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import ceil

_LEAST_BURST = 64


class Stride:
    """Orders queues by how much each has had for its weight; strict: always in the order given.

    Each job taken from a queue raises its pass by 1 / weight, and the lowest pass goes first. A queue that had nothing to give
    loses its credit, so that it cannot shut the others out when it fills.
    """

    def __init__(self, weights: Mapping[str, int], *, strict: bool) -> None:
        self._weights = weights
        self._is_plain = strict or len(weights) == 1
        self._passes = dict.fromkeys(weights, 0.0)

    def next(self, limit: int, paused: Collection[str]) -> tuple[tuple[str, ...], int]:
        """Return the queues in the order to try, and how many jobs of `limit` to take before the order is made anew."""
        open_queues = tuple(queue for queue in self._weights if queue not in paused)
        if self._is_plain or len(open_queues) < 2:
            return open_queues, limit
        order = sorted(open_queues, key=self._passes.__getitem__)
        share = self._weights[order[0]] / sum(self._weights[queue] for queue in open_queues)
        return tuple(order), min(limit, max(_LEAST_BURST, ceil(limit * share)))

    def charge(self, order: Sequence[str], taken: Sequence[str], *, short: bool) -> None:
        """Note the queues of the jobs that a claim in this order took; short: it found fewer than it asked for."""
        if self._is_plain or len(order) < 2:
            return
        counts = Counter(taken)
        for queue, count in counts.items():
            self._passes[queue] += count / self._weights[queue]
        last = len(order) if short else max((order.index(queue) for queue in counts), default=0)
        exhausted, others = order[:last], order[last:]
        floor = min((self._passes[queue] for queue in others), default=max(self._passes.values()))
        for queue in exhausted:
            self._passes[queue] = max(self._passes[queue], floor)
