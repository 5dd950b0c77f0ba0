"""The hot statements on MariaDB, rendered for each flush: numbers and hex literals in multi-row VALUES, several in one packet.

MariaDB has no arrays to bind, and no statement that changes two tables; so a flush is one transaction of two packets: the first
reads and locks, the second writes and commits. tests/plans proves the plans on an empty and on a full database: the optimizer
would rather lock a whole small table than look up keys, so reads name their index, and deletes join from a list of keys.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from protojobs_service.domain.lifecycle import Code, State
from protojobs_service.drivers.sql.mysql_keys import BY_KEY, delete_of_ids, delete_of_places, quoted
from protojobs_service.drivers.sql.store import Probe, Rows
from protojobs_service.drivers.sql.tables import Tables

CLOCK = "timestampdiff(microsecond,'1970-01-01',utc_timestamp(6))"
MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """A completion to write."""

    id: bytes
    attempt: int
    handle: int
    lane: int
    started_at: int


@dataclass(frozen=True, slots=True)
class Leased:
    """A row of `ready` that goes to `running` under a handle."""

    handle: int
    position: int
    id: bytes
    lane: int
    band: int
    attempt: int
    failures: int
    crashes: int
    flags: int


class Statements:
    """Texts over one set of tables. @now is the store's clock, taken once in a transaction."""

    def __init__(self, tables: Tables, offset: list[int] | None) -> None:
        """Use these tables; `offset` is a test's clock."""
        self._tables, self._offset = tables, offset
        self.job, self.ready, self.running = quoted(tables.job), quoted(tables.ready), quoted(tables.running)
        self.done, self.handle = quoted(tables.done), quoted(tables.handle)
        self.counter, self.minute = quoted(tables.counter), quoted(tables.stat_minute)
        self.slot, self.flush = quoted(tables.event_slot), quoted(tables.done_flush)

    def begin(self) -> str:
        """Begin a transaction and take the time."""
        offset = f"+{self._offset[0]}" if self._offset else ""
        return f"BEGIN;SET @now={CLOCK}{offset}"

    def open_handles(self, handles: Iterable[int]) -> str:
        """Return which of these handles are open, and keep them so: whoever closes one waits for us."""
        names = ",".join(map(str, sorted(handles)))
        return f"SELECT id FROM {self.handle} {BY_KEY} WHERE id IN ({names}) AND closed_at IS NULL ORDER BY id LOCK IN SHARE MODE"

    def insert_jobs(self, rows: Rows, order: Sequence[int], *, ignore: bool = False) -> str:
        """Insert jobs, in the order given: by id, so that two replicas that store the same ids lock them alike.

        ignore: leave known ids alone, and return the others; without, a known id is an error.
        """
        ids, lanes, bands, envelopes, policies, base = rows.ids, rows.lanes, rows.bands, rows.envelopes, rows.policies, rows.base
        if policies is None and rows.accepted is None:
            values = ",".join(
                [f"(x'{ids[i].hex()}',{lanes[i]},{bands[i]},{base + i},@now,NULL,x'{envelopes[i].hex()}')" for i in order]
            )
        else:
            times = ["@now"] * len(ids) if rows.accepted is None else list(map(_created_at, rows.accepted))
            texts = ["NULL"] * len(ids) if policies is None else list(map(_text, policies))
            values = ",".join(
                [
                    f"(x'{ids[i].hex()}',{lanes[i]},{bands[i]},{base + i},{times[i]},{texts[i]},x'{envelopes[i].hex()}')"
                    for i in order
                ]
            )
        insert, returning = ("INSERT IGNORE", " RETURNING id") if ignore else ("INSERT", "")
        return f"{insert} INTO {self.job} (id,lane,band,position,created_at,policy,envelope) VALUES {values}{returning}"

    def insert_ready(self, rows: Rows, places: Iterable[int]) -> str:
        """Let new jobs wait."""
        ids, lanes, bands, envelopes, base = rows.ids, rows.lanes, rows.bands, rows.envelopes, rows.base
        values = ",".join([f"({base + i},x'{ids[i].hex()}',{lanes[i]},{bands[i]},0,{len(envelopes[i])})" for i in places])
        return f"INSERT INTO {self.ready} (position,id,lane,band,attempt,size) VALUES {values}"

    def insert_running(self, leased: Iterable[Leased]) -> str:
        """Let jobs run."""
        values = ",".join(
            [
                f"(x'{row.id.hex()}',{row.handle},@now,{row.position},{row.lane},{row.band},{row.attempt},{row.failures},"
                f"{row.crashes},{row.flags})"
                for row in leased
            ]
        )
        columns = "id,handle,started_at,position,lane,band,attempt,failures,crashes,flags"
        return f"INSERT INTO {self.running} ({columns}) VALUES {values}"

    def probe(self, probe: Probe, limit: int) -> str:
        """Lock the next rows of (lane, band), leaving out those that others hold."""
        return (
            f"SELECT position,id,attempt,failures,crashes,flags,size FROM {self.ready} {BY_KEY}"
            f" WHERE lane={probe.lane} AND band={probe.band} AND position>={probe.low}"
            f" ORDER BY position,id LIMIT {limit} FOR UPDATE SKIP LOCKED"
        )

    def find(self, probes: Sequence[Probe]) -> str:
        """Return the places in the list of those probes that would find something, without a lock."""
        return " UNION ALL ".join(
            f"(SELECT {i} FROM {self.ready} {BY_KEY}"
            f" WHERE lane={probe.lane} AND band={probe.band} AND position>={probe.low} LIMIT 1)"
            for i, probe in enumerate(probes)
        )

    def delete_ready(self, leased: Iterable[Leased]) -> str:
        """Take rows that are locked out of `ready`."""
        return delete_of_places(self._tables.ready, [(row.lane, row.band, row.position, row.id) for row in leased])

    def envelopes(self, ids: Iterable[bytes]) -> str:
        """Return what the workers of these jobs need."""
        return f"SELECT id,policy,envelope FROM {self.job} {BY_KEY} WHERE id IN ({_list(ids)})"

    def match(self, ids: Iterable[bytes]) -> str:
        """Lock running rows that have no flags; the compare-and-set on attempt and handle is the caller's."""
        return (
            f"SELECT id,attempt,handle,lane,started_at,@now FROM {self.running} {BY_KEY}"
            f" WHERE id IN ({_list(ids)}) AND flags=0 ORDER BY id FOR UPDATE"
        )

    def delete_running(self, ids: Iterable[bytes]) -> str:
        """Take rows that are locked out of `running`."""
        return delete_of_ids(self._tables.running, ids)

    def insert_done(self, ended: Iterable[Ended]) -> str:
        """Write completions."""
        values = ",".join(
            [
                f"(x'{row.id.hex()}',{row.attempt},{row.lane},{row.started_at},@now,{row.handle},{Code.COMPLETED.value})"
                for row in ended
            ]
        )
        return f"INSERT INTO {self.done} (id,attempt,lane,started_at,finished_at,handle,outcome) VALUES {values}"

    def log(self, ended: Sequence[Ended], slot: int) -> str:
        """Log the flush for those who watch, under the next number of the slot."""
        ids = "".join([row.id.hex() for row in ended])
        again = any(row.attempt > 1 for row in ended)
        attempts = f"x'{''.join([f'{row.attempt:08x}' for row in ended])}'" if again else "NULL"
        return (
            f"INSERT INTO {self.slot} (slot,seq) VALUES ({slot},1) ON DUPLICATE KEY UPDATE seq=seq+1;"
            f"INSERT INTO {self.flush} (slot,seq,at,ids,attempts)"
            f" VALUES ({slot},(SELECT seq FROM {self.slot} {BY_KEY} WHERE slot={slot}),@now,x'{ids}',{attempts})"
        )

    def count(self, counts: Counter[tuple[int, State]], slot: int) -> str:
        """Add to the counters of (lane, state), in key order."""
        rows = sorted((lane, state.value, n) for (lane, state), n in counts.items() if n)
        values = ",".join(f"({lane},{state},{slot},{n})" for lane, state, n in rows)
        return f"INSERT INTO {self.counter} (lane,state,slot,n) VALUES {values} ON DUPLICATE KEY UPDATE n=n+VALUES(n)"

    def count_minutes(self, ended: Iterable[Ended], now: int, slot: int) -> str:
        """Add run times to the present minute, by power of two."""
        cells: dict[tuple[int, int], list[int]] = {}
        for row in ended:
            spent = max(0, now - row.started_at)
            cell = cells.setdefault((row.lane, spent.bit_length()), [0, 0])
            cell[0] += 1
            cell[1] += spent
        values = ",".join(
            f"({now // MINUTE},{lane},{slot},0,{bucket},{n},{us})" for (lane, bucket), (n, us) in sorted(cells.items())
        )
        return (
            f"INSERT INTO {self.minute} (minute,lane,slot,failed,bucket,n,run_us) VALUES {values}"
            " ON DUPLICATE KEY UPDATE n=n+VALUES(n),run_us=run_us+VALUES(run_us)"
        )


def _list(ids: Iterable[bytes]) -> str:
    return ",".join([f"x'{job_id.hex()}'" for job_id in ids])


def _created_at(accepted: int | None) -> str:
    return "@now" if accepted is None else f"LEAST(@now,{accepted})"


def _text(value: str | None) -> str:
    return "NULL" if value is None else f"_utf8mb4 x'{value.encode().hex()}'"
