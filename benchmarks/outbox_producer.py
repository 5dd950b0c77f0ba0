"""Commits jobs into an outbox, one transaction each: `python -m benchmarks.outbox_producer JSON`.

Each transaction writes a row of its own as well. Its history has the moment after the commit, by the monotonic clock and by that
of the wall, which is the store's too.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from protojobs_client import JobRequest
from protojobs_client.outbox import ddl, enqueue
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.extras import telemetry
from benchmarks.requests import requests
from benchmarks.stack import KIND
from benchmarks.usage import own_cpu_s
from tests.checker import Recorder

_DRIVERS: Final = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+asyncmy"}
_CONNECTIONS: Final = 10

InTransaction = Callable[[Callable[[Connection], str]], Awaitable[str]]


def make_tables(connection: Connection) -> str:
    """Make the outbox and a table of the application, and return the dialect."""
    connection.exec_driver_sql("create table purchase (id varchar(36) primary key)")
    for statement in filter(str.strip, ddl(connection.dialect.name).split(";\n")):
        connection.exec_driver_sql(statement)
    return connection.dialect.name


def buy(connection: Connection, request: JobRequest) -> str:
    """Write a row and its job, and return that."""
    job = enqueue(connection, request)
    connection.execute(text("insert into purchase (id) values (:id)"), {"id": job})
    return job


@asynccontextmanager
async def transactions(dsn: str) -> AsyncGenerator[InTransaction, None]:
    """Give what runs a function in a transaction and commits it."""
    url = make_url(dsn)
    if url.drivername == "sqlite":
        # The driver of the standard library blocks, as it does in the programs that use it.
        engine = create_engine(url)

        async def run_here(work: Callable[[Connection], str]) -> str:
            with engine.begin() as connection:
                return work(connection)

        yield run_here
        engine.dispose()
        return
    pool = create_async_engine(url.set(drivername=_DRIVERS[url.drivername]), pool_size=_CONNECTIONS, max_overflow=0)

    async def run(work: Callable[[Connection], str]) -> str:
        async with pool.begin() as connection:
            return await connection.run_sync(work)

    yield run
    await pool.dispose()


async def prepare(dsn: str, queue: str) -> None:
    """Make the tables, with one job for `queue`."""
    async with transactions(dsn) as in_transaction:
        await in_transaction(make_tables)
        await in_transaction(partial(buy, request=next(requests({"queue": queue}))))


async def main(config: dict[str, Any]) -> None:
    """Commit one job each `interval` seconds, then write history and usage."""
    written: list[tuple[str, float, float, float]] = []
    work = partial(buy, request=next(requests(config)))
    async with transactions(config["dsn"]) as in_transaction:
        used = own_cpu_s()

        async def send(intended: float) -> None:
            job = await in_transaction(work)
            written.append((job, intended, time.monotonic(), time.time()))

        start = time.monotonic() + config["interval"]
        with telemetry():
            async with asyncio.TaskGroup() as group:
                for number in range(config["jobs"]):
                    intended = start + number * config["interval"]
                    await asyncio.sleep(max(0.0, intended - time.monotonic()))
                    group.create_task(send(intended))
        used = own_cpu_s() - used
    with Recorder(Path(config["history"]), config["name"]) as recorder:
        for job, intended, acked, wall in written:
            recorder.write("dispatch", "invoke", t=intended, jobs=[job], queue=config["queue"], kind=KIND)
            recorder.write("dispatch", "ok", t=acked, jobs=[job], wall=wall)
        recorder.write("noted", what="usage", role="producers", queue=config["queue"], cpu_s=used)


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(sys.argv[1])))
