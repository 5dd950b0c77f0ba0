"""The judge itself: for each invariant a history that keeps it and one that breaks it and nothing else."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from tests.checker import History, Recorder, Report, judge, read_history
from tests.checker.history import Data, Event, expand, order

JOB = "0190aaaa-0000-7000-8000-000000000001"
OTHER = "0190aaaa-0000-7000-8000-000000000002"


class Story:
    """A history told in order; each step is a second later unless it says when."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now = 100.0

    def tell(self, op: str, phase: str = "", *, t: float | None = None, proc: str = "p", **data: Any) -> Self:
        self.now = self.now + 1 if t is None else t
        line: Data = {"t": self.now, "proc": proc, "op": op, "phase": phase, **data}
        self.events.extend(expand(line))
        return self

    def dispatched(self, *jobs: str, **spec: Any) -> Self:
        names = list(jobs or [JOB])
        asked: Data = {"queue": "q", "kind": "k", **spec}
        self.tell("dispatch", "invoke", jobs=names, **asked)
        return self.tell("dispatch", "ok", jobs=names)

    def started(self, worker: str = "a", attempt: int = 1, *, job: str = JOB, t: float | None = None, **data: Any) -> Self:
        return self.tell("start", t=t, proc=worker, session=f"s-{worker}", job=job, attempt=attempt, **data)

    def ended(self, worker: str = "a", attempt: int = 1, outcome: str = "complete", *, job: str = JOB, **data: Any) -> Self:
        return self.tell("end", proc=worker, session=f"s-{worker}", job=job, attempt=attempt, outcome=outcome, **data)

    def settled(self, worker: str = "a", attempt: int = 1, code: str = "OK", state: str = "COMPLETED", *, job: str = JOB) -> Self:
        return self.tell("settled", proc=worker, session=f"s-{worker}", job=job, attempt=attempt, code=code, state=state)

    def ran(self, worker: str = "a", attempt: int = 1, *, job: str = JOB) -> Self:
        return self.started(worker, attempt, job=job).ended(worker, attempt, job=job).settled(worker, attempt, job=job)

    def session(self, worker: str = "a", slots: int = 1) -> Self:
        return self.tell("session", proc=worker, session=f"s-{worker}", slots=slots)

    def fault(self, action: str, worker: str = "a") -> Self:
        return self.tell("fault", "begin", proc="nemesis", action=action, target=worker)

    def healed(self, action: str, worker: str = "a") -> Self:
        return self.tell("fault", "end", proc="nemesis", action=action, target=worker)

    def stored(self, state: str = "COMPLETED", *, job: str = JOB, attempt: int = 1, **data: Any) -> Self:
        return self.tell("dump", "job", job=job, queue="q", state=state, attempt=attempt, **data)

    def attempt(self, attempt: int, outcome: str, begin: float | None, end: float | None, *, job: str = JOB, **data: Any) -> Self:
        row: Data = {"attempt": attempt, "outcome": outcome, "started_at": begin, "finished_at": end, "worker": "a", **data}
        return self.tell("dump", "attempt", job=job, **row)

    def dumped(self) -> Self:
        return self.tell("dump", "all", queues=["q"])

    def quiet(self) -> Self:
        return self.tell("dump", "quiet", queues=["q"], wall=2000.0)

    def stats(self, phase: str = "stats", **counts: int) -> Self:
        return self.tell("dump", phase, queue="q", counts=counts)

    def history(self) -> History:
        return order(self.events)


def verdict(story: Story) -> Report:
    return judge(story.history())


def simple() -> Story:
    return Story().dispatched().ran().stored().attempt(1, "COMPLETED", 1000, 1001).dumped().quiet().stats(COMPLETED=1)


def crashed_and_finished_elsewhere() -> Story:
    story = Story().session("a").session("b").dispatched(policy={"max_retries": 3})
    story.started("a").fault("kill", "a").ran("b", 2)
    story.stored(attempt=2, failures=0, crashes=1)
    return story.attempt(1, "CRASHED", 1000, 1003).attempt(2, "COMPLETED", 1003, 1004, worker="b").dumped().quiet()


def frozen_and_superseded() -> Story:
    story = Story().session("a").session("b").dispatched().started("a").fault("stop", "a").started("b", 2)
    story.ended("b", 2).settled("b", 2).healed("stop", "a").ended("a", 1).settled("a", 1, "LEASE_SUPERSEDED", "")
    return story.stored(attempt=2, crashes=1).attempt(1, "CRASHED", 1000, 1003).attempt(2, "COMPLETED", 1003, 1004).dumped()


def failed_and_retried_by_hand() -> Story:
    policy = {"max_retries": 0, "initial_backoff": 0.5, "jitter": "NONE"}
    story = Story().dispatched(policy=policy).started().ended(outcome="fail").settled(state="FAILED")
    story.tell("retry", "invoke", job=JOB).tell("retry", "ok", job=JOB, state="PENDING").ran(attempt=2)
    story.stored(attempt=2, failures=0, crashes=0)
    return story.attempt(1, "FAILED", 1000, 1001, retaken=True).attempt(2, "COMPLETED", 1002, 1003).dumped().quiet()


def cancelled_while_waiting() -> Story:
    story = Story().dispatched().tell("cancel", "invoke", job=JOB).tell("cancel", "ok", job=JOB, state="CANCELLED")
    return story.stored("CANCELLED").attempt(1, "CANCELLED", None, 1001).dumped().quiet()


def cancelled_while_running() -> Story:
    story = Story().dispatched().started().tell("cancel", "invoke", job=JOB).tell("cancel", "ok", job=JOB, state="RUNNING")
    return story.ended(outcome="cancelled").settled(state="CANCELLED").stored("CANCELLED").dumped().quiet()


def refused() -> Story:
    story = Story().tell("dispatch", "invoke", jobs=[JOB], queue="q", kind="k")
    return story.tell("dispatch", "fail", jobs=[JOB], code="INVALID_ARGUMENT", reason="INVALID_FIELD").dumped()


def in_doubt_and_dispatched_again() -> Story:
    story = Story().tell("dispatch", "invoke", jobs=[JOB], queue="q", kind="k")
    story.tell("dispatch", "info", jobs=[JOB], code="UNAVAILABLE", reason="")
    return story.dispatched().ran().stored().dumped().quiet()


def delayed() -> Story:
    return Story().dispatched(delay=1.5, run_at=1001.0).started(t=102.6, wall=1001.0).ended().settled()


def snoozed() -> Story:
    story = Story().dispatched().started().ended(outcome="snooze", delay=5.0).settled(state="SCHEDULED")
    return _later(story, 4.0).ran(attempt=2)


def _later(story: Story, seconds: float) -> Story:
    story.now += seconds
    return story


GOOD: list[Callable[[], Story]] = [
    simple,
    crashed_and_finished_elsewhere,
    frozen_and_superseded,
    failed_and_retried_by_hand,
    cancelled_while_waiting,
    cancelled_while_running,
    refused,
    in_doubt_and_dispatched_again,
    delayed,
    snoozed,
]


@pytest.mark.parametrize("told", GOOD, ids=lambda told: told.__name__)
def test_history_that_keeps_every_promise_is_clean(told: Callable[[], Story]) -> None:
    report = verdict(told())

    assert report.ok, str(report)


def _in_doubt() -> Story:
    story = Story().tell("dispatch", "invoke", jobs=[JOB], queue="q", kind="k")
    return story.tell("dispatch", "info", jobs=[JOB], code="DEADLINE_EXCEEDED", reason="DEADLINE")


def _other_outcome() -> Story:
    story = Story().dispatched().started().ended(outcome="fail").settled(state="FAILED").stored("FAILED", attempt=2, failures=1)
    return story.attempt(1, "RELEASED", 1, 2).attempt(2, "FAILED", 3, 4).dumped()


def _forgotten_cancel() -> Story:
    story = Story().dispatched().tell("cancel", "invoke", job=JOB).tell("cancel", "ok", job=JOB, state="CANCELLED")
    return story.stored("PENDING").dumped()


def _forgotten_retry() -> Story:
    story = Story().dispatched().started().ended(outcome="fail").settled(state="FAILED")
    return story.tell("retry", "invoke", job=JOB).tell("retry", "ok", job=JOB, state="PENDING").stored("FAILED").dumped()


def _falling_attempts() -> Story:
    story = Story().fault("stop", "a").dispatched().started("a", 2).started("a", 1)
    return story.healed("stop", "a")


def _stale_accepted() -> Story:
    story = Story().dispatched().started("a").fault("stop", "a").started("b", 2).healed("stop", "a")
    return story.ended("a", 1).settled("a", 1).settled("b", 2, "LEASE_SUPERSEDED", "")


def _overlapping_attempts() -> Story:
    story = Story().dispatched().fault("kill", "a").stored(attempt=2, crashes=1).tell("session", proc="a", slots=1)
    return story.attempt(1, "CRASHED", 1, 5).attempt(2, "COMPLETED", 4, 6).dumped()


def _ends_twice() -> Story:
    story = Story().dispatched().started("a").ended("a").settled("a").fault("kill", "a").started("b", 2).ended("b", 2)
    return story.settled("b", 2)


def _two_finals() -> Story:
    return Story().dispatched().stored(attempt=2).attempt(1, "COMPLETED", 1, 2).attempt(2, "COMPLETED", 3, 4).dumped()


def _uncounted_crash() -> Story:
    story = Story().dispatched().started("a").fault("kill", "a").ran("b", 2).stored(attempt=2)
    return story.attempt(1, "RELEASED", 1, 2).attempt(2, "COMPLETED", 3, 4).dumped()


def _innocent_crash() -> Story:
    story = Story().session("a", slots=1).dispatched(JOB, OTHER).started("a").fault("kill", "a")
    for job in (JOB, OTHER):
        story.stored("PENDING", job=job, crashes=1).attempt(1, "CRASHED", 1, 2, job=job)
    return story.dumped()


def _causeless_crash() -> Story:
    story = Story().session("a").dispatched().stored("PENDING", crashes=1).attempt(1, "CRASHED", 1, 2)
    return story.dumped()


def _early_retry(policy: Data) -> Story:
    story = Story().dispatched(policy=policy).started().ended(outcome="fail").settled(state="RETRYING")
    return story.started(attempt=2, t=story.now + (2.0 if policy.get("jitter") else -0.5)).ended(attempt=2)


def _early_second_retry() -> Story:
    policy = {"initial_backoff": 2.0, "multiplier": 4.0, "jitter": "NONE"}
    story = Story().dispatched(policy=policy).started().ended(outcome="fail")
    story = _later(story, 1.0).started(attempt=2).ended(attempt=2, outcome="fail")
    return _later(story, 1.0).ran(attempt=3)


def _started_after_cancel() -> Story:
    story = Story().dispatched().tell("cancel", "invoke", job=JOB).tell("cancel", "ok", job=JOB, state="CANCELLED")
    return story.started()


def _retried_after_cancel() -> Story:
    story = Story().dispatched().tell("cancel", "invoke", job=JOB).tell("cancel", "ok", job=JOB, state="RUNNING")
    return story.started().ended(outcome="fail").started(attempt=2)


def _failed_after_cancel() -> Story:
    story = Story().dispatched().started().tell("cancel", "invoke", job=JOB).tell("cancel", "ok", job=JOB, state="RUNNING")
    return story.ended(outcome="fail").stored("FAILED").dumped().quiet()


def _call(code: str, reason: str) -> Story:
    return Story().tell("call", "fail", rpc="Stats", code=code, reason=reason)


BAD: list[tuple[str, str, Callable[[], Story]]] = [
    ("I1", "an acknowledged job is gone", lambda: Story().dispatched(JOB, OTHER).ran().stored().dumped()),
    ("I1", "an acknowledged job never ran, and the store was not dumped", lambda: Story().dispatched(JOB, OTHER).ran().quiet()),
    ("I1", "a job that ran in spite of a doubtful dispatch is gone", lambda: _in_doubt().ran().dumped()),
    ("I1", "an acknowledged completion is not in the store", lambda: Story().dispatched().ran().stored("PENDING").dumped()),
    ("I1", "an acknowledged attempt has another outcome", _other_outcome),
    ("I1", "an acknowledged cancel did not last", _forgotten_cancel),
    ("I1", "an acknowledged Retry did nothing", _forgotten_retry),
    ("I2", "a job runs that nobody dispatched", lambda: Story().dispatched(OTHER).ran(job=OTHER).ran()),
    ("I2", "the store has a job that nobody dispatched", lambda: Story().dispatched(OTHER).stored(job=OTHER).stored().dumped()),
    ("I2", "the payload has changed", lambda: Story().dispatched(digests=[7]).started(digest=8).ended().settled()),
    ("I2", "the kind has changed", lambda: Story().dispatched().started(kind="other").ended().settled()),
    ("I3", "an attempt runs in two sessions", lambda: Story().dispatched().started("a").started("b")),
    ("I3", "an attempt runs twice in one session", lambda: Story().dispatched().started("a").started("a")),
    ("I3", "attempts of a session fall", _falling_attempts),
    ("I4", "a superseded attempt is accepted", _stale_accepted),
    ("I4", "two leases overlap in the store", _overlapping_attempts),
    ("I5", "an attempt is accepted twice", lambda: Story().dispatched().ran().settled(state="")),
    ("I5", "a job ends twice", _ends_twice),
    ("I5", "two final outcomes stand in the store", _two_finals),
    ("I5", "a final job has no final outcome", lambda: Story().dispatched().stored().attempt(1, "SNOOZED", 1, 2).dumped()),
    (
        "I6",
        "more failures than the policy allows",
        lambda: Story().dispatched(policy={"max_retries": 1}).stored(failures=3).dumped(),
    ),
    ("I6", "more crashes than a job may have", lambda: Story().dispatched().stored(crashes=4).dumped()),
    ("I6", "a crash of a handler that had begun is not counted", _uncounted_crash),
    (
        "I6",
        "counters differ from the attempts",
        lambda: Story().dispatched().stored(failures=1).attempt(1, "COMPLETED", 1, 2).dumped(),
    ),
    ("I6", "crashes are counted for jobs that were only prefetched", _innocent_crash),
    ("I6", "a crash is counted for a worker that was not harmed", _causeless_crash),
    ("I7", "a delayed job is early", lambda: Story().dispatched(delay=5.0).ran()),
    ("I7", "a scheduled job is early", lambda: Story().dispatched(run_at=1001.0).started(wall=1000.9).ended().settled()),
    ("I7", "a retry is early", lambda: _early_retry({"initial_backoff": 4.0, "jitter": "NONE"})),
    ("I7", "a retry with full jitter is early", lambda: _early_retry({"initial_backoff": 4.0})),
    ("I7", "the second backoff does not grow", _early_second_retry),
    ("I7", "a snooze is too short", lambda: Story().dispatched().started().ended(outcome="snooze", delay=5.0).ran(attempt=2)),
    ("I9", "a refused job runs", lambda: refused().ran().stored()),
    ("I10", "a cancelled job starts", _started_after_cancel),
    ("I10", "a running job is retried although it was cancelled", _retried_after_cancel),
    ("I10", "a running job fails although it was cancelled", _failed_after_cancel),
    ("I13", "Stats differs from the list", lambda: Story().dispatched().ran().stored().dumped().stats(COMPLETED=2)),
    ("I13", "Stats differs from the tables", lambda: simple().stats("recount", COMPLETED=1, RUNNING=1)),
    ("I13", "Stats differs from the workers' logs", lambda: Story().dispatched().ran().quiet().stats(COMPLETED=2)),
    ("I14", "a healthy worker's job runs elsewhere", lambda: Story().dispatched().started("a").started("b", 2)),
    ("I14", "a completed job runs again", lambda: Story().dispatched().started("a").ended("a").started("b", 2)),
    ("I15", "a lease is stuck", lambda: Story().dispatched().stored("RUNNING").dumped().quiet()),
    ("I15", "a due job does not run", lambda: Story().dispatched().stored("RETRYING", next_at=1999.0).dumped().quiet()),
    ("I17", "an error has no known reason", lambda: _call("FAILED_PRECONDITION", "NO_SUCH_REASON")),
    ("I17", "an error is UNKNOWN", lambda: _call("UNKNOWN", "")),
    ("I17", "an error is INTERNAL", lambda: _call("INTERNAL", "INTERNAL")),
    ("I17", "an error says nothing", lambda: _call("NOT_FOUND", "")),
    ("I17", "the server logs an error", lambda: Story().tell("log", "error", proc="server", message="boom")),
]


@pytest.mark.parametrize(("invariant", "told"), [(name, told) for name, _, told in BAD], ids=[text for _, text, _ in BAD])
def test_broken_promise_is_named(invariant: str, told: Callable[[], Story]) -> None:
    report = verdict(told())

    assert report.broken() == {invariant}, str(report)


def test_expected_errors_are_no_violation() -> None:
    story = Story().tell("expect", proc="nemesis", code="INTERNAL").tell("expect", proc="nemesis", log="connection refused")
    story.tell("call", "fail", rpc="Stats", code="INTERNAL", reason="INTERNAL")
    story.tell("log", "error", proc="server", message="store: connection refused")

    report = verdict(story)

    assert report.ok, str(report)


def test_report_shows_what_happened_to_the_job() -> None:
    report = verdict(_stale_accepted())

    text = str(report)

    assert "I4 x1: no attempt is accepted after a later one was leased" in text
    assert f"I4 {JOB}: attempt 1 was accepted as COMPLETED, sent 2.000 s after attempt 2 had begun in b" in text
    assert "3.000 a            start  #1 session=s-a" not in text  # times count from the first event
    assert "2.000 a            start  #1 session=s-a" in text


def test_repeated_runs_and_overlaps_are_counted() -> None:
    report = verdict(frozen_and_superseded())

    assert (report.runs, report.repeated_runs, report.overlaps) == (2, 1, 1)


def test_recorded_history_reads_back_without_a_torn_line(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.jsonl", "a", session="s") as recorder:
        recorder.write("dispatch", "invoke", jobs=[JOB, OTHER], queue="q", kind="k", digests=[1, 2])
        recorder.write_rows("start", [(JOB, 1, time.monotonic())])
    with recorder.path.open("ab") as file:
        file.write(b'{"t":1,"op":"sta')

    history = read_history([recorder.path])

    assert [(event.op, event.job, event.attempt) for event in history.events] == [
        ("dispatch", JOB, 0),
        ("dispatch", OTHER, 0),
        ("start", JOB, 1),
    ]


@pytest.mark.alone
def test_million_events_are_judged_in_twenty_seconds(tmp_path: Path) -> None:
    jobs = [f"0190aaaa-0000-7000-8000-{number:012x}" for number in range(250_000)]
    with Recorder(tmp_path / "all.jsonl", "a", session="s") as recorder:
        for first in range(0, len(jobs), 500):
            some = jobs[first : first + 500]
            recorder.write("dispatch", "invoke", t=first, jobs=some, queue="q", kind="k")
            recorder.write("dispatch", "ok", t=first + 1, jobs=some)
            recorder.write_rows("start", [(job, 1, first + 2) for job in some])
            recorder.write_rows("end", [(job, 1, first + 3) for job in some], outcome="complete")
        recorder.write("dump", "stats", t=1e6, queue="q", counts={"COMPLETED": len(jobs)})
        recorder.write("dump", "quiet", t=1e6, queues=["q"])
    began = time.process_time()

    report = judge(read_history([recorder.path]))

    assert report.ok, str(report)
    assert report.completed == len(jobs)
    assert len(report.history.events) > 1_000_000
    assert time.process_time() - began < 20
