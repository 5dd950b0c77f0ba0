"""The audit log: who did what, and what was refused; kept in the store, and said aloud as it happens."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice

from protojobs_service.application.clock import Clock
from protojobs_service.domain.bounds import AUDIT_KEPT
from protojobs_service.domain.errors import JobsError, Overloaded
from protojobs_service.domain.recent import Recent
from protojobs_service.port import AuditQuery, AuditRecord, Driver, NewAuditRecord
from protojobs_service.port.deadline import unhurried

_log = logging.getLogger(__name__)

Say = Callable[[NewAuditRecord], None]
"""Writes a record where people or collectors read it at once, whatever the store does. Must not raise."""

_AT_A_TIME = 500
_MOST_HELD = 10_000
_PATIENCE = 2.0
_AGAIN, _TRIES = 0.5, 20
"""A store that is too busy is asked again for 10 s; whoever acted waits no longer than usual."""
_EVERY, _SAY_EVERY = 60.0, 1.0
_MOST_REFUSALS, _MOST_KEYS = 600, 4096
_MOST_DETAILS = 16
_BOUNDS = {"principal": 512, "via": 16, "rpc": 128, "target": 256, "outcome": 64, "peer": 128}
_KEY_BOUND, _VALUE_BOUND = 64, 256
LEFT_OUT = "left_out"
"""The detail that says how many refusals like this one were not written since the last one that was."""


def say_nothing(_record: NewAuditRecord) -> None:
    """Keep silent: the store alone has the records."""


@dataclass(slots=True)
class _Batch:
    records: list[NewAuditRecord] = field(default_factory=list[NewAuditRecord])
    written: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Refusal:
    written_at: float
    left_out: int = 0


class Audit:
    """Writes the log in batches, beside those who act: bounded in memory, and in what refusals may add.

    lost: how many records no store has.
    """

    def __init__(self, driver: Driver, clock: Clock, *, kept: timedelta = AUDIT_KEPT, say: Say = say_nothing) -> None:
        """Kept: how long records stay, at least a day."""
        self._driver = driver
        self._clock = clock
        self._kept = kept
        self._say = say
        self._batch = _Batch()
        self._writer: asyncio.Task[None] | None = None
        self._refusals = Recent[tuple[str, str, str], _Refusal](_MOST_KEYS)
        self._minute, self._in_minute = float("-inf"), 0
        self.lost, self._unsaid, self._said_at = 0, 0, float("-inf")

    async def record(self, record: NewAuditRecord) -> None:
        """Note what was done; returns once the store has it, or after 2 s, or where it is lost: who acted gets an answer anyway."""
        written = self._put(record)
        if written is not None:
            await self._clock.wait(written, _PATIENCE)

    def note(self, record: NewAuditRecord) -> None:
        """Note what was done, and wait for nothing: for a caller who has gone."""
        self._put(record)

    def refused(self, record: NewAuditRecord) -> None:
        """Note a refusal: of one principal, RPC and reason the first one of a minute; never waits.

        The next one that is written says how many were left out. In all at most 600 a minute are written.
        """
        now = self._clock.monotonic()
        key = (record.principal, record.rpc, record.outcome)
        seen = self._refusals.get(key)
        if seen is not None and (now - seen.written_at < _EVERY or not self._has_room(now)):
            seen.left_out += 1
            return
        if seen is None and not self._has_room(now):
            self._refusals[key] = _Refusal(float("-inf"), left_out=1)
            return
        self._in_minute += 1
        self._refusals[key] = _Refusal(now)
        left_out = 0 if seen is None else seen.left_out
        self._put(replace(record, details={**record.details, LEFT_OUT: str(left_out)}) if left_out else record)

    async def page(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """Return records, newest first. Raises StoreUnavailable."""
        return await self._driver.audit.page(query)

    async def forget(self, limit: int) -> int:
        """Drop at most `limit` records that are too old to be kept; returns how many. Raises StoreUnavailable."""
        return await self._driver.audit.forget(self._kept, limit)

    async def finish(self) -> None:
        """Return once everything noted before is written or lost."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def _has_room(self, now: float) -> bool:
        if now - self._minute >= _EVERY:
            self._minute, self._in_minute = now, 0
        return self._in_minute < _MOST_REFUSALS

    def _put(self, record: NewAuditRecord) -> asyncio.Event | None:
        record = bounded(record)
        self._say(record)
        if len(self._batch.records) >= _MOST_HELD:
            self._lose(1, "OVERLOADED")
            return None
        self._batch.records.append(record)
        written = self._batch.written
        if self._writer is None or self._writer.done():
            # It ends with what there is to write; `finish` waits for it.
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="audit", context=unhurried())
        return written

    async def _write(self) -> None:
        while self._batch.records:
            batch, self._batch = self._batch, _Batch()
            for start in range(0, len(batch.records), _AT_A_TIME):
                await self._append(batch.records[start : start + _AT_A_TIME])
            batch.written.set()

    async def _append(self, records: Sequence[NewAuditRecord]) -> None:
        try:
            for _ in range(_TRIES):
                try:
                    return await self._driver.audit.append(records)
                except Overloaded:  # nothing was stored
                    await self._clock.sleep(_AGAIN)
            await self._driver.audit.append(records)
        except JobsError as error:
            self._lose(len(records), error.reason)
        except Exception:  # noqa: BLE001 # those who wait must go on, and the next records must be written
            _log.exception("audit records not stored")
            self._lose(len(records), "INTERNAL")

    def _lose(self, count: int, reason: str) -> None:
        self.lost += count
        self._unsaid += count
        now = self._clock.monotonic()
        if now - self._said_at >= _SAY_EVERY:
            _log.error("audit records lost", extra={"records": self._unsaid, "reason": reason})
            self._unsaid, self._said_at = 0, now


def bounded(record: NewAuditRecord) -> NewAuditRecord:
    """Return a record whose texts can be stored and shown: printable, and no longer than they may be."""
    texts = {name: _clean(getattr(record, name), most) for name, most in _BOUNDS.items()}
    return NewAuditRecord(**texts, details=_details(record.details))


def _details(details: Mapping[str, str]) -> dict[str, str]:
    return {_clean(key, _KEY_BOUND): _clean(value, _VALUE_BOUND) for key, value in islice(details.items(), _MOST_DETAILS)}


def _clean(text: str, most: int) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:most])
