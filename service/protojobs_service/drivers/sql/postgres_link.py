"""One hot connection: raw asyncpg, plans pinned, statements prepared once, no transaction around a statement."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.again import RETRIES, pause
from protojobs_service.drivers.sql.dsn import endpoint
from protojobs_service.drivers.sql.errors import is_transient, shown, sqlstate, translate
from protojobs_service.drivers.sql.postgres_statements import OFFSET_SETTING

PLANNER = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""A generic plan made on an empty database reads whole tables (51 us a job, not 16); so only index plans are left to choose."""

LOCK_SECONDS = 3
STATEMENT_SECONDS = 10
CONNECT_SECONDS = 5
_ANSWER_SECONDS = STATEMENT_SECONDS + 5
_LOCK_NOT_AVAILABLE = "55P03"


def connect_arguments(url: str) -> dict[str, Any]:
    """Return what asyncpg.connect takes, read from a SQLAlchemy URL as SQLAlchemy reads it."""
    place = endpoint(url)
    _, arguments = place.url.get_dialect()().create_connect_args(place.url)
    taken = {name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")}
    return {**taken, **place.tls}


async def use_raw_ids(connection: Any) -> None:
    """Hand `uuid` over as 16 bytes: UUID objects cost 1-2 us each to make and print."""
    await connection.set_type_codec("uuid", encoder=bytes, decoder=bytes, schema="pg_catalog", format="binary")


def may_run_again(error: BaseException) -> bool:
    """Tell whether the same transaction may be tried again: deadlock, serialisation failure, lock not to be had."""
    return is_transient(error) or sqlstate(error) == _LOCK_NOT_AVAILABLE


class HotLink:
    """Runs one statement at a time; connects when first used and again after a loss.

    A statement whose connection broke has an unknown outcome: StoreUnavailable, and whoever asked repeats it safely.
    """

    def __init__(self, name: str, url: str, *, planner: Mapping[str, str] = PLANNER, offset: list[int] | None = None) -> None:
        """Prepare; `offset` is a test's clock, told to the server whenever it has changed."""
        self._name = name
        self._arguments = connect_arguments(url)
        self._settings = {
            **planner,
            "application_name": f"protojobs {name}",
            "lock_timeout": f"{LOCK_SECONDS}s",
            "statement_timeout": f"{STATEMENT_SECONDS}s",
        }
        self._offset = offset
        self._told = 0
        self._raw: asyncpg.Connection[Any] | None = None
        self._prepared: dict[str, PreparedStatement[Any]] = {}
        self._names = 0
        self._started = False
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Allow statements from now on."""
        self._started = True

    async def fetch(self, text: str, *values: Any) -> Sequence[Any]:
        """Run a statement and return its rows. Deadlocks and the like are tried again. Raises StoreUnavailable."""
        async with self._turn:
            if not self._started:
                raise StoreUnavailable("the store is not open")
            for attempt in range(RETRIES + 1):
                try:
                    return await self._once(text, values)
                except asyncio.CancelledError:
                    self._drop()
                    raise
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                    if attempt < RETRIES and self._can_repeat(error, text):
                        await pause(attempt)
                        continue
                    self._drop()
                    raise translate(error) from shown(error)
            raise StoreUnavailable

    async def close(self) -> None:
        """Close the connection after what is in flight; nothing runs until `start`. Idempotent."""
        self._started = False
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        if self._raw is not None and not self._raw.is_closed():
            try:
                await self._raw.close(timeout=CONNECT_SECONDS)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                self._raw.terminate()
        self._drop()

    def _can_repeat(self, error: BaseException, text: str) -> bool:
        if isinstance(error, asyncpg.InvalidCachedStatementError):  # a migration has changed a table
            self._prepared.pop(text, None)
            return True
        return may_run_again(error)

    async def _once(self, text: str, values: Sequence[Any]) -> Sequence[Any]:
        raw = self._raw
        if raw is None or raw.is_closed():
            raw = await self._connect()
        if self._offset is not None and self._told != self._offset[0]:
            self._told = self._offset[0]
            await raw.execute("select set_config($1,$2,false)", OFFSET_SETTING, str(self._told))
        prepared = self._prepared.get(text)
        if prepared is None:
            # Named by us: without a statement cache asyncpg uses the unnamed statement, which is parsed and planned at each use.
            self._names += 1
            prepared = await raw.prepare(text, name=f"protojobs_{self._names}", timeout=_ANSWER_SECONDS)
            self._prepared[text] = prepared
        return await prepared.fetch(*values, timeout=_ANSWER_SECONDS)

    async def _connect(self) -> "asyncpg.Connection[Any]":
        self._drop()
        raw: asyncpg.Connection[Any] = await asyncpg.connect(
            **self._arguments, server_settings=self._settings, timeout=CONNECT_SECONDS
        )
        await use_raw_ids(raw)
        self._raw = raw
        return raw

    def _drop(self) -> None:
        if self._raw is not None and not self._raw.is_closed():
            self._raw.terminate()
        self._raw = None
        self._told = 0
        self._prepared.clear()
