"""Threads and processes: where they run, how they stop, and that a dead process is replaced."""

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from protojobs_worker import JobContext, JobTimeout, StopReason
from protojobs_worker.context import Attempt
from protojobs_worker.ledger import Lease
from protojobs_worker.outcomes import Completed, Failed, Outcome
from protojobs_worker.pools import Processes, Threads
from protojobs_worker.registry import Handler, HandlerOptions, Pool

from tests.unit.worker.fake_server import leased

Reports = queue.SimpleQueue[tuple[Attempt, Outcome]]


@pytest.fixture
def reports() -> Reports:
    return queue.SimpleQueue()


def report(reports: Reports, told: list[tuple[Attempt, Outcome]]) -> None:
    for line in told:
        reports.put(line)


@pytest.fixture
def threads(reports: Reports) -> Iterator[Threads]:
    pool = Threads(2, partial(report, reports), set(), None)
    pool.bind()
    yield pool
    pool.close()


@pytest.fixture
def processes(reports: Reports) -> Iterator[Processes]:
    pool = Processes(1, partial(report, reports), set(), None, stop_grace=0.3)
    pool.bind()
    yield pool
    pool.close()


class Mischief(BaseException):
    """What a library may raise past every `except Exception`."""


@pytest.mark.parametrize("error", [Mischief("no"), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_handler_raises_on_a_thread_fails_its_job_and_its_thread_goes_on(
    threads: Threads, reports: Reports, error: BaseException
) -> None:
    def raises() -> None:
        raise error

    for _ in range(3):  # more than there are threads
        threads.start(attempt_of(raises, Pool.THREAD))
    outcomes = [reports.get(timeout=10)[1] for _ in range(3)]

    assert all(isinstance(outcome, Failed) and outcome.retryable for outcome in outcomes)


class Broken:
    """Surroundings that let through what they should not."""

    def before(self, attempt: Attempt) -> None:
        """Let the handler begin."""

    def after(self, attempt: Attempt, outcome: Outcome) -> None:
        """Raise past every `except Exception`."""
        raise Mischief("after")


@pytest.mark.parametrize("pool", [Pool.THREAD, Pool.PROCESS])
def test_a_thread_that_what_is_around_the_handler_breaks_reports_and_gives_its_slot_back(reports: Reports, pool: Pool) -> None:
    told, active = partial(report, reports), set[Attempt]()
    threads = Threads(1, told, active, Broken()) if pool is Pool.THREAD else Processes(1, told, active, Broken(), stop_grace=0.3)
    threads.bind()

    attempts = [attempt_of(child_pid, pool) for _ in range(2)]
    for attempt in attempts:
        threads.start(attempt)
    ended = [reports.get(timeout=20) for _ in attempts]
    threads.close()

    assert [attempt for attempt, _ in ended] == attempts
    assert [outcome.error.message for _, outcome in ended if isinstance(outcome, Failed)] == ["after", "after"]
    assert all(attempt.ended for attempt in attempts)
    assert active == set()


def attempt_of(function: Callable[..., object], pool: Pool, payload: bytes = b"") -> Attempt:
    job = leased(1, payload=payload)
    return Attempt(Lease(job.job_id, 1, job, 1), Handler(function.__name__, function, HandlerOptions(pool=pool)))


def test_threads_run_at_once_and_report_each_outcome(threads: Threads, reports: Reports) -> None:
    together = threading.Barrier(2)

    def handler() -> str:
        together.wait(10)
        return threading.current_thread().name

    for _ in range(2):
        threads.start(attempt_of(handler, Pool.THREAD))
    outcomes = [reports.get(timeout=10)[1] for _ in range(2)]

    assert all(isinstance(outcome, Completed) for outcome in outcomes)
    assert outcomes[0] != outcomes[1]


def test_a_thread_hears_that_it_should_stop(threads: Threads, reports: Reports) -> None:
    began = threading.Event()

    def handler(ctx: JobContext) -> None:
        began.set()
        ctx.cancelled.wait(10)
        ctx.raise_if_cancelled()

    attempt = attempt_of(handler, Pool.THREAD)
    threads.start(attempt)
    began.wait(10)
    attempt.stop(StopReason.TIMEOUT, time.monotonic())
    outcome = reports.get(timeout=10)[1]

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "TIMEOUT"


def child_pid(ctx: JobContext) -> int:
    ctx.progress(0.5, "half")
    ctx.save_checkpoint(b"here")
    return os.getpid()


async def async_child(data: int) -> int:
    return data + 1


def child_sleeps(ctx: JobContext) -> None:
    ctx.progress(0.0)
    time.sleep(30)


def child_ignores_the_soft_stop(ctx: JobContext) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    with contextlib.suppress(JobTimeout):
        ctx.progress(0.0)
    time.sleep(30)


def child_dies() -> None:
    os._exit(7)


def test_a_process_runs_handlers_elsewhere_and_passes_on_what_they_tell(processes: Processes, reports: Reports) -> None:
    told: list[tuple[object, object]] = []
    attempt = attempt_of(child_pid, Pool.PROCESS)
    attempt.on_update = lambda attempt: told.append((attempt.progress, attempt.checkpoint))

    processes.start(attempt)
    first = reports.get(timeout=20)[1]
    processes.start(attempt_of(child_pid, Pool.PROCESS))
    second = reports.get(timeout=20)[1]

    assert isinstance(first, Completed)
    assert first.result is not None
    assert int(first.result) != os.getpid()
    assert first == second
    assert ((0.5, "half"), b"here") in told


def test_a_process_runs_async_handlers_too(processes: Processes, reports: Reports) -> None:
    processes.start(attempt_of(async_child, Pool.PROCESS, payload=b"41"))

    assert reports.get(timeout=20)[1] == Completed(b"42")


def stop_once_it_runs(processes: Processes, attempt: Attempt) -> None:
    runs = threading.Event()
    attempt.on_update = lambda _attempt: runs.set()
    processes.start(attempt)
    assert runs.wait(20)
    attempt.stop(StopReason.TIMEOUT, time.monotonic())


def test_a_soft_stop_interrupts_a_sleeping_handler_and_keeps_its_process(processes: Processes, reports: Reports) -> None:
    processes.start(attempt_of(child_pid, Pool.PROCESS))
    before = reports.get(timeout=20)[1]

    stop_once_it_runs(processes, attempt_of(child_sleeps, Pool.PROCESS))
    outcome = reports.get(timeout=20)[1]
    processes.start(attempt_of(child_pid, Pool.PROCESS))
    after = reports.get(timeout=20)[1]

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "TIMEOUT"
    assert before == after


def test_a_handler_that_ignores_the_soft_stop_is_killed_and_its_process_replaced(processes: Processes, reports: Reports) -> None:
    processes.start(attempt_of(child_pid, Pool.PROCESS))
    before = reports.get(timeout=20)[1]

    stop_once_it_runs(processes, attempt_of(child_ignores_the_soft_stop, Pool.PROCESS))
    outcome = reports.get(timeout=20)[1]
    processes.start(attempt_of(child_pid, Pool.PROCESS))
    after = reports.get(timeout=20)[1]

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "TIMEOUT"
    assert isinstance(after, Completed)
    assert before != after


def test_a_process_that_dies_fails_its_job_and_is_replaced(processes: Processes, reports: Reports) -> None:
    processes.start(attempt_of(child_dies, Pool.PROCESS))
    outcome = reports.get(timeout=20)[1]
    processes.start(attempt_of(async_child, Pool.PROCESS, payload=b"1"))

    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.retryable) == ("ProcessDied", True)
    assert "7" in outcome.error.message
    assert reports.get(timeout=20)[1] == Completed(b"2")


def test_a_handler_that_cannot_travel_fails_its_job(processes: Processes, reports: Reports) -> None:
    processes.start(attempt_of(lambda: None, Pool.PROCESS))
    outcome = reports.get(timeout=20)[1]

    assert isinstance(outcome, Failed)
    assert outcome.error.type == "ProcessPool"


def child_tells_the_time() -> float:
    return time.monotonic()


def test_a_run_begins_when_its_process_is_up_and_has_the_handler(processes: Processes, reports: Reports) -> None:
    attempt = attempt_of(child_tells_the_time, Pool.PROCESS)

    handed_over = time.monotonic()
    processes.start(attempt)
    outcome = reports.get(timeout=20)[1]

    assert isinstance(outcome, Completed)
    assert outcome.result is not None
    assert attempt.began_at is not None
    assert attempt.began_at - handed_over > 0.05  # a process does not come up faster
    assert abs(attempt.began_at - float(outcome.result)) < 0.5


def test_a_process_that_does_not_come_up_fails_its_job(reports: Reports) -> None:
    processes = Processes(1, partial(report, reports), set(), None, stop_grace=0.3, start_patience=0.0)
    processes.bind()

    processes.start(attempt_of(child_pid, Pool.PROCESS))
    outcome = reports.get(timeout=20)[1]
    processes.close()

    assert isinstance(outcome, Failed)
    assert (outcome.error.type, outcome.retryable) == ("ProcessStart", True)


class StaysHome:
    """A handler that pickles and cannot be unpickled elsewhere."""

    __name__ = "stays_home"

    def __call__(self) -> None:
        return None

    def __reduce__(self) -> "tuple[Callable[[int], StaysHome], tuple[int]]":
        return only_in, (os.getpid(),)


def only_in(pid: int) -> StaysHome:
    if os.getpid() != pid:
        raise ImportError("not here")
    return StaysHome()


def test_a_handler_that_cannot_be_read_by_its_process_fails_every_job_of_its_kind_alike(
    processes: Processes, reports: Reports
) -> None:
    outcomes: list[Outcome] = []
    for _ in range(2):
        processes.start(attempt_of(StaysHome(), Pool.PROCESS))
        outcomes.append(reports.get(timeout=20)[1])
    processes.start(attempt_of(child_pid, Pool.PROCESS))

    assert [isinstance(outcome, Failed) and outcome.error.type for outcome in outcomes] == ["ImportError"] * 2
    assert isinstance(reports.get(timeout=20)[1], Completed)
