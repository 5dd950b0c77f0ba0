"""The tables of the SQL drivers, as SQLAlchemy Core: the one place that names columns. docs/adr/0001 says why they look so.

Times are microseconds since the epoch by the store's clock (`bigint`), so that arithmetic is the same in every dialect; ids are
16 raw bytes. State is where an id stands: `running`, else `due`, else `ready` or `held`, else its final row in `done`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeDecorator, UserDefinedType


class _PgUuid(UserDefinedType[bytes]):
    """`uuid` that travels as 16 bytes: the connection's codec hands them over as they are."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "UUID"


class Id(TypeDecorator[bytes]):
    """A job id: `uuid` on PostgreSQL, `binary(16)` on MariaDB, BLOB on SQLite; bytes in Python."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(_PgUuid())
        return dialect.type_descriptor(mysql.BINARY(16) if dialect.name == "mysql" else LargeBinary(16))


SERIAL = Integer()
"""Keys that the store makes; INTEGER so that SQLite treats them as the rowid."""

# MariaDB keeps 64 KiB in a BLOB or TEXT, single precision in a FLOAT, and no key over text without a length.
BYTES = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")
TEXT = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
REAL = Float().with_variant(mysql.DOUBLE(), "mysql")
NAME = Text().with_variant(String(128), "mysql")
LABEL_KEY = Text().with_variant(String(64), "mysql")
LABEL_VALUE = Text().with_variant(mysql.VARCHAR(256, collation="utf8mb4_nopad_bin"), "mysql")
"""utf8mb4_bin would take `x` and `x ` for the same value."""
JOB_KEY = Text().with_variant(mysql.VARCHAR(128, collation="utf8mb4_nopad_bin"), "mysql")
TOKEN_ID = Text().with_variant(String(16), "mysql")
PRINCIPAL = Text().with_variant(mysql.VARCHAR(512, collation="utf8mb4_nopad_bin"), "mysql")

SIDE_NAME = (
    Text()
    .with_variant(mysql.VARCHAR(255, collation="utf8mb4_nopad_bin"), "mysql")
    .with_variant(postgresql.TEXT(collation="C"), "postgresql")
)
"""Ordered byte by byte, whatever the database's collation says."""


def digest(size: int) -> Any:
    """Return the type of a hash of `size` bytes."""
    return LargeBinary(size).with_variant(mysql.BINARY(size), "mysql")


IN_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_row_format": "DYNAMIC",
    "mysql_default_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
"""Table options of MariaDB: the database may have another character set, and a collation that takes `A` for `a`."""

# Bits of `flags` on ready, running and due: which other tables hold something for the job, so that others are not asked.
# HAS_FOLLOW_UPS: its envelope does.
HAS_DEADLINE = 1
CANCEL_ASKED = 2
STARTED = 4
FREES_AT_START = 8
"""It has a unique key that a lease frees: one of a row in `running` is free, whatever `unique_key` still says."""
HAS_CHECKPOINT = 16
FREES_AT_END = 32
FREES_KEY = FREES_AT_START | FREES_AT_END
HAS_FOLLOW_UPS = 4096
HAS_KEY = 64
PLACE = 128
"""The job has one of the places of its concurrency key; cold/places."""
RETURNS_SHIFT = 8
RETURNS_MASK = 15 << RETURNS_SHIFT
LOSSES_SHIFT = 13
LOSSES_MASK = 3 << LOSSES_SHIFT
SUSPECT = 2 << LOSSES_SHIFT
"""Set from `retry.FREE_LOSSES` losses on, and the highest bit that a SMALLINT has for it."""

HOT_STORAGE = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "20000",
    "autovacuum_vacuum_insert_scale_factor": "0.5",
}
"""PostgreSQL storage parameters of ready, running, due, held, key_use, counter, event_slot (docs/drivers.md): rows live for
milliseconds."""

BY_DAY = {"postgresql_partition_by": "RANGE (id)"}
"""One partition a day by the UUIDv7 bounds, made by `Store.maintain`. No default one: each new partition would scan it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Every table under one schema or prefix."""

    metadata: MetaData
    job: Table
    ready: Table
    running: Table
    due: Table
    held: Table
    job_key: Table
    key_use: Table
    fair_key: Table
    done: Table
    attempt_detail: Table
    deadline: Table
    cancel_request: Table
    label: Table
    parent: Table
    lane: Table
    queue: Table
    queue_use: Table
    session: Table
    handle: Table
    counter: Table
    stat_minute: Table
    replica: Table
    fleet: Table
    schedule: Table
    tick: Table
    unique_key: Table
    result_limit: Table
    event_slot: Table
    done_flush: Table
    token: Table
    audit: Table
    side_note: Table


def _hot_columns() -> list[Column[Any]]:
    return [
        Column("lane", Integer, nullable=False),
        Column("band", SmallInteger, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("failures", SmallInteger, nullable=False, server_default="0"),
        Column("crashes", SmallInteger, nullable=False, server_default="0"),
        Column("flags", SmallInteger, nullable=False, server_default="0"),
    ]


def build(*, schema: str | None = None, prefix: str = "", clustered: bool = False) -> Tables:
    """Return the tables in `schema` (PostgreSQL) with `prefix` before every name (`pj_job`).

    clustered: for MariaDB, whose tables lie in the order of their key (so `ready` has one), and which has no partial indexes.
    """
    m = MetaData(schema=schema)

    def table(name: str, *parts: Any, **options: Any) -> Table:
        return Table(prefix + name, m, *parts, **(options | IN_MYSQL))

    def index(name: str, *columns: Any, **options: Any) -> Index:
        return Index(f"{prefix}{name}", *columns, **options)

    job = table(
        "job",
        Column("id", Id, primary_key=True),
        Column("lane", Integer, nullable=False),
        Column("band", SmallInteger, nullable=False),  # 10 - priority
        Column("position", BigInteger, nullable=False),  # where it waits in ready; every move updates it
        Column("created_at", BigInteger, nullable=False),
        Column("retaken_at", BigInteger),  # last Retry: max_retry_duration counts from here
        Column("policy", TEXT),  # null: every default
        Column("spec_hash", digest(16)),  # null until the envelope is changed or emptied
        Column("envelope", BYTES, nullable=False),
        **BY_DAY,
    )
    ready = table(
        "ready",
        Column("position", BigInteger, nullable=False),
        Column("id", Id, nullable=False),
        *_hot_columns(),
        *([PrimaryKeyConstraint("lane", "band", "position", "id")] if clustered else []),
        postgresql_with=HOT_STORAGE,
    )
    ready.append_column(Column("size", Integer, nullable=False))
    if not clustered:
        index("ready_order", ready.c.lane, ready.c.band, ready.c.position)  # no index on id: job has (lane, band, position)
    running = table(
        "running",
        Column("id", Id, primary_key=True),
        Column("handle", Integer, nullable=False),
        Column("started_at", BigInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        *_hot_columns(),
        postgresql_with=HOT_STORAGE,
    )
    index("running_handle", running.c.handle)
    due = table(
        "due",
        Column("id", Id, primary_key=True),
        Column("due_at", BigInteger, nullable=False),
        Column("state", SmallInteger, nullable=False),  # State.SCHEDULED or State.RETRYING
        *_hot_columns(),
        Column("size", Integer, nullable=False),
        postgresql_with=HOT_STORAGE,
    )
    index("due_order", due.c.due_at, due.c.id)
    held = table(
        "held",  # PENDING, and its key has no place
        Column("id", Id, primary_key=True),
        Column("queue", NAME, nullable=False),
        Column("key", JOB_KEY, nullable=False),
        Column("turn", BigInteger, nullable=False),  # order within the key
        Column("position", BigInteger, nullable=False),  # where it will stand in ready
        *_hot_columns(),
        Column("size", Integer, nullable=False),
        postgresql_with=HOT_STORAGE,
    )
    index("held_turn", held.c.queue, held.c.key, held.c.turn)
    index("held_lane", held.c.lane, held.c.id)
    job_key = table(
        "job_key",
        Column("id", Id, primary_key=True),
        Column("concurrency_key", JOB_KEY),
        Column("fairness_key", JOB_KEY),
    )
    key_use = table(
        "key_use",  # a row for each key that has places taken or jobs held
        Column("queue", NAME, nullable=False),
        Column("key", JOB_KEY, nullable=False),
        Column("used", Integer, nullable=False),
        Column("last_turn", BigInteger, nullable=False),
        PrimaryKeyConstraint("queue", "key"),
        postgresql_with=HOT_STORAGE,
    )
    fair_key = table(
        "fair_key",  # a row for each key of a fair queue that has stored a job lately
        Column("queue", NAME, nullable=False),
        Column("band", SmallInteger, nullable=False),
        Column("key", JOB_KEY, nullable=False),
        Column("last_tag", BigInteger, nullable=False),  # thousandths of a position
        PrimaryKeyConstraint("queue", "band", "key"),
    )
    done = table(
        "done",
        Column("id", Id, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("lane", Integer, nullable=False),
        Column("started_at", BigInteger),
        Column("finished_at", BigInteger, nullable=False),
        Column("handle", Integer, nullable=False, server_default="0"),  # 0: no worker had it
        Column("outcome", SmallInteger, nullable=False),  # lifecycle.Code
        PrimaryKeyConstraint("id", "attempt"),
        **BY_DAY,
    )
    not_completed = done.c.outcome != 1
    rare = (done.c.outcome, done.c.lane, done.c.id) if clustered else (done.c.lane, done.c.id)
    index("done_not_completed", *rare, postgresql_where=not_completed, sqlite_where=not_completed)
    attempt_detail = table(
        "attempt_detail",
        Column("id", Id, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("reason", TEXT),
        Column("error_type", TEXT),
        Column("error_message", TEXT),
        Column("error_stack", TEXT),
        Column("result", BYTES),
        Column("checkpoint", BYTES),
        Column("progress_ratio", REAL),
        Column("progress_message", TEXT),
        Column("progress_at", BigInteger),
        PrimaryKeyConstraint("id", "attempt"),
    )
    deadline = table("deadline", Column("id", Id, primary_key=True), Column("expire_at", BigInteger, nullable=False))
    index("deadline_order", deadline.c.expire_at, deadline.c.id)
    cancel_request = table(
        "cancel_request",
        Column("id", Id, primary_key=True),
        Column("attempt", Integer, nullable=False),
        Column("deadline_at", BigInteger, nullable=False),
    )
    label = table(
        "label",
        Column("key", LABEL_KEY, nullable=False),
        Column("value", LABEL_VALUE, nullable=False),
        Column("id", Id, nullable=False),
        PrimaryKeyConstraint("key", "value", "id"),
    )
    index("label_job", label.c.id)
    parent = table("parent", Column("id", Id, primary_key=True), Column("parent", Id, nullable=False))
    index("parent_children", parent.c.parent)
    lane = table(
        "lane",
        Column("id", SERIAL, primary_key=True, autoincrement=True),
        Column("queue", NAME, nullable=False),
        Column("kind", NAME, nullable=False),
        UniqueConstraint("queue", "kind"),
    )
    queue = table(
        "queue",
        Column("name", NAME, primary_key=True),
        Column("paused", SmallInteger, nullable=False, server_default="0"),
        Column("settings", TEXT, nullable=False, server_default="{}"),  # JSON; absent keys mean the default
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger),
    )
    queue_use = table(  # only queues with limits; locked before anything else of them
        "queue_use",
        Column("queue", NAME, primary_key=True),
        Column("tokens", BigInteger),  # millionths; null: no rate, or a bucket that is full
        Column("filled_at", BigInteger),
    )
    session = table(
        "session",
        Column("id", SERIAL, primary_key=True, autoincrement=True),
        Column("secret_hash", digest(32), nullable=False, unique=True),
        Column("worker", TEXT, nullable=False),
        Column("sdk", TEXT, nullable=False),
        Column("sdk_version", TEXT, nullable=False),
        Column("queues", TEXT, nullable=False),  # JSON arrays
        Column("kinds", TEXT, nullable=False),
        Column("slots", Integer, nullable=False),
        Column("ttl", BigInteger, nullable=False),
        Column("stream_no", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("heartbeat_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("drain_at", BigInteger),  # DrainWorker: finish by then
        Column("closed_at", BigInteger),
    )
    index("session_expiry", session.c.expires_at, postgresql_where=session.c.closed_at.is_(None))
    handle = table(
        "handle",
        Column("id", SERIAL, primary_key=True, autoincrement=True),
        Column("session", Integer, nullable=False),
        Column("unary", SmallInteger, nullable=False, server_default="0"),
        Column("closed_at", BigInteger),  # updated only to close: claims lock the row without blocking heartbeats
    )
    index("handle_session", handle.c.session)
    index("handle_closed", handle.c.closed_at)  # rescue looks at those that were closed lately
    open_unary = (handle.c.unary == 1) & handle.c.closed_at.is_(None)
    unary = (handle.c.unary, handle.c.closed_at, handle.c.id) if clustered else (handle.c.id,)
    index("handle_unary", *unary, postgresql_where=open_unary, sqlite_where=open_unary)
    counter = table(
        "counter",
        Column("lane", Integer, nullable=False),
        Column("state", SmallInteger, nullable=False),  # lifecycle.State
        Column("slot", SmallInteger, nullable=False),  # one per writer, so that writers never wait for each other
        Column("n", BigInteger, nullable=False),
        PrimaryKeyConstraint("lane", "state", "slot"),
        postgresql_with=HOT_STORAGE | {"fillfactor": "50"},
    )
    stat_minute = table(
        "stat_minute",
        Column("minute", BigInteger, nullable=False),  # microseconds // 60e6
        Column("lane", Integer, nullable=False),
        Column("slot", SmallInteger, nullable=False),
        Column("failed", SmallInteger, nullable=False),  # 0 completed, 1 failed attempt
        Column("bucket", SmallInteger, nullable=False),  # run time < 2^bucket microseconds
        Column("n", BigInteger, nullable=False),
        Column("run_us", BigInteger, nullable=False),
        PrimaryKeyConstraint("minute", "lane", "slot", "failed", "bucket"),
    )
    replica = table(
        "replica",
        Column(
            "slot", SmallInteger, primary_key=True, autoincrement=False
        ),  # 0..; a replica writes counters under slot*4 + pipeline
        Column("replica", TEXT, nullable=False),
        Column("beat_at", BigInteger, nullable=False),
        Column("settings_version", BigInteger, nullable=False, server_default="0"),
    )
    fleet = table(
        "fleet",
        Column("id", SmallInteger, primary_key=True, autoincrement=False),  # one row, 1
        Column("settings_version", BigInteger, nullable=False),
        Column("beat_at", BigInteger, nullable=False),  # last beat of any replica
        Column("incarnation", TEXT, nullable=False),
    )
    schedule = table(
        "schedule",
        Column("name", NAME, primary_key=True),
        Column("version", Integer, nullable=False),  # of what people changed; ticks leave it alone
        Column("queue", NAME, nullable=False),
        Column("kind", NAME, nullable=False),
        Column("spec", TEXT, nullable=False),  # JSON, domain.schedule.Spec
        Column("template", BYTES, nullable=False),  # envelope of its jobs, without an id
        Column("catchup_mode", SmallInteger, nullable=False),
        Column("catchup_most", Integer, nullable=False),
        Column("catchup_window", BigInteger, nullable=False),
        Column("overlap", SmallInteger, nullable=False),
        Column("paused", SmallInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("next_at", BigInteger),
        Column("buffered_at", BigInteger),  # a tick that waits for the end of last_job
        Column("wake_at", BigInteger),  # when to look at it again; null for never
        Column("last_at", BigInteger),
        Column("last_job", Id),
    )
    index("schedule_wake", schedule.c.wake_at, schedule.c.name)
    tick = table(
        "tick",
        Column("schedule", NAME, nullable=False),
        Column("tick_at", BigInteger, nullable=False),
        Column("job", Id, nullable=False),
        PrimaryKeyConstraint("schedule", "tick_at"),
    )
    index("tick_age", tick.c.tick_at)
    unique_key = table(
        "unique_key",
        Column("id", Id, primary_key=True),  # the job that has the key
        Column("queue", NAME, nullable=False),
        Column("key", LABEL_VALUE, nullable=False),
        Column("scope", SmallInteger, nullable=False),  # UniqueScope
        Column("until", BigInteger),  # scope WINDOW: free from then on
    )
    index("unique_key_place", unique_key.c.queue, unique_key.c.key, unique=True)
    index("unique_key_until", unique_key.c.until)
    result_limit = table(  # only jobs with a result_retention
        "result_limit",
        Column("id", Id, primary_key=True),
        Column("kept", BigInteger, nullable=False),
    )
    event_slot = table(
        "event_slot",
        Column("slot", SmallInteger, primary_key=True, autoincrement=False),  # the writer's, as in counter
        Column("seq", BigInteger, nullable=False),  # of its last flush; who raises it has the row until the commit
        postgresql_with=HOT_STORAGE | {"fillfactor": "50"},
    )
    done_flush = table(
        "done_flush",
        Column("slot", SmallInteger, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("ids", BYTES, nullable=False),  # 16 bytes each
        Column("attempts", BYTES),  # 4 bytes each; null: 1 for all
        Column("changes", BYTES),  # 3 bytes each: code, state before and after; null: plain completions
        PrimaryKeyConstraint("slot", "seq"),
    )
    token = table(
        "token",
        Column("id", TOKEN_ID, primary_key=True),
        Column("name", NAME, nullable=False),
        Column("secret_hash", digest(32), nullable=False),
        Column("grants", TEXT, nullable=False),  # JSON: [[scope, queues], ...]
        Column("created_at", BigInteger, nullable=False),
        Column("created_by", PRINCIPAL, nullable=False),
        Column("expires_at", BigInteger, nullable=False),
        Column("revoked_at", BigInteger),
        Column("ends_at", BigInteger, nullable=False),  # the earlier one of both
        Column("used_at", BigInteger),  # to the minute or so
        Column("parent", TOKEN_ID),  # of a console session: the token that it was opened with
    )
    index("token_name", token.c.name)
    index("token_parent", token.c.parent)
    index("token_end", token.c.ends_at)
    audit = table(
        "audit",
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("at", BigInteger, nullable=False),
        Column("principal", PRINCIPAL, nullable=False),
        Column("via", NAME, nullable=False),
        Column("rpc", NAME, nullable=False),
        Column("target", TEXT, nullable=False),
        Column("outcome", NAME, nullable=False),
        Column("peer", TEXT, nullable=False),
        Column("details", TEXT),  # JSON object of texts; null: none
        sqlite_autoincrement=True,  # or the ids of dropped records would come again
    )
    index("audit_age", audit.c.at)
    index("audit_principal", audit.c.principal, audit.c.id)
    index("audit_rpc", audit.c.rpc, audit.c.id)
    side_note = table(  # of a driver that is built over this one
        "side_note",
        Column("name", SIDE_NAME, primary_key=True),
        Column("value", BYTES, nullable=False),
        Column("changed_at", BigInteger, nullable=False),
    )
    return Tables(
        metadata=m,
        job=job,
        ready=ready,
        running=running,
        due=due,
        held=held,
        job_key=job_key,
        key_use=key_use,
        fair_key=fair_key,
        done=done,
        attempt_detail=attempt_detail,
        deadline=deadline,
        cancel_request=cancel_request,
        label=label,
        parent=parent,
        lane=lane,
        queue=queue,
        queue_use=queue_use,
        session=session,
        handle=handle,
        counter=counter,
        stat_minute=stat_minute,
        replica=replica,
        fleet=fleet,
        schedule=schedule,
        tick=tick,
        unique_key=unique_key,
        result_limit=result_limit,
        event_slot=event_slot,
        done_flush=done_flush,
        token=token,
        audit=audit,
        side_note=side_note,
    )
