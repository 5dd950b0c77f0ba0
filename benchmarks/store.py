"""The hot statements alone, without server, wire and clients: microseconds a job for each, and for the mixes that run at once.

    python -m benchmarks.store sqlite [DIRECTORY]
    python -m tests.postgres -- python -m benchmarks.store postgres
    python -m tests.mariadb -- python -m benchmarks.store mariadb

One process drives the store, so that the figures hold its Python too. Each cell: wall time, CPU of this process, CPU of the
PostgreSQL server (by /proc, in steps of 0.5 us). Short: repeat it for the spread.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

from protojobs_service.drivers.sql.mysql import MysqlStore
from protojobs_service.drivers.sql.postgres import PostgresStore
from protojobs_service.drivers.sql.sqlite import SqliteStore
from protojobs_service.drivers.sql.store import ClaimGroup, Completions, Options, Probe, Rows, Store
from sqlalchemy import insert, text

LANE, BAND = 1, 5
ENVELOPE = os.urandom(250)
# Positions grow from one size to the next: what one leaves behind must not stand before the low-water mark of another.
_BASES = count(1, 1000)


def new_id() -> bytes:
    """Return a UUIDv7, made cheaply."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + b"\x70" + os.urandom(9)


class Bench:
    """Flushes of one size against one store."""

    def __init__(self, store: Store, size: int) -> None:
        """Use `store`, `size` jobs a flush."""
        self._store = store
        self._size = size
        self._leased: asyncio.Queue[Completions] = asyncio.Queue()
        self._low = 0

    def rows(self, handle: int | None = None) -> Rows:
        """Return one flush of new jobs; `handle` takes them all at insert."""
        n = self._size
        handles = None if handle is None else [handle] * n
        return Rows([new_id() for _ in range(n)], [LANE] * n, [BAND] * n, [ENVELOPE] * n, None, handles, next(_BASES))

    async def dispatch(self) -> None:
        """Store a flush in ready."""
        await self._store.dispatch(self.rows(), 0)

    async def dispatch_running(self) -> None:
        """Store a flush, claimed at insert."""
        rows = self.rows(1)
        await self._store.dispatch(rows, 0)
        self._leased.put_nowait(Completions(rows.ids, [1] * self._size, [1] * self._size))

    async def claim(self) -> None:
        """Claim a flush."""
        group = ClaimGroup([Probe(LANE, BAND, self._low)], [1] * self._size, 0)
        found = await self._store.claim([group], 1)
        while not found:  # it has overtaken the dispatches
            found = await self._store.claim([group], 1)
        self._low = found[-1].position
        self._leased.put_nowait(Completions([c.id for c in found], [c.attempt for c in found], [c.handle for c in found]))

    async def complete(self) -> None:
        """Complete what a claim has leased."""
        applied = await self._store.complete(await self._leased.get(), 2)
        assert applied is None, applied

    async def measure(self, flushes: int) -> None:
        """Print one row: each statement alone, then the mixes."""
        cells = [
            await self.timed(flushes, step)
            for step in (self.dispatch, self.claim, self.complete, self.dispatch_running, self.complete)
        ]
        for _ in range(3):  # a lead, so that claims find something
            await self.dispatch()
        cells.append(await self.timed(flushes, self.dispatch, self.claim, self.complete))
        while not self._leased.empty():
            await self.complete()
        cells.append(await self.timed(flushes, self.dispatch_running, self.complete))
        while not self._leased.empty():
            await self.complete()
        print(f"{self._size:>6} " + " ".join(f"{cell:>18}" for cell in cells))

    async def server_cpu(self) -> float:
        """Return the CPU seconds of a PostgreSQL on this machine, all its processes; 0 for others."""
        if self._store.name != "postgres":
            return 0.0
        pids = await self._store.run(lambda c: c.scalars(text("select pid from pg_stat_activity")).all(), write=False)
        return sum(map(_cpu_of, pids))

    async def timed(self, flushes: int, *steps: Callable[[], Awaitable[None]]) -> str:
        """Run the steps `flushes` times each, at once; return wall time, our CPU and the server's, us a job."""

        async def repeat(step: Callable[[], Awaitable[None]]) -> None:
            for _ in range(flushes):
                await step()

        before, spent, server = time.perf_counter(), _cpu(), await self.server_cpu()
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(repeat(step))
        jobs = flushes * self._size
        wall, ours, theirs = time.perf_counter() - before, _cpu() - spent, await self.server_cpu() - server
        return " ".join(f"{seconds / jobs * 1e6:.1f}" for seconds in (wall, ours, theirs))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def main(driver: str, directory: Path) -> None:
    """Measure one driver."""
    store: Store
    if driver == "postgres":
        store = PostgresStore(Options(url=os.environ["PROTOJOBS_TEST_DSN"]))
    elif driver == "mariadb":
        store = MysqlStore(Options(url=os.environ["PROTOJOBS_TEST_DSN"]))
    else:
        store = SqliteStore(Options(url=f"sqlite:///{directory}/bench.db"))
    await store.open()
    await store.run(store.tables.metadata.create_all)
    await store.maintain()
    await store.run(lambda connection: connection.execute(insert(store.tables.handle).values(session=1)))
    print(
        f"{'batch':>6} "
        + " ".join(f"{name:>18}" for name in ("dispatch", "claim", "complete", "as running", "complete", "three", "two"))
    )
    for size, flushes in ((500, 40), (500, 40), (100, 100), (10, 100), (1, 100)):
        await Bench(store, size).measure(flushes)
    await store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else scratch)))
