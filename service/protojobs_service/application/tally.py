"""What this server counts of its leases, for the metrics: plain numbers, which grow from its start.

Counted per batch, in what is in hand anyway; whoever reads them does so when somebody looks.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
from operator import attrgetter

from protojobs_service.application.lease_session import Flight
from protojobs_service.domain.errors import NOT_NOW
from protojobs_service.domain.job import JobId
from protojobs_service.domain.labels import (
    CRASHED,
    MAX_ENDED_SERIES,
    MAX_KIND_LABELS,
    MAX_QUEUE_LABELS,
    OTHER,
    OUTCOMES,
    Labels,
)
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.outcome import Cancelled, Crash, Outcome
from protojobs_service.port import Jobs, Settled, Settlement, SettleVerdict

_LANE = attrgetter("queue", "kind")
_QUEUE, _KIND = attrgetter("queue"), attrgetter("kind")

Lane = tuple[str, str]
"""(queue, kind)"""
_NO_LANE: Lane = ("", "")
Series = tuple[str, str, str]


class Lost(Enum):
    """Why a lease was ended by a server."""

    SESSION = "session"
    """Its session had died."""
    RECEIPT = "receipt"
    RUN_TIMEOUT = "run_timeout"
    CANCEL = "cancel"
    """Its handler did not stop within the deadline of a cancel."""


class Tally:
    """Ends of attempts by (queue, kind, outcome), labels bounded; and leases that a server has ended, by why."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.ended: Counter[Series] = Counter()
        self.lost: Counter[Lost] = Counter(dict.fromkeys(Lost, 0))
        self._queues, self._kinds = Labels(MAX_QUEUE_LABELS), Labels(MAX_KIND_LABELS)

    def ended_alike(self, flights: Sequence[Flight], answer: Settled) -> None:
        """Count attempts that were all answered the same. Mostly they are of one lane too: that is two looks at each."""
        if not flights or (outcome := _outcome(answer)) is None:
            return
        queue, kind = flights[0].queue, flights[0].kind
        if list(map(_KIND, flights)).count(kind) == list(map(_QUEUE, flights)).count(queue) == len(flights):
            self._add(queue, kind, outcome, len(flights))
            return
        for (queue, kind), count in Counter(map(_LANE, flights)).items():
            self._add(queue, kind, outcome, count)

    def ended_each(self, answered: Iterable[tuple[Lane, Settled]]) -> None:
        """Count attempts by what each was answered."""
        found = Counter((lane, outcome) for lane, answer in answered if (outcome := _outcome(answer)) is not None)
        for ((queue, kind), outcome), count in found.items():
            self._add(queue, kind, outcome, count)

    def ended_elsewhere(self, answers: Iterable[Settled]) -> None:
        """Count attempts of a session of which this server knows nothing: neither queues nor kinds."""
        self.ended_each((_NO_LANE, answer) for answer in answers)

    def expired(self, count: int) -> None:
        """Count jobs that waited past their expire time. The store tells how many, not of which queue."""
        if count:
            self._add(*_NO_LANE, "expired", count)

    async def rescued(self, applied: Sequence[Settlement], jobs: Jobs) -> None:
        """Count what became of jobs whose session had died, and of overdue unary leases.

        Their queues are read anew: whoever decided about them did not keep their lanes. Where the store does not answer, only why
        the leases ended is counted: nothing depends on these numbers.
        """
        self.lost.update(_cause(item) for item in applied)
        try:
            outlines = await jobs.outline([item.id for item in applied])
        except NOT_NOW:
            return
        found = zip(applied, outlines, strict=True)
        counts = Counter((outline.queue, _became(item.outcome, outline.state)) for item, outline in found if outline is not None)
        for (queue, outcome), count in counts.items():
            self._add(queue, "", outcome, count)

    def _add(self, queue: str, kind: str, outcome: str, count: int) -> None:
        queue, kind = self._queues.of(queue), self._kinds.of(kind)
        # Sums over a queue stay right, whatever becomes of its kinds.
        if (queue, kind, outcome) not in self.ended and len(self.ended) >= MAX_ENDED_SERIES:
            kind = OTHER
        self.ended[queue, kind, outcome] += count


def answered_of(
    flights: dict[JobId, Flight], items: Sequence[Settlement], answers: Sequence[Settled]
) -> Iterable[tuple[Lane, Settled]]:
    """Yield the lane and the answer of those settlements that end what a stream has."""
    for item, answer in zip(items, answers, strict=True):
        flight = flights.get(item.id)
        if flight is not None and flight.attempt == item.attempt:
            yield (flight.queue, flight.kind), answer


def _outcome(answer: Settled) -> str | None:
    verdict, state, _ = answer
    return OUTCOMES[state] if verdict is SettleVerdict.OK and state is not None else None


def _became(outcome: Outcome, state: State) -> str:
    """Return what a rescue has made of a job, which may have gone on by now: only that it failed is still to be seen."""
    match outcome:
        case Cancelled():
            return OUTCOMES[State.CANCELLED]
        case _ if state is State.FAILED:
            return OUTCOMES[State.FAILED]
        case Crash(started=True):
            return CRASHED
        case Crash():
            return OUTCOMES[State.PENDING]
        case _:
            return OUTCOMES[State.RETRYING]


def _cause(item: Settlement) -> Lost:
    if isinstance(item.outcome, Crash):
        return Lost.SESSION
    return Lost.CANCEL if isinstance(item.outcome, Cancelled) else Lost.RUN_TIMEOUT
