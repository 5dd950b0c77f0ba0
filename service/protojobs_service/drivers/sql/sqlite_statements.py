"""The hot statements on SQLite. Rows are bound by multi-row VALUES of a few fixed sizes, so that each text is prepared once.

`executemany` was 25 % slower over the whole path: it gives the GIL away and takes it back once a row.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.sqlite_thread import Link
from protojobs_service.drivers.sql.store import Claimed, ClaimGroup, Completions, Inserted, Probe, Rows
from protojobs_service.drivers.sql.tables import Tables

SIZES = (512, 256, 128, 64, 32, 16, 8, 4, 2, 1)
_MINUTE = 60_000_000


class _Values:
    """A statement around a VALUES list (or a list of `?`), rendered once for each size."""

    def __init__(self, before: str, after: str = "", *, columns: int, row: str | None = None) -> None:
        row = row or f"({','.join('?' * columns)})"
        self._columns = columns
        self._texts = [(size, f"{before} {','.join([row] * size)} {after}") for size in SIZES]

    def chunks(self, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, str, list[Any]]]:
        """Yield (rows in it, text, parameters) until all `rows` are bound."""
        flat = list(chain.from_iterable(rows))
        width, at = self._columns, 0
        for size, text in self._texts:
            step = size * width
            while len(flat) - at >= step:
                yield size, text, flat[at : at + step]
                at += step

    def run(self, raw: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> int:
        """Execute for all rows; return how many rows changed."""
        return sum(raw.execute(text, parameters).rowcount for _, text, parameters in self.chunks(rows))

    def fetch(self, raw: sqlite3.Connection, rows: Iterable[Sequence[Any]]) -> list[Any]:
        """Execute for all rows; return what comes back."""
        found: list[Any] = []
        for _, text, parameters in self.chunks(rows):
            found += raw.execute(text, parameters).fetchall()
        return found


class Statements:
    """Dispatch, claim and complete over one set of tables. Runs inside the writer's transaction, alone: nothing here races."""

    def __init__(self, tables: Tables) -> None:
        """Render the texts."""
        quote = sqlite.dialect().identifier_preparer
        name = {table: quote.format_table(table) for table in tables.metadata.tables.values()}
        order = quote.quote(_index(tables.ready, "ready_order"))
        t = tables
        known = "ON CONFLICT (id) DO NOTHING"
        insert_job = f"INSERT INTO {name[t.job]} (id,lane,band,position,created_at,policy,envelope) VALUES"
        self._jobs = _Values(insert_job, known, columns=7)
        self._jobs_returning = _Values(insert_job, f"{known} RETURNING id", columns=7)
        self._ready = _Values(
            f"INSERT INTO {name[t.ready]} (position,id,lane,band,size,attempt) VALUES", columns=5, row="(?,?,?,?,?,0)"
        )
        self._running = _Values(
            f"INSERT INTO {name[t.running]} (id,handle,started_at,position,lane,band,attempt,failures,crashes,flags) VALUES",
            columns=10,
        )
        self._counter = _Values(
            f"INSERT INTO {name[t.counter]} AS c (lane,state,slot,n) VALUES",
            "ON CONFLICT (lane,state,slot) DO UPDATE SET n=c.n+excluded.n",
            columns=4,
        )
        self._open = _Values(f"SELECT id FROM {name[t.handle]} WHERE closed_at IS NULL AND id IN (", ")", columns=1, row="?")
        # INDEXED BY, as an ANALYZE by anybody must not change the plan.
        self._probe = (
            "SELECT r.rowid,r.position,r.id,r.attempt,r.failures,r.crashes,r.flags,r.size,j.policy,j.envelope"
            f" FROM {name[t.ready]} r INDEXED BY {order} JOIN {name[t.job]} j ON j.id=r.id"
            " WHERE r.lane=? AND r.band=? AND r.position>=? ORDER BY r.position,r.rowid LIMIT ?"
        )
        # A claim takes the front of its index range without gaps, so one range delete serves all its rows.
        self._take = (
            f"DELETE FROM {name[t.ready]} INDEXED BY {order}"
            " WHERE lane=? AND band=? AND position BETWEEN ? AND ? AND (position<? OR rowid<=?)"
        )
        # `+handle` keeps the planner on the key: the index on handle would read all that the worker holds.
        self._match = _Values(
            "WITH s(id,attempt,handle,place) AS (VALUES",
            ") SELECT s.place,r.lane,r.started_at,r.id,r.attempt,r.handle"
            f" FROM s CROSS JOIN {name[t.running]} r ON r.id=s.id AND r.attempt=s.attempt AND +r.handle=s.handle AND r.flags=0",
            columns=4,
        )
        self._end = _Values(f"DELETE FROM {name[t.running]} WHERE id IN (", ")", columns=1, row="?")
        self._done = _Values(
            f"INSERT INTO {name[t.done]} (id,attempt,lane,started_at,finished_at,handle,outcome) VALUES",
            columns=6,
            row=f"(?,?,?,?,?,?,{Code.COMPLETED.value})",
        )
        self._minutes = _Values(
            f"INSERT INTO {name[t.stat_minute]} AS m (minute,lane,slot,failed,bucket,n,run_us) VALUES",
            "ON CONFLICT (minute,lane,slot,failed,bucket) DO UPDATE SET n=m.n+excluded.n,run_us=m.run_us+excluded.run_us",
            columns=6,
            row="(?,?,?,0,?,?,?)",
        )
        self._number = f"INSERT INTO {name[t.event_slot]} AS s (slot,seq) VALUES (?,1) ON CONFLICT (slot) DO UPDATE SET seq=s.seq+1"
        self._flush = (
            f"INSERT INTO {name[t.done_flush]} (slot,seq,at,ids,attempts)"
            f" SELECT slot,seq,?,?,? FROM {name[t.event_slot]} WHERE slot=?"
        )

    def dispatch(self, link: Link, rows: Rows, slot: int) -> Inserted:
        """Insert jobs; see Store.dispatch."""
        raw = link.raw
        total = len(rows.ids)
        created = self._insert_jobs(link, rows)
        places = range(total) if created is None else created
        handles = rows.handles
        if handles is None:
            waiting, placed, unplaced = places, [], []
        else:
            alive = self._alive(raw, set(handles) - {0})
            placed = [i for i in places if handles[i] in alive]
            waiting = [i for i in places if handles[i] not in alive] if len(placed) < len(places) else []
            unplaced = [i for i in waiting if handles[i]]
        if placed and handles is not None:
            now, base = link.now, rows.base
            self._running.run(
                raw, ((rows.ids[i], handles[i], now, base + i, rows.lanes[i], rows.bands[i], 1, 0, 0, 0) for i in placed)
            )
        if len(waiting) == total:
            positions = range(rows.base, rows.base + total)
            self._ready.run(raw, zip(positions, rows.ids, rows.lanes, rows.bands, map(len, rows.envelopes), strict=True))
        elif waiting:
            self._ready.run(
                raw, ((rows.base + i, rows.ids[i], rows.lanes[i], rows.bands[i], len(rows.envelopes[i])) for i in waiting)
            )
        counts = Counter((rows.lanes[i], State.PENDING.value) for i in waiting)
        counts.update((rows.lanes[i], State.RUNNING.value) for i in placed)
        self._count(raw, counts, slot)
        return Inserted(created, unplaced)

    def _insert_jobs(self, link: Link, rows: Rows) -> list[int] | None:
        """Return the ordinals that are new, None for all.

        RETURNING costs 2 us a job, so it is asked only where a first try without it has counted less than it inserted.
        """
        total = len(rows.ids)
        positions = range(rows.base, rows.base + total)
        policies = [None] * total if rows.policies is None else rows.policies
        columns = (rows.ids, rows.lanes, rows.bands, positions, _created_at(rows, link.now), policies, rows.envelopes)
        raw = link.raw
        raw.execute("SAVEPOINT jobs")
        if self._jobs.run(raw, zip(*columns, strict=True)) == total:
            raw.execute("RELEASE jobs")
            return None
        raw.execute("ROLLBACK TO jobs")
        raw.execute("RELEASE jobs")
        new = {row[0] for row in self._jobs_returning.fetch(raw, zip(*columns, strict=True))}
        first: dict[bytes, int] = {}
        for place, job_id in enumerate(rows.ids):
            if job_id in new:
                first.setdefault(job_id, place)
        return list(first.values())

    def claim(self, link: Link, groups: Sequence[ClaimGroup], slot: int) -> list[Claimed]:
        """Lease ready jobs; see Store.claim."""
        raw = link.raw
        alive = self._alive(raw, set(chain.from_iterable(group.places for group in groups)))
        claimed: list[Claimed] = []
        counts: Counter[tuple[int, int]] = Counter()
        for group in groups:
            places = [handle for handle in group.places if handle in alive]
            taken: list[Claimed] = []
            room = group.max_bytes or (1 << 62)
            for probe in group.probes:
                if len(taken) == len(places):
                    break
                found, room = self._pick(raw, probe, len(places) - len(taken), room, first=not taken)
                taken += [
                    Claimed(handle, job, attempt + 1, probe.lane, probe.band, position, failures, flags, policy, envelope)
                    for handle, (_, position, job, attempt, failures, _, flags, _, policy, envelope) in zip(
                        places[len(taken) :], found, strict=False
                    )
                ]
                if found:
                    counts[probe.lane, State.PENDING.value] -= len(found)
                    counts[probe.lane, State.RUNNING.value] += len(found)
                    now, start = link.now, len(taken) - len(found)
                    self._running.run(
                        raw,
                        (
                            (job, handle, now, position, probe.lane, probe.band, attempt + 1, failures, crashes, flags)
                            for handle, (_, position, job, attempt, failures, crashes, flags, *_) in zip(
                                places[start:], found, strict=False
                            )
                        ),
                    )
                if room <= 0:
                    break
            claimed += taken
        self._count(raw, counts, slot)
        return claimed

    def _pick(self, raw: sqlite3.Connection, probe: Probe, limit: int, room: int, *, first: bool) -> tuple[list[Any], int]:
        """Take rows of one probe out of ready; the bytes that are left come back, 0 when the next row does not fit."""
        found: list[Any] = []
        for row in raw.execute(self._probe, (probe.lane, probe.band, probe.low, limit)):
            size = row[7]
            if size > room and not (first and not found):
                room = 0
                break
            found.append(row)
            room -= size
        if found:
            last_row, last = found[-1][:2]
            raw.execute(self._take, (probe.lane, probe.band, probe.low, last, last, last_row))
        return found, room

    def complete(self, link: Link, items: Completions, slot: int) -> list[int] | None:
        """End plain completions; see Store.complete."""
        raw = link.raw
        total = len(items.ids)
        matched = self._match.fetch(raw, zip(items.ids, items.attempts, items.handles, range(total), strict=True))
        if len({row[3] for row in matched}) < len(matched):  # one attempt named twice: the first place has ended it
            matched = list({row[3]: row for row in reversed(matched)}.values())
        if not matched:
            return []
        self._end.run(raw, ((row[3],) for row in matched))
        now, minute = link.now, link.now // _MINUTE
        self._done.run(raw, ((job, attempt, lane, started, now, handle) for _, lane, started, job, attempt, handle in matched))
        counts: Counter[tuple[int, int]] = Counter()
        buckets: dict[tuple[int, int], list[int]] = {}
        for _, lane, started, *_ in matched:
            spent = now - started if now > started else 0
            cell = buckets.setdefault((lane, spent.bit_length()), [0, 0])
            cell[0] += 1
            cell[1] += spent
        for (lane, _), (n, _) in buckets.items():
            counts[lane, State.RUNNING.value] -= n
            counts[lane, State.COMPLETED.value] += n
        self._count(raw, counts, slot)
        self._minutes.run(raw, ((minute, lane, slot, bucket, n, us) for (lane, bucket), (n, us) in buckets.items()))
        self._log(link, [row[3] for row in matched], [row[4] for row in matched], slot)
        return None if len(matched) == total else sorted(row[0] for row in matched)

    def _log(self, link: Link, ids: Sequence[bytes], attempts: Sequence[int], slot: int) -> None:
        """Log the flush for those who watch, under the next number of the slot."""
        again = b"".join([attempt.to_bytes(4) for attempt in attempts]) if max(attempts) > 1 else None
        link.raw.execute(self._number, (slot,))
        link.raw.execute(self._flush, (link.now, b"".join(ids), again, slot))

    def _alive(self, raw: sqlite3.Connection, handles: set[int]) -> set[int]:
        return {row[0] for row in self._open.fetch(raw, ((handle,) for handle in handles))}

    def _count(self, raw: sqlite3.Connection, counts: Counter[tuple[int, int]], slot: int) -> None:
        self._counter.run(raw, ((lane, state, slot, n) for (lane, state), n in counts.items() if n))


def _created_at(rows: Rows, now: int) -> list[int]:
    if rows.accepted is None:
        return [now] * len(rows.ids)
    return [now if at is None else min(now, at) for at in rows.accepted]


def _index(table: Table, suffix: str) -> str:
    return next(str(index.name) for index in table.indexes if str(index.name).endswith(suffix))
