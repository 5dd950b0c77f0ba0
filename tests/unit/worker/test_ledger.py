"""The ledger: no order of deliveries, ends, answers and lost streams loses or doubles an outcome."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from protojobs_worker.ledger import Lease, LeaseState, Ledger
from protojobs_worker.outcomes import (
    COMPLETED,
    Cancelled,
    Completed,
    ErrorInfo,
    Failed,
    Outcome,
    Released,
    ReleaseReason,
    Snoozed,
    as_timedelta,
)

ALL = 1_000_000


@pytest.fixture
def ledger() -> Ledger[str]:
    ledger: Ledger[str] = Ledger()
    ledger.open_stream(1)
    return ledger


def deliver(ledger: Ledger[str], *names: str, attempt: int = 1) -> list[Lease[str]]:
    return ledger.deliver((name, attempt, f"job {name}") for name in names)


def run(ledger: Ledger[str], outcome: Outcome = COMPLETED, limit: int = ALL) -> list[Lease[str]]:
    """Begin and end everything that waits."""
    begun = ledger.begin(limit, 1.0)
    for lease in begun:
        ledger.end(lease, outcome)
    return begun


def test_handlers_begin_in_delivery_order_within_the_limit(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b")
    deliver(ledger, "c")

    first, rest = ledger.begin(2, 1.0), ledger.begin(5, 2.0)

    assert [lease.job_id for lease in first] == ["a", "b"]
    assert [lease.job_id for lease in rest] == ["c"]
    assert (ledger.begun, ledger.running, ledger.waiting) == (3, 3, 0)


def test_an_outcome_is_taken_once_and_kept_until_it_is_settled(ledger: Ledger[str]) -> None:
    deliver(ledger, "a")
    run(ledger)

    taken, again = ledger.take_unsent(10, ALL), ledger.take_unsent(10, ALL)
    kept = len(ledger)
    ledger.settled(["a"], 1)

    assert [lease.outcome for lease in taken] == [COMPLETED]
    assert again == []
    assert (kept, len(ledger)) == (1, 0)


def test_a_new_stream_sends_unconfirmed_outcomes_again_and_counts_begun_anew(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b")
    ledger.begin(1, 1.0)
    run(ledger)
    ledger.take_unsent(10, ALL)

    ledger.open_stream(2)
    lost = ledger.resume([("a", 1), ("b", 1)])

    assert lost == []
    assert [lease.job_id for lease in ledger.take_unsent(10, ALL)] == ["b"]
    assert ledger.begun == 0
    assert [(line.job_id, line.started) for line in ledger.held()] == [("a", True), ("b", True)]


def test_leases_that_the_server_does_not_keep_are_dropped_but_their_outcomes_still_go_out(ledger: Ledger[str]) -> None:
    deliver(ledger, "ended", "running", "waiting")
    ended, running = ledger.begin(2, 1.0)
    ledger.end(ended, COMPLETED)

    ledger.open_stream(2)
    lost = ledger.resume([])

    assert lost == [running]
    assert ledger.waiting == 0
    assert ledger.take_unsent(10, ALL) == [ended]
    assert not ledger.end(running, COMPLETED)
    assert ledger.running == 0


def test_kept_jobs_that_waited_begin_first_and_do_not_count_for_the_new_stream(ledger: Ledger[str]) -> None:
    deliver(ledger, "old")
    ledger.open_stream(2)
    ledger.resume([("old", 1)])
    deliver(ledger, "new")

    begun = ledger.begin(10, 1.0)

    assert [lease.job_id for lease in begun] == ["old", "new"]
    assert ledger.begun == 1


def test_a_job_cancelled_while_it_waits_keeps_its_place_in_the_count(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b", "c")

    stopped = ledger.cancel("b", 1, Cancelled())
    begun_before = ledger.begun
    begun = ledger.begin(2, 1.0)

    assert stopped is None
    assert begun_before == 0
    assert [lease.job_id for lease in begun] == ["a", "c"]
    assert ledger.begun == 3
    assert [lease.job_id for lease in ledger.take_unsent(10, ALL)] == ["b"]


def test_cancel_of_a_running_job_returns_it_and_a_lost_lease_drops_its_outcome(ledger: Ledger[str]) -> None:
    deliver(ledger, "cancelled", "lost")
    cancelled, lost = ledger.begin(2, 1.0)

    assert ledger.cancel("cancelled", 1, Cancelled()) is cancelled
    assert ledger.cancel("lost", 1, None) is lost
    assert ledger.end(cancelled, Cancelled())
    assert not ledger.end(lost, COMPLETED)


def test_a_newer_attempt_replaces_the_old_one_in_every_state(ledger: Ledger[str]) -> None:
    deliver(ledger, "ended", "running", "waiting")
    ended, running = ledger.begin(2, 1.0)
    ledger.end(ended, COMPLETED)

    superseded = deliver(ledger, "ended", "running", "waiting", attempt=2)

    assert superseded == [running]
    assert ledger.take_unsent(10, ALL) == []
    assert [(lease.job_id, lease.attempt) for lease in ledger.begin(10, 1.0)] == [("ended", 2), ("running", 2), ("waiting", 2)]


def test_a_repeated_delivery_of_the_same_attempt_runs_once_but_counts(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "a", "b")

    begun = ledger.begin(10, 1.0)

    assert [lease.job_id for lease in begun] == ["a", "b"]
    assert ledger.begun == 3


def test_begin_stops_at_the_first_that_may_not(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b", "c")

    first = ledger.begin(10, 1.0, lambda lease: lease.job_id != "b")
    second = ledger.begin(10, 2.0)

    assert ([lease.job_id for lease in first], [lease.job_id for lease in second]) == (["a"], ["b", "c"])
    assert ledger.begun == 3


def test_put_back_undoes_begin_in_order(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b", "c")
    begun = ledger.begin(2, 1.0)

    ledger.put_back(begun)
    ledger.open_stream(2)
    ledger.resume([("a", 1), ("b", 1), ("c", 1)])

    assert (ledger.running, ledger.waiting) == (0, 3)
    assert not any(line.started for line in ledger.held())
    assert [lease.job_id for lease in ledger.begin(10, 1.0)] == ["a", "b", "c"]


def test_retry_later_waits_and_a_new_stream_does_not_wait(ledger: Ledger[str]) -> None:
    deliver(ledger, "a")
    (lease,) = run(ledger)
    ledger.take_unsent(10, ALL)
    ledger.retry_later(lease, due=5.0)

    assert ledger.revive(4.0) == 5.0
    assert ledger.take_unsent(10, ALL) == []
    ledger.open_stream(2)
    assert ledger.take_unsent(10, ALL) == [lease]
    assert ledger.revive(6.0) is None


def test_a_refused_outcome_becomes_a_plain_failure_and_is_given_up_at_last(ledger: Ledger[str]) -> None:
    deliver(ledger, "a")
    (lease,) = run(ledger, Completed(b"{}"))

    answers: list[bool] = []
    for _ in range(3):
        ledger.take_unsent(10, ALL)
        answers.append(ledger.refuse(lease, "complete.result: too odd"))

    assert answers == [True, True, False]
    assert lease.outcome == Failed(ErrorInfo("INVALID_OUTCOME", "complete.result: too odd"), retryable=False)
    assert len(ledger) == 0


def test_frames_are_bounded_by_items_and_bytes_but_take_at_least_one(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b", "c")
    run(ledger, Completed(b"x" * 1000))

    sizes = [len(ledger.take_unsent(10, 100)), len(ledger.take_unsent(1, ALL)), len(ledger.take_unsent(10, ALL))]

    assert sizes == [1, 1, 1]


def test_release_counts_what_it_ends_and_drop_does_not(ledger: Ledger[str]) -> None:
    deliver(ledger, "a", "b")
    released = ledger.release_waiting(ReleaseReason.SHUTDOWN)
    deliver(ledger, "c")
    dropped = ledger.drop_waiting()

    assert (released, dropped, ledger.begun) == (2, 1, 2)
    assert [lease.outcome for lease in ledger.take_unsent(10, ALL)] == [Released(ReleaseReason.SHUTDOWN)] * 2
    assert [line.job_id for line in ledger.held()] == ["a", "b"]


def test_reset_forgets_everything_and_names_what_runs(ledger: Ledger[str]) -> None:
    deliver(ledger, "running", "waiting")
    (running,) = ledger.begin(1, 1.0)

    assert ledger.reset() == [running]
    assert (len(ledger), ledger.waiting, ledger.unsent) == (0, 0, 0)
    assert not ledger.end(running, COMPLETED)
    assert ledger.idle


# ---- any order ---------------------------------------------------------------------------------------------


@dataclass
class ServerLease:
    """What a server knows of one lease of this session."""

    attempt: int
    outcomes: list[Outcome] = field(default_factory=list)


class AnyOrder(RuleBasedStateMachine):
    """A ledger against the simplest server: leases by (job, attempt), the first outcome counts, the rest is ALREADY."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger[str] = Ledger()
        self.leases: dict[str, ServerLease] = {}  # standing
        self.accepted: dict[tuple[str, int], Outcome] = {}
        self.running: list[Lease[str]] = []
        self.ended: dict[tuple[str, int], Outcome] = {}
        self.sent: list[Lease[str]] = []  # on the current stream, not answered
        self.begun_ever: set[tuple[str, int]] = set()
        self.delivered_here = 0
        self.attempts: dict[str, int] = {}
        self.stream = 0

    @initialize()
    def first_stream(self) -> None:
        self.open_next([])

    def open_next(self, kept: list[tuple[str, int]]) -> None:
        self.stream += 1
        self.delivered_here = 0
        self.sent.clear()
        self.ledger.open_stream(self.stream)
        self.ledger.resume(kept)

    @rule(jobs=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
    def deliver(self, jobs: list[str]) -> None:
        fresh = [job for job in jobs if job not in self.leases]
        for job in fresh:
            self.attempts[job] = self.attempts.get(job, 0) + 1
            self.leases[job] = ServerLease(self.attempts[job])
        self.ledger.deliver((job, self.leases[job].attempt, job) for job in fresh)
        self.delivered_here += len(fresh)

    @rule(limit=st.integers(1, 4), leaves=st.booleans())
    def begin(self, limit: int, leaves: bool) -> None:
        begun = self.ledger.begin(limit, float(self.stream))
        if not leaves:
            self.ledger.put_back(begun)
            self.lose_stream()
            return
        for lease in begun:
            key = (lease.job_id, lease.attempt)
            assert key not in self.begun_ever, "a handler begins at most once for an attempt"
            self.begun_ever.add(key)
        self.running += begun

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        outcome=st.sampled_from([COMPLETED, Completed(b"1"), Snoozed(as_timedelta(1)), Failed(ErrorInfo("E"))]),
    )
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        lease = data.draw(st.sampled_from(self.running))
        self.running.remove(lease)
        if self.ledger.end(lease, outcome):
            self.ended[lease.job_id, lease.attempt] = outcome

    @rule(limit=st.integers(1, 3))
    def send(self, limit: int) -> None:
        taken = self.ledger.take_unsent(limit, ALL)
        assert not set(taken) & set(self.sent), "an outcome goes out once on a stream until it is answered"
        self.sent += taken

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), stored=st.booleans(), answered=st.booleans())
    def store(self, data: st.DataObject, stored: bool, answered: bool) -> None:
        """The server stores an outcome or not, and its answer arrives or is lost with the stream."""
        lease = data.draw(st.sampled_from(self.sent))
        key = (lease.job_id, lease.attempt)
        standing = self.leases.get(lease.job_id)
        if stored and standing is not None and standing.attempt == lease.attempt:
            assert lease.outcome is not None
            assert key not in self.accepted
            self.accepted[key] = lease.outcome
            del self.leases[lease.job_id]
        if not answered:
            self.lose_stream()
        elif stored or standing is None or standing.attempt != lease.attempt:
            self.sent.remove(lease)
            self.ledger.settled([lease.job_id], lease.attempt)
        else:
            self.sent.remove(lease)
            self.ledger.retry_later(lease, due=0.0)
            self.ledger.revive(1.0)

    @rule(expired=st.sets(st.sampled_from("abcdef")))
    def lose_leases(self, expired: set[str]) -> None:
        """The session dies for some leases: the server gives them to others."""
        for job in expired & set(self.leases):
            del self.leases[job]
        self.lose_stream()

    @rule()
    def lose_stream(self) -> None:
        held = {(line.job_id, line.attempt) for line in self.ledger.held()}
        # What Hello does not name goes back at once.
        for job, lease in list(self.leases.items()):
            if (job, lease.attempt) not in held:
                del self.leases[job]
        self.open_next([(job, lease.attempt) for job, lease in self.leases.items()])

    @invariant()
    def every_standing_lease_is_held(self) -> None:
        held = {(line.job_id, line.attempt) for line in self.ledger.held()}
        assert {(job, lease.attempt) for job, lease in self.leases.items()} <= held

    @invariant()
    def only_what_a_handler_said_is_accepted(self) -> None:
        assert all(self.ended.get(key) == outcome for key, outcome in self.accepted.items())

    @invariant()
    def counts_agree(self) -> None:
        assert self.ledger.running == len(self.running)
        assert 0 <= self.ledger.begun <= self.delivered_here
        assert self.ledger.waiting >= 0

    def teardown(self) -> None:
        """Everything that stands can still be finished: nothing is lost."""
        while begun := self.ledger.begin(ALL, 0.0):
            self.running += begun
        for lease in self.running:
            self.ledger.end(lease, COMPLETED)
        self.ledger.open_stream(self.stream + 1)
        for lease in self.ledger.take_unsent(ALL, ALL):
            assert lease.state is LeaseState.ENDED
            self.ledger.settled([lease.job_id], lease.attempt)
            self.leases.pop(lease.job_id, None)
        assert self.leases == {}
        assert self.ledger.idle


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
