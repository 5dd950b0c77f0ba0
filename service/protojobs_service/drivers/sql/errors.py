"""Foreign errors become domain errors here: SQLAlchemy, sqlite3, asyncpg, asyncmy and the sockets below them, nobody else's."""

import sqlite3
import ssl
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import exc

from protojobs_service.domain.errors import Conflict, InvalidField, JobsError, Overloaded, StoreUnavailable

_RETRY_STATES = frozenset({"40001", "40P01"})
"""Serialisation failure and deadlock (PostgreSQL, appendix A): nothing was committed, the same transaction may be run again."""
_BUSY_STATES = frozenset({"53300", "55P03"})
_AWAY_CLASSES = ("08", "25", "53", "54", "55", "57", "58", "F0", "XX")
"""Connection, read-only, resources, limits, lock, shutdown, system, configuration and corruption: the store, not the statement."""

_VALUE_CLASSES = ("22", "23")
"""Data and constraints: the server's text says what was wrong with which value, and its detail may hold the whole row."""

_MYSQL_DEADLOCKS = frozenset({1020, 1213, 1305})
"""Record has changed since it was read, deadlock, and the savepoint that went with the transaction of one."""
_MYSQL_LOCK_TIMEOUT = 1205
_PLAIN = "rejected SSL upgrade"  # asyncpg of a server without TLS
_MYSQL_FULL = frozenset({1040, 1203, 1226})
_MYSQL_DATA = frozenset({1264, 1265, 1366, 1406})
_MYSQL_VALUE_KINDS = frozenset({"DataError", "IntegrityError"})


def translate(error: BaseException) -> JobsError:
    """Return the domain error that stands for `error`; raise it `from` the original. Domain errors are returned as they are."""
    if isinstance(error, JobsError):
        return error
    if (why := _handshake(error)) is not None:
        return StoreUnavailable(why)
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return StoreUnavailable()
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return translate(error.orig)
    if _module(error) == "asyncmy":
        return _by_mysql(error)
    if (state := sqlstate(error)) is not None:
        return _by_state(state)
    if isinstance(error, sqlite3.Error):
        return _by_sqlite(error)
    if isinstance(error, exc.TimeoutError):
        return Overloaded("every connection to the store is in use")
    if isinstance(error, exc.SQLAlchemyError) and not isinstance(error, exc.DBAPIError):
        return JobsError("the driver made a statement that it should not have made")
    return StoreUnavailable()


def _handshake(error: BaseException | None) -> str | None:
    """Return what was wrong with the store's TLS, found in the error or in what it was made from."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "the certificate of the store is not trusted, has expired or is for another name"
        if isinstance(error, ssl.SSLError):
            return "the TLS handshake with the store failed"
        if isinstance(error, ConnectionError) and _PLAIN in str(error):
            return "the store does not speak TLS"
        error = error.__cause__ or error.__context__
    return None


class RowRefused(Exception):
    """Stands in logs for an error whose own text may quote a row: says its class and code."""


def shown(error: BaseException) -> BaseException:
    """Return what an error may be logged as: itself, or what stands for it where its text may quote values."""
    own = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    state, number = sqlstate(error) or "", _number(own) if _module(own) == "asyncmy" else 0
    quotes_a_row = state.startswith(_VALUE_CLASSES) or number in _MYSQL_DATA or type(own).__name__ in _MYSQL_VALUE_KINDS
    if not quotes_a_row:
        return error
    return RowRefused(f"{type(own).__name__} ({state or number})").with_traceback(error.__traceback__)


def is_transient(error: BaseException) -> bool:
    """Tell whether the store rolled the transaction back for another one's sake: a deadlock, a serialisation failure, a lock."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return is_transient(error.orig)
    if _module(error) == "asyncmy":
        return _number(error) in _MYSQL_DEADLOCKS
    return sqlstate(error) in _RETRY_STATES or (isinstance(error, sqlite3.OperationalError) and _is_busy(error))


def is_lock_timeout(error: BaseException) -> bool:
    """Tell whether a lock was not to be had in time on MariaDB."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return is_lock_timeout(error.orig)
    return _module(error) == "asyncmy" and _number(error) == _MYSQL_LOCK_TIMEOUT


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
        raise translate(error) from shown(error)
    except Exception as error:
        # These are optional dependencies: their errors are known by where they come from.
        if _module(error) not in {"asyncpg", "asyncmy"}:
            raise
        raise translate(error) from shown(error)


def _module(error: BaseException) -> str:
    """Return the optional library that an error comes from, or nothing."""
    modules = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    return next((name for name in ("asyncpg", "asyncmy") if name in modules), "")


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


def _by_mysql(error: BaseException) -> JobsError:
    number, kind = _number(error), type(error).__name__
    if number in _MYSQL_FULL or number == _MYSQL_LOCK_TIMEOUT:
        return Overloaded("the store has no place or lock left for this")
    if number in _MYSQL_DATA or kind == "DataError":
        return InvalidField("", "the store cannot keep this value")
    if kind == "IntegrityError":
        return Conflict()
    if kind in {"ProgrammingError", "NotSupportedError"} or (sqlstate(error) or "").startswith("42"):
        return JobsError("the store refused a statement")
    return StoreUnavailable()


def _number(error: BaseException) -> int:
    """Return the number of a MariaDB error (mariadb.com/kb/en/mariadb-error-codes); 0 where it has none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


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
