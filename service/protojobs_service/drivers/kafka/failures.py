"""Jobs that end FAILED, appended to the dead-letter topic: at least once, in the order of the side store's event log.

The log is followed from a place that a note in the side store keeps, and moved on only after the records are stored. One replica at
a time does it, the holder of that note; where two believe to be it, or one ends before it has moved the place on, jobs come twice.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from protojobs_service.domain.errors import CursorExpired, InvalidField, JobsError
from protojobs_service.domain.event import JobEvent
from protojobs_service.domain.job import JobId, JobRecord
from protojobs_service.domain.lifecycle import State
from protojobs_service.drivers.kafka.dead_letters import Letter
from protojobs_service.port import Driver, ListQuery, LogQuery, Position

_log = logging.getLogger(__name__)

NOTE = "kafka:dead-letter"
_LOOK_S = 0.5
_AGAIN_S = 1.0
_HELD = timedelta(seconds=15)
"""How long others leave the note alone after its holder was last heard of."""
_PAGE = 500
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_FAILED = frozenset({State.FAILED})

Append = Callable[[Sequence[Letter]], Awaitable[None]]
"""Stores records in the dead-letter topic. Raises StoreUnavailable and Overloaded; then all are tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """How far which log is done, and who does it until when.

    listed: the log has a gap before `position`; all that is FAILED is being appended instead, up to this id. None: it has none.
    """

    log: str
    position: Position
    listed: bytes | None = None
    holder: str = ""
    until: datetime = _LONG_AGO

    def dump(self) -> bytes:
        """Return it as JSON."""
        listed = None if self.listed is None else self.listed.hex()
        place = {str(slot): seq for slot, seq in sorted(self.position.items())}
        return json.dumps(
            {"log": self.log, "position": place, "listed": listed, "holder": self.holder, "until": self.until.isoformat()}
        ).encode()

    @staticmethod
    def load(stored: bytes) -> "_Note":
        """Return what `dump` wrote."""
        found: dict[str, Any] = json.loads(stored)
        return _Note(
            log=found["log"],
            position={int(slot): seq for slot, seq in found["position"].items()},
            listed=None if found["listed"] is None else bytes.fromhex(found["listed"]),
            holder=found["holder"],
            until=datetime.fromisoformat(found["until"]),
        )


class Failures:
    """Follows the event log of the side store. Belongs to the event loop."""

    def __init__(self, side: Driver, append: Append, now: Callable[[], datetime]) -> None:
        """Follow the log of `side`, by its clock."""
        self._side, self._append, self._now = side, append, now
        self._name = secrets.token_hex(8)
        self._mine: _Note | None = None
        self._is_waiting = False

    async def begin(self) -> None:
        """Note where the log begins for this installation, if nobody has: what failed before Kafka was there is not appended.

        Raises StoreUnavailable.
        """
        end = await self._side.events.end()
        await self._side.side_store.write(NOTE, _Note(log=end.name, position=end.position).dump(), None)

    async def run(self) -> None:
        """Append what fails, for good; waits while Kafka or the side store does not answer."""
        while True:
            try:
                has_more = await self.append_next()
            except JobsError as error:
                if not self._is_waiting:
                    _log.warning("failed jobs wait to be appended to the dead-letter topic", extra={"reason": error.message})
                self._is_waiting = True
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception:  # noqa: BLE001 - without it failed jobs would never be appended again
                _log.exception("failed jobs are not appended to the dead-letter topic")
                await asyncio.sleep(_AGAIN_S)
                continue
            self._is_waiting = False
            if not has_more:
                await asyncio.sleep(_LOOK_S)

    async def append_next(self) -> bool:
        """Append the next portion, if this replica is the one to do it; tell whether there is more. Raises StoreUnavailable."""
        note = await self._hold()
        if note is None:
            return False
        return await (self._follow(note) if note.listed is None else self._list(note, note.listed))

    async def leave(self) -> None:
        """Let another replica go on at once. Best effort: without it others wait until the note's time is over."""
        note, self._mine = self._mine, None
        if note is None:
            return
        try:
            await self._side.side_store.write(NOTE, replace(note, holder="", until=_LONG_AGO).dump(), note.dump())
        except JobsError as error:
            _log.warning("others wait before they append failed jobs", extra={"reason": error.message})

    async def _hold(self) -> _Note | None:
        """Return the note where it is this replica's, which it stays for a while; None where another one has it."""
        now = self._now()
        if self._mine is not None and now < self._mine.until - _HELD / 2:
            return self._mine
        self._mine = None
        stored = (await self._side.side_store.read([NOTE])).get(NOTE)
        if stored is None:
            await self.begin()
            return None
        note = _Note.load(stored)
        if note.holder not in ("", self._name) and note.until > now:
            return None
        if note.log != (await self._side.events.end()).name:
            note = await self._after_gap("the side store is another one")
        return await self._write(replace(note, holder=self._name, until=now + _HELD), stored)

    async def _follow(self, note: _Note) -> bool:
        try:
            page = await self._side.events.read(
                LogQuery(after=note.position, limit=_PAGE, wanted=lambda _queue, _kind: True, states=_FAILED)
            )
        except (CursorExpired, InvalidField) as error:
            return await self._write(replace(await self._after_gap(error.message), **_hold_of(note)), note.dump()) is not None
        await self._append([_of_event(event) for flush in page.flushes for _, event in flush.events])
        if page.position != note.position:
            await self._write(replace(note, position=page.position), note.dump())
        return not page.complete

    async def _list(self, note: _Note, after: bytes) -> bool:
        query = ListQuery(states=[State.FAILED], after=JobId(after) if after else None, newest_first=False, limit=_PAGE)
        page = await self._side.jobs.list(query)
        await self._append([_of_record(record) for record in page.jobs])
        await self._write(replace(note, listed=page.after), note.dump())
        return True

    async def _after_gap(self, why: str) -> _Note:
        """Return where to go on without a part of the log: with every job that is FAILED, then behind its present end."""
        _log.error(
            "the log of failed jobs has a gap: all jobs that are FAILED are appended to the dead-letter topic, those before it "
            "for a second time; those that failed in it and were retried or deleted since are missing there",
            extra={"reason": why},
        )
        end = await self._side.events.end()
        return _Note(log=end.name, position=end.position, listed=b"")

    async def _write(self, note: _Note, stored: bytes) -> _Note | None:
        """Store the note over `stored`; None, and no longer this replica's, where another one has changed it."""
        self._mine = note if await self._side.side_store.write(NOTE, note.dump(), stored) else None
        return self._mine


def _hold_of(note: _Note) -> dict[str, Any]:
    return {"holder": note.holder, "until": note.until}


def _of_event(event: JobEvent) -> Letter:
    job = event.job
    if job is None:
        return b"", list(_headers(event.id, event.queue, event.kind, event.attempt, event.at))
    return _of_record(job)


def _of_record(job: JobRecord) -> Letter:
    headers = [*_headers(job.id, job.queue, job.kind, job.attempt, job.finished_at or job.created_at)]
    headers.append(("protojobs-reason", job.reason.encode()))
    if job.last_error is not None:
        headers += [
            ("protojobs-error-type", job.last_error.type.encode()),
            ("protojobs-error-message", job.last_error.message.encode()),
        ]
    return job.envelope, headers


def _headers(job_id: JobId, queue: str, kind: str, attempt: int, failed_at: datetime) -> Iterator[tuple[str, bytes]]:
    yield "protojobs-id", str(UUID(bytes=job_id)).encode()
    yield "protojobs-queue", queue.encode()
    yield "protojobs-kind", kind.encode()
    yield "protojobs-attempt", str(attempt).encode()
    yield "protojobs-failed-at", failed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
