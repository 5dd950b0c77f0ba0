"""Settings of queues: their JSON, and the versions by which replicas know that they changed."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Select, Table, case, func, select, update

from protojobs_service.domain.queue import EventLevel, Fairness, History, QueueSettings, Retention
from protojobs_service.domain.queue_limits import Overflow, RateLimit
from protojobs_service.domain.retry import Jitter, PolicyChanges
from protojobs_service.drivers.sql.cold.base import SECOND, Cold, insert_new, kept, moment, moment_or_none
from protojobs_service.drivers.sql.cold.lanes import FLEET
from protojobs_service.drivers.sql.cold.queue_use import change_rate
from protojobs_service.port.queues import SettingsBook

_DEFAULT = QueueSettings(name="")
_ALIVE_US = 10 * SECOND


def dump(settings: QueueSettings) -> str:
    """Return what differs from the defaults, as JSON; spans are seconds."""
    found: dict[str, Any] = {}
    retry = {
        field.name: _plain(value) for field in fields(PolicyChanges) if (value := getattr(settings.retry, field.name)) is not None
    }
    lasting = {
        field.name: _plain(value)
        for field in fields(Retention)
        if (value := getattr(settings.retention, field.name)) != getattr(_DEFAULT.retention, field.name)
    }
    if retry:
        found["retry"] = retry
    if lasting:
        found["retention"] = lasting
    if settings.strict_leases:
        found["strict_leases"] = True
    if settings.history is not History.ALL:
        found["history"] = settings.history.value
    if settings.max_payload_bytes:
        found["max_payload_bytes"] = settings.max_payload_bytes
    if settings.events is not EventLevel.FINAL:
        found["events"] = settings.events.value
    if settings.per_key_limit != _DEFAULT.per_key_limit:
        found["per_key_limit"] = settings.per_key_limit
    if settings.fairness != _DEFAULT.fairness:
        found["fairness"] = {"enabled": settings.fairness.enabled, "weights": dict(settings.fairness.weights)}
    if settings.aging is not None:
        found["aging"] = settings.aging.total_seconds()
    return json.dumps(found | _limits(settings), separators=(",", ":"))


def _limits(settings: QueueSettings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if settings.rate_limit is not None:
        found["rate_limit"] = {"per_second": settings.rate_limit.per_second, "burst": settings.rate_limit.burst}
    if settings.max_in_flight:
        found["max_in_flight"] = settings.max_in_flight
    if settings.max_depth:
        found["max_depth"] = settings.max_depth
    if settings.overflow is not Overflow.REJECT:
        found["overflow"] = settings.overflow.value
    return found


def load(name: str, text: str, **columns: Any) -> QueueSettings:
    """Return the settings that `dump` wrote; absent keys mean the default."""
    stored: dict[str, Any] = json.loads(text)
    retry: dict[str, Any] = {
        key: Jitter(value) if key == "jitter" else _span_or_number(key, value) for key, value in stored.get("retry", {}).items()
    }
    return QueueSettings(
        name=name,
        retry=PolicyChanges(**retry),
        retention=Retention(**{key: timedelta(seconds=value) for key, value in stored.get("retention", {}).items()}),
        strict_leases=stored.get("strict_leases", False),
        rate_limit=RateLimit(**stored["rate_limit"]) if "rate_limit" in stored else None,
        max_in_flight=stored.get("max_in_flight", 0),
        max_depth=stored.get("max_depth", 0),
        overflow=Overflow(stored.get("overflow", Overflow.REJECT.value)),
        history=History(stored.get("history", History.ALL.value)),
        max_payload_bytes=stored.get("max_payload_bytes", 0),
        events=EventLevel(stored.get("events", EventLevel.FINAL.value)),
        per_key_limit=stored.get("per_key_limit", _DEFAULT.per_key_limit),
        fairness=Fairness(**stored.get("fairness", {})),
        aging=timedelta(seconds=stored["aging"]) if "aging" in stored else None,
        **columns,
    )


def version(c: Connection, cold: Cold) -> int:
    """Return the newest version of the settings."""
    return int(c.execute(_version(cold.tables.fleet)).scalar_one())


@kept
def _version(fleet: Table) -> Select[Any]:
    return select(fleet.c.settings_version).where(fleet.c.id == FLEET)


def book(c: Connection, cold: Cold) -> SettingsBook:
    """Return every queue's settings at the newest version."""
    queue = cold.tables.queue
    return SettingsBook(version(c, cold), {row.name: _settings(row) for row in c.execute(select(queue))})


def acknowledge(c: Connection, cold: Cold, known: int) -> bool:
    """Note that this replica knows version `known`; tells whether its number is still its own, else nothing is noted."""
    replica, own = cold.tables.replica, cold.replica
    newest = case((replica.c.settings_version < known, known), else_=replica.c.settings_version)
    mine = update(replica).where(replica.c.slot == own.number, replica.c.replica == own.name)
    return c.execute(mine.values(settings_version=newest)).rowcount > 0


def acknowledged(c: Connection, cold: Cold, wanted: int) -> bool:
    """Tell whether every replica that beat in the last 10 s knows version `wanted`."""
    replica = cold.tables.replica
    behind = select(func.count(replica.c.slot)).where(
        replica.c.beat_at > cold.clock(c) - _ALIVE_US, replica.c.settings_version < wanted
    )
    return not c.execute(behind).scalar_one()


def change(c: Connection, cold: Cold, name: str, new: Callable[[QueueSettings], QueueSettings]) -> QueueSettings:
    """Replace a queue's settings under a new version, making the queue if it is new. `new` may be called again."""
    fleet, queue = cold.tables.fleet, cold.tables.queue
    c.execute(select(fleet.c.id).where(fleet.c.id == FLEET).with_for_update())
    now = cold.clock(c)
    insert_new(c, queue, [{"name": name, "created_at": now}])
    old = _settings(c.execute(select(queue).where(queue.c.name == name).with_for_update()).one())
    settings = replace(new(old), name=name, created_at=old.created_at, updated_at=moment(now))
    values = {"paused": int(settings.paused), "settings": dump(settings), "updated_at": now}
    c.execute(update(queue).where(queue.c.name == name).values(**values))
    if settings.rate_limit != old.rate_limit:
        change_rate(c, cold, old, settings.rate_limit, now)
    bump(c, cold)
    return settings


def bump(c: Connection, cold: Cold) -> None:
    """Make a new version of the settings."""
    fleet = cold.tables.fleet
    c.execute(update(fleet).where(fleet.c.id == FLEET).values(settings_version=fleet.c.settings_version + 1))


def _settings(row: Any) -> QueueSettings:
    times = {"created_at": moment(row.created_at), "updated_at": moment_or_none(row.updated_at)}
    return load(row.name, row.settings, paused=bool(row.paused), **times)


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.value if isinstance(value, Jitter) else value


def _span_or_number(key: str, value: Any) -> Any:
    return value if key in ("max_retries", "multiplier") else timedelta(seconds=value)
