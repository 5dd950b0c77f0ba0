"""Reads from histories when things happened."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from tests.checker import History

_RUNS: Final = frozenset({"ran", "start"})


class Times:
    """When each job of a queue was sent, stored and begun."""

    def __init__(self, history: History, queue: str) -> None:
        self.sent: dict[str, float] = {}
        self.acked: dict[str, float] = {}
        self.began: dict[str, float] = {}
        self.calls: list[float] = []
        self.runs = 0
        for event in history.events:
            if event.op == "dispatch" and event.phase == "invoke" and event.data["queue"] == queue:
                self.sent[event.job] = event.t
            elif event.job not in self.sent:
                continue
            elif event.op in _RUNS:
                self.runs += 1
                self.began.setdefault(event.job, event.t)
            elif event.op == "dispatch" and event.phase == "ok":
                self.acked[event.job] = event.t
                if event.place == 0:
                    self.calls.append(event.t - self.sent[event.job])

    def span(self, judged: str, done_at: float) -> tuple[float, float]:
        """Return begin and end of what is measured."""
        if judged == "stored":
            return min(self.sent.values()), max(self.acked.values())
        return min((self.began if judged == "drained" else self.sent).values()), done_at

    def waits(self) -> list[float]:
        """Return dispatch to start, per job."""
        return [began - self.sent[job] for job, began in self.began.items()]

    def waits_between(self, moments: Sequence[float]) -> list[list[float]]:
        """Return, for each two moments that follow each other, how long the jobs had waited that began from one to the other."""
        begins = sorted((began, began - self.sent[job]) for job, began in self.began.items())
        edges = [bisect_left(begins, (at,)) for at in moments]
        return [[wait for _, wait in begins[first:end]] for first, end in pairwise(edges)]


def notes(history: History, what: str, queue: str) -> Iterator[dict[str, Any]]:
    """Yield what programs noted of a queue."""
    return (event.data for event in history.events if event.data.get("what") == what and event.data.get("queue") == queue)


def rate(jobs: int, seconds: float) -> float:
    """Return jobs per second."""
    return round(jobs / seconds, 1) if seconds else 0.0


def percentiles(seconds: Iterable[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum in milliseconds; nothing of nothing."""
    ordered: Sequence[float] = sorted(seconds)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: round(ordered[round(last * part)] * 1e3, 2) for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}
