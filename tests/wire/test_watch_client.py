"""The Python client's watches and listeners against a server that comes and goes."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from protojobs_client import AsyncClient, Client, EventLevel, JobEvent, JobId, JobState, Options
from protojobs_client.errors import CursorExpiredError, InvalidArgumentError, QueueNotFoundError, UnavailableError
from protojobs_service.compose import RunningServer, start_server
from protojobs_service.settings import Settings

from tests.schema import make_sqlite
from tests.wire.peer import memory_driver, settings_for

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def settings(tmp_path: Path) -> Settings:
    """Return settings over an empty SQLite file."""
    chosen = settings_for(driver="sqlite", sqlite={"path": tmp_path / "jobs.db"}, shutdown={"grace": 0.5, "delay": 0})
    make_sqlite(tmp_path / "jobs.db")
    return chosen


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RunningServer]:
    """Run a server over an empty memory store."""
    async with start_server(settings_for(), driver=memory_driver()) as running:
        yield running


@asynccontextmanager
async def client_of(address: str, **options: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(options=Options(address=address, **options)) as client:
        yield client


@pytest_asyncio.fixture
async def client(server: RunningServer) -> AsyncIterator[AsyncClient]:
    """Speak to the server."""
    async with client_of(server.address) as connected:
        yield connected


async def cancelled(client: AsyncClient, jobs: int, queue: str = "default") -> list[JobId]:
    """Make so many events."""
    ids = [(await client.dispatch("email", queue=queue)).job_id for _ in range(jobs)]
    for job_id in ids:
        await client.cancel(job_id)
    return ids


async def test_events_are_values_with_all_that_is_told(client: AsyncClient) -> None:
    async with client.watch_jobs(queues=["q"]) as events:
        [job_id] = await cancelled(client, 1, "q")
        event = await anext(events)

    assert (event.name, event.id, event.queue, event.kind, event.attempt) == ("job.cancelled", job_id, "q", "email", 1)
    assert (event.before, event.after, event.final, event.actor) == (JobState.PENDING, JobState.CANCELLED, True, "server")
    assert (event.execution_time, event.error, event.next_at) == (None, None, None)
    assert event.at is not None
    assert event.job is not None
    assert event.job.state is JobState.CANCELLED
    assert events.cursor == event.cursor


async def test_a_kept_cursor_goes_on_in_another_client(client: AsyncClient, server: RunningServer) -> None:
    async with client.watch_jobs() as events:
        ids = await cancelled(client, 3)
        kept = (await anext(events)).cursor

    async with client_of(server.address) as other, other.watch_jobs(cursor=kept) as events:
        assert [(await anext(events)).id for _ in range(2)] == ids[1:]


async def test_a_watch_outlives_the_server_without_gap_or_repeat(settings: Settings) -> None:
    seen: list[JobId] = []
    async with start_server(settings) as server:
        address, port = server.address, int(server.address.rpartition(":")[2])
        async with client_of(address) as writer:
            before = await cancelled(writer, 2)
    again = settings.model_copy(update={"port": port})

    async with client_of(address) as client:
        async with start_server(again):
            events = client.watch_jobs()
            await events.begin()
            ids = await cancelled(client, 3)
            seen += [(await anext(events)).id, (await anext(events)).id]  # the third one is lost with the connection, or not
        for _ in range(2):
            async with start_server(again), client_of(address) as writer:
                ids += await cancelled(writer, 2)
                while len(seen) < len(ids):
                    seen.append((await anext(events)).id)
        await events.close()

    assert seen == ids
    assert not set(before) & set(seen)


async def test_a_listener_is_called_for_its_event_only_and_an_error_of_it_loses_nothing(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[JobEvent] = []
    enough = asyncio.Event()

    async def callback(event: JobEvent) -> None:
        heard.append(event)
        if len(heard) == 1:
            raise ValueError
        enough.set()

    begin = await _place(client)
    ids = await cancelled(client, 2)
    await client.delete(ids[0])
    with caplog.at_level(logging.ERROR):
        async with client.listen("job.cancelled", callback, cursor=begin) as listener:
            await asyncio.wait_for(enough.wait(), 15)
    deleted = asyncio.get_running_loop().create_future()
    async with client.listen("job.deleted", lambda event: deleted.set_result(event.id), cursor=begin):
        assert await asyncio.wait_for(deleted, 15) == ids[0]

    assert [event.id for event in heard] == ids
    assert "listener failed" in caplog.text
    assert listener.cursor == heard[-1].cursor


async def _place(client: AsyncClient) -> bytes:
    """Return where a watch begins now."""
    async with client.watch_jobs() as events:
        return events.cursor


async def test_a_blocking_listener_has_a_thread_and_stops(client: AsyncClient, server: RunningServer) -> None:
    begin = await _place(client)
    ids = await cancelled(client, 2)
    heard: list[str] = []
    threads: set[str] = set()
    enough = threading.Event()

    def callback(event: JobEvent) -> None:
        heard.append(event.id)
        threads.add(threading.current_thread().name)
        if len(heard) == 2:
            enough.set()

    def listen() -> bool:
        with Client(server.address) as blocking:
            with blocking.listen("job.cancelled", callback, cursor=begin) as listener:
                assert enough.wait(15)
                assert listener.running
            with blocking.watch_jobs(cursor=begin) as events:
                heard.append(next(iter(events)).id)
            return listener.running

    assert not await asyncio.to_thread(listen)
    assert heard == [*ids, ids[0]]
    assert threads == {"protojobs-job.cancelled"}


async def test_what_no_retry_can_help_is_raised(client: AsyncClient, server: RunningServer) -> None:
    with pytest.raises(InvalidArgumentError, match="cursor"):
        await anext(client.watch_jobs(cursor=b"nonsense"))
    with pytest.raises(QueueNotFoundError):
        await client.watch_stats("nobody").begin()
    with pytest.raises(ValueError, match=r"job\.processed"):
        client.listen("job.odd", print)  # type: ignore[arg-type] # no such event
    listener = client.listen("job.processing", print, queues=["default"])
    with pytest.raises(InvalidArgumentError, match="events = ALL"):
        await listener.run()

    def blocking() -> None:
        with Client(server.address) as client:
            client.listen("job.processing", print)

    with pytest.raises(InvalidArgumentError, match="events = ALL"):
        await asyncio.to_thread(blocking)


async def test_a_cursor_that_is_too_old_is_raised() -> None:
    driver = memory_driver()
    async with start_server(settings_for(), driver=driver) as server, client_of(server.address) as client:
        begin = await _place(client)
        await cancelled(client, 1)
        await driver.events.forget(timedelta(seconds=-60), 10)

        async with client.watch_jobs(cursor=begin) as events:
            with pytest.raises(CursorExpiredError):
                await anext(events)


async def test_nobody_who_answers_is_told_after_the_timeout_of_calls() -> None:
    async with client_of("127.0.0.1:1", call_timeout=timedelta(seconds=0.5)) as client:
        with pytest.raises(UnavailableError):
            await client.watch_jobs().begin()


async def test_the_level_of_events_is_set_by_the_client_and_read(client: AsyncClient) -> None:
    before = await client.update_queue("q", strict_leases=True)
    changed = await client.update_queue("q", events=EventLevel.ALL)

    assert (before.events, changed.events, changed.strict_leases) == (EventLevel.FINAL, EventLevel.ALL, True)
    assert (await client.update_queue("q", events=EventLevel.FINAL)).events is EventLevel.FINAL


async def test_numbers_come_again_and_again(client: AsyncClient) -> None:
    await client.dispatch("email", queue="q")

    async with client.watch_stats("q", interval=1) as numbers:
        first, second = await anext(numbers), await anext(numbers)

    assert [stats.queues[0].pending for stats in (first, second)] == [1, 1]
    assert first.snapshot_at is not None
    assert second.snapshot_at is not None
    assert first.snapshot_at < second.snapshot_at
