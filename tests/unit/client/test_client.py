"""The client without an event loop: threads, forks, interrupts."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from protojobs_client import Client, Job, JobNotFoundError
from protojobs_client.errors import ClientClosedError, ClientForkedError
from protojobs_client.loop_thread import LoopThread

from tests.unit.client.fake import FakeServer


class Resize(Job):
    """A job of a class."""

    queue = "images"


def test_threads_share_one_stream(far_server: FakeServer, blocking_client: Client) -> None:
    with ThreadPoolExecutor(64) as threads:
        jobs = list(threads.map(lambda number: blocking_client.dispatch("kind", number), range(640)))

    assert far_server.jobs.streams == 1
    assert len(far_server.jobs.frames) < 640
    assert {job.job_id for job in jobs} == set(far_server.jobs.stored)


def test_a_job_class_is_dispatched(far_server: FakeServer, blocking_client: Client) -> None:
    job = blocking_client.dispatch(Resize, {"width": 10}, priority=9)

    spec = far_server.jobs.stored[job.job_id]
    assert (spec.kind, spec.queue, spec.priority, spec.payload) == ("Resize", "images", 9, b'{"width":10}')


def test_lists_are_iterators(far_server: FakeServer, blocking_client: Client) -> None:
    assert [worker.session for worker in blocking_client.workers()] == ["7"]
    assert [len(page) for page in blocking_client.attempts("1").pages()] == [1]
    assert blocking_client.list().all() == []


def test_errors_reach_the_caller(blocking_client: Client) -> None:
    with pytest.raises(JobNotFoundError):
        blocking_client.get("1")


def test_a_closed_client_says_so(far_server: FakeServer) -> None:
    client = Client(far_server.address)
    client.dispatch("kind")

    client.close()
    client.close()

    with pytest.raises(ClientClosedError):
        client.dispatch("kind")


def test_a_client_that_was_never_used_closes_without_a_thread() -> None:
    before = threading.active_count()

    with Client("127.0.0.1:1"):
        assert threading.active_count() == before


def test_a_forgotten_client_takes_its_thread_with_it(far_server: FakeServer) -> None:
    client = Client(far_server.address)
    client.dispatch("kind")
    [thread] = [thread for thread in threading.enumerate() if thread.name == "protojobs-client"]

    del client

    thread.join(5)
    assert not thread.is_alive()


def test_an_interrupt_ends_a_waiting_call(far_server: FakeServer, blocking_client: Client) -> None:
    far_server.jobs.waits_until_done = 10**9
    # To the thread that waits: the system may give a signal of the process to any thread, and libraries have threads too.
    waiting = threading.get_ident()
    far_server.jobs.on_wait = lambda: signal.pthread_kill(waiting, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        blocking_client.wait("1")

    assert blocking_client.dispatch("kind").job_id in far_server.jobs.stored


def test_a_client_that_was_used_before_a_fork_says_so(monkeypatch: pytest.MonkeyPatch, blocking_client: Client) -> None:
    blocking_client.dispatch("kind")

    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ClientForkedError):
            blocking_client.dispatch("kind")
        with Client("127.0.0.1:1") as fresh, pytest.raises(ClientForkedError, match="gRPC"):
            fresh.dispatch("kind")


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, far_server: FakeServer) -> None:
    monkeypatch.setenv("PROTOJOBS_ADDRESS", far_server.address)

    with Client() as client:
        client.dispatch("kind")

    assert len(far_server.jobs.stored) == 1


def test_work_of_a_stopped_loop_is_refused_and_never_waits() -> None:
    cleaned: list[bool] = []

    async def cleanup() -> None:
        cleaned.append(True)

    async def work() -> int:
        return 1

    loop = LoopThread(cleanup)
    assert loop.run(work()) == 1

    loop.stop()

    assert cleaned == [True]
    with pytest.raises(ClientClosedError):
        loop.run(work())
