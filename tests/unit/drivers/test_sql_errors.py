"""Every error of the libraries below the SQL drivers becomes a domain error, chained to the original."""

import sqlite3
from collections.abc import Iterator

import asyncpg
import pytest
from asyncmy import errors as asyncmy_errors
from asyncpg import exceptions as asyncpg_errors
from protojobs_service.domain.errors import Conflict, InvalidField, JobsError, Overloaded, StoreUnavailable
from protojobs_service.drivers.sql.errors import RowRefused, is_transient, sqlstate, translate, translated
from protojobs_service.drivers.sql.mysql_link import may_run_again
from sqlalchemy import exc


def _tree(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


def _instance(kind: type[BaseException]) -> BaseException:
    """Return an instance without running constructors that want a server's message."""
    error = kind.__new__(kind)
    error.args = ("detail of the library",)
    if isinstance(error, exc.DBAPIError):
        error.orig, error.connection_invalidated = sqlite3.OperationalError("locked"), False
    return error


FOREIGN = sorted(
    {
        kind
        for root in (
            exc.SQLAlchemyError,
            sqlite3.Error,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg_errors.InternalClientError,
            asyncmy_errors.MySQLError,
            OSError,
        )
        for kind in _tree(root)
        if kind.__module__.partition(".")[0] in {"sqlalchemy", "sqlite3", "asyncmy", "asyncpg", "builtins"}
        and not issubclass(kind, Warning)
    },
    key=lambda kind: f"{kind.__module__}.{kind.__qualname__}",
)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_every_foreign_error_becomes_a_domain_error(kind: type[BaseException]) -> None:
    error = _instance(kind)

    with pytest.raises(JobsError) as caught, translated():
        raise error

    cause = caught.value.__cause__
    assert cause is error or (isinstance(cause, RowRefused) and "detail of the library" not in str(cause))
    assert "detail of the library" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "becomes"),
    [
        (asyncpg.DeadlockDetectedError, StoreUnavailable),
        (asyncpg.SerializationError, StoreUnavailable),
        (asyncpg.AdminShutdownError, StoreUnavailable),
        (asyncpg.ConnectionDoesNotExistError, StoreUnavailable),
        (asyncpg.DiskFullError, StoreUnavailable),
        (asyncpg.ReadOnlySQLTransactionError, StoreUnavailable),
        (asyncpg.CheckViolationError, StoreUnavailable),
        (asyncpg.TooManyConnectionsError, Overloaded),
        (asyncpg.LockNotAvailableError, Overloaded),
        (asyncpg.UniqueViolationError, Conflict),
        (asyncpg.UntranslatableCharacterError, InvalidField),
        (exc.TimeoutError, Overloaded),
        (sqlite3.IntegrityError, Conflict),
        (sqlite3.OperationalError, StoreUnavailable),
        (asyncmy_errors.IntegrityError, Conflict),
        (asyncmy_errors.DataError, InvalidField),
        (asyncmy_errors.OperationalError, StoreUnavailable),
        (asyncmy_errors.InterfaceError, StoreUnavailable),
        (asyncmy_errors.ProgrammingError, JobsError),
        (TimeoutError, StoreUnavailable),
        (ConnectionRefusedError, StoreUnavailable),
    ],
)
def test_error_says_what_the_caller_may_do(kind: type[BaseException], becomes: type[JobsError]) -> None:
    assert type(translate(_instance(kind))) is becomes


def test_defect_is_not_blamed_on_the_store() -> None:
    for kind in (asyncpg.UndefinedTableError, asyncpg.PostgresSyntaxError, exc.ArgumentError, sqlite3.ProgrammingError):
        assert type(translate(_instance(kind))) is JobsError


def test_missing_table_of_sqlite_is_a_defect() -> None:
    with pytest.raises(JobsError) as caught, translated(), sqlite3.connect(":memory:") as connection:
        connection.execute("SELECT * FROM nothing")
    connection.close()

    assert type(caught.value) is JobsError


def test_domain_errors_and_defects_of_our_own_pass() -> None:
    for error in (Conflict(), KeyError("ours")):
        with pytest.raises(type(error)) as caught, translated():
            raise error
        assert caught.value is error


def test_only_rolled_back_transactions_may_run_again() -> None:
    assert is_transient(_instance(asyncpg.DeadlockDetectedError))
    assert is_transient(exc.DBAPIError("x", None, _instance(asyncpg.SerializationError)))
    assert not is_transient(_instance(asyncpg.ConnectionDoesNotExistError))
    assert not is_transient(_instance(asyncpg.UniqueViolationError))


def test_sqlstate_is_found_in_the_cause() -> None:
    error = RuntimeError("wrapped")
    error.__cause__ = _instance(asyncpg.DeadlockDetectedError)

    assert sqlstate(error) == "40P01"
    assert sqlstate(RuntimeError("bare")) is None


@pytest.mark.parametrize(
    ("number", "becomes", "again"),
    [(1213, StoreUnavailable, True), (1205, Overloaded, True), (1305, StoreUnavailable, True), (1040, Overloaded, False),
     (2013, StoreUnavailable, False), (1290, StoreUnavailable, False), (1366, InvalidField, False)],
)  # fmt: skip
def test_number_of_a_mariadb_error_says_what_the_caller_may_do(number: int, becomes: type[JobsError], again: bool) -> None:
    error = asyncmy_errors.OperationalError(number, "detail of the library")

    assert type(translate(error)) is becomes
    assert may_run_again(error) is again
