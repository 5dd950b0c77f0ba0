"""Schedules: when they tick, what a tick makes, and what becomes of ticks that were missed or meet their predecessor."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from hashlib import blake2b
from typing import Any

from protojobs_service.domain.job import JobId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECOND = timedelta(milliseconds=1)
_ID_AGE = timedelta(days=6)
_NAME_KIND, _NAME_HASH = 100, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Ticks at anchor + n x interval in elapsed time; anchor None: when the schedule was made."""

    interval: timedelta
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """Ticks where the local clock matches five fields; `schedule_calendar.cron` makes one from what people write."""

    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Ticks at these local times, ascending and to the second, on `days` (1 Monday to 7 Sunday); every day where none is named."""

    times: tuple[time, ...]
    days: tuple[int, ...] = ()


When = Every | Cron | Daily


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """When a schedule ticks: at or after `start_at`, before `end_at`. zone: an IANA name, without effect on Every.

    jitter: the job of a tick starts late by a part of it, which is the same for the same tick.
    """

    when: When
    zone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter: timedelta = timedelta()

    def dump(self) -> str:
        """Return the spec as JSON; what is not set is left out, so the same spec has the same text in later versions too."""
        found: dict[str, Any] = _dump_when(self.when)
        if self.zone != "UTC":
            found["zone"] = self.zone
        if self.start_at is not None:
            found["start"] = _micros(self.start_at)
        if self.end_at is not None:
            found["end"] = _micros(self.end_at)
        if self.jitter:
            found["jitter"] = self.jitter // _MICROSECOND
        return json.dumps(found, separators=(",", ":"), sort_keys=True)

    @staticmethod
    def load(text: str) -> "Spec":
        """Return the spec that `dump` wrote."""
        stored: dict[str, Any] = json.loads(text)
        return Spec(
            when=_load_when(stored),
            zone=stored.get("zone", "UTC"),
            start_at=_moment(stored.get("start")),
            end_at=_moment(stored.get("end")),
            jitter=stored.get("jitter", 0) * _MICROSECOND,
        )


class CatchupMode(Enum):
    """Which of the ticks that were missed run."""

    SKIP = 1
    LAST = 2
    ALL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Catchup:
    """What happens to missed ticks: those older than `window` never run, of the others ALL runs the latest `most`."""

    mode: CatchupMode = CatchupMode.LAST
    most: int = 100
    window: timedelta = timedelta(hours=1)


class Overlap(Enum):
    """What happens to a tick while the job of the previous one is not final."""

    ALLOW = 1
    SKIP = 2
    BUFFER_ONE = 3
    CANCEL_OLD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What somebody wants a schedule to be. template: the envelope of its jobs, without an id. paused False leaves it as it is."""

    name: str
    queue: str
    kind: str
    spec: Spec
    template: bytes
    catchup: Catchup = field(default_factory=Catchup)
    overlap: Overlap = Overlap.ALLOW
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A stored schedule. version counts its changes, not its ticks.

    next_at: its next tick, None where there is none any more. buffered_at: a tick that waits for the end of its predecessor.
    wake_at: when it has to be looked at again, None for never. last_at, last_job: the last tick that made a job, and that job.
    """

    name: str
    queue: str
    kind: str
    spec: Spec
    template: bytes
    catchup: Catchup = field(default_factory=Catchup)
    overlap: Overlap = Overlap.ALLOW
    paused: bool = False
    version: int = 1
    created_at: datetime
    next_at: datetime | None = None
    buffered_at: datetime | None = None
    wake_at: datetime | None = None
    last_at: datetime | None = None
    last_job: JobId | None = None

    @property
    def etag(self) -> str:
        """Return what changes with every change of the schedule, and when another one gets its name."""
        return f"{_micros(self.created_at):x}-{self.version}"


Change = Callable[[Schedule | None, datetime], Schedule | None]
"""(stored, store's now) -> what is to be stored, or None where nothing is. May be called again; raises to refuse."""


def default_name(kind: str, spec: Spec, payload: bytes) -> str:
    """Return a name that stays the same as long as kind, spec (with its zone) and payload do."""
    digest = blake2b(spec.dump().encode() + b"\0" + payload, digest_size=_NAME_HASH).hexdigest()
    return f"{kind[:_NAME_KIND]}-{digest}"


def lateness(schedule: Schedule, tick: datetime) -> timedelta:
    """Return how late the job of a tick starts because of the jitter."""
    if not schedule.spec.jitter:
        return timedelta()
    share = int.from_bytes(_digest(schedule, tick, b"jitter")[:7]) / (1 << 56)
    return timedelta(microseconds=int(share * (schedule.spec.jitter // _MICROSECOND)))


def tick_id(schedule: Schedule, tick: datetime, now: datetime) -> JobId:
    """Return the id of a tick's job, the same wherever it is made; a tick of long ago gets one of the present day."""
    at = tick if now - _ID_AGE < tick <= now else now
    chance = int.from_bytes(_digest(schedule, tick, b"id")[:10])
    number = (
        ((at - _EPOCH) // _MILLISECOND << 80) | (7 << 76) | ((chance >> 62 & 0xFFF) << 64) | (2 << 62) | (chance & (1 << 62) - 1)
    )
    return JobId(number.to_bytes(16))


def _digest(schedule: Schedule, tick: datetime, use: bytes) -> bytes:
    what = f"{schedule.name}\0{_micros(schedule.created_at)}\0{_micros(tick)}"
    return blake2b(what.encode(), digest_size=16, key=use).digest()


def _dump_when(when: When) -> dict[str, Any]:
    match when:
        case Every(interval=interval, anchor=anchor):
            every = {"every": interval // _MICROSECOND}
            return every if anchor is None else every | {"anchor": _micros(anchor)}
        case Cron(expression=expression):
            return {"cron": expression}
        case Daily(times=times, days=days):
            return {"times": [at.isoformat() for at in times], "days": list(days)}


def _load_when(stored: dict[str, Any]) -> When:
    if "every" in stored:
        return Every(interval=stored["every"] * _MICROSECOND, anchor=_moment(stored.get("anchor")))
    if "cron" in stored:
        return Cron(expression=stored["cron"])
    times: Sequence[str] = stored["times"]
    return Daily(times=tuple(time.fromisoformat(at) for at in times), days=tuple(stored["days"]))


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _moment(at: int | None) -> datetime | None:
    return None if at is None else _EPOCH + at * _MICROSECOND
