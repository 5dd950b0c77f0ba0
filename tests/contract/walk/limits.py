"""A queue whose depth, leases at once and rate of leases are limited, and change."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from protojobs_service.domain.job import JobId
from protojobs_service.domain.lifecycle import State
from protojobs_service.domain.queue_limits import RateLimit
from protojobs_service.port import (
    Claim,
    Dispatched,
    DispatchVerdict,
)

from tests.contract.acts import Span
from tests.contract.model import WAITING
from tests.contract.walk.ground import KEYED, KINDS, LIMITED, MANY, TICKING, WHICH, World
from tests.contract.walk.passing import Passing

EVERYWHERE = (LIMITED, KEYED, TICKING, 0, 1)


@dataclass(slots=True)
class Limits:
    """Of the limited queue. leased: when, since the rate was set."""

    in_flight: int = 0
    depth: int = 0
    rate: RateLimit | None = None
    leased: list[datetime] = field(default_factory=list[datetime])


class LimitedQueue(Passing):
    """The rules of the limited queue."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.limits = Limits()

    @initialize(in_flight=st.sampled_from([0, 1, 3]))
    def make_the_limited_queue(self, in_flight: int) -> None:
        self.set_limits(in_flight, 0, None)

    @rule(in_flight=st.sampled_from([0, 1, 3]), depth=st.sampled_from([0, 2, 5]), rate=st.sampled_from([None, None, 0.5, 20]))
    def set_limits(self, in_flight: int, depth: int, rate: float | None) -> None:
        limit = None if rate is None else RateLimit(per_second=rate, burst=2)
        changed = self.driver.queues.change(
            self.queues[LIMITED], lambda old: replace(old, max_in_flight=in_flight, max_depth=depth, rate_limit=limit)
        )
        self.wait(changed)
        self.limits = Limits(in_flight, depth, limit)

    @rule(number=st.integers(1, 4), kind=KINDS, which=WHICH, claims=st.booleans())
    def dispatch_into_the_limited_queue(self, number: int, kind: str, which: int, claims: bool) -> None:
        self.follow_expiry()
        specs = [self._spec(LIMITED, kind) for _ in range(number)]
        waiting = len(self._of(LIMITED, *WAITING))
        room = max(0, self.limits.depth - waiting) if self.limits.depth else number

        answers = self.wait(self.driver.jobs.dispatch(specs))

        assert [answer.verdict is DispatchVerdict.CREATED for answer in answers] == [n < room for n in range(number)]
        for spec, answer in zip(specs[:room], answers, strict=False):
            assert answer == Dispatched(DispatchVerdict.CREATED, self._expect(spec))
        self.touch(*(spec.id for spec in specs[:room]))
        if claims:
            self._claim(self.pick(self.alive(), which), (LIMITED,), None, (), MANY)

    @rule(which=WHICH, limit=st.integers(1, 9))
    def claim_everywhere(self, which: int, limit: int) -> None:
        self._claim(self.pick(self.alive(), which), EVERYWHERE, None, (), limit)

    def due(self, claim: Claim, got: Sequence[JobId], could: set[JobId], span: Span) -> set[JobId]:
        limited, limits = self.queues[LIMITED], self.limits
        taken = [job_id for job_id in got if self.model.jobs[job_id].spec.queue == limited]
        waiting = {job_id for job_id in could if self.model.jobs[job_id].spec.queue == limited}
        if limits.in_flight:
            room = max(0, limits.in_flight - len(self._of(LIMITED, State.RUNNING)))
            assert len(taken) <= room
            assert limits.rate or len(got) == claim.limit or len(taken) >= min(room, len(waiting))
        if limits.rate:
            self._judge_rate(limits.rate, len(taken), span)
        return could - waiting if limits.in_flight or limits.rate else could

    def _judge_rate(self, rate: RateLimit, leases: int, span: Span) -> None:
        self.limits.leased += [span.last] * leases
        for place, at in enumerate(self.limits.leased):
            most = rate.burst + rate.per_second * ((span.last - at).total_seconds() + 1)
            assert len(self.limits.leased) - place <= most
