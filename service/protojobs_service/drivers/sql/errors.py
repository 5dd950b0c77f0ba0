"""Foreign errors become domain errors here: SQLAlchemy, sqlite3, asyncpg and the sockets below them, and nobody else's."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import exc

from protojobs_service.domain.errors import Conflict, InvalidField, JobsError, Overloaded, StoreUnavailable

_RETRY_STATES = frozenset({"40001", "40P01"})
"""Serialisation failure and deadlock (PostgreSQL, appendix A): nothing was committed, the same transaction may be run again."""
_BUSY_STATES = frozenset({"53300", "55P03"})
_AWAY_CLASSES = ("08", "25", "53", "54", "55", "57", "58", "F0", "XX")
"""Connection, read-only, resources, limits, lock, shutdown, system, configuration and corruption: the store, not the statement."""


def translate(error: BaseException) -> JobsError:
    """Return the domain error that stands for `error`; raise it `from` the original. Domain errors are returned as they are."""
    if isinstance(error, JobsError):
        return error
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return StoreUnavailable()
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return translate(error.orig)
    if (state := sqlstate(error)) is not None:
        return _by_state(state)
    if isinstance(error, sqlite3.Error):
        return _by_sqlite(error)
    if isinstance(error, exc.TimeoutError):
        return Overloaded("every connection to the store is in use")
    if isinstance(error, exc.SQLAlchemyError) and not isinstance(error, exc.DBAPIError):
        return JobsError("the driver made a statement that it should not have made")
    return StoreUnavailable()


def is_transient(error: BaseException) -> bool:
    """Tell whether the store rolled the transaction back for another one's sake: a deadlock, a serialisation failure, a lock."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return is_transient(error.orig)
    return sqlstate(error) in _RETRY_STATES or (isinstance(error, sqlite3.OperationalError) and _is_busy(error))


def sqlstate(error: BaseException | None) -> str | None:
    """Return the five characters of SQLSTATE that a PostgreSQL error carries, itself or in what it was made from."""
    while error is not None:
        state: object = getattr(error, "sqlstate", None)
        if isinstance(state, str):
            return state
        error = error.__cause__
    return None


@contextmanager
def translated() -> Generator[None]:
    """Raise the domain error for whatever a store's library raises inside."""
    try:
        yield
    except JobsError:
        raise
    except (exc.SQLAlchemyError, sqlite3.Error, OSError, TimeoutError) as error:
        raise translate(error) from error
    except Exception as error:
        # asyncpg is an optional dependency: its errors are known by where they come from.
        if not _is_asyncpg(error):
            raise
        raise translate(error) from error


def _is_asyncpg(error: BaseException) -> bool:
    return any(base.__module__.partition(".")[0] == "asyncpg" for base in type(error).__mro__)


def _by_state(state: str) -> JobsError:
    if state in _BUSY_STATES:
        return Overloaded("the store has no place or lock left for this")
    if state in _RETRY_STATES or state.startswith(_AWAY_CLASSES):
        return StoreUnavailable()
    if state.startswith("22"):
        return InvalidField("", "the store cannot keep this value")
    if state.startswith("23514"):
        return StoreUnavailable("the day of this id has no partition yet")
    if state.startswith("23"):
        return Conflict()
    return JobsError("the store refused a statement")


def _by_sqlite(error: sqlite3.Error) -> JobsError:
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict()
    if isinstance(error, sqlite3.DataError):
        return InvalidField("", "the store cannot keep this value")
    if isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.NotSupportedError)):
        return JobsError("the store refused a statement")
    return JobsError("the store refused a statement") if _code(error) == sqlite3.SQLITE_ERROR else StoreUnavailable()


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _code(error: sqlite3.Error) -> int | None:
    """Return the primary result code (sqlite.org/rescode.html)."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
