"""What workers are told, as messages."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from protojobs.v1 import worker_service_pb2

from protojobs_service.application import (
    Clock,
    DrainCause,
    HeldLease,
    News,
    Settled,
    Settlement,
    SettleVerdict,
    Stop,
    StopCause,
    StoreTime,
)
from protojobs_service.domain.lifecycle import State
from protojobs_service.transport.convert import to_duration, to_timestamp
from protojobs_service.transport.ids import format_id
from protojobs_service.transport.lease_convert import Outcomes, Refusal
from protojobs_service.transport.views import state_of

CODES = {
    SettleVerdict.OK: worker_service_pb2.SETTLE_CODE_OK,
    SettleVerdict.ALREADY: worker_service_pb2.SETTLE_CODE_ALREADY,
    SettleVerdict.SUPERSEDED: worker_service_pb2.SETTLE_CODE_LEASE_SUPERSEDED,
    SettleVerdict.RETRY_LATER: worker_service_pb2.SETTLE_CODE_RETRY_LATER,
}
STOPS = {
    StopCause.CANCELLED: worker_service_pb2.CANCEL_REASON_CANCELLED,
    StopCause.TIMEOUT: worker_service_pb2.CANCEL_REASON_TIMEOUT,
    StopCause.LEASE_LOST: worker_service_pb2.CANCEL_REASON_LEASE_LOST,
}
DRAINS = {
    DrainCause.SHUTDOWN: worker_service_pb2.DRAIN_REASON_SHUTDOWN,
    DrainCause.AGE: worker_service_pb2.DRAIN_REASON_AGE,
    DrainCause.REBALANCE: worker_service_pb2.DRAIN_REASON_REBALANCE,
    DrainCause.WORKER: worker_service_pb2.DRAIN_REASON_WORKER,
    DrainCause.STORE: worker_service_pb2.DRAIN_REASON_STORE,
}
_PONG_S = 0.05
_INVALID = worker_service_pb2.SETTLE_CODE_INVALID
_GroupKey = tuple[SettleVerdict, State | None, int]


class SettledBuilder:
    """Gathers answers to settles and updates until they are sent as one message: grouped where only the id differs."""

    def __init__(self) -> None:
        self._groups: dict[_GroupKey, list[str]] = {}
        self._items: list[worker_service_pb2.SettledItem] = []
        self._updates: list[worker_service_pb2.SettledItem] = []
        self.is_empty = True

    def add(self, outcomes: Outcomes, answers: Sequence[Settled]) -> None:
        """Add the answers to a frame's outcomes."""
        self.is_empty = False
        if answers and not outcomes.dropped and answers[0].next_at is None and _is_one_run(outcomes.items, answers):
            verdict, state, _ = answers[0]
            self._groups.setdefault((verdict, state, outcomes.items[0].attempt), []).extend(outcomes.texts)
        else:
            self._add_each(outcomes, answers)
        self._items += [_refusal(refused) for refused in outcomes.refused]

    def _add_each(self, outcomes: Outcomes, answers: Sequence[Settled]) -> None:
        for text, item, answer in zip(outcomes.texts, outcomes.items, answers, strict=True):
            dropped = (item.id, item.attempt) in outcomes.dropped
            if dropped or answer.next_at is not None:
                self._add_item(text, item.attempt, answer, result_dropped=dropped)
            else:
                self._groups.setdefault((answer.verdict, answer.state, item.attempt), []).append(text)

    def add_updates(self, news: Sequence[News], accepted: Sequence[bool], refused: Sequence[Refusal]) -> None:
        """Add the updates that were not accepted."""
        self._updates += refused_updates(news, accepted, refused)
        self.is_empty = self.is_empty and not self._updates

    def add_unstored_updates(self, news: Sequence[News], refused: Sequence[Refusal]) -> None:
        """Add updates that the store did not take; the worker may send them again."""
        again = worker_service_pb2.SETTLE_CODE_RETRY_LATER
        self._updates += [
            worker_service_pb2.SettledItem(job_id=format_id(each.id), attempt=each.attempt, code=again) for each in news
        ]
        self.add_updates((), (), refused)

    def build(self) -> worker_service_pb2.Settled:
        """Return everything that was added, and begin anew."""
        settled = worker_service_pb2.Settled(items=self._items, updates=self._updates)
        for (verdict, state, attempt), texts in self._groups.items():
            settled.groups.add(attempt=attempt, code=CODES[verdict], next_state=state_of(state), job_ids=texts)
        self._groups, self._items, self._updates = {}, [], []
        self.is_empty = True
        return settled

    def _add_item(self, text: str, attempt: int, answer: Settled, *, result_dropped: bool) -> None:
        item = worker_service_pb2.SettledItem(
            job_id=text,
            attempt=attempt,
            code=CODES[answer.verdict],
            next_state=state_of(answer.state),
            result_dropped=result_dropped,
        )
        if answer.next_at is not None:
            item.next_time.CopyFrom(to_timestamp(answer.next_at))
        self._items.append(item)


def _is_one_run(items: Sequence[Settlement], answers: Sequence[Settled]) -> bool:
    """Tell whether all these answers can stand in one group."""
    return answers.count(answers[0]) == len(answers) and len({item[1] for item in items}) == 1


def _refusal(refused: Refusal) -> worker_service_pb2.SettledItem:
    return worker_service_pb2.SettledItem(job_id=refused.job_id, attempt=refused.attempt, code=_INVALID, message=refused.message)


def refused_updates(
    news: Sequence[News], accepted: Sequence[bool], refused: Sequence[Refusal]
) -> list[worker_service_pb2.SettledItem]:
    """Return the updates that were not accepted."""
    superseded = worker_service_pb2.SETTLE_CODE_LEASE_SUPERSEDED
    return [_refusal(each) for each in refused] + [
        worker_service_pb2.SettledItem(job_id=format_id(each.id), attempt=each.attempt, code=superseded)
        for each, is_accepted in zip(news, accepted, strict=True)
        if not is_accepted
    ]


def cancel_items(stops: Iterable[Stop]) -> list[worker_service_pb2.CancelItem]:
    """Return handlers to stop."""
    items: list[worker_service_pb2.CancelItem] = []
    for stop in stops:
        item = worker_service_pb2.CancelItem(job_id=format_id(stop.id), attempt=stop.attempt, reason=STOPS[stop.cause])
        if stop.remaining is not None:
            item.deadline.CopyFrom(to_duration(stop.remaining))
        items.append(item)
    return items


def lease_refs(leases: Iterable[HeldLease]) -> list[worker_service_pb2.LeaseRef]:
    """Return jobs by id and attempt."""
    return [worker_service_pb2.LeaseRef(job_id=format_id(lease.id), attempt=lease.attempt) for lease in leases]


def to_drain(cause: DrainCause, deadline: timedelta, reconnect_after: timedelta) -> worker_service_pb2.Drain:
    """Return a Drain."""
    return worker_service_pb2.Drain(
        reason=DRAINS[cause], deadline=to_duration(deadline), reconnect_after=to_duration(reconnect_after)
    )


class Pongs:
    """Answers to Pings, one for all of a moment: a worker that has nothing else to say sends a Ping for each Deliver."""

    def __init__(self, clock: Clock, time: StoreTime) -> None:
        """Answer with the store's time."""
        self.owed = False
        self._clock = clock
        self._time = time
        self._next_at = clock.monotonic()

    def wait_s(self) -> float:
        """Return the seconds until one may be sent again; 0 or less: now."""
        return self._next_at - self._clock.monotonic()

    def take(self) -> worker_service_pb2.Pong:
        """Return one; none is owed any more."""
        self.owed = False
        self._next_at = self._clock.monotonic() + _PONG_S
        pong = worker_service_pb2.Pong(store_ok=self._time.ok)
        pong.time.CopyFrom(to_timestamp(self._time.now()))
        return pong
