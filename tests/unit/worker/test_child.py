"""The child's side of the process pool: a soft stop tears no message and ends only the handler."""

import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from protojobs_worker import JobContext, JobTimeout, StopReason
from protojobs_worker.child import Checkpoint, Child, Progressed
from protojobs_worker.context import Attempt
from protojobs_worker.ledger import Lease
from protojobs_worker.registry import Handler, HandlerOptions

from tests.unit.worker.fake_server import leased


class Pipe:
    """Remembers what was sent whole; `during` happens in the middle of each message."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.during: Callable[[], None] = lambda: None

    def send(self, message: object) -> None:
        self.during()
        self.sent.append(message)


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def running(pipe: Any) -> tuple[Child, Attempt]:
    """Make a child in the middle of a handler."""
    child, job = Child(pipe), leased(1)
    attempt = Attempt(Lease(job.job_id, 1, job, 1), Handler("kind", lambda: None, HandlerOptions()))
    attempt.on_update = child.update
    child.enter(attempt)
    return child, attempt


def stop(child: Child, attempt: Attempt) -> Callable[[], None]:
    def stop() -> None:
        attempt.stop(StopReason.TIMEOUT, 1.0)
        child.interrupt(signal.SIGUSR2, None)

    return stop


def test_a_soft_stop_in_the_middle_of_a_message_waits_until_it_has_left(pipe: Pipe) -> None:
    child, attempt = running(pipe)
    pipe.during = stop(child, attempt)

    with pytest.raises(JobTimeout):
        JobContext(attempt).progress(0.5, "half")

    assert pipe.sent == [Progressed(0.5, "half")]


def test_a_message_of_a_side_thread_takes_no_soft_stop_from_the_handler(pipe: Pipe) -> None:
    child, attempt = running(pipe)
    errors: list[BaseException] = []

    def interrupt_main() -> None:
        attempt.stop(StopReason.TIMEOUT, 1.0)
        asked.set()
        interrupted.wait(10)

    def side() -> None:
        try:
            JobContext(attempt).save_checkpoint(b"here")
        except JobTimeout as error:
            errors.append(error)

    asked, interrupted = threading.Event(), threading.Event()
    pipe.during = interrupt_main
    thread = threading.Thread(target=side)
    thread.start()
    assert asked.wait(10)
    with pytest.raises(JobTimeout):
        child.interrupt(signal.SIGUSR2, None)
    interrupted.set()
    thread.join(10)

    assert errors == []
    assert pipe.sent == [Checkpoint(b"here")]


def test_a_handler_is_interrupted_once(pipe: Pipe) -> None:
    child, attempt = running(pipe)
    attempt.stop(StopReason.TIMEOUT, 1.0)

    with pytest.raises(JobTimeout):
        child.interrupt(signal.SIGUSR2, None)
    child.interrupt(signal.SIGUSR2, None)
    JobContext(attempt).progress(1.0)

    assert pipe.sent == [Progressed(1.0, "")]
