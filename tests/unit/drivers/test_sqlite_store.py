"""SQLite: one writer thread, one process, and what happens when the disk or another process is in the way."""

import asyncio
import ctypes
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from protojobs_service.domain.errors import JobNotFound, StoreUnavailable
from protojobs_service.drivers.sql import sqlite_thread
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.sqlite_file import refuse_network_filesystem
from protojobs_service.drivers.sql.store import Options
from sqlalchemy import Connection, insert, select, text

from tests.conftest import NOT_ON_THIS_MACHINE
from tests.unit.drivers.kit import LANE, PENDING, RUNNING, Ground, group, new_ids, opened, rows


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a database file."""
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait 0.1 s for a lock, not 5."""
    monkeypatch.setattr(sqlite_thread, "BUSY_SECONDS", 0.1)


@pytest.mark.asyncio
async def test_everything_pending_is_committed_together(url: str) -> None:
    """While the writer is held up, ten operations queue; they share one transaction."""
    async with opened(url) as ground:
        lane, gate = ground.store.tables.lane, threading.Event()
        before = await ground.store.run(lambda c: c.scalar(text("PRAGMA data_version")), write=False)

        def add(kind: str) -> Callable[[Connection], object]:
            return lambda c: c.execute(insert(lane).values(queue="q", kind=kind))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ground.store.run(lambda _: gate.wait(5)))
            for n in range(10):
                tasks.create_task(ground.store.run(add(str(n))))
            await asyncio.sleep(0.05)
            gate.set()

        after = await ground.store.run(lambda c: c.scalar(text("PRAGMA data_version")), write=False)
        assert await ground.store.run(lambda c: len(c.execute(select(lane)).all()), write=False) == 10
        assert after - before <= 2  # the holder, and the ten


@pytest.mark.asyncio
async def test_a_failing_operation_hurts_no_other_of_its_turn(url: str) -> None:
    async with opened(url) as ground:
        lane, gate = ground.store.tables.lane, threading.Event()

        def refuse(c: Connection) -> None:
            c.execute(insert(lane).values(queue="q", kind="refused"))
            raise JobNotFound

        def blunder(c: Connection) -> None:
            c.execute(insert(lane).values(queue="q", kind="blunder"))
            raise KeyError("a defect")

        calls = [
            ground.store.run(lambda _: gate.wait(5)),
            ground.store.run(lambda c: c.execute(insert(lane).values(queue="q", kind="good"))),
            ground.store.run(refuse),
            ground.store.dispatch(rows(new_ids(3)), 0),
            ground.store.run(blunder),
            ground.store.run(lambda c: c.execute(text("select nonsense"))),
            ground.store.run(lambda c: c.execute(insert(lane).values(queue="q", kind="last"))),
        ]
        answers = asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0.05)
        gate.set()
        _, good, refused, dispatched, blundered, nonsense, last = await answers

        assert isinstance(refused, JobNotFound)
        assert isinstance(blundered, KeyError)
        assert isinstance(nonsense, Exception)
        assert not any(isinstance(answer, BaseException) for answer in (good, dispatched, last))
        kinds = await ground.store.run(lambda c: c.scalars(select(lane.c.kind)).all(), write=False)
        assert sorted(kinds) == ["good", "last"]
        assert await ground.recounted() == {(LANE, PENDING): 3}


@pytest.mark.asyncio
async def test_an_operation_may_use_savepoints_of_its_own(url: str) -> None:
    async with opened(url) as ground:
        lane = ground.store.tables.lane

        def operation(c: Connection) -> None:
            c.execute(insert(lane).values(queue="q", kind="kept"))
            with c.begin_nested() as inner:
                c.execute(insert(lane).values(queue="q", kind="dropped"))
                inner.rollback()

        await ground.store.run(operation)

        assert await ground.store.run(lambda c: c.scalars(select(lane.c.kind)).all(), write=False) == ["kept"]


@pytest.mark.asyncio
async def test_a_read_is_one_snapshot_and_cannot_write(url: str) -> None:
    async with opened(url) as ground:
        lane, entered, go_on = ground.store.tables.lane, threading.Event(), threading.Event()
        count = select(lane)

        def read(c: Connection) -> tuple[int, int]:
            first = len(c.execute(count).all())
            entered.set()
            go_on.wait(5)
            return first, len(c.execute(count).all())

        reading = asyncio.ensure_future(ground.store.run(read, write=False))
        await asyncio.to_thread(entered.wait, 5)
        await ground.store.run(lambda c: c.execute(insert(lane).values(queue="q", kind="k")))
        go_on.set()

        assert await reading == (0, 0)
        with pytest.raises(StoreUnavailable):
            await ground.store.run(lambda c: c.execute(insert(lane).values(queue="q", kind="x")), write=False)
        assert await ground.store.run(lambda c: len(c.execute(count).all()), write=False) == 1


@pytest.mark.asyncio
async def test_what_was_answered_is_there_after_a_new_start(url: str) -> None:
    async with opened(url) as ground:
        handle = await ground.add_handle()
        await ground.store.dispatch(rows(new_ids(3), handles=[handle, 0, 0]), 0)

    async with opened(url) as ground:
        assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 2, (LANE, RUNNING): 1}
        assert len(await ground.store.claim([group(handle, handle)], 1)) == 2


@pytest.mark.asyncio
async def test_commits_survive_power_cuts(url: str, tmp_path: Path) -> None:
    async with opened(url) as ground:
        pragmas = await ground.store.run(lambda c: (c.scalar(text("PRAGMA journal_mode")), c.scalar(text("PRAGMA synchronous"))))
        await ground.store.dispatch(rows(new_ids(1)), 0)

        assert pragmas == ("wal", 2)
        assert (tmp_path / "jobs.db-wal").stat().st_size > 0


@pytest.mark.asyncio
async def test_a_database_locked_by_somebody_else_answers_unavailable_until_it_is_free(
    url: str, tmp_path: Path, short_wait: None
) -> None:
    async with opened(url) as ground:
        other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable):
            await ground.store.dispatch(rows(new_ids(1)), 0)
        with pytest.raises(StoreUnavailable):
            await ground.add_handle()
        assert await ground.recounted() == {}

        other.execute("ROLLBACK")
        other.close()
        await ground.store.dispatch(rows(new_ids(1)), 0)
        assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"{NOT_ON_THIS_MACHINE}a small disk: mounting needs root")
    try:
        yield disk
    finally:
        # Lazily: on a failure the store may still be open.
        ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(disk), 2)


@pytest.mark.asyncio
async def test_a_full_disk_answers_unavailable_and_needs_no_restart(small_disk: Path) -> None:
    async with opened(f"sqlite:///{small_disk}/jobs.db") as ground:
        handle = await ground.add_handle()
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 1_000_000)
        stored = await _fill(ground)
        with pytest.raises(StoreUnavailable):
            await ground.store.dispatch(rows(new_ids(500), size=1000), 0)
        assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): stored}

        ballast.unlink()
        assert len(await ground.store.claim([group(handle, handle)], 1)) == 2
        await ground.store.dispatch(rows(new_ids(10), size=1000), 0)
        assert await ground.counted() == await ground.recounted() == {(LANE, PENDING): stored + 8, (LANE, RUNNING): 2}


@pytest.mark.asyncio
async def test_a_second_store_on_the_same_file_is_refused_by_name(url: str) -> None:
    async with opened(url):
        second = SqliteStore(Options(url=url))

        with pytest.raises(StoreUnavailable, match=f"process {os.getpid()} has this SQLite database open"):
            await second.open()

    async with opened(url):
        pass  # the lock went with the store


@pytest.mark.asyncio
async def test_the_lock_goes_with_a_killed_process(url: str) -> None:
    program = """
import asyncio, sys
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import Options
async def main():
    await SqliteStore(Options(url=sys.argv[1])).open()
    print("open", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, url, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"open\n"
    with pytest.raises(StoreUnavailable, match=f"process {child.pid} "):
        await SqliteStore(Options(url=url)).open()
    child.kill()
    await child.wait()

    async with opened(url):
        pass


@pytest.mark.asyncio
async def test_a_file_that_cannot_be_opened_is_told_at_open(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_bytes(b"this is not a database" * 100)

    with pytest.raises(StoreUnavailable, match="not a database"):
        await SqliteStore(Options(url=f"sqlite:///{tmp_path}/jobs.db")).open()
    with pytest.raises(StoreUnavailable, match="No such file"):
        await SqliteStore(Options(url=f"sqlite:///{tmp_path}/missing/jobs.db")).open()


@pytest.mark.parametrize(("mounts", "refused"), [
    ("dev / ext4 rw 0 0\nserver:/x {home} nfs4 rw 0 0\n", True),
    ("dev / ext4 rw 0 0\nserver:/x {home} nfs4 rw 0 0\ndev {home}/data xfs rw 0 0\n", False),
    ("server:/ / nfs rw 0 0\ndev {home} ext4 rw 0 0\n", False),
    ("dev / ext4 rw 0 0\n//server/x {home}/da cifs rw 0 0\n", False),
    ("overlay / overlay rw 0 0\nuser@host: {home}/data fuse.sshfs rw 0 0\n", True),
])  # fmt: skip
def test_network_filesystems_are_refused(tmp_path: Path, mounts: str, refused: bool) -> None:
    table = tmp_path / "mounts"
    table.write_text(mounts.format(home=tmp_path.resolve()))
    database = tmp_path / "data" / "jobs.db"

    if refused:
        with pytest.raises(StoreUnavailable, match="cannot live on"):
            refuse_network_filesystem(database, table)
    else:
        refuse_network_filesystem(database, table)


@pytest.mark.asyncio
async def test_a_closed_store_answers_unavailable(url: str) -> None:
    store = SqliteStore(Options(url=url))
    with pytest.raises(StoreUnavailable):
        await store.run(lambda _: None)
    await store.open()
    await store.close()
    await store.close()

    with pytest.raises(StoreUnavailable):
        await store.run(lambda _: None, write=False)
    with pytest.raises(StoreUnavailable):
        await store.dispatch(rows(new_ids(1)), 0)
    await store.open()
    assert await store.run(lambda _: 5) == 5
    await store.close()


@pytest.mark.asyncio
async def test_close_finishes_what_is_pending(url: str) -> None:
    async with opened(url) as ground:
        lane, gate = ground.store.tables.lane, threading.Event()
        first = asyncio.ensure_future(ground.store.run(lambda _: gate.wait(5)))
        second = asyncio.ensure_future(ground.store.run(lambda c: c.execute(insert(lane).values(queue="q", kind="k"))))
        await asyncio.sleep(0.02)

        closing = asyncio.ensure_future(ground.store.close())
        await asyncio.sleep(0.02)
        gate.set()

        await asyncio.gather(first, second, closing)

    async with opened(url) as ground:
        assert await ground.store.run(lambda c: c.scalars(select(lane.c.kind)).all(), write=False) == ["k"]


@pytest.mark.asyncio
async def test_a_caller_that_goes_away_stops_nobody(url: str) -> None:
    async with opened(url) as ground:
        gate = threading.Event()
        waiting = asyncio.ensure_future(ground.store.run(lambda _: gate.wait(5)))
        await asyncio.sleep(0.02)

        waiting.cancel()
        gate.set()

        assert (await ground.store.dispatch(rows(new_ids(1)), 0)).created is None


async def _fill(ground: Ground) -> int:
    """Dispatch until the disk is full; return how many jobs were stored."""
    stored = 0
    with suppress(StoreUnavailable):
        while stored < 10_000:
            await ground.store.dispatch(rows(new_ids(100), size=1000), 0)
            stored += 100
    return stored
