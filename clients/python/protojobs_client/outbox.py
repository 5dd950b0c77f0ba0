"""The transactional outbox: jobs written into a table of your own database, in your own transaction.

    with Session(engine) as session, session.begin():
        session.add(order)
        outbox.enqueue(session, "ship", {"order": order.id}, queue="orders")

A relay (`protojobs outbox relay`, or the server itself) moves each row to the server under its own id and deletes it after the
commit there. A transaction that is rolled back leaves no job. Without a server or SQLAlchemy at hand nothing here needs either.
"""

import inspect
import sys
from typing import Any, Final, NamedTuple, Unpack

from protojobs_client.convert import to_spec
from protojobs_client.dispatching import to_request
from protojobs_client.ids import JobId, JobIds
from protojobs_client.job import Job
from protojobs_client.payload import Codec, PlainCodec
from protojobs_client.request import DispatchOptions, JobRequest
from protojobs_client.telemetry import created
from protojobs_client.trace import with_trace

TABLE: Final = "protojobs_outbox"
COLUMNS: Final = ("id", "queue", "kind", "spec")
DIALECTS: Final = ("postgresql", "mysql", "sqlite")

_POSTGRESQL = f"""\
create table if not exists {TABLE} (
  seq bigint generated always as identity primary key,
  id varchar(36) not null,
  queue varchar(128) not null default 'default',
  kind varchar(128) not null,
  spec bytea,
  payload bytea,
  created_at timestamptz not null default clock_timestamp(),
  set_aside_at timestamptz,
  error text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
create index if not exists {TABLE}_order on {TABLE} (seq) where set_aside_at is null;
"""
_MYSQL = f"""\
create table if not exists {TABLE} (
  seq bigint not null auto_increment primary key,
  id varchar(36) not null,
  queue varchar(128) not null default 'default',
  kind varchar(128) not null,
  spec mediumblob,
  payload mediumblob,
  created_at timestamp(6) not null default current_timestamp(6),
  set_aside_at timestamp(6) null,
  error text,
  key {TABLE}_order (set_aside_at, seq)
) engine = InnoDB default charset = utf8mb4 collate = utf8mb4_bin;
"""
_SQLITE = f"""\
create table if not exists {TABLE} (
  seq integer primary key autoincrement,
  id text not null,
  queue text not null default 'default',
  kind text not null,
  spec blob,
  payload blob,
  created_at text not null default (strftime('%Y-%m-%d %H:%M:%f', 'now')),
  set_aside_at text,
  error text
);
create index if not exists {TABLE}_order on {TABLE} (seq) where set_aside_at is null;
"""
_DDL = {"postgresql": _POSTGRESQL, "mysql": _MYSQL, "mariadb": _MYSQL, "sqlite": _SQLITE}


class OutboxRow(NamedTuple):
    """One row, for whoever inserts it by other means than `enqueue`; `spec` is a JobSpec as bytes, payload and all."""

    id: JobId
    queue: str
    kind: str
    spec: bytes


def ddl(dialect: str) -> str:
    """Return the statements that make the table on postgresql, mysql (MariaDB too) or sqlite. Safe to run again.

    Raises ValueError for another dialect.
    """
    if dialect not in _DDL:
        raise ValueError(f"dialect is one of {', '.join(DIALECTS)}")
    return _DDL[dialect]


def row(
    job: str | type[Job] | Job | JobRequest,
    data: object = None,
    /,
    *,
    codec: Codec | None = None,
    **options: Unpack[DispatchOptions],
) -> OutboxRow:
    """Return the row of a job, as `Client.dispatch` takes it, in the trace of the caller. Raises what `dispatch` raises of data."""
    request = to_request(job, data, options)
    job_id = JobId(request.options.job_id) if request.options.job_id else JobIds().new()
    headers = with_trace(request.options.headers, created(request, job_id))
    spec = to_spec(request, job_id=job_id, headers=headers, codec=codec or PlainCodec())
    return OutboxRow(job_id, request.options.queue or "default", request.kind, spec.SerializeToString())


def enqueue(
    target: Any,
    job: str | type[Job] | Job | JobRequest,
    data: object = None,
    /,
    *,
    codec: Codec | None = None,
    **options: Unpack[DispatchOptions],
) -> JobId:
    """Write a job into the outbox in the transaction of `target`, and return its id.

    target: a SQLAlchemy Session or Connection (of an async one `await session.run_sync(enqueue, ...)`), a DBAPI connection or
    cursor, or a cursor of Django. Nothing is committed here. Raises TypeError for anything else, and what `row` raises.
    """
    made = row(job, data, codec=codec, **options)
    if _library(target) == "sqlalchemy":
        _insert_by_sqlalchemy(target, made)
    elif hasattr(target, "cursor") and not hasattr(target, "fetchone"):
        cursor = target.cursor()
        try:
            _insert(cursor, made)
        finally:
            cursor.close()
    elif hasattr(target, "execute"):
        _insert(target, made)
    else:
        raise TypeError(f"{type(target).__name__} is neither a session, a connection nor a cursor")
    return made.id


def _insert_by_sqlalchemy(target: Any, made: OutboxRow) -> None:
    if inspect.iscoroutinefunction(getattr(target, "execute", None)):
        raise TypeError("with an async session: await session.run_sync(enqueue, ...)")
    import sqlalchemy

    target.execute(sqlalchemy.text(_statement([f":{name}" for name in COLUMNS])), made._asdict())


def _insert(cursor: Any, made: OutboxRow) -> None:
    match _paramstyle(cursor):
        case "qmark":
            cursor.execute(_statement(["?"] * len(COLUMNS)), tuple(made))
        case "format" | "pyformat":
            cursor.execute(_statement(["%s"] * len(COLUMNS)), tuple(made))
        case "numeric":
            cursor.execute(_statement([f":{n}" for n in range(1, len(COLUMNS) + 1)]), tuple(made))
        case "named":
            cursor.execute(_statement([f":{name}" for name in COLUMNS]), made._asdict())
        case _:
            raise TypeError(f"{type(cursor).__name__} is no cursor of a DBAPI module; insert what `outbox.row` returns")


def _statement(places: list[str]) -> str:
    return f"insert into {TABLE} ({', '.join(COLUMNS)}) values ({', '.join(places)})"  # noqa: S608 - nothing of it is given


def _library(target: object) -> str:
    """Return the package that a target's class, or a class that it extends, comes from."""
    packages = [base.__module__.partition(".")[0] for base in type(target).__mro__]
    return "sqlalchemy" if "sqlalchemy" in packages else packages[0]


def _paramstyle(cursor: object) -> str:
    """Return how the module of a cursor marks its parameters (PEP 249)."""
    for base in type(cursor).__mro__:
        parts = base.__module__.split(".")
        if parts[0] == "django":
            return "format"
        for length in range(len(parts), 0, -1):
            style: object = getattr(sys.modules.get(".".join(parts[:length])), "paramstyle", None)
            if isinstance(style, str):
                return style
    return ""
