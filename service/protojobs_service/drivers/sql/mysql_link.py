"""One hot connection: raw asyncmy, several statements in one packet, a transaction around each flush."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncmy
from asyncmy.cursors import Cursor
from asyncmy.errors import MySQLError

from protojobs_service.domain.errors import StoreUnavailable
from protojobs_service.drivers.sql.again import RETRIES, pause
from protojobs_service.drivers.sql.dsn import endpoint
from protojobs_service.drivers.sql.errors import is_lock_timeout, is_transient, shown, translate

T = TypeVar("T")

LOCK_SECONDS = 3
STATEMENT_SECONDS = 10
CONNECT_SECONDS = 5
_ANSWER_SECONDS = STATEMENT_SECONDS + 5
_ERRORS = (MySQLError, OSError, TimeoutError)

Send = Callable[[str], Awaitable[list[Sequence[Any]]]]
"""Sends statements, apart by `;`, in one packet, and returns the rows of each."""


class QuietCursor(Cursor):
    """A cursor that does not fetch and log warnings: INSERT IGNORE warns of each row that it leaves out."""

    async def _show_warnings(self, conn: Any) -> None:  # noqa: ARG002 - the library's hook
        return


def session_settings(statement_seconds: int) -> str:
    """Return the statement that a session begins with: values are refused, not cut, and nothing waits for ever.

    READ COMMITTED: under REPEATABLE READ each range that is read with locks also locks its gaps against inserts.
    """
    # What only MariaDB knows stands in its own kind of comment, so that MySQL is refused by `open`, with the reason.
    only = (
        f"/*M! ,tx_isolation='READ-COMMITTED',max_statement_time={statement_seconds},"
        f"idle_transaction_timeout={max(statement_seconds, 30)} */"
    )
    return (
        "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION',time_zone='+00:00',"
        f"innodb_lock_wait_timeout={LOCK_SECONDS},lock_wait_timeout={LOCK_SECONDS}{only}"
    )


def connect_arguments(url: str, statement_seconds: int) -> dict[str, Any]:
    """Return what asyncmy.connect takes, read from a SQLAlchemy URL as SQLAlchemy reads it."""
    place = endpoint(url)
    _, arguments = place.url.get_dialect()().create_connect_args(place.url)
    return {**arguments, **session_arguments(statement_seconds), **place.tls}


def session_arguments(statement_seconds: int) -> dict[str, Any]:
    """Return what every connection is made with, beside its URL."""
    begin = session_settings(statement_seconds)
    return {"connect_timeout": CONNECT_SECONDS, "init_command": begin, "cursor_cls": QuietCursor}


def may_run_again(error: BaseException) -> bool:
    """Tell whether the same transaction may be tried again: deadlock, or a lock that was not to be had."""
    return is_transient(error) or is_lock_timeout(error)


class HotLink:
    """Runs one transaction at a time; connects when first used and again after a loss.

    A transaction whose connection broke has an unknown outcome: StoreUnavailable, and whoever asked repeats it safely.
    """

    def __init__(self, url: str) -> None:
        """Prepare; nothing is connected yet."""
        self._arguments = connect_arguments(url, STATEMENT_SECONDS)
        self._raw: Any = None
        self._started = False
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Allow transactions from now on."""
        self._started = True

    async def run(self, transaction: Callable[[Send], Awaitable[T]]) -> T:
        """Run a transaction, which begins and commits by itself; after a deadlock again, whole. Raises StoreUnavailable."""
        async with self._turn:
            if not self._started:
                raise StoreUnavailable("the store is not open")
            for attempt in range(RETRIES + 1):
                try:
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        await self._connect()
                        return await transaction(self._send)
                except _ERRORS as error:
                    if not (attempt < RETRIES and may_run_again(error) and await self._roll_back()):
                        self._drop()
                        raise translate(error) from shown(error)
                    await pause(attempt)
                except BaseException:
                    self._drop()
                    raise
            raise StoreUnavailable

    async def close(self) -> None:
        """Close the connection after what is in flight; nothing runs until `start`. Idempotent."""
        self._started = False
        async with self._turn:
            if self._raw is not None and self._raw.connected:
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await self._raw.ensure_closed()
                except _ERRORS:
                    pass  # it is dropped anyway
            self._drop()

    async def _send(self, text: str) -> list[Sequence[Any]]:
        cursor = self._raw.cursor()
        await cursor.execute(text)
        found: list[Sequence[Any]] = [await cursor.fetchall()]
        while await cursor.nextset():
            found.append(await cursor.fetchall())
        return found

    async def _connect(self) -> None:
        if self._raw is None or not self._raw.connected:
            self._drop()
            # Its own types leave most parameters open.
            self._raw = await asyncmy.connect(**self._arguments, autocommit=True)  # pyright: ignore[reportUnknownMemberType]

    async def _roll_back(self) -> bool:
        """End what a lock timeout has left open; tells whether the connection can go on."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._raw.rollback()
        except _ERRORS:
            return False
        return True

    def _drop(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw = None
